//! Time-series stores: of which kind, where, and who looks after them.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use query::Cache;
use record::{DeviceId, MetricName, TenantId, Timestamp};
use series::parquet::cold::Cold;
use series::parquet::store::{ColdPolicy, Options};
use series::{
    Old, Parquet, Removal, SeriesAudit, SeriesReader, SeriesRemove, SeriesScan, SeriesWriter, Sqlite,
};

use crate::exports::Exports;

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

    fn expire(&self, tenant: &TenantId, old: &Old, at: Timestamp) -> series::Result<Option<Removal>> {
        let removal = self.store.expire(tenant, old, at);
        self.cache.changed();
        removal
    }

    fn tenants(&self) -> series::Result<Vec<TenantId>> {
        self.store.tenants()
    }

    fn removals(&self, tenant: &TenantId, limit: u32) -> series::Result<Vec<Removal>> {
        self.store.removals(tenant, limit)
    }

    fn expired_before(&self, tenant: &TenantId, metric: &MetricName) -> series::Result<Option<Timestamp>> {
        self.store.expired_before(tenant, metric)
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

/// Opens the node's own store of files at `place`; with a cold tier, which is looked after too, and with a place for what it no longer
/// keeps, where there are such.
pub(crate) fn open_parquet(
    place: &Path,
    tier: Option<(Arc<Cold>, &ColdPolicy)>,
    exports: Option<Arc<Exports>>,
) -> series::Result<Arc<dyn Store>> {
    let (cold, policy) = tier.unzip();
    let mut store = Parquet::open_with(place, Share::Whole.options(), cold)?;
    if let Some(exports) = exports {
        store = store.with_exports(exports);
    }
    let store = Arc::new(store);
    look_after(&store, place)?;
    if let Some(policy) = policy {
        crate::cold::look_after(&store, place, policy.clone())?;
    }
    Ok(store)
}

/// How often somebody looks whether there is something to merge.
const EVERY: Duration = Duration::from_secs(1);

/// How often somebody looks whether the buffer is to be rolled: a stream at full speed fills the room that is left in some
/// seconds, and waits when there is none.
const ROLLED_EVERY: Duration = Duration::from_millis(100);

/// How long it waits after something has failed: a full disk is not asked every second.
const AFTER_FAILURE: Duration = Duration::from_secs(15);

/// The place of threads that nobody waits for behind those that take readings in, as `nice` counts.
pub(crate) const NICENESS: i32 = 10;

/// What is done for a store at a time on the clock (milliseconds since the epoch); says whether there is more to do at once.
type Upkeep = fn(&Parquet, i64) -> series::Result<bool>;

/// Rolls the buffer into files, and merges them, each on a thread that ends with the store: a merge takes long, and who writes
/// may not wait for it.
fn look_after(store: &Arc<Parquet>, place: &Path) -> series::Result<()> {
    let roll: Upkeep = |store, now| store.roll_when_due(now).map(|()| false);
    let merge: Upkeep = |store, now| store.merge_when_due(now);
    start(store, place, "series-roll", move |store, name| upkeep(store, name, roll, ROLLED_EVERY))?;
    start(store, place, "series-merge", move |store, name| {
        // Where it cannot be lowered it stays as it is.
        let _ = rustix::process::nice(NICENESS);
        upkeep(store, name, merge, EVERY);
    })
}

fn start(
    store: &Arc<Parquet>,
    place: &Path,
    thread: &str,
    work: impl FnOnce(&Weak<Parquet>, &str) + Send + 'static,
) -> series::Result<()> {
    let (store, name) = (Arc::downgrade(store), place.display().to_string());
    let failed = |error: std::io::Error| series::Error::Database {
        operation: "starting a thread of the store",
        place: place.display().to_string(),
        reason: error.to_string(),
    };
    let thread = std::thread::Builder::new().name(thread.into());
    thread.spawn(move || work(&store, &name)).map(|_| ()).map_err(failed)
}

fn upkeep(store: &Weak<Parquet>, place: &str, work: Upkeep, every: Duration) {
    let began = Instant::now();
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    loop {
        let Some(open) = store.upgrade() else { return };
        // The clock of the start, and how long ago that was: it does not jump.
        let now = i64::try_from((epoch + began.elapsed()).as_millis()).unwrap_or(i64::MAX);
        let outcome = work(&open, now);
        drop(open);
        match outcome {
            Ok(true) => {}
            Ok(false) => std::thread::sleep(every),
            Err(error) => {
                tracing::error!(%error, store = place, "the store cannot be looked after; trying again");
                std::thread::sleep(AFTER_FAILURE);
            }
        }
    }
}
