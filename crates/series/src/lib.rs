//! The time-series store: the seam, a memory and an embedded backend.
//!
//! ```text
//!   log partition  ──●──────────────●──────────────▶ offsets
//!                    │ from      to │
//!                    └──── Span ────┘   one `write`: the span's readings and dead letters, and the span itself,
//!                                       become visible, and survive a crash, together or not at all
//! ```
//!
//! The store is no second log: it keeps, in the same commit as its data, which log offsets that data came
//! from. What it was given is durable after [`SeriesWriter::flush`], and until then it is in the log. After a crash the
//! writer asks [`SeriesWriter::positions`] and reads on from there.
//!
//! ```text
//!   log partition  ───────────●────────────────────●──▶ offsets
//!                             │ flushed            │ positions: the next batch begins here
//!   a crash takes back        └─ not flushed yet ──┘ and the writer reads it again
//! ```

mod audit;
mod export;
mod memory;
mod metric_set;
mod model;
pub mod parquet;
mod remove;
pub mod scan;
mod sqlite;

pub use audit::{Audit, Covered, Figures, LateReading, SeriesAudit, Superseded, TenantAudit};
pub use export::Export;
pub use memory::Memory;
pub use metric_set::{MetricSet, NoSet};
pub use model::{
    AccountEntry, AccountKey, Amounts, Cardinality, ClockRow, Completeness, DeadLetter, DeadMessage, Device,
    Key, LateRow, Note, Point, Position, STAGES, Source, Span, VoidWindows, WindowKey, WindowRow, WriteBatch,
    Written, same,
};
pub use parquet::store::Parquet;
pub use remove::{Counts, Expiring, Old, Removal, SeriesRemove};
pub use scan::{Scan, SeriesScan, Snapshot};
pub use sqlite::{SCHEMA_VERSION, Sqlite};

use std::io::{self, ErrorKind};
use std::ops::Range;

use record::{DeviceId, MetricName, Reading, TenantId, Timestamp, Value, ValueRef};

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A batch does not begin where the store stands: another writer is at work, or the writer went on after
    /// an error without asking for the positions. Nothing was written; read on from the store's positions.
    #[error(
        "the store holds {source_partition} up to {held}, the batch begins at {from}: read on from {held}"
    )]
    Conflict {
        /// Which partition.
        source_partition: Source,
        /// The next offset the store wants.
        held: u64,
        /// Where the batch begins.
        from: u64,
    },
    /// The disk is full. Nothing was written; try again once there is space.
    #[error("the store at {place} is out of space: free some; writing resumes by itself")]
    Full {
        /// File or server.
        place: String,
    },
    /// The database said no. Nothing was written.
    #[error("{operation} failed on {place}: {reason}")]
    Database {
        /// What was tried.
        operation: &'static str,
        /// On which file or server.
        place: String,
        /// Its words.
        reason: String,
    },
    /// A file of the store does not hold what was written to it: the disk lost or changed it, or somebody else did.
    /// Nothing of it was used; the rest of the store goes on.
    #[error("{place} is damaged at {at}: {reason}; restore the file from a backup")]
    Damaged {
        /// Which file.
        place: String,
        /// Where in it: bytes from its beginning, or a part of it.
        at: String,
        /// What is wrong there.
        reason: String,
    },
    /// A later version wrote the store.
    #[error("{place} has schema version {found}, this build knows up to {known}: upgrade Penstock first")]
    Newer {
        /// Which file or server.
        place: String,
        /// Its version.
        found: u32,
        /// The newest this build knows.
        known: u32,
    },
}

impl Error {
    /// What a disk or an object store refused: [`Error::Full`] where it says itself, or what caused it does, that there is no room.
    #[must_use]
    pub fn refused(
        operation: &'static str,
        place: String,
        error: &(dyn std::error::Error + 'static),
    ) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let mut kinds = causes.filter_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
        match kinds.any(|kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
            true => Self::Full { place },
            false => Self::Database { operation, place, reason: error.to_string() },
        }
    }
}

/// The result of a call on the store.
pub type Result<T> = std::result::Result<T, Error>;

/// The writing half. Calls block for a disk access; async callers use a blocking thread.
///
/// # What every backend promises
/// 1. **Atomic.** When `write` returns `Ok`, the batch's readings, its dead letters and its spans are visible,
///    all of them. After an error none of them is there, or (where only the answer was lost) all of them are;
///    [`SeriesWriter::positions`] says which.
/// 2. **Durable by flush.** What was visible when [`SeriesWriter::flush`] was called survives whatever comes once it has
///    returned `Ok`. A crash before may cost the latest batches, in whole batches and from the end: those that are left
///    are a beginning of what was written. Nobody may forget what a batch was made of before it is flushed. A backend
///    may also go back to its last flush while the process lives, when an error of the disk leaves it no choice: the
///    next batch is then refused ([`Error::Conflict`]), and the positions say from where to read on.
/// 3. **Fenced.** Each span must begin exactly where the store stands for its partition; the first span of a
///    partition may begin anywhere. So a batch can be written at most once, by whoever and however often it
///    is tried, and an old batch can never undo a later correction.
/// 4. **Keyed.** A reading's key is [`Key`]: (tenant, device, metric, the time the device claimed, its sequence
///    number). The same key with the same value is a duplicate and changes nothing; with another value it is a
///    correction: the later one wins, and the replaced value is kept aside, so that nothing is lost even where a
///    device's clock ran twice through the same hour. Within a batch, later means further back in the list. All
///    three cases are counted.
/// 5. **Exact.** A value comes back with the bits it was written with (any NaN as the quiet one), and with its type, but
///    for one: an integer up to 2^53 may come back as the float of the same size, where other values of its metric are
///    floats. So the same number is the same value (4), whether it came as an integer or as a float.
pub trait SeriesWriter: Send + Sync + 'static {
    /// Stores a batch.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a span does not begin where the store stands; [`Error::Full`] and
    /// [`Error::Database`] when the store could not write. In every case nothing was written.
    fn write(&self, batch: &WriteBatch) -> Result<Written>;

    /// Makes durable what was written before the call. Batches may be written meanwhile.
    ///
    /// # Errors
    /// [`Error::Database`]: how much is durable is not known; nothing that was visible goes.
    fn flush(&self) -> Result<()>;

    /// For every partition it has ever been given, the next offset the store wants: where the next batch must begin.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn positions(&self) -> Result<Vec<Position>>;

    /// The notes it was given and not told to forget, by partition and rising number.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn notes(&self) -> Result<Vec<Note>>;
}

/// The reading half. It never slows the writer. Calls block for a disk access.
///
/// # What every backend promises
/// Reads see every write that returned before they began, and no part of one that has not.
pub trait SeriesReader: Send + Sync + 'static {
    /// The points of one series in a range of event times, by rising time. `visit` returns `false` to stop.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn points(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        range: Range<Timestamp>,
        visit: &mut dyn FnMut(Point) -> bool,
    ) -> Result<()>;

    /// The points of some metrics of a device in a range of event times, in no order: which of the metrics, and the point.
    /// Where many are wanted, it costs less than to ask for each.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn device_points(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metrics: &[MetricName],
        range: Range<Timestamp>,
        visit: &mut dyn FnMut(usize, Timestamp, ValueRef<'_>),
    ) -> Result<()> {
        for (no, metric) in metrics.iter().enumerate() {
            self.points(tenant, device, metric, range.clone(), &mut |point| {
                visit(no, point.time, point.value.as_ref());
                true
            })?;
        }
        Ok(())
    }

    /// Whether a part of a series in a range of event times may be in the cold tier, and takes longer.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn is_cold(
        &self,
        _tenant: &TenantId,
        _device: &DeviceId,
        _metric: &MetricName,
        _range: Range<Timestamp>,
    ) -> Result<bool> {
        Ok(false)
    }

    /// Whether it was made of what is left of another store, whose positions are lost: then it holds readings that no position
    /// accounts for.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn is_restored(&self) -> Result<bool> {
        Ok(false)
    }

    /// The reading with the latest event time of each metric of a device, by metric name.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn latest(&self, tenant: &TenantId, device: &DeviceId) -> Result<Vec<Reading>>;

    /// A device that has sent at least one reading.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn device(&self, tenant: &TenantId, device: &DeviceId) -> Result<Option<Device>>;

    /// Devices by rising id, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn devices(&self, tenant: &TenantId, after: Option<&str>, limit: u32) -> Result<Vec<Device>>;

    /// The values stored under these keys, in their order; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn held(&self, keys: &[Key<'_>]) -> Result<Vec<Option<Value>>>;

    /// How many devices and series a tenant has.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn cardinality(&self, tenant: &TenantId) -> Result<Cardinality>;

    /// The dead message that stood at this offset; `None` when there is none, or it was resolved.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn dead_message(&self, source: Source, offset: u64) -> Result<Option<DeadMessage>>;

    /// Dead messages of a tenant (empty: those whose tenant could not be read), the latest first, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn dead_messages(&self, tenant: &str, limit: u32) -> Result<Vec<DeadMessage>>;
}
