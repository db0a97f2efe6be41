//! What ingest over HTTP has done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use record::Protocol;

use super::plan::Plan;

/// Plain counters, by protocol; the server exports them.
#[derive(Debug, Default)]
pub struct Counters {
    /// `POST /v1/telemetry`.
    pub telemetry: Flow,
    /// Line protocol, and what its clients ask before they write.
    pub influx: Flow,
}

/// What came in by one protocol.
#[derive(Debug, Default)]
pub struct Flow {
    /// Requests whose readings were committed, at least one.
    pub accepted_requests: AtomicU64,
    /// Readings committed.
    pub readings: AtomicU64,
    /// Bytes of bodies, as sent, of requests that were committed.
    pub bytes: AtomicU64,
    /// Elements and readings refused for what they say (dead letters).
    pub rejected: AtomicU64,
    /// Requests refused for what they say as a whole (4xx other than the ones below).
    pub refused_requests: AtomicU64,
    /// Requests refused for want of credentials or rights (401, 403).
    pub unauthorized: AtomicU64,
    /// Requests refused for their size (413).
    pub too_large: AtomicU64,
    /// Requests told to come back (429, 503).
    pub busy: AtomicU64,
    /// From the body read to the commit.
    pub acknowledgement: Latency,
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Latency {
    /// How many took at most as long as [`Latency::BOUNDS`] says, and in the last place longer. Not cumulative.
    pub buckets: [AtomicU64; Latency::BOUNDS.len() + 1],
    /// All of them together, microseconds.
    pub sum_us: AtomicU64,
}

impl Latency {
    /// Upper bounds of the buckets.
    pub const BOUNDS: [Duration; 10] = [
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_millis(2),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(500),
        Duration::from_millis(2500),
    ];

    fn note(&self, took: Duration) {
        let bucket = Self::BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(Self::BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Counters {
    pub(super) fn of(&self, protocol: Protocol) -> &Flow {
        match protocol {
            Protocol::Influx => &self.influx,
            _ => &self.telemetry,
        }
    }
}

impl Flow {
    pub(super) fn committed(&self, plan: &Plan, size_bytes: usize, took: Duration) {
        let add = |counter: &AtomicU64, n: usize| counter.fetch_add(n as u64, Ordering::Relaxed);
        add(&self.rejected, plan.rejected);
        if plan.accepted > 0 {
            add(&self.accepted_requests, 1);
            add(&self.readings, plan.accepted);
            add(&self.bytes, size_bytes);
            self.acknowledgement.note(took);
        }
    }

    pub(super) fn failed(&self, status: u16) {
        let counter = match status {
            401 | 403 => &self.unauthorized,
            413 => &self.too_large,
            429 | 503 => &self.busy,
            _ => &self.refused_requests,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
