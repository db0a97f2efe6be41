//! What the writer publishes and readers look at: the tail in memory, the list of segments, where each
//! partition ends, and how far named readers have come. Everything in here is durable.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::format::{FRAMES_START, Frame, Index, ReaderPositions};
use super::options::Options;
use super::queue::Queue;
use super::stats::Counters;
use crate::disk::Disk;
use crate::partitions::{Partitions, Slot};
use crate::wait::Waiters;
use crate::{Error, Offset};

/// A place in the physical sequence: a segment's number and a byte in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) position: u64,
}

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) partitions: Partitions,
    pub(crate) seed: u32,
    pub(crate) queue: Queue,
    pub(crate) counters: Arc<Counters>,
    pub(crate) held: Mutex<Held>,
    /// Indexes of sealed segments that readers needed lately.
    indexes: Mutex<VecDeque<(u64, Arc<Index>)>>,
}

/// How many indexes of sealed segments are kept; each is some tens of KB.
const INDEXES_KEPT: usize = 32;

#[derive(Default)]
pub(crate) struct Held {
    /// The newest frames of records, oldest first.
    pub(crate) tail: VecDeque<Arc<Frame>>,
    pub(crate) tail_bytes: usize,
    /// Every frame of records from here on is in the tail.
    pub(crate) tail_from: Option<Place>,
    /// By slot: records from this offset on are in the tail.
    pub(crate) tail_base: Vec<Offset>,
    /// By slot: one past the last durable offset.
    pub(crate) ends: Vec<Offset>,
    /// Oldest first. The last is being written.
    pub(crate) segments: VecDeque<Segment>,
    /// Of the last segment.
    pub(crate) index: Index,
    pub(crate) positions: ReaderPositions,
    pub(crate) last_ms: i64,
    pub(crate) waiters: Waiters,
    pub(crate) closed: bool,
}

/// A segment, as far as it must be known without reading it.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    /// By slot: the first offset that could be in it.
    pub(crate) starts: Arc<[Offset]>,
    /// No record in it is older, ms since the epoch.
    pub(crate) born_ms: i64,
    /// Where its durable bytes end.
    pub(crate) end: u64,
}

impl Shared {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: Options,
        partitions: Partitions,
        seed: u32,
        held: Held,
    ) -> Self {
        let counters = Arc::new(Counters::default());
        let queue = Queue::new(options.queue_bytes, options.group_bytes, Arc::clone(&counters));
        let (held, indexes) = (Mutex::new(held), Mutex::default());
        Self { disk, options, partitions, seed, queue, counters, held, indexes }
    }

    /// The index of a sealed segment, if it is at hand.
    pub(crate) fn cached_index(&self, segment: u64) -> Option<Arc<Index>> {
        let indexes = self.indexes.lock();
        indexes.iter().find(|(number, _)| *number == segment).map(|(_, index)| Arc::clone(index))
    }

    pub(crate) fn cache_index(&self, segment: u64, index: Arc<Index>) {
        let mut indexes = self.indexes.lock();
        indexes.retain(|(number, _)| *number != segment);
        indexes.push_back((segment, index));
        if indexes.len() > INDEXES_KEPT {
            indexes.pop_front();
        }
    }

    /// What readers are told of a failure on a file.
    pub(crate) fn fault(&self, operation: &'static str, file: &str, error: &std::io::Error) -> Error {
        fault(&*self.disk, operation, file, error)
    }
}

/// A failure of the disk in the log's words.
pub(crate) fn fault(disk: &dyn Disk, operation: &'static str, file: &str, error: &std::io::Error) -> Error {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    if matches!(error.kind(), StorageFull | QuotaExceeded) {
        return Error::Full { place: disk.place() };
    }
    Error::Io { operation, place: format!("{}/{file}", disk.place()), reason: error.to_string() }
}

impl Held {
    /// By slot: the first offset that retention has left.
    pub(crate) fn start(&self, slot: Slot) -> Offset {
        self.segments.front().map_or(0, |segment| segment.starts[slot.at()])
    }

    /// Where the durable bytes of the log end.
    pub(crate) fn end_place(&self) -> Place {
        let last = self.segments.back();
        let (segment, position) = last.map_or((0, FRAMES_START), |last| (last.number, last.end));
        Place { segment, position }
    }

    /// Adds a frame to the tail and drops old ones beyond the bound; the newest always stays.
    pub(crate) fn push_tail(&mut self, frame: Arc<Frame>, limit_bytes: usize) {
        self.tail_bytes += frame.weight();
        self.tail.push_back(frame);
        while self.tail_bytes > limit_bytes && self.tail.len() > 1 {
            let Some(old) = self.tail.pop_front() else { break };
            self.tail_bytes -= old.weight();
            self.tail_from = Some(Place { segment: old.segment, position: old.end });
            for run in &old.runs {
                self.tail_base[run.slot.at()] = run.end();
            }
        }
    }
}
