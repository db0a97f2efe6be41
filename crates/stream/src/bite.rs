//! How much a turn takes from the log.

use std::time::Duration;

/// A bite: so many bytes, between the least and the most what takes about one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bite {
    bytes: usize,
    range: (usize, usize),
    turn: Duration,
}

impl Bite {
    /// Of live data. A commit costs an fsync, so it goes in large bites when there is much of it.
    pub(crate) const LIVE: Self = Self::new((4 << 20, 4 << 20), Duration::ZERO);

    /// Of history: a live reading may have to wait for a turn that has begun.
    pub(crate) const BACKFILL: Self = Self::new((4 << 10, 512 << 10), Duration::from_millis(3));

    /// Of a trial: live data does not wait for the turn, but has to share processor and disk with it.
    pub(crate) const TRIAL: Self = Self::new((32 << 10, 2 << 20), Duration::from_millis(50));

    const fn new(range: (usize, usize), turn: Duration) -> Self {
        Self { bytes: range.0, range, turn }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes note of how long a turn with it took.
    pub(crate) fn took(&mut self, time: Duration) {
        let bytes = if time > self.turn { self.bytes / 2 } else { self.bytes * 2 };
        self.bytes = bytes.clamp(self.range.0, self.range.1);
    }
}
