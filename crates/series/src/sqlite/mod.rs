//! A small durable store on SQLite, until the Parquet store takes its place (docs/decisions/0002).
//!
//! One narrow table, names replaced by numbers, write-ahead logging: a commit is whole or not there, and durable with
//! the next flush (`durable.rs`). Readers have connections of their own and never wait for the writer.

pub(crate) mod audit;
pub(crate) mod books;
pub(crate) mod durable;
pub(crate) mod names;
pub(crate) mod naming;
pub(crate) mod points;
pub(crate) mod read;
pub(crate) mod remove;
pub(crate) mod scan;
pub(crate) mod schema;
pub(crate) mod write;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use record::{DeviceId, MetricName, TenantId, Timestamp};
use rusqlite::{Connection, OpenFlags};

pub use schema::VERSION as SCHEMA_VERSION;

use crate::{Error, LateReading, Result, WindowRow};
use durable::Durable;
use naming::Naming;
use scan::Scanners;
use write::Writer;

/// Most idle reading connections kept. A point query takes a fraction of a millisecond; more would only hold
/// page caches.
const IDLE_READERS: usize = 4;

/// The store in one SQLite file (and its `-wal` and `-shm` beside it).
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    writer: Arc<Mutex<Writer>>,
    durable: Durable,
    readers: Mutex<Vec<Connection>>,
    scanners: Scanners,
}

/// A store whose books (account, dead messages, late readings, clocks, notes) are the tables of `schema.rs`,
/// whatever keeps its points and windows.
pub(crate) trait Books: Send + Sync + 'static {
    /// How they name series.
    const NAMING: &'static Naming;

    /// Asks the books. They hold everything that was written before.
    fn with_books<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T>;

    /// Asks the books, and counts what each tenant has outside of the tables, at one moment.
    fn audited<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<(T, Beside)> {
        self.with_books("auditing", |connection| Ok((at_one_moment(connection, read)?, Beside::default())))
    }

    /// What [`crate::SeriesAudit::windows`] says.
    fn windows_of(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        starts: Range<Timestamp>,
    ) -> Result<Vec<WindowRow>>;

    /// What [`crate::SeriesAudit::late`] says.
    fn late_of(&self, tenant: &TenantId, limit: u32) -> Result<Vec<LateReading>>;
}

/// What each tenant has outside of the tables.
#[derive(Default)]
pub(crate) struct Beside {
    pub(crate) readings: Vec<(String, u64)>,
    /// Values that came late.
    pub(crate) late: Vec<(String, u64)>,
}

/// Reads in one savepoint, so that everything is of the same moment.
pub(crate) fn at_one_moment<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT moment")?;
    let outcome = read(connection);
    connection.execute_batch("RELEASE moment")?;
    outcome
}

impl Books for Sqlite {
    const NAMING: &'static Naming = &naming::BY_SERIES;

    fn with_books<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.with_reader(operation, read)
    }

    fn windows_of(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        starts: Range<Timestamp>,
    ) -> Result<Vec<WindowRow>> {
        self.with_reader("reading windows", |connection| {
            audit::windows(connection, (tenant, device, metric), starts)
        })
    }

    fn late_of(&self, tenant: &TenantId, limit: u32) -> Result<Vec<LateReading>> {
        self.with_reader("reading late readings", |connection| audit::late(connection, tenant, limit))
    }
}

impl Sqlite {
    /// Opens the store, creating it and bringing an older one up to date.
    ///
    /// # Errors
    /// [`Error::Newer`] when a later version wrote it, [`Error::Database`] when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error| fault("opening the store", path, error);
        let mut connection = Connection::open(path).map_err(failed)?;
        schema::prepare(&mut connection, path)?;
        sync_directory_of(path)?;
        let writer = Arc::new(Mutex::new(Writer::new(connection, path.to_owned())));
        let durable = Durable::start(path, Arc::clone(&writer))?;
        let (readers, scanners) = (Mutex::new(Vec::new()), Scanners::new(path, Self::NAMING));
        Ok(Self { path: path.to_owned(), writer, durable, readers, scanners })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn with_reader<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let failed = |error| fault(operation, &self.path, error);
        let idle = self.readers.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path).map_err(failed)?,
        };
        let outcome = read(&connection).map_err(failed)?;
        let mut readers = self.readers.lock();
        if readers.len() < IDLE_READERS {
            readers.push(connection);
        }
        Ok(outcome)
    }
}

/// A connection that only reads.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

/// SQLite syncs the directory for its journals; the name of a file just created is ours to keep.
pub(crate) fn sync_directory_of(path: &Path) -> Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| Error::Database {
        operation: "syncing the directory",
        place: directory.display().to_string(),
        reason: error.to_string(),
    })
}

pub(crate) fn fault(operation: &'static str, path: &Path, error: rusqlite::Error) -> Error {
    let place = path.display().to_string();
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => Error::Full { place },
        _ => Error::Database { operation, place, reason: error.to_string() },
    }
}
