//! How far a load is, for watching it from outside.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::report::Stats;

/// What all workers have counted so far.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    published: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    up: AtomicI64,
    slowest_ns: AtomicU64,
}

/// How far a load is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Snapshot {
    /// Since it is watched.
    pub after: Duration,
    /// Messages written.
    pub published: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Messages refused.
    pub refused: u64,
    /// Connections that are up.
    pub up: u64,
    /// The slowest acknowledgement since the snapshot before.
    pub slowest: Duration,
}

/// What a worker has told of itself.
#[derive(Debug, Default)]
pub(crate) struct Told {
    published: u64,
    acknowledged: u64,
    refused: u64,
    up: i64,
}

impl Progress {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// How far it is now.
    pub(crate) fn snapshot(&self, after: Duration) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            after,
            published: read(&self.published),
            acknowledged: read(&self.acknowledged),
            refused: read(&self.refused),
            up: self.up.load(Ordering::Relaxed).max(0) as u64,
            slowest: Duration::from_nanos(self.slowest_ns.swap(0, Ordering::Relaxed)),
        }
    }

    /// Adds what a worker has counted since it last told.
    pub(crate) fn tell(&self, told: &mut Told, stats: &mut Stats, up: usize) {
        let refused = if stats.refused.is_empty() { 0 } else { stats.refused.values().sum() };
        for (counter, before, now) in [
            (&self.published, &mut told.published, stats.published),
            (&self.acknowledged, &mut told.acknowledged, stats.acknowledged),
            (&self.refused, &mut told.refused, refused),
        ] {
            // What is put back into an outbox was not published after all: wrapping takes it off again.
            if now != *before {
                counter.fetch_add(now.wrapping_sub(*before), Ordering::Relaxed);
                *before = now;
            }
        }
        if up as i64 != told.up {
            self.up.fetch_add(up as i64 - told.up, Ordering::Relaxed);
            told.up = up as i64;
        }
        if stats.slowest_ns > 0 {
            self.slowest_ns.fetch_max(std::mem::take(&mut stats.slowest_ns), Ordering::Relaxed);
        }
    }
}
