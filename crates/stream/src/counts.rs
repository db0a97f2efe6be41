//! What the stream has done, for metrics and for those who wait for it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use log::PartitionId;
use series::Written;
use tokio::sync::watch;

use crate::engine::Turn;

/// What the stream has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records of the log taken.
    pub records: u64,
    /// Readings that were in them.
    pub accepted: u64,
    /// Readings stored that were new.
    pub stored: u64,
    /// Readings that were there already.
    pub duplicates: u64,
    /// Readings that replaced another value.
    pub corrections: u64,
    /// Readings stored late.
    pub late: u64,
    /// Readings left out by a sampling policy.
    pub shed: u64,
    /// Readings left out because the store did not keep up.
    pub shed_behind: u64,
    /// Readings beyond a lenient limit, which were kept.
    pub beyond_limits: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Results of windows published.
    pub windows: u64,
    /// Readings whose key the store had to be asked about.
    pub asked: u64,
    /// Store commits.
    pub writes: u64,
    /// Time the store commits took, together.
    pub write_time: Duration,
    /// Attempts to write to store or log that failed and were tried again.
    pub retries: u64,
    /// Records that the log lost before they were stored (retention, damage).
    pub lost: u64,
    /// Batches of which stream and store judged readings differently: not zero is a fault of ours.
    pub disagreements: u64,
    /// Partitions that began without their state.
    pub cold_starts: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Bytes of state of all partitions, as of their checkpoints.
    pub state_bytes: u64,
    /// Time the checkpoints took, together.
    pub checkpoint_time: Duration,
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    moved: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    positions: BTreeMap<PartitionId, u64>,
    /// By partition, when the newest of its live records that is done arrived, milliseconds since the epoch.
    arrived_ms: BTreeMap<u16, i64>,
    checkpoints: BTreeMap<u16, (Instant, u64)>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { state: Mutex::default(), moved: watch::channel(()).0 }
    }
}

impl Shared {
    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    pub(crate) fn positions(&self) -> Vec<(PartitionId, u64)> {
        self.state().positions.iter().map(|(&partition, &held)| (partition, held)).collect()
    }

    pub(crate) fn position(&self, partition: PartitionId) -> Option<u64> {
        self.state().positions.get(&partition).copied()
    }

    /// The age of the oldest of the partitions' latest checkpoints.
    pub(crate) fn checkpoint_age(&self) -> Option<Duration> {
        self.state().checkpoints.values().map(|(at, _)| at.elapsed()).max()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    pub(crate) fn stands_at(&self, positions: impl IntoIterator<Item = (PartitionId, u64)>) {
        self.state().positions.extend(positions);
        self.moved.send_replace(());
    }

    /// Live records up to these arrivals are done.
    pub(crate) fn arrived(&self, newest_ms: impl IntoIterator<Item = (u16, i64)>) {
        self.state().arrived_ms.extend(newest_ms);
    }

    /// When the newest live record of a partition that is done arrived.
    pub(crate) fn newest_arrival_ms(&self, partition: u16) -> Option<i64> {
        self.state().arrived_ms.get(&partition).copied()
    }

    pub(crate) fn retried(&self) {
        self.state().counts.retries += 1;
    }

    pub(crate) fn lost(&self, records: u64) {
        self.state().counts.lost += records;
    }

    pub(crate) fn disagreed(&self) {
        self.state().counts.disagreements += 1;
    }

    pub(crate) fn started_cold(&self) {
        self.state().counts.cold_starts += 1;
    }

    pub(crate) fn checkpointed(&self, partition: u16, bytes: u64, took: Duration) {
        let mut state = self.state();
        state.checkpoints.insert(partition, (Instant::now(), bytes));
        let together = state.checkpoints.values().map(|(_, bytes)| bytes).sum();
        state.counts.state_bytes = together;
        state.counts.checkpoints += 1;
        state.counts.checkpoint_time += took;
    }

    pub(crate) fn wrote(&self, turn: &Turn, written: Written, took: Duration) {
        let counts = &mut self.state().counts;
        counts.records += turn.records;
        counts.accepted += turn.tally.accepted;
        counts.stored += written.stored;
        counts.duplicates += turn.tally.duplicates;
        counts.corrections += written.corrections;
        counts.late += turn.tally.late;
        counts.shed += turn.tally.shed;
        counts.shed_behind += turn.tally.shed_behind;
        counts.beyond_limits += turn.tally.beyond_limits;
        counts.asked += turn.tally.asked;
        counts.dead_letters += written.dead_letters;
        counts.windows += turn.batch.windows.len() as u64;
        counts.writes += 1;
        counts.write_time += took;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the counts")
    }
}
