//! The store on Parquet files: the backend.
//!
//! ```text
//! write ─▶ buffer (columns, indexed) ──roll──▶ runs ──compact──▶ fewer runs
//!    └───▶ manifest: the books, and the buffer's blocks until they stand in runs; one commit for each batch
//! ```
//!
//! What `write` took is visible at once and durable with the next flush, which syncs the manifest's write-ahead file and
//! makes no file. When enough is buffered, or it has waited long enough, it is rolled into runs: a new buffer takes its
//! place, the runs are written beside everything else, and one commit exchanges blocks for runs. So batches wait for
//! neither, and what a crash leaves is always the beginning of what was written.
//!
//! Readers take no lock that rolling or a compaction holds: they copy what they need from the buffers, and keep the files
//! they read alive.

mod buffer;
mod cache;
mod cold;
mod compact;
mod device_series;
mod fresh;
mod heard;
mod kinds;
mod known;
mod last;
mod late;
mod latest;
mod manifest;
mod metrics;
mod moment;
mod names;
mod packed;
mod period;
mod presence;
mod read;
mod remove;
mod roll;
mod scan;
mod windows;
mod write;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use record::{DeviceId, MetricName, TenantId, Timestamp};
use rusqlite::Connection;

use crate::parquet::ColumnNo;
use crate::parquet::cold::{Cold, Held};
use crate::parquet::run::fault::io_fault;
use crate::parquet::run::{Run, seal_path, sidecar_path};
use crate::sqlite::durable::Durable;
use crate::sqlite::naming::Naming;
use crate::sqlite::scan::Scanners;
use crate::sqlite::{Beside, Books, at_one_moment, fault, open_reader};
use crate::{Export, LateReading, Result, Source, WindowRow};
use buffer::Buffer;
use cache::Cache;
use manifest::RunFacts;
use metrics::Metrics;
use write::Writer;

pub use cold::{ColdAges, ColdPolicy, restore};
pub use manifest_version::VERSION as MANIFEST_VERSION;

/// The manifest's schema version, for those who look after the file.
mod manifest_version {
    /// The version of the manifest's schema, kept in `PRAGMA user_version`.
    pub const VERSION: u32 = super::manifest::VERSION;
}

/// Limits of the store. The defaults suit a site as well as a fleet; tests make them small.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How much is buffered before it becomes runs, bytes. Half of it is where that begins, all of it where `write` waits
    /// for it.
    pub buffer_bytes: usize,
    /// The buffer is rolled into runs so long after the first write since the last time, milliseconds. The longer, the
    /// larger and the fewer the files.
    pub roll_after_ms: i64,
    /// Instead of it, when there are fewer readings than `small_readings`.
    pub roll_small_after_ms: i64,
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
            roll_after_ms: 600_000,
            roll_small_after_ms: 3_600_000,
            small_readings: 65_536,
            file_bytes: 128 << 20,
            quiet_after_ms: 3_600_000,
            cache_bytes: 256 << 20,
        }
    }
}

/// The store in a directory: `manifest.db` and `runs/`.
///
/// Somebody has to call [`Parquet::roll_when_due`] and [`Parquet::merge_when_due`] every second or so.
#[derive(Debug)]
pub struct Parquet {
    manifest: PathBuf,
    runs: PathBuf,
    options: Options,
    writer: Arc<Mutex<Writer>>,
    durable: Durable,
    visible: RwLock<Visible>,
    readers: Mutex<Vec<Connection>>,
    scanners: Scanners,
    cache: Arc<Cache>,
    /// One roll at a time, and since when the buffer has had something, by the clock of [`Parquet::maintain`].
    rolling: Mutex<Option<i64>>,
    /// One compaction at a time: it takes a core and the disk.
    compacting: Mutex<compact::Quiet>,
    last_run_no: AtomicU64,
    /// Where runs go that are old enough, if that is configured.
    tier: Option<cold::Tier>,
    /// Where it is written what retention is about to remove, if that is.
    exports: Option<Arc<dyn Export>>,
    _lock: std::fs::File,
}

/// What readers see.
#[derive(Debug, Default)]
struct Visible {
    metrics: Metrics,
    /// What batches go into.
    buffers: Buffers,
    /// What is being rolled into runs. Newer than those, older than what is in the buffers.
    rolling: Option<Rolling>,
    /// By rising generation.
    runs: Vec<Arc<RunEntry>>,
    positions: BTreeMap<Source, u64>,
}

/// By table.
type Buffers = BTreeMap<u32, Arc<RwLock<Buffer>>>;

/// Buffers that nothing more goes into.
#[derive(Clone, Debug)]
struct Rolling {
    buffers: Buffers,
    /// The last block that is in them.
    last_block: i64,
}

impl Visible {
    /// All buffers of a table, the oldest first.
    fn buffers_of(&self, table: u32) -> impl Iterator<Item = &Arc<RwLock<Buffer>>> {
        let rolling = self.rolling.iter().filter_map(move |rolling| rolling.buffers.get(&table));
        rolling.chain(self.buffers.get(&table))
    }

    fn all_buffers(&self) -> impl Iterator<Item = &Arc<RwLock<Buffer>>> {
        self.rolling.iter().flat_map(|rolling| rolling.buffers.values()).chain(self.buffers.values())
    }
}

/// A run that readers may be reading. Its files go when the last of them is done.
#[derive(Debug)]
struct RunEntry {
    facts: RunFacts,
    path: PathBuf,
    /// Where its Parquet file is, if it is not on the disk.
    object: Option<Held>,
    doomed: AtomicBool,
    /// The Parquet file goes, the others stay: they belong to the run in the cold tier.
    left: AtomicBool,
    /// Which columns it has, once somebody asked.
    columns: OnceLock<Arc<[ColumnNo]>>,
}

impl RunEntry {
    fn new(directory: &Path, facts: RunFacts) -> Arc<Self> {
        Self::of(directory, facts, None)
    }

    fn of(directory: &Path, facts: RunFacts, object: Option<Held>) -> Arc<Self> {
        let path = manifest::run_path(directory, facts.no);
        let (doomed, left) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { facts, path, object, doomed, left, columns: OnceLock::new() })
    }

    fn open(&self) -> Result<Run> {
        match &self.object {
            None => Run::open(&self.path),
            Some(object) => Run::open_object(&self.path, object.bytes()),
        }
    }

    /// Which columns it has. Its sidecar is read once for it.
    fn columns(&self) -> Result<Arc<[ColumnNo]>> {
        if let Some(known) = self.columns.get() {
            return Ok(Arc::clone(known));
        }
        let run = self.open()?;
        let columns = run.sidecar().plan.columns.iter().map(|column| column.no).collect();
        Ok(Arc::clone(self.columns.get_or_init(|| columns)))
    }

    /// Its files on the disk.
    fn files(&self) -> [PathBuf; 2] {
        let file = if self.object.is_some() { seal_path(&self.path) } else { self.path.clone() };
        [file, sidecar_path(&self.path)]
    }

    /// The manifest does not know it any more.
    fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }

    /// The manifest knows that its Parquet file is elsewhere.
    fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }
}

impl Drop for RunEntry {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Acquire) {
            remove_files(&self.path);
        } else if self.left.load(Ordering::Acquire) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What stays behind is removed when the store is opened again.
fn remove_files(path: &Path) {
    for file in [path.to_owned(), sidecar_path(path), seal_path(path)] {
        let _ = std::fs::remove_file(file);
    }
}

impl Parquet {
    /// Opens the store in a directory, creating it if there is none; files that a crash left behind are removed.
    ///
    /// # Errors
    /// [`crate::Error::Newer`] when a later version wrote it, [`crate::Error::Damaged`] when a file is missing,
    /// [`crate::Error::Database`] when it cannot be opened, or another process has it.
    pub fn open(directory: &Path, options: Options) -> Result<Self> {
        Self::open_with(directory, options, None)
    }

    /// The same, with an object store that old runs are moved to ([`Parquet::tier`]) and read from.
    ///
    /// # Errors
    /// As [`Parquet::open`]; also when runs are in an object store and none is given.
    pub fn open_with(directory: &Path, options: Options, cold: Option<Arc<Cold>>) -> Result<Self> {
        let runs = directory.join("runs");
        std::fs::create_dir_all(&runs).map_err(|error| io_fault("creating", &runs, &error))?;
        let lock = lock(directory)?;
        let (connection, manifest) = manifest::open(directory)?;
        crate::sqlite::sync_directory_of(&runs)?;
        let failed = |error| fault("opening the store", &manifest, error);
        let known = manifest::runs(&connection).map_err(failed)?;
        let entries = cold::entries(&connection, (&runs, &manifest), &known, cold.as_ref())?;
        manifest::recover_files(&runs, &entries)?;
        let tier = cold.map(|cold| cold::Tier::open(&connection, cold)).transpose().map_err(failed)?;
        let mut visible = Visible { runs: entries, ..load(&connection).map_err(failed)? };
        let last_block = load_fresh(&connection, &manifest, &mut visible)?;
        let writer = Arc::new(Mutex::new(Writer::new(connection, last_block)));
        let store = Self {
            durable: Durable::start(&manifest, Arc::clone(&writer))?,
            writer,
            visible: RwLock::new(visible),
            readers: Mutex::new(Vec::new()),
            scanners: Scanners::new(&manifest, &device_series::NAMING),
            cache: Arc::new(Cache::new(options.cache_bytes)),
            rolling: Mutex::default(),
            compacting: Mutex::default(),
            last_run_no: AtomicU64::new(known.iter().map(|run| run.no).max().unwrap_or(0)),
            tier,
            exports: None,
            manifest,
            runs,
            options,
            _lock: lock,
        };
        store.adopt_kinds()?;
        store.adopt_windows()?;
        store.adopt_late()?;
        Ok(store)
    }

    /// With a place where readings and results of windows that are old are written before they are removed. What is forgotten with its
    /// device is not.
    #[must_use]
    pub fn with_exports(self, exports: Arc<dyn Export>) -> Self {
        Self { exports: Some(exports), ..self }
    }

    /// How many runs there are.
    #[must_use]
    pub fn run_count(&self) -> usize {
        self.visible.read().runs.len()
    }

    /// What the files of all runs take that are not in the cold tier, bytes. The manifest comes on top.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let visible = self.visible.read();
        visible.runs.iter().filter(|run| run.object.is_none()).map(|run| run.facts.size_bytes).sum()
    }

    /// How many runs are in the cold tier.
    #[must_use]
    pub fn cold_count(&self) -> usize {
        self.visible.read().runs.iter().filter(|run| run.object.is_some()).count()
    }

    /// How much is buffered, bytes.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.visible.read().all_buffers().map(|buffer| buffer.read().size_bytes()).sum()
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
            None => open_reader(&self.manifest).map_err(failed)?,
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
    const NAMING: &'static Naming = &device_series::NAMING;

    fn with_books<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.with_committed(operation, read)
    }

    fn audited<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<(T, Beside)> {
        let moment = self.moment("")?;
        let books = moment.books.ask("auditing", |connection| at_one_moment(connection, read))?;
        Ok((books, Beside { readings: moment.count_readings()?, late: moment.count_late()? }))
    }

    fn windows_of(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        starts: Range<Timestamp>,
    ) -> Result<Vec<WindowRow>> {
        self.windows_of_series(tenant, device, metric, starts)
    }

    fn late_of(&self, tenant: &TenantId, limit: u32) -> Result<Vec<LateReading>> {
        self.late_of_tenant(tenant, limit as usize)
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

/// What the manifest says of names and positions.
fn load(connection: &Connection) -> rusqlite::Result<Visible> {
    let positions: BTreeMap<Source, u64> =
        crate::sqlite::write::positions(connection)?.into_iter().map(|at| (at.source, at.offset)).collect();
    Ok(Visible { metrics: Metrics::load(connection)?, positions, ..Visible::default() })
}

/// Fills the buffers with the blocks that stand in no run yet. Returns the number of the last.
fn load_fresh(connection: &Connection, manifest: &Path, visible: &mut Visible) -> Result<i64> {
    let mut last = 0;
    let Visible { metrics, buffers, .. } = visible;
    let outcome = manifest::fresh(connection, &mut |no, bytes| {
        let damaged = |reason: &str| fresh::damaged(manifest, no, reason);
        last = no;
        buffers.values().for_each(|buffer| buffer.write().seal());
        let mut unknown = false;
        fresh::read(bytes, &mut |entity, column, when, value| match metrics.table(column) {
            Some(table) => {
                buffers.entry(table).or_default().write().put(entity, column, when, value);
            }
            None => unknown = true,
        })
        .map_err(damaged)?;
        if unknown { Err(damaged("it has a column that nobody named")) } else { Ok(()) }
    });
    outcome.map_err(|error| fault("opening the store", manifest, error))??;
    Ok(last)
}
