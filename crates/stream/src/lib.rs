//! From the log to the store: each reading once, in event time, with an account that balances.
//!
//! ```text
//!   Topic::Raw, live     ─┐                           ┌─▶ one store commit: readings + late + windows + dead letters
//!                         ├▶ a pipeline per partition ─┤        + account + log offsets + notes
//!   Topic::Raw, backfill ─┘                           └─▶ dead letters to Topic::Dlq, late readings to Topic::Late,
//!                                                         if wanted: all readings, enriched, to Topic::Clean
//! ```
//!
//! Both lanes of a partition go through one pipeline, because duplicates and windows know no lanes: live data
//! first, history in bites so small that live data hardly waits. The pipeline is pure: no clock, no chance, no
//! socket. What it is told from outside (which records, what time it is, what the store holds under a key) is noted in the
//! same commit as its outcome, so that after a crash the state is built again by doing the same again, from the last
//! checkpoint on (house invariants 2 and 3; `docs/decisions/stream-state.md`).
//!
//! Two failures, two answers (R6.4): a message that cannot be used becomes a dead letter at once, because the
//! same bytes will never decode; a store that cannot be written is tried for ever, and meanwhile nothing
//! more is read, which is how the pressure reaches the log.

mod account;
mod answers;
mod bite;
mod checkpoint;
mod clean;
mod counts;
mod engine;
mod enrich;
mod facts;
mod late;
mod letter;
mod note;
mod output;
mod pattern;
mod pipeline;
mod recover;
mod reprocess;
mod revise;
mod settings;
mod stretch;
mod underway;
mod worker;

pub mod budget;
pub mod clock;
pub mod config;
pub mod dedup;
pub mod devices;
pub mod sample;
pub mod validate;
pub mod window;

pub use checkpoint::CheckpointError;
pub use counts::Counts;
pub use facts::{FactNews, Facts, FactsError};
pub use letter::{DeadRecord, DeadRecordError};
pub use note::NoteError;
pub use pattern::SelectorError;
pub use reprocess::{Ended, Gauge, Progress, Reprocessing, Stopper, reprocess};
pub use settings::Settings;
pub use stretch::Stretch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use log::{Lane, Log, PartitionId, Topic};
use record::Timestamp;
use series::{SeriesReader, SeriesWriter};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wire::template::Templates;

use counts::Shared;
use stretch::Purpose;
use worker::{End, Worker};

/// The reader's name in the log: its committed positions are what a recovery may have to read again, so that retention
/// leaves it; where the stream stands is the store's to say.
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
    /// The folder of the checkpoints cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
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
    /// The same store, to be asked what is in it.
    pub reader: Arc<dyn SeriesReader>,
    /// Which topics say what; the same that the gateway uses.
    pub templates: Arc<Templates>,
    /// What is known of devices. Without it nothing is learned of them, and [`Settings::clean`] is without effect.
    pub facts: Option<Arc<dyn Facts>>,
    /// What is done with readings.
    pub settings: Arc<Settings>,
    /// The folder of the checkpoints. Without one the state is built from the first note on, and notes are never
    /// forgotten: for tests.
    pub checkpoints: Option<PathBuf>,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// The stream, running.
pub struct Running {
    task: JoinHandle<End>,
    stop: watch::Sender<bool>,
    stopping: Arc<AtomicBool>,
    monitor: Monitor,
}

/// Shows what the stream does, without a hand on it.
#[derive(Clone)]
pub struct Monitor {
    shared: Arc<Shared>,
    log: Arc<dyn Log>,
}

/// Recovers the state and starts. Must be called within a tokio runtime.
///
/// # Errors
/// [`Error`] when the store or the log cannot say where they stand, or do not belong together.
pub async fn start(parts: Parts) -> Result<Running, Error> {
    open(parts, Purpose::Live).await
}

async fn open(mut parts: Parts, purpose: Purpose) -> Result<Running, Error> {
    let mut share = Settings::clone(&parts.settings).per_partition(parts.log.partitions(Topic::Raw));
    if !purpose.writes_to_log() {
        share.sampling = share.sampling.without_shedding();
    }
    parts.settings = Arc::new(share);
    let (stop, stopped) = watch::channel(false);
    let shared = Arc::new(Shared::default());
    let stopping = Arc::new(AtomicBool::new(false));
    let log = Arc::clone(&parts.log);
    let opening = (Arc::clone(&shared), Arc::clone(&stopping));
    let worker =
        tokio::task::spawn_blocking(move || Worker::open(parts, purpose, opening.0, stopped, opening.1))
            .await;
    let worker = worker.expect("recovery does not panic, and is not cancelled")?;
    let task = tokio::spawn(worker.run());
    Ok(Running { task, stop, stopping, monitor: Monitor { shared, log } })
}

impl Running {
    /// What can be handed to who shows metrics.
    #[must_use]
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Waits until the store holds everything that is in the log; `false` once the stream has stopped before that.
    pub async fn caught_up(&self) -> bool {
        let mut moved = self.monitor.shared.watch();
        loop {
            moved.mark_unchanged();
            match self.monitor.lag() {
                Ok(lag) if lag.iter().all(|&(_, records)| records == 0) => return true,
                _ if self.task.is_finished() => return false,
                _ => {}
            }
            if moved.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Finishes the batch in hand, writes the checkpoints and stops. What is left in the log is read after the next
    /// start.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        self.stopping.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the stream did not end cleanly");
        }
    }
}

impl Monitor {
    /// What the stream has done since it started.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// How old the oldest of the partitions' latest checkpoints is; `None` before the first.
    #[must_use]
    pub fn checkpoint_age(&self) -> Option<Duration> {
        self.shared.checkpoint_age()
    }

    /// Waits until the store holds everything that is in the log.
    pub(crate) async fn caught_up(&self) {
        let mut moved = self.shared.watch();
        loop {
            moved.mark_unchanged();
            // A log that cannot say what it holds has nothing for which to make way.
            let Ok(lag) = self.lag() else { return };
            if lag.iter().all(|&(_, records)| records == 0) || moved.changed().await.is_err() {
                return;
            }
        }
    }

    /// Up to which time, by the log's clock, all live messages of a partition that had arrived by `now` are done, given that it is now
    /// `now`.
    #[must_use]
    pub fn settled(&self, partition: u16, now: Timestamp) -> Timestamp {
        let live = PartitionId { topic: Topic::Raw, lane: Lane::Live, index: partition };
        let held = self.shared.position(live);
        match self.log.extent(live) {
            Ok(extent) if held.is_some_and(|held| held >= extent.end) => now,
            _ => {
                let newest_ms = self.shared.newest_arrival_ms(partition);
                newest_ms.map_or(Timestamp::from_nanos(i64::MIN), |ms| {
                    Timestamp::from_nanos(ms.saturating_mul(1_000_000)).min(now)
                })
            }
        }
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
