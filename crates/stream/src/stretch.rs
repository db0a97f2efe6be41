//! How much of the log a worker reads: all there is and will be, or a stretch that ends.

use std::sync::Arc;

use log::{BoxFuture, Chunk, Lane, Log, PartitionId, Position, Reader, Topic};
use record::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Monitor, partitions};

/// A part of the log: of each partition of each lane of `Topic::Raw`, the offsets from (inclusive) and to (exclusive).
/// It can be written down, so that work on it goes on after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    live: Vec<(u64, u64)>,
    backfill: Vec<(u64, u64)>,
}

impl Stretch {
    /// What the log holds now: from the first record it took at `since` or later, or from where retention has left it.
    ///
    /// # Errors
    /// [`log::Error`] when the log cannot say what it holds.
    pub async fn of(log: &dyn Log, since: Option<Timestamp>) -> log::Result<Self> {
        let mut stretch = Self { live: Vec::new(), backfill: Vec::new() };
        for lane in [Lane::Live, Lane::Backfill] {
            for partition in partitions(log, Topic::Raw, lane) {
                let extent = log.extent(partition)?;
                let from = match since {
                    // Rounded up: the log counts milliseconds, and `since` means not before.
                    Some(since) => log.offset_at(partition, ceil_millis(since)).await?.min(extent.end),
                    None => extent.start,
                };
                stretch.lane_mut(lane).push((from, extent.end));
            }
        }
        Ok(stretch)
    }

    /// How many records it has.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.live.iter().chain(&self.backfill).map(|(from, to)| to.saturating_sub(*from)).sum()
    }

    /// How many of its records lie before these positions.
    pub(crate) fn before(&self, positions: &[(PartitionId, u64)]) -> u64 {
        let done = |&(partition, at): &(PartitionId, u64)| {
            let (from, to) = self.range(partition);
            at.clamp(from, to.max(from)) - from
        };
        positions.iter().map(done).sum()
    }

    /// The offsets of a partition; none of one that the log did not have then.
    pub(crate) fn range(&self, partition: PartitionId) -> (u64, u64) {
        let lane = match partition.lane {
            Lane::Live => &self.live,
            Lane::Backfill => &self.backfill,
        };
        lane.get(usize::from(partition.index)).copied().unwrap_or_default()
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut Vec<(u64, u64)> {
        match lane {
            Lane::Live => &mut self.live,
            Lane::Backfill => &mut self.backfill,
        }
    }
}

fn ceil_millis(time: Timestamp) -> i64 {
    const NANOS: i64 = 1_000_000;
    time.nanos().div_euclid(NANOS) + i64::from(time.nanos().rem_euclid(NANOS) > 0)
}

/// What a worker is there for.
#[derive(Clone)]
pub(crate) enum Purpose {
    /// The stream of the installation: reads on and on; its dead letters, late readings and positions go into the log.
    Live,
    /// A trial over a stretch: the log is only read, and the installation's own stream goes first.
    Trial { stretch: Arc<Stretch>, live: Option<Monitor> },
}

impl Purpose {
    /// Whether the log is written to.
    pub(crate) fn writes_to_log(&self) -> bool {
        matches!(self, Self::Live)
    }

    /// Where to begin with a partition the store has nothing of.
    pub(crate) fn begin(&self, partition: PartitionId, extent: log::Extent) -> u64 {
        match self {
            Self::Live => extent.start,
            Self::Trial { stretch, .. } => stretch.range(partition).0,
        }
    }

    /// Where a partition ends; absent when it never does.
    pub(crate) fn end(&self, partition: PartitionId) -> Option<u64> {
        match self {
            Self::Live => None,
            Self::Trial { stretch, .. } => Some(stretch.range(partition).1),
        }
    }

    /// A reader at `from` that returns nothing beyond the end, and waits there.
    pub(crate) fn read(&self, log: &dyn Log, from: &[Position]) -> log::Result<Box<dyn Reader>> {
        let Self::Trial { stretch, .. } = self else { return log.read(from) };
        let is_left = |at: &&Position| at.offset < stretch.range(at.partition).1;
        // What is done already is not read, so that retention may take it.
        let left: Vec<Position> = from.iter().filter(is_left).copied().collect();
        let reader = if left.is_empty() { None } else { Some(log.read(&left)?) };
        Ok(Box::new(Bounded { reader, stretch: Arc::clone(stretch), from: from.to_vec() }))
    }
}

/// A reader that ends where a stretch does.
struct Bounded {
    /// Absent when there is nothing to read.
    reader: Option<Box<dyn Reader>>,
    stretch: Arc<Stretch>,
    from: Vec<Position>,
}

impl Bounded {
    fn is_over(&self) -> bool {
        self.positions().iter().all(|at| at.offset >= self.stretch.range(at.partition).1)
    }

    /// The chunk without what lies beyond the end.
    fn cut(&self, mut chunk: Chunk) -> Chunk {
        for run in &mut chunk.runs {
            let left = self.stretch.range(run.partition).1.saturating_sub(run.base);
            run.records.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        chunk.runs.retain(|run| !run.records.is_empty());
        chunk
    }
}

impl Reader for Bounded {
    fn next(&mut self, max_bytes: usize) -> BoxFuture<'_, log::Result<Chunk>> {
        Box::pin(async move {
            loop {
                let over = self.is_over();
                let reader = match &mut self.reader {
                    Some(reader) if !over => reader,
                    _ => std::future::pending().await,
                };
                let chunk = reader.next(max_bytes).await?;
                let chunk = self.cut(chunk);
                if !chunk.runs.is_empty() {
                    return Ok(chunk);
                }
            }
        })
    }

    fn positions(&self) -> Vec<Position> {
        let at = |from: &Position| {
            let moved = self.reader.iter().flat_map(|reader| reader.positions());
            let at = moved.into_iter().find(|at| at.partition == from.partition).unwrap_or(*from);
            Position { offset: at.offset.min(self.stretch.range(at.partition).1.max(from.offset)), ..at }
        };
        self.from.iter().map(at).collect()
    }
}
