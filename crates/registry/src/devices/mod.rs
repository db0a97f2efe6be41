//! What is known of devices (R4.6): what people registered, and what data said in passing.
//!
//! The rows are in the metadata, where other processes (the command line) change them too. The stream asks for every
//! device that speaks, so what it was told is kept in memory, bounded, and forgotten when the mark of the table
//! `changes` is another one: a change counts within [`LOOK_EVERY`].

mod cache;
mod document;
mod list;

pub use document::{FactsDocument, Location};
pub use list::Depth;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metadata::{Change, Metadata, Row, Table};
use parking_lot::Mutex;
use record::{DeviceId, Facts, Known, Learned, TenantId, Timestamp};
use serde_json::Value;

use crate::Error;
use cache::Cache;
use document::{LearnedRow, StoredRow};

/// How often it is asked whether another process changed something.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The file whose lock is held while rows are changed, beside the database.
pub const LOCK_FILE: &str = "administration.lock";

/// The row of [`Table::Changes`] about devices.
const CHANGES: &str = "devices";

/// What is known of devices. One per process.
pub struct Devices {
    metadata: Arc<dyn Metadata>,
    lock: Option<PathBuf>,
    /// Held from the reading of a row to its writing.
    changing: Mutex<()>,
    cache: Mutex<Cache>,
}

/// A device, as far as it is known apart from its readings.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceEntry {
    /// Its id.
    pub id: DeviceId,
    /// When people registered it; `None`: they did not.
    pub registered_at: Option<Timestamp>,
    /// When that was last changed.
    pub changed_at: Option<Timestamp>,
    /// What people registered.
    pub registered: Facts,
    /// What data said.
    pub learned: Learned,
}

impl DeviceEntry {
    /// What holds.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.registered.over(&self.learned)
    }
}

/// What changed, to who follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// What to ask with the next time.
    pub mark: u64,
    /// The devices whose facts may be others now, some of them more than once. `None`: all of them, for it was too long ago, or
    /// another process changed something.
    pub devices: Option<Vec<Box<str>>>,
}

/// What a message said of its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Whose.
    pub tenant: TenantId,
    /// Of which device.
    pub device: DeviceId,
    /// Everything that is learned of it now.
    pub learned: Learned,
}

impl Devices {
    /// Over these tables. `lock` names the folder of [`LOCK_FILE`], whose lock keeps two processes from changing a
    /// device at once; without it the caller holds the lock, or there is no other process.
    #[must_use]
    pub fn new(metadata: Arc<dyn Metadata>, lock: Option<&Path>) -> Self {
        let lock = lock.map(|folder| folder.join(LOCK_FILE));
        Self { metadata, lock, changing: Mutex::new(()), cache: Mutex::default() }
    }

    /// What is known of a device, from memory where it is there. Blocks.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Row`].
    pub fn known(&self, tenant: &TenantId, device: &str) -> Result<Arc<Known>, Error> {
        let epoch = {
            let mut cache = self.cache.lock();
            if let Some(known) = cache.get(tenant, device) {
                return Ok(known);
            }
            cache.epoch()
        };
        let registered = self.stored(tenant, device)?.map(|row| row.facts(tenant, device)).transpose()?;
        let learned = self.learned(tenant, device)?;
        let mut cache = self.cache.lock();
        let known = match (registered, learned) {
            (None, None) => cache.nothing(),
            (registered, learned) => {
                Arc::new(Known::new(registered.unwrap_or_default(), learned.unwrap_or_default()))
            }
        };
        cache.put(epoch, tenant, device, &known);
        Ok(known)
    }

    /// Looks whether another process changed something, at most every [`LOOK_EVERY`]. Blocks.
    ///
    /// # Errors
    /// [`Error::Metadata`]; what is in memory goes on counting.
    pub fn refresh(&self) -> Result<(), Error> {
        if self.cache.lock().looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        self.look()
    }

    fn look(&self) -> Result<(), Error> {
        let mark = self.metadata.get(Table::Changes, "", CHANGES)?.map(|row| row.body);
        let mut cache = self.cache.lock();
        cache.looked_at = Some(Instant::now());
        cache.marked(mark);
        Ok(())
    }

    /// A device that is registered or of which something was learned. Blocks.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Row`].
    pub fn find(&self, tenant: &TenantId, device: &DeviceId) -> Result<Option<DeviceEntry>, Error> {
        let stored = self.stored(tenant, device.as_str())?;
        let learned = self.learned(tenant, device.as_str())?;
        if stored.is_none() && learned.is_none() {
            return Ok(None);
        }
        entry(tenant, device.clone(), stored, learned).map(Some)
    }

    /// What may be known otherwise of a tenant's devices than when a mark was told (`None`: never). Blocks.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn changes(&self, tenant: &TenantId, since: Option<u64>) -> Result<Changes, Error> {
        self.refresh()?;
        Ok(self.cache.lock().changes(tenant, since))
    }

    /// Registers a device with exactly these facts. Blocks.
    ///
    /// # Errors
    /// [`Error::Refused`] names the fact that is not possible; [`Error::Metadata`], [`Error::Row`].
    pub fn put(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        facts: &FactsDocument,
        now: Timestamp,
    ) -> Result<DeviceEntry, Error> {
        self.change(tenant, device, now, |_| Ok(facts.clone()))
    }

    /// Changes what is registered of a device by a merge patch (RFC 7396): what it names is replaced, what it names with
    /// `null` is removed, the rest stays. Registers the device where it is not. Blocks.
    ///
    /// # Errors
    /// As [`Devices::put`].
    pub fn patch(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        patch: &Value,
        now: Timestamp,
    ) -> Result<DeviceEntry, Error> {
        self.change(tenant, device, now, |before| before.patched(patch))
    }

    fn change(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        now: Timestamp,
        change: impl FnOnce(&FactsDocument) -> Result<FactsDocument, Error>,
    ) -> Result<DeviceEntry, Error> {
        let _changing = self.changing.lock();
        let _others = self.lock.as_deref().map(lock).transpose()?;
        // What others changed before must not hide behind the mark that is written now.
        self.look()?;
        let before = self.stored(tenant, device.as_str())?;
        let created_at_ms = before.as_ref().map_or(now.millis(), |row| row.created_at_ms);
        let facts = change(&before.map(|row| row.document).unwrap_or_default())?;
        facts.to_facts()?;
        let row = StoredRow { document: facts, created_at_ms, changed_at_ms: now.millis() };
        let mark = mark()?;
        let marked = Row { tenant: String::new(), id: CHANGES.to_owned(), body: mark.clone() };
        self.metadata.commit(&[
            Change::Put(Table::Devices, row.to_row(tenant, device.as_str())),
            Change::Put(Table::Changes, marked),
        ])?;
        let learned = self.learned(tenant, device.as_str());
        let mut cache = self.cache.lock();
        cache.forget(tenant, device.as_str());
        cache.expect(mark);
        drop(cache);
        entry(tenant, device.clone(), Some(row), learned?)
    }

    /// Keeps what messages said. Blocks.
    ///
    /// # Errors
    /// [`Error::Metadata`]; then nothing of it is kept.
    pub fn learn(&self, news: &[News]) -> Result<(), Error> {
        let rows = news.iter().map(|news| {
            let body = LearnedRow::of(&news.learned).to_body();
            let (tenant, id) = (news.tenant.as_str().to_owned(), news.device.as_str().to_owned());
            Change::Put(Table::Learned, Row { tenant, id, body })
        });
        self.metadata.commit(&rows.collect::<Vec<_>>())?;
        let mut cache = self.cache.lock();
        news.iter().for_each(|news| cache.learn(&news.tenant, news.device.as_str(), &news.learned));
        Ok(())
    }

    fn stored(&self, tenant: &TenantId, device: &str) -> Result<Option<StoredRow>, Error> {
        self.metadata
            .get(Table::Devices, tenant.as_str(), device)?
            .map(|row| StoredRow::read(&row))
            .transpose()
    }

    fn learned(&self, tenant: &TenantId, device: &str) -> Result<Option<Learned>, Error> {
        let row = self.metadata.get(Table::Learned, tenant.as_str(), device)?;
        row.map(|row| LearnedRow::read(&row)).transpose()
    }
}

fn entry(
    tenant: &TenantId,
    id: DeviceId,
    stored: Option<StoredRow>,
    learned: Option<Learned>,
) -> Result<DeviceEntry, Error> {
    let time = |millis: i64| Timestamp::from_millis(millis).unwrap_or_default();
    let registered = stored.as_ref().map(|row| row.facts(tenant, id.as_str())).transpose()?;
    Ok(DeviceEntry {
        registered_at: stored.as_ref().map(|row| time(row.created_at_ms)),
        changed_at: stored.as_ref().map(|row| time(row.changed_at_ms)),
        registered: registered.unwrap_or_default(),
        learned: learned.unwrap_or_default(),
        id,
    })
}

/// Held as long as the file is open.
fn lock(path: &Path) -> Result<File, Error> {
    let failed = |error: std::io::Error| {
        Error::Refused(format!("{} cannot be locked: {error}: may it be written?", path.display()))
    };
    let file = File::options().write(true).create(true).truncate(false).open(path).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// No two are the same, whoever makes them.
fn mark() -> Result<Vec<u8>, Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
    Ok(format!("{{\"mark\":\"{:016x}\"}}", u64::from_le_bytes(random)).into_bytes())
}

fn broken(table: &'static str, row: &Row, reason: &str) -> Error {
    Error::Row { table, tenant: row.tenant.clone(), id: row.id.clone(), reason: reason.to_owned() }
}
