//! The durable, partitioned, replayable log: what stands between the gateway and everything else.
//!
//! ```text
//!                 start                committed(reader)          end (durable)      next
//!                   │                        │                        │               │
//!   partition  ─────●────────────────────────●────────────────────────●───────────────●──▶ offsets
//!   (retention drops│  read and processed    │  lag                   │ appended, not │
//!    what is before)│                        │                        │ yet durable   │
//! ```
//!
//! A record becomes visible to readers, and its [`Pending`] resolves, only once it is durable. What
//! "durable" means is the backend's to say; see [`Log::append`].

mod batch;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod disk;
mod embedded;
#[cfg(feature = "faults")]
pub mod faults;
pub mod inspect;
mod memory;
mod partitions;
mod pending;
mod wait;

pub use batch::{Batch, RecordRef};
pub use clock::{Clock, SystemClock};
pub use embedded::{Compression, EmbeddedLog, Histogram, Options, Protected, Retention, Stats};
#[cfg(feature = "sim")]
pub use embedded::{Sabotage, Stepper};
pub use inspect::inspect;
pub use memory::MemoryLog;
pub use partitions::Partitions;
pub use pending::{Completion, Pending, pending};
pub use record::Lane;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// A topic of the log. The numbers are on disk and never change; the names are what operators and Kafka see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Topic {
    /// Every telemetry message as it came in ([`record::Envelope`]).
    Raw = 0,
    /// Readings that passed the stream.
    Clean = 1,
    /// Dead letters.
    Dlq = 2,
    /// Late readings.
    Late = 3,
    /// Alerts.
    Alerts = 4,
    /// Plain publish/subscribe messages ([`record::Envelope`]).
    Messages = 5,
    /// What happened to persistent MQTT sessions and retained messages.
    Sessions = 6,
}

impl Topic {
    /// All topics, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Raw, Self::Clean, Self::Dlq, Self::Late, Self::Alerts, Self::Messages, Self::Sessions];

    /// The name that operators and Kafka see (R3.6).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "iot-telemetry-raw",
            Self::Clean => "iot-telemetry-clean",
            Self::Dlq => "iot-events-dlq",
            Self::Late => "iot-telemetry-late",
            Self::Alerts => "iot-alerts",
            Self::Messages => "iot-messages",
            Self::Sessions => "iot-sessions",
        }
    }
}

/// One ordered sequence of records: a partition of a topic in a lane. (In Kafka a lane is a topic of its own.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The topic.
    pub topic: Topic,
    /// The lane.
    pub lane: Lane,
    /// The partition's number, from 0 to [`Log::partitions`] exclusive.
    pub index: u16,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lane = match self.lane {
            Lane::Live => "",
            Lane::Backfill => "-backfill",
        };
        write!(f, "{}{lane}/{}", self.topic.name(), self.index)
    }
}

/// The place of a record in its partition. Offsets rise by exactly one from record to record.
pub type Offset = u64;

/// Where a reader stands: the next offset it wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to read.
    pub offset: Offset,
}

/// What a partition holds: offsets `start..end`, all durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first offset that retention has left.
    pub start: Offset,
    /// One past the last durable offset.
    pub end: Offset,
}

/// Why the log could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The disk (or the cluster's quota) is full. Nothing of the batch is durable; the log resumes by itself
    /// once there is space.
    #[error("the log at {place} is out of space: free some or lower the retention; ingest resumes by itself")]
    Full {
        /// Directory or cluster.
        place: String,
    },
    /// More is waiting to become durable than the log holds in memory. Nothing of the batch was taken; try later.
    #[error("the log has {waiting_bytes} bytes waiting to become durable, its limit: slow down")]
    Busy {
        /// What is waiting, bytes.
        waiting_bytes: usize,
    },
    /// A write or fsync failed. Whether the batch reached the disk is unknown; it counts as not written and
    /// is never shown to a reader.
    #[error("{operation} failed on {place}: {reason}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file or broker.
        place: String,
        /// The system's words.
        reason: String,
    },
    /// A batch is larger than the log takes, or names a partition that is not there.
    #[error("the log refuses the batch: {0}")]
    Refused(String),
    /// The position lies before what retention has left.
    #[error("{partition}: offset {wanted} is gone, retention has left {start} and later")]
    Expired {
        /// The partition.
        partition: PartitionId,
        /// What was asked for.
        wanted: Offset,
        /// The first offset there is.
        start: Offset,
    },
    /// Bytes that were durable are not what was written (bit rot, another program). Never answered as data.
    #[error("{place} is damaged at byte {at}: {reason}; records before and after it can still be read")]
    Damaged {
        /// Which file.
        place: String,
        /// Where in it, bytes.
        at: u64,
        /// What was found.
        reason: String,
        /// What the reader misses because of it.
        lost: Option<Lost>,
    },
    /// The log cannot be opened: in use by another process, made with other settings, or by a later version.
    #[error("cannot open the log at {place}: {reason}")]
    Open {
        /// Its directory.
        place: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The log is shutting down; nothing of the batch was taken. To a reader: there is nothing more to come.
    #[error("the log is closed")]
    Closed,
}

/// Records that damage has made unreadable: offsets `from..to` of the partition. A reader that goes on after
/// them opens anew at `to`, and accounts for what it left out: at most `to - from` records, for where nothing
/// tells how many there were, offsets are skipped generously.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset that cannot be read.
    pub from: Offset,
    /// The first offset after it that can.
    pub to: Offset,
}

/// Why a reader cannot start at `position`.
pub(crate) fn beyond(position: Position, end: Offset) -> Error {
    let Position { partition, offset } = position;
    Error::Refused(format!(
        "{partition}: offset {offset} lies beyond the end, {end}: it belongs to another log"
    ))
}

/// Why a reader cannot take a partition.
pub(crate) fn twice(partition: PartitionId) -> Error {
    Error::Refused(format!("{partition} is named twice: a reader has one place in a partition"))
}

/// The result of a call on the log.
pub type Result<T> = std::result::Result<T, Error>;

/// A boxed future: seams are `dyn`, and one box per batch costs nothing beside an fsync.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The durable, partitioned, replayable log.
///
/// # What every backend promises
/// 1. **Durable first.** [`Pending`] resolves `Ok`, and records become visible to any reader, only after the
///    records are durable. *Embedded*: written and fsynced, together with the directory entries that lead to
///    them. *Kafka*: acknowledged by all in-sync replicas (acks=all, idempotent producer). *Memory*: at once,
///    and gone with the process; for tests only.
/// 2. **Order.** Records of one partition get offsets in the order in which their batches were handed to
///    `append`, and inside a batch in the order in which they were pushed. Between partitions there is no order
///    (the embedded log happens to have one; nobody may lean on it).
/// 3. **Prefix.** When a batch fails, none of its records is ever visible (*embedded*), or for each of its
///    partitions a prefix may be (*Kafka*: a producer error after partial success). After a crash, each
///    partition holds every acknowledged record and possibly some that were not acknowledged, without a hole.
/// 4. **No repair by guess.** A failed fsync is never retried as if nothing happened. Damage in the middle is
///    an error for the reader that meets it, not a skip.
/// 5. **Retention** moves `start` forward, in whole segments, never past what was asked to be kept.
/// 6. **Positions** of named readers are durable when `commit` resolves. They are advice: the reader that
///    stores its offsets together with its output takes its own word instead (house invariant 2).
///
/// A `Log` is shared by `Arc`; every method may be called from any thread.
pub trait Log: Send + Sync + 'static {
    /// Takes a batch and makes it durable; many batches share one fsync. Never blocks: the bytes are queued,
    /// bounded, and beyond the bound the `Pending` is [`Error::Busy`] at once.
    fn append(&self, batch: Batch) -> Pending;

    /// Opens a reader at the given positions, one per partition of interest. It reads what is there and then
    /// waits at the tail.
    ///
    /// # Errors
    /// [`Error::Refused`] for a partition that does not exist or is named twice, and for an offset beyond its
    /// end. A position that has expired is reported by [`Reader::next`].
    fn read(&self, from: &[Position]) -> Result<Box<dyn Reader>>;

    /// What a partition holds now.
    ///
    /// # Errors
    /// [`Error::Refused`] for a partition that does not exist.
    fn extent(&self, partition: PartitionId) -> Result<Extent>;

    /// The first offset whose record was appended at `time_ms` (milliseconds since the epoch, the log's own
    /// clock) or later; the partition's end if there is none.
    fn offset_at(&self, partition: PartitionId, time_ms: i64) -> BoxFuture<'_, Result<Offset>>;

    /// Notes durably how far a named reader has come. Positions of partitions not named stay as they are.
    fn commit(&self, reader: &str, positions: &[Position]) -> BoxFuture<'_, Result<()>>;

    /// How far a named reader has come; partitions it never committed are absent.
    ///
    /// # Errors
    /// [`Error::Io`] when the positions cannot be read.
    fn committed(&self, reader: &str) -> Result<Vec<Position>>;

    /// How many partitions a topic has in each lane. Fixed when the log is created.
    fn partitions(&self, topic: Topic) -> u16;

    /// Takes no more batches, makes durable what it has, and stops its threads.
    fn close(&self) -> BoxFuture<'_, Result<()>>;
}

/// A place in the log that moves forward. Dropping it ends it.
pub trait Reader: Send {
    /// The next records, at least one, about `max_bytes` at most, in order within each partition; waits at
    /// the tail. Cancel-safe: a dropped future has moved nothing. After an error it stands where it stood.
    ///
    /// # Errors
    /// [`Error::Expired`], [`Error::Damaged`] and [`Error::Io`]; [`Error::Closed`] once the log is closed and
    /// everything in it has been returned.
    fn next(&mut self, max_bytes: usize) -> BoxFuture<'_, Result<Chunk>>;

    /// Where it stands: for each partition the next offset it will return.
    fn positions(&self) -> Vec<Position>;
}

/// What a reader returns: runs of consecutive records.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// In the order in which they are to be processed; a partition may come more than once, rising.
    pub runs: Vec<Run>,
}

/// Consecutive records of one partition. The bytes are shared with the log's tail, not copied.
#[derive(Clone, Debug)]
pub struct Run {
    /// The partition.
    pub partition: PartitionId,
    /// The offset of the first record; the others follow one by one.
    pub base: Offset,
    /// The records.
    pub records: Vec<Record>,
}

/// A record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was appended, milliseconds since the epoch, the log's clock. Never falls within a partition.
    pub appended_ms: i64,
    /// What was appended.
    pub value: bytes::Bytes,
}

/// How far `reader` is behind, in records, for each partition it has committed.
///
/// # Errors
/// As [`Log::committed`] and [`Log::extent`].
pub fn lag(log: &dyn Log, reader: &str) -> Result<Vec<(PartitionId, u64)>> {
    log.committed(reader)?
        .into_iter()
        .map(|at| Ok((at.partition, log.extent(at.partition)?.end.saturating_sub(at.offset))))
        .collect()
}
