//! The store on Parquet files: the backend.
//!
//! ```text
//! write ─▶ buffer (columns, indexed) ──flush──▶ runs ──compact──▶ fewer runs
//!    └───▶ books: one open SQLite transaction ──┘ commit: runs, books and positions at once
//! ```
//!
//! What `write` took is visible at once and durable with the next flush: buffered rows become files, the files are
//! synced, and then the transaction that has been open since the last flush commits, with everything that the batches
//! brought for the books, with the new files, and with the positions. A crash before it takes all of that back, and the
//! writer reads on from the durable positions. So there is one log and no second one.
//!
//! Readers of points take no lock that a flush or a compaction holds: they copy what they need from the buffer, and keep
//! the files they read alive.

mod buffer;
mod cache;
mod compact;
mod flush;
mod last;
mod manifest;
mod names;
mod period;
mod read;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, OpenFlags};

use crate::parquet::run::fault::io_fault;
use crate::parquet::run::sidecar_path;
use crate::sqlite::{Books, fault};
use crate::{Position, Result, Source};
use buffer::Buffer;
use cache::Cache;
use manifest::{Metrics, RunFacts};
use write::Writer;

pub use manifest_version::VERSION as MANIFEST_VERSION;

/// The manifest's schema version, for those who look after the file.
mod manifest_version {
    /// The version of the manifest's schema, kept in `PRAGMA user_version`.
    pub const VERSION: u32 = super::manifest::VERSION;
}

/// Limits of the store. The defaults suit a site as well as a fleet; tests make them small.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How much is buffered before it is flushed, bytes. Twice as much is where `write` is refused, if the disk is full.
    pub buffer_bytes: usize,
    /// A flush is due so long after the first write since the last, milliseconds. So much is read again from the log
    /// after a crash; and small flushes make large files.
    pub flush_after_ms: i64,
    /// Instead of it, when there are fewer readings than `small_readings`.
    pub flush_small_after_ms: i64,
    /// What is few.
    pub small_readings: u64,
    /// About how large compacted files are, bytes: what is written again when late data comes for its devices.
    pub file_bytes: u64,
    /// So long after the end of a day, and after its last data, its runs become one, milliseconds.
    pub quiet_after_ms: i64,
    /// Memory for what is known of open files, bytes.
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            buffer_bytes: 128 << 20,
            flush_after_ms: 600_000,
            flush_small_after_ms: 3_600_000,
            small_readings: 65_536,
            file_bytes: 128 << 20,
            quiet_after_ms: 3_600_000,
            cache_bytes: 256 << 20,
        }
    }
}

/// The store in a directory: `manifest.db` and `runs/`.
///
/// Somebody has to call [`Parquet::maintain`] every second or so, and [`crate::SeriesWriter::flush`] before the process ends;
/// without the latter the next start reads the buffered part of the log again.
#[derive(Debug)]
pub struct Parquet {
    manifest: PathBuf,
    runs: PathBuf,
    options: Options,
    writer: Mutex<Writer>,
    visible: RwLock<Visible>,
    readers: Mutex<Vec<Connection>>,
    cache: Cache,
    /// One compaction at a time: it takes a core and the disk.
    compacting: Mutex<compact::Quiet>,
    last_run_no: AtomicU64,
    _lock: std::fs::File,
}

/// What readers see.
#[derive(Debug, Default)]
struct Visible {
    metrics: Metrics,
    /// By table.
    buffers: BTreeMap<u32, Buffer>,
    /// By rising generation.
    runs: Vec<Arc<RunEntry>>,
    positions: BTreeMap<Source, u64>,
    durable: BTreeMap<Source, u64>,
    /// Numbers of devices that the last commit did not know.
    fresh_devices: HashMap<String, HashMap<String, u32>>,
}

/// A run that readers may be reading. Its files go when the last of them is done.
#[derive(Debug)]
struct RunEntry {
    facts: RunFacts,
    path: PathBuf,
    doomed: AtomicBool,
}

impl RunEntry {
    fn new(directory: &Path, facts: RunFacts) -> Arc<Self> {
        let path = manifest::run_path(directory, facts.no);
        Arc::new(Self { facts, path, doomed: AtomicBool::new(false) })
    }

    /// The manifest does not know it any more.
    fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }
}

impl Drop for RunEntry {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Acquire) {
            remove_files(&self.path);
        }
    }
}

/// What stays behind is removed when the store is opened again.
fn remove_files(path: &Path) {
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_file(sidecar_path(path));
}

impl Parquet {
    /// Opens the store in a directory, creating it if there is none; files that a crash left behind are removed.
    ///
    /// # Errors
    /// [`crate::Error::Newer`] when a later version wrote it, [`crate::Error::Damaged`] when a file is missing,
    /// [`crate::Error::Database`] when it cannot be opened, or another process has it.
    pub fn open(directory: &Path, options: Options) -> Result<Self> {
        let runs = directory.join("runs");
        std::fs::create_dir_all(&runs).map_err(|error| io_fault("creating", &runs, &error))?;
        let lock = lock(directory)?;
        let (connection, manifest) = manifest::open(directory)?;
        crate::sqlite::sync_directory_of(&runs)?;
        let failed = |error| fault("opening the store", &manifest, error);
        let known = manifest::runs(&connection).map_err(failed)?;
        manifest::recover_files(&runs, &known)?;
        let writer = Writer::begin(connection).map_err(failed)?;
        let visible = load(&writer.connection, &runs).map_err(failed)?;
        Ok(Self {
            writer: Mutex::new(writer),
            visible: RwLock::new(visible),
            readers: Mutex::new(Vec::new()),
            cache: Cache::new(options.cache_bytes),
            compacting: Mutex::default(),
            last_run_no: AtomicU64::new(known.iter().map(|run| run.no).max().unwrap_or(0)),
            manifest,
            runs,
            options,
            _lock: lock,
        })
    }

    /// For every partition, the next offset that the store would want after a crash now: where the last flush left it.
    /// It flushes by itself ([`Parquet::maintain`]), so who only wants to know how far it is durable (the log's retention, a
    /// checkpoint that may wait) asks this. A flush for each checkpoint would make a file for each.
    #[must_use]
    pub fn durable_positions(&self) -> Vec<Position> {
        let visible = self.visible.read();
        visible.durable.iter().map(|(&source, &offset)| Position { source, offset }).collect()
    }

    /// How many runs there are.
    #[must_use]
    pub fn run_count(&self) -> usize {
        self.visible.read().runs.len()
    }

    /// What the files of all runs take, bytes. The manifest comes on top.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.visible.read().runs.iter().map(|run| run.facts.size_bytes).sum()
    }

    /// How much is buffered, bytes: what a crash would have the writer read again.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.visible.read().buffers.values().map(Buffer::size_bytes).sum()
    }

    /// Asks the state of the last commit, on a connection that no writer waits for.
    fn with_committed<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let failed = |error| fault(operation, &self.manifest, error);
        let idle = self.readers.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags(&self.manifest, flags).map_err(failed)?
            }
        };
        let outcome = read(&connection).map_err(failed)?;
        let mut readers = self.readers.lock();
        if readers.len() < 4 {
            readers.push(connection);
        }
        Ok(outcome)
    }
}

impl Books for Parquet {
    fn with_books<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let writer = self.writer()?;
        read(&writer.connection).map_err(|error| fault(operation, &self.manifest, error))
    }

    fn points_beside(&self) -> Result<Vec<(String, u64)>> {
        self.count_points()
    }
}

/// Two processes on one directory would each overwrite what the other knows.
fn lock(directory: &Path) -> Result<std::fs::File> {
    let path = directory.join("LOCK");
    let broken = |error: std::io::Error| io_fault("locking", &path, &error);
    let file =
        std::fs::File::options().create(true).truncate(false).write(true).open(&path).map_err(broken)?;
    file.try_lock().map_err(|error| crate::Error::Database {
        operation: "locking",
        place: path.display().to_string(),
        reason: format!("another process has the store open: {error}"),
    })?;
    Ok(file)
}

/// What the manifest says, as the open transaction sees it.
fn load(connection: &Connection, runs: &Path) -> rusqlite::Result<Visible> {
    let positions: BTreeMap<Source, u64> =
        crate::sqlite::write::positions(connection)?.into_iter().map(|at| (at.source, at.offset)).collect();
    Ok(Visible {
        metrics: Metrics::load(connection)?,
        runs: manifest::runs(connection)?.into_iter().map(|facts| RunEntry::new(runs, facts)).collect(),
        durable: positions.clone(),
        positions,
        ..Visible::default()
    })
}
