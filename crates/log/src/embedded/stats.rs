//! What the log counts about itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A histogram over powers of two.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Histogram {
    /// How many values were at most 2^i, and above 2^(i−1), for i from 0; the last holds everything larger.
    pub buckets: [u64; Histogram::BUCKETS],
    /// The sum of all values.
    pub sum: u64,
}

impl Histogram {
    /// How many buckets: the last begins at half a million, in microseconds half a second.
    pub const BUCKETS: usize = 21;

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The upper bound of the bucket in which the quantile `q` (0 to 1) lies; 0 when there is no value.
    #[must_use]
    pub fn quantile(&self, q: f64) -> u64 {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rank = ((self.count() as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return 1 << i;
            }
        }
        0
    }
}

/// What an embedded log has done since it was opened, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Batches made durable.
    pub appended_batches: u64,
    /// Records made durable.
    pub appended_records: u64,
    /// Bytes of these records.
    pub appended_bytes: u64,
    /// Bytes written to segments for them, heads and tables included, after compression.
    pub written_bytes: u64,
    /// Batches refused because too much was waiting.
    pub busy_batches: u64,
    /// Batches that failed because the disk was full or broken.
    pub failed_batches: u64,
    /// Failed writes and fsyncs.
    pub disk_errors: u64,
    /// Commits of reader positions made durable.
    pub position_commits: u64,
    /// Records per commit group.
    pub group_records: Histogram,
    /// Bytes written per commit group.
    pub group_bytes: Histogram,
    /// How long an fsync took, microseconds.
    pub fsync_us: Histogram,
    /// Reads answered from memory.
    pub tail_reads: u64,
    /// Reads that went to the disk.
    pub disk_reads: u64,
    /// Damage that readers met.
    pub damage_met: u64,
    /// Segments dropped by retention.
    pub dropped_segments: u64,
    /// Waiting to become durable now, bytes.
    pub waiting_bytes: u64,
    /// Segments now.
    pub segments: u64,
    /// Their size now, bytes.
    pub stored_bytes: u64,
    /// Why appends fail now, if they do.
    pub trouble: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Distribution {
    buckets: [AtomicU64; Histogram::BUCKETS],
    sum: AtomicU64,
}

impl Distribution {
    pub(crate) fn record(&self, value: u64) {
        let bits = (64 - value.saturating_sub(1).leading_zeros()) as usize;
        self.buckets[bits.min(Histogram::BUCKETS - 1)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    fn snapshot(&self) -> Histogram {
        let buckets = std::array::from_fn(|i| self.buckets[i].load(Relaxed));
        Histogram { buckets, sum: self.sum.load(Relaxed) }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) appended_batches: AtomicU64,
    pub(crate) appended_records: AtomicU64,
    pub(crate) appended_bytes: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) busy_batches: AtomicU64,
    pub(crate) failed_batches: AtomicU64,
    pub(crate) disk_errors: AtomicU64,
    pub(crate) position_commits: AtomicU64,
    pub(crate) group_records: Distribution,
    pub(crate) group_bytes: Distribution,
    pub(crate) fsync_us: Distribution,
    pub(crate) tail_reads: AtomicU64,
    pub(crate) disk_reads: AtomicU64,
    pub(crate) damage_met: AtomicU64,
    pub(crate) dropped_segments: AtomicU64,
}

/// Adds to a counter. Counters are independent of each other: no order is needed.
pub(crate) fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Relaxed);
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The part of [`Stats`] that is not counted but looked up.
pub(crate) struct Standing {
    pub(crate) waiting_bytes: u64,
    pub(crate) segments: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) trouble: Option<String>,
}

impl Counters {
    pub(crate) fn snapshot(&self, now: Standing) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        Stats {
            appended_batches: get(&self.appended_batches),
            appended_records: get(&self.appended_records),
            appended_bytes: get(&self.appended_bytes),
            written_bytes: get(&self.written_bytes),
            busy_batches: get(&self.busy_batches),
            failed_batches: get(&self.failed_batches),
            disk_errors: get(&self.disk_errors),
            position_commits: get(&self.position_commits),
            group_records: self.group_records.snapshot(),
            group_bytes: self.group_bytes.snapshot(),
            fsync_us: self.fsync_us.snapshot(),
            tail_reads: get(&self.tail_reads),
            disk_reads: get(&self.disk_reads),
            damage_met: get(&self.damage_met),
            dropped_segments: get(&self.dropped_segments),
            waiting_bytes: now.waiting_bytes,
            segments: now.segments,
            stored_bytes: now.stored_bytes,
            trouble: now.trouble,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_powers_of_two() {
        let distribution = Distribution::default();
        for value in [0, 1, 2, 3, 4, 5, 1 << 40] {
            distribution.record(value);
        }
        let histogram = distribution.snapshot();
        assert_eq!(histogram.buckets[..4], [2, 1, 2, 1]);
        assert_eq!(histogram.buckets[Histogram::BUCKETS - 1], 1);
        assert_eq!((histogram.count(), histogram.quantile(0.5)), (7, 4));
    }
}
