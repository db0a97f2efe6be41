//! Time-series stores: of which kind, where, and who looks after them.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use query::Cache;
use record::{DeviceId, TenantId, Timestamp};
use series::parquet::cold::Cold;
use series::parquet::store::{ColdPolicy, Options};
use series::{
    Expiring, Parquet, Removal, SeriesAudit, SeriesReader, SeriesRemove, SeriesScan, SeriesWriter, Sqlite,
};

/// All that a store does.
pub(crate) trait Store: SeriesWriter + SeriesReader + SeriesAudit + SeriesScan + SeriesRemove {}

impl<S: SeriesWriter + SeriesReader + SeriesAudit + SeriesScan + SeriesRemove> Store for S {}

/// Removes from a store whose answers are kept.
pub(crate) struct Removing {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Arc<Cache>,
}

impl SeriesRemove for Removing {
    fn erase(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        reason: &str,
        at: Timestamp,
    ) -> series::Result<Removal> {
        let removal = self.store.erase(tenant, device, reason, at);
        self.cache.changed();
        removal
    }

    fn expire(
        &self,
        tenant: &TenantId,
        what: Expiring,
        before: Timestamp,
        at: Timestamp,
    ) -> series::Result<Option<Removal>> {
        let removal = self.store.expire(tenant, what, before, at);
        self.cache.changed();
        removal
    }

    fn tenants(&self) -> series::Result<Vec<TenantId>> {
        self.store.tenants()
    }

    fn removals(&self, tenant: &TenantId, limit: u32) -> series::Result<Vec<Removal>> {
        self.store.removals(tenant, limit)
    }
}

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Parquet files, and one of SQLite beside them.
    Parquet,
    /// One SQLite file.
    Sqlite,
}

/// What a store may hold in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Share {
    /// The node's own.
    Whole,
    /// One of many beside it.
    Part,
}

impl Share {
    fn options(self) -> Options {
        match self {
            Self::Whole => Options::default(),
            Self::Part => Options { buffer_bytes: 32 << 20, cache_bytes: 32 << 20, ..Options::default() },
        }
    }
}

/// Opens the store at `place`: a directory, or, with the ending `.db`, a file. It is looked after as long as it is used.
pub(crate) fn open(kind: Kind, place: &Path, share: Share) -> series::Result<Arc<dyn Store>> {
    match kind {
        Kind::Sqlite => Ok(Arc::new(Sqlite::open(&place.with_extension("db"))?)),
        Kind::Parquet => {
            let store = Arc::new(Parquet::open(place, share.options())?);
            look_after(&store, place)?;
            Ok(store)
        }
    }
}

/// Opens the store at `place` with a cold tier, which is looked after too.
pub(crate) fn open_tiered(
    place: &Path,
    cold: Arc<Cold>,
    policy: &ColdPolicy,
) -> series::Result<Arc<dyn Store>> {
    let store = Arc::new(Parquet::open_with(place, Share::Whole.options(), Some(cold))?);
    look_after(&store, place)?;
    crate::cold::look_after(&store, place, policy.clone())?;
    Ok(store)
}

/// How often somebody looks whether there is something to do.
const EVERY: Duration = Duration::from_secs(1);

/// How long it waits after something has failed: a full disk is not asked every second.
const AFTER_FAILURE: Duration = Duration::from_secs(15);

/// The thread's place behind those that take readings in, as `nice` counts.
pub(crate) const NICENESS: i32 = 10;

/// Rolls the buffer into files and merges them, on a thread that ends with the store.
fn look_after(store: &Arc<Parquet>, place: &Path) -> series::Result<()> {
    let (store, name) = (Arc::downgrade(store), place.display().to_string());
    let failed = |error: std::io::Error| series::Error::Database {
        operation: "starting a thread of the store",
        place: place.display().to_string(),
        reason: error.to_string(),
    };
    let thread = std::thread::Builder::new().name("series-upkeep".into());
    thread.spawn(move || upkeep(&store, &name)).map(|_| ()).map_err(failed)
}

fn upkeep(store: &Weak<Parquet>, place: &str) {
    // Where it cannot be lowered it stays as it is.
    let _ = rustix::process::nice(NICENESS);
    let began = Instant::now();
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    loop {
        let Some(open) = store.upgrade() else { return };
        // The clock of the start, and how long ago that was: it does not jump.
        let now = i64::try_from((epoch + began.elapsed()).as_millis()).unwrap_or(i64::MAX);
        let outcome = open.maintain(now);
        drop(open);
        match outcome {
            Ok(true) => {}
            Ok(false) => std::thread::sleep(EVERY),
            Err(error) => {
                tracing::error!(%error, store = place, "the store cannot be looked after; trying again");
                std::thread::sleep(AFTER_FAILURE);
            }
        }
    }
}
