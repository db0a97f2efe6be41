//! The log on one machine: a directory of append-only segments that hold all partitions in one physical
//! sequence, so that one fsync covers them all.
//!
//! ```text
//!   append ─▶ queue ─▶ writer ─▶ segment ─▶ fsync ─▶ tail (memory) ─▶ readers
//!              │          one group at a time          │
//!              └ bounded in bytes: Busy                └ promises kept, readers woken
//! ```
//!
//! *Durable* means: written and fsynced, with the directory entries on the way. It is assumed, as by every log,
//! that a disk which is cut off while it overwrites a sector does not change bytes of that sector which are
//! written with the content they had.

mod format;
pub(crate) mod inspection;
mod locate;
mod open;
mod options;
mod queue;
mod reader;
mod recover;
mod retain;
mod sabotage;
mod shared;
mod shell;
mod stats;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub use options::{Compression, Options, Protected, Retention};
#[cfg(feature = "sim")]
pub use sabotage::Sabotage;
#[cfg(feature = "sim")]
pub use shell::Stepper;
pub use stats::{Histogram, Stats};

use self::format::ReaderPositions;
use self::queue::Request;
use self::reader::EmbeddedReader;
use self::shared::Shared;
use self::stats::Standing;
use crate::disk::RealDisk;
use crate::{
    Batch, BoxFuture, Error, Extent, Log, Offset, PartitionId, Pending, Position, Reader, Result,
    SystemClock, Topic, pending,
};

/// Longest name of a reader, bytes; it stands in every segment's head.
const READER_NAME_BYTES: usize = 256;
/// Most named readers; all their positions stand in every segment's head.
const READERS: usize = 256;

/// See the module.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl EmbeddedLog {
    /// Opens the log in a directory, or creates it there, and starts its writer thread.
    ///
    /// Takes as long as reading one segment. On a full disk an existing log opens, to be read.
    ///
    /// # Errors
    /// [`Error::Open`] when another process has it, its partitions are others, or a later version wrote it;
    /// [`Error::Io`] and [`Error::Full`].
    pub fn open(dir: &Path, options: Options) -> Result<Self> {
        let place = dir.display().to_string();
        let disk = RealDisk::create(dir).map_err(|error| Error::Io {
            operation: "creating the directory",
            place,
            reason: error.to_string(),
        })?;
        let writer =
            open::open(Arc::new(disk), Arc::new(SystemClock), options, random_id(), Default::default())?;
        shell::start(writer)
    }

    /// What it counts about itself.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let held = self.shared.held.lock();
        let segments = held.segments.len() as u64;
        let stored_bytes = held.segments.iter().map(|segment| segment.end).sum();
        drop(held);
        let trouble = self.shared.queue.trouble().map(|error| error.to_string());
        let waiting_bytes = self.shared.queue.waiting_bytes() as u64;
        self.shared.counters.snapshot(Standing { waiting_bytes, segments, stored_bytes, trouble })
    }

    fn check(&self, batch: &Batch) -> Result<()> {
        let limit = self.shared.options.batch_bytes;
        if batch.size_bytes() > limit {
            let size = batch.size_bytes();
            return Err(Error::Refused(format!("it has {size} bytes, the limit is {limit}: split it")));
        }
        batch.records().try_for_each(|record| self.shared.partitions.require(record.partition).map(drop))
    }

    fn check_commit(&self, reader: &str, positions: &[Position]) -> Result<()> {
        if reader.is_empty() || reader.len() > READER_NAME_BYTES {
            let size = reader.len();
            return Err(Error::Refused(format!(
                "a reader's name has 1 to {READER_NAME_BYTES} bytes, not {size}"
            )));
        }
        let held = self.shared.held.lock();
        if held.positions.len() >= READERS && !held.positions.contains_key(reader) {
            return Err(Error::Refused(format!("there are {READERS} named readers already")));
        }
        drop(held);
        positions.iter().try_for_each(|at| self.shared.partitions.require(at.partition).map(drop))
    }
}

/// An id for a new log. Random, because checksums start from it: see `format`.
fn random_id() -> u128 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library's hash keys come from the system's random source.
    let draw = || std::hash::RandomState::new().build_hasher().finish();
    (u128::from(draw()) << 64) | u128::from(draw())
}

impl Log for EmbeddedLog {
    fn append(&self, batch: Batch) -> Pending {
        if batch.is_empty() {
            return Pending::settled(Ok(Vec::new()));
        }
        if let Err(error) = self.check(&batch) {
            return Pending::settled(Err(error));
        }
        let (completion, promise) = pending();
        self.shared.queue.push(Request::Append { batch, completion });
        promise
    }

    fn read(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        Ok(Box::new(EmbeddedReader::new(Arc::clone(&self.shared), from)?))
    }

    fn extent(&self, partition: PartitionId) -> Result<Extent> {
        let slot = self.shared.partitions.require(partition)?;
        let held = self.shared.held.lock();
        Ok(Extent { start: held.start(slot), end: held.ends[slot.at()] })
    }

    fn offset_at(&self, partition: PartitionId, time_ms: i64) -> BoxFuture<'_, Result<Offset>> {
        Box::pin(async move {
            let slot = self.shared.partitions.require(partition)?;
            let shared = Arc::clone(&self.shared);
            let work = move || shared.offset_at(slot, time_ms);
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => runtime.spawn_blocking(work).await.unwrap_or(Err(Error::Closed)),
                Err(_) => work(),
            }
        })
    }

    fn commit(&self, reader: &str, positions: &[Position]) -> BoxFuture<'_, Result<()>> {
        if let Err(error) = self.check_commit(reader, positions) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let (completion, promise) = pending();
        let offsets = positions.iter().map(|at| (at.partition, at.offset)).collect();
        let positions = ReaderPositions::from([(reader.to_owned(), offsets)]);
        self.shared.queue.push(Request::Commit { positions, completion });
        Box::pin(async move { promise.await.map(drop) })
    }

    fn committed(&self, reader: &str) -> Result<Vec<Position>> {
        let held = self.shared.held.lock();
        let offsets = held.positions.get(reader).into_iter().flatten();
        Ok(offsets.map(|(&partition, &offset)| Position { partition, offset }).collect())
    }

    fn partitions(&self, topic: Topic) -> u16 {
        self.shared.partitions.of(topic)
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        let (completion, promise) = pending();
        self.shared.queue.close(completion);
        Box::pin(async move { promise.await.map(drop) })
    }
}

impl Drop for EmbeddedLog {
    /// Makes durable what it has, and stops the writer.
    fn drop(&mut self) {
        let (completion, _) = pending();
        self.shared.queue.close(completion);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic of the writer was reported by its own thread
        }
    }
}
