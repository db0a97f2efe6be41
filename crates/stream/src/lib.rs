//! From the log to the store: decode, write, and make a dead letter of what cannot be used.
//!
//! ```text
//!   Topic::Raw, live     ─▶ read ─▶ decode ─┬─▶ dead letters to Topic::Dlq, durable
//!   Topic::Raw, backfill ─▶ read ─▶ decode ─┴─▶ one store commit: readings + dead letters + log offsets
//! ```
//!
//! One task per lane, so that old data never stands in front of new. A task starts where the store says it
//! stands, and each store commit carries the offsets it contains, so a crash at any moment is repaired by reading
//! on; what was read twice is refused by the store (house invariants 2 and 3). There is no clock and no chance in
//! what is decided: the same log gives the same batches.
//!
//! Two failures, two answers (R6.4): a message that cannot be used becomes a dead letter at once, because the
//! same bytes will never decode; a store that cannot be written is tried for ever, and meanwhile nothing
//! more is read, which is how the pressure reaches the log.

pub mod budget;
pub mod clock;
mod counts;
mod decode;
pub mod dedup;
pub mod devices;
mod lane;
mod letter;
mod pattern;
pub mod sample;
pub mod validate;
pub mod window;

pub use counts::Counts;
pub use decode::Decoder;
pub use letter::{DeadRecord, DeadRecordError};
pub use pattern::SelectorError;

use std::sync::Arc;

use log::{Lane, Log, PartitionId, Topic};
use series::SeriesWriter;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wire::template::Templates;

use counts::Shared;

/// The reader's name in the log: its committed positions are for lag and retention; the store's are the truth.
pub const READER: &str = "store";

/// Why the stream cannot start, or had to stop.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The store cannot say where it stands.
    #[error(transparent)]
    Store(#[from] series::Error),
    /// The store holds offsets the log never gave out: one of them was replaced or restored without the other.
    #[error(
        "the store holds {partition} up to offset {held}, but the log ends at {end}: they are not of the same \
         installation; restore both from the same backup"
    )]
    Ahead {
        /// The partition.
        partition: PartitionId,
        /// The next offset the store wants.
        held: u64,
        /// One past the log's last.
        end: u64,
    },
}

/// What the stream stands on.
#[derive(Clone)]
pub struct Parts {
    /// Where messages come from and dead letters go.
    pub log: Arc<dyn Log>,
    /// Where readings go.
    pub store: Arc<dyn SeriesWriter>,
    /// Which topics say what; the same that the gateway uses.
    pub templates: Arc<Templates>,
}

/// The stream, running: one task per lane.
pub struct Running {
    lanes: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    monitor: Monitor,
}

/// Shows what the stream does, without a hand on it.
#[derive(Clone)]
pub struct Monitor {
    shared: Arc<Shared>,
    log: Arc<dyn Log>,
}

/// Starts both lanes. Must be called within a tokio runtime.
///
/// # Errors
/// [`Error`] when the store or the log cannot say where they stand, or do not belong together.
pub fn start(parts: Parts) -> Result<Running, Error> {
    let (stop, stopped) = watch::channel(false);
    let shared = Arc::new(Shared::default());
    // Both are opened before either runs: an error here must not leave a lane behind.
    let tasks = [Lane::Live, Lane::Backfill]
        .map(|lane| lane::Task::open(parts.clone(), lane, Arc::clone(&shared), stopped.clone()));
    let mut lanes = Vec::new();
    for task in tasks.into_iter().collect::<Result<Vec<_>, _>>()? {
        lanes.push(tokio::spawn(task.run()));
    }
    Ok(Running { lanes, stop, monitor: Monitor { shared, log: parts.log } })
}

impl Running {
    /// What can be handed to who shows metrics.
    #[must_use]
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Waits until the store holds everything that is in the log; `false` once a lane has stopped before that.
    pub async fn caught_up(&self) -> bool {
        let mut moved = self.monitor.shared.watch();
        loop {
            moved.mark_unchanged();
            match self.monitor.lag() {
                Ok(lag) if lag.iter().all(|&(_, records)| records == 0) => return true,
                _ if self.lanes.iter().any(JoinHandle::is_finished) => return false,
                _ => {}
            }
            if moved.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Finishes the batches in hand and stops. What is left in the log is read after the next start.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        for lane in self.lanes {
            if let Err(error) = lane.await {
                tracing::error!(%error, "a stream lane did not end cleanly");
            }
        }
    }
}

impl Monitor {
    /// What the stream has done since it started.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// For each partition, how many records of the log the store does not hold yet.
    ///
    /// # Errors
    /// [`log::Error`] when the log cannot say what it holds.
    pub fn lag(&self) -> Result<Vec<(PartitionId, u64)>, log::Error> {
        let lag = |(partition, held): (PartitionId, u64)| {
            Ok((partition, self.log.extent(partition)?.end.saturating_sub(held)))
        };
        self.shared.positions().into_iter().map(lag).collect()
    }
}

fn source_of(partition: PartitionId) -> series::Source {
    series::Source { topic: partition.topic as u8, lane: partition.lane, partition: partition.index }
}

fn partitions(log: &dyn Log, topic: Topic, lane: Lane) -> impl Iterator<Item = PartitionId> + use<> {
    (0..log.partitions(topic)).map(move |index| PartitionId { topic, lane, index })
}
