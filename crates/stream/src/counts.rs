//! What the stream has done, for metrics and for those who wait for it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use log::PartitionId;
use series::Written;
use tokio::sync::watch;

/// What the stream has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records of the log taken.
    pub records: u64,
    /// Readings stored that were new.
    pub stored: u64,
    /// Readings that were there already.
    pub duplicates: u64,
    /// Readings that replaced another value.
    pub corrections: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Store commits.
    pub writes: u64,
    /// Time the store commits took, together.
    pub write_time: Duration,
    /// Attempts to write to store or log that failed and were tried again.
    pub retries: u64,
    /// Records that the log lost before they were stored (retention, damage).
    pub lost: u64,
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<(Counts, BTreeMap<PartitionId, u64>)>,
    moved: watch::Sender<()>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { state: Mutex::default(), moved: watch::channel(()).0 }
    }
}

impl Shared {
    pub(crate) fn counts(&self) -> Counts {
        self.state().0
    }

    pub(crate) fn positions(&self) -> Vec<(PartitionId, u64)> {
        self.state().1.iter().map(|(&partition, &held)| (partition, held)).collect()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    pub(crate) fn stands_at(&self, positions: impl IntoIterator<Item = (PartitionId, u64)>) {
        self.state().1.extend(positions);
        self.moved.send_replace(());
    }

    pub(crate) fn retried(&self) {
        self.state().0.retries += 1;
    }

    pub(crate) fn lost(&self, records: u64) {
        self.state().0.lost += records;
    }

    pub(crate) fn wrote(&self, records: u64, written: Written, took: Duration) {
        let counts = &mut self.state().0;
        counts.records += records;
        counts.stored += written.stored;
        counts.duplicates += written.duplicates;
        counts.corrections += written.corrections;
        counts.dead_letters += written.dead_letters;
        counts.writes += 1;
        counts.write_time += took;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, (Counts, BTreeMap<PartitionId, u64>)> {
        self.state.lock().expect("nothing panics while it holds the counts")
    }
}
