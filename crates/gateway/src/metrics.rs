//! What the gateway counts. Each worker counts for itself, so that counting costs no shared cache line; a reader sums.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many buckets [`Latency`] has: powers of two of a microsecond, the last one open.
pub const LATENCY_BUCKETS: usize = 26;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        /// Counters of one thread. They only rise, but for the ones that say "now".
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)+
            /// From the socket read that completed a publish to its acknowledgement.
            pub acknowledgement: Latency,
        }

        /// The sum of all threads' counters at some moment.
        #[derive(Clone, Debug, Default)]
        pub struct Totals {
            $($(#[$doc])* pub $name: u64,)+
            /// From the socket read that completed a publish to its acknowledgement.
            pub acknowledgement: LatencyTotals,
        }

        impl Totals {
            fn add(&mut self, counters: &Counters) {
                $(self.$name = self.$name.wrapping_add(counters.$name.get());)+
                self.acknowledgement.add(&counters.acknowledgement);
            }
        }
    };
}

counters! {
    /// Connections that completed CONNECT.
    connects;
    /// Of these, those that resumed or replaced a session.
    reconnects;
    /// Connections that ended after CONNECT.
    disconnects;
    /// Sockets accepted.
    accepted;
    /// CONNECTs refused for bad credentials.
    refused_credentials;
    /// CONNECTs refused as malformed or not allowed by the standard.
    refused_protocol;
    /// Sockets refused by admission (rate, limits).
    refused_busy;
    /// Connections closed because their CONNECT did not come in time.
    refused_deadline;
    /// Connections closed for breaking the protocol.
    protocol_errors;
    /// Connections closed because the client was silent for too long.
    keep_alive_timeouts;
    /// Connections closed because the client read nothing for too long.
    write_stalls;
    /// Connections taken over by another of the same client id.
    takeovers;
    /// Bytes read.
    bytes_received;
    /// Bytes written.
    bytes_sent;
    /// Packets read.
    packets_received;
    /// Packets written.
    packets_sent;
    /// PUBLISH read.
    publishes_received;
    /// PUBLISH written.
    publishes_sent;
    /// Records handed to the log, MQTT 3.1.1.
    records_mqtt3;
    /// Records handed to the log, MQTT 5.
    records_mqtt5;
    /// Their bytes.
    record_bytes;
    /// Publishes that were not allowed.
    publishes_denied;
    /// Publishes kept as dead letters.
    publishes_rejected;
    /// QoS 0 publishes shed under overload.
    shed;
    /// Deliveries of QoS 0 dropped because the reader is slow.
    dropped_slow_reader;
    /// Deliveries dropped because the session's queue was full.
    dropped_queue_full;
    /// Deliveries dropped because the message had expired.
    dropped_expired;
    /// Deliveries dropped because the client takes no packet so large.
    dropped_too_large;
    /// Deliveries dropped because the log no longer holds the message.
    dropped_not_in_log;
    /// Deliveries dropped because the client may not receive the topic.
    dropped_denied;
    /// Appends that failed.
    append_failures;
    /// Connections now (those that completed CONNECT); fall and rise.
    connected_now;
}

/// A number that one thread changes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the owning thread calls it, so a load and a store are enough.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Adds from any thread.
    pub fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Subtracts; only the owning thread calls it.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram of durations; bucket n counts those below 2^n microseconds and not below half of it.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [Counter; LATENCY_BUCKETS],
    sum_us: Counter,
}

/// See [`Latency`].
#[derive(Clone, Debug, Default)]
pub struct LatencyTotals {
    /// Bucket n counts durations below 2^n microseconds and not below half of it; the last is open.
    pub buckets: [u64; LATENCY_BUCKETS],
    /// The sum of all durations, microseconds.
    pub sum_us: u64,
}

impl Latency {
    /// Counts `n` equal durations; only the owning thread calls it.
    pub fn record(&self, took: Duration, n: u64) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (64 - us.leading_zeros() as usize).min(LATENCY_BUCKETS - 1);
        self.buckets[bucket].add(n);
        self.sum_us.add(us.saturating_mul(n));
    }
}

impl LatencyTotals {
    fn add(&mut self, latency: &Latency) {
        for (total, bucket) in self.buckets.iter_mut().zip(&latency.buckets) {
            *total += bucket.get();
        }
        self.sum_us = self.sum_us.wrapping_add(latency.sum_us.get());
    }
}

/// All counters of the gateway.
#[derive(Debug)]
pub struct Metrics {
    threads: Box<[Counters]>,
    /// Log bytes that wait for their commit, now.
    pub in_flight_bytes: AtomicU64,
    /// Subscriptions, now.
    pub subscriptions: AtomicU64,
    /// Retained messages, now.
    pub retained: AtomicU64,
    /// Persistent sessions without a connection, now.
    pub sessions_away: AtomicU64,
    /// Messages that wait for sessions without a connection, now.
    pub queued: AtomicU64,
}

impl Metrics {
    /// For so many workers; the dispatcher and the listeners share one more set.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            threads: (0..=workers).map(|_| Counters::default()).collect(),
            in_flight_bytes: AtomicU64::new(0),
            subscriptions: AtomicU64::new(0),
            retained: AtomicU64::new(0),
            sessions_away: AtomicU64::new(0),
            queued: AtomicU64::new(0),
        }
    }

    /// The counters of a worker.
    #[must_use]
    pub fn worker(&self, index: usize) -> &Counters {
        &self.threads[index]
    }

    /// The counters of everything that is no worker; use [`Counter::add_shared`] on them.
    #[must_use]
    pub fn shared(&self) -> &Counters {
        self.threads.last().expect("there is one set more than workers")
    }

    /// The sums.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for counters in &self.threads {
            totals.add(counters);
        }
        totals
    }
}
