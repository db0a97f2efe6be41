//! How far event time has come in a partition.

use serde::{Deserialize, Serialize};

/// The watermark W of a partition: the largest min(event time, arrival time) of its live records, so that a clock
/// that is ahead cannot carry it past the present. It never goes back.
///
/// A partition without live records must not hold its windows open for ever: once none has arrived for
/// `idle_after`, [`Watermark::tick`] advances W to `idle_after` before now. All times in ns since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    at: i64,
    newest_arrival: i64,
}

impl Default for Watermark {
    fn default() -> Self {
        Self::new()
    }
}

impl Watermark {
    /// Before everything: nothing is late.
    #[must_use]
    pub const fn new() -> Self {
        Self { at: i64::MIN, newest_arrival: i64::MIN }
    }

    /// W, ns since the epoch.
    #[must_use]
    pub const fn at(&self) -> i64 {
        self.at
    }

    /// Takes note of a live record.
    #[inline]
    pub fn observe(&mut self, event_time: i64, arrived_at: i64) {
        self.at = self.at.max(event_time.min(arrived_at));
        self.newest_arrival = self.newest_arrival.max(arrived_at);
    }

    /// Takes note that the live lane has nothing left to read at `now`. Must not be called while there are unread
    /// records: they would come late behind a watermark that did not wait for them.
    pub fn tick(&mut self, now: i64, idle_after: i64) {
        let idle_since = now.saturating_sub(idle_after);
        if self.newest_arrival <= idle_since {
            self.at = self.at.max(idle_since);
        }
    }

    /// Whether a live reading of this event time is late.
    #[must_use]
    pub const fn is_late(&self, event_time: i64, allowed_lateness: i64) -> bool {
        event_time < self.at.saturating_sub(allowed_lateness)
    }
}
