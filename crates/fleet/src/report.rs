//! What a load did, as numbers.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies in nanoseconds, from a microsecond to an hour, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 3_600_000_000_000, 3).expect("the bounds are constant and right")
}

/// An acknowledged publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acked {
    /// The connection's number.
    pub connection: u32,
    /// The message's number on it.
    pub sequence: u64,
    /// The time its payload names, milliseconds since the epoch.
    pub stamp_ms: i64,
    /// When it was measured, by a clock that is right, milliseconds since the epoch.
    pub measured_ms: i64,
    /// When the acknowledgement (PUBACK, PUBREC) was read, nanoseconds since the load was created.
    pub acked_ns: u64,
}

/// Counts and latencies of a worker; merged into those of the load.
#[derive(Debug)]
pub struct Stats {
    /// Messages written, those sent again not counted.
    pub published: u64,
    /// PUBACK, or PUBREC and PUBCOMP, with success, or 2xx. At QoS 0: written to the socket.
    pub acknowledged: u64,
    /// Messages refused, by reason code (MQTT) or status (HTTP).
    pub refused: BTreeMap<u16, u64>,
    /// Publishes sent again after a reconnect.
    pub resent: u64,
    /// Published and neither acknowledged nor refused at the end.
    pub unacknowledged: u64,
    /// Acknowledgements for packet identifiers that were not on their way.
    pub stray_acks: u64,
    /// Established connections that ended without our doing.
    pub lost: u64,
    /// CONNACKs with success after the first of each connection.
    pub reconnects: u64,
    /// Reconnects that wanted their session and did not get it.
    pub sessions_lost: u64,
    /// Attempts to connect that failed before CONNACK.
    pub connect_failures: u64,
    /// CONNACKs with a refusal, by reason code.
    pub connect_refused: BTreeMap<u8, u64>,
    /// DISCONNECTs from the server, by reason code.
    pub disconnects: BTreeMap<u8, u64>,
    /// Publish to acknowledgement by phase (see [`crate::load::Load::mark`]), nanoseconds.
    pub latency: Vec<Histogram<u64>>,
    /// First SYN of an attempt to CONNACK, nanoseconds.
    pub connect_latency: Histogram<u64>,
    /// What was acknowledged, when asked for. A message that was sent twice stands here twice.
    pub acked: Vec<Acked>,
    /// What was broken on purpose and answered, when asked for: it must be among the dead letters.
    pub broken: Vec<Acked>,
    /// What went wrong on purpose, by the names that `--faults` has.
    pub faults: BTreeMap<&'static str, u64>,
    /// Measurements dropped because too many waited for their connection.
    pub overflowed: u64,
    /// Requests that the server told to come back (429, 5xx).
    pub pushed_back: u64,
    /// Readings in acknowledged messages of devices; of a message that was sent twice, twice.
    pub readings: u64,
    /// The last thing that went wrong, for people.
    pub last_trouble: Option<String>,
    /// The slowest acknowledgement since it was last told.
    pub(crate) slowest_ns: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            published: 0,
            acknowledged: 0,
            refused: BTreeMap::new(),
            resent: 0,
            unacknowledged: 0,
            stray_acks: 0,
            lost: 0,
            reconnects: 0,
            sessions_lost: 0,
            connect_failures: 0,
            connect_refused: BTreeMap::new(),
            disconnects: BTreeMap::new(),
            latency: vec![histogram()],
            connect_latency: histogram(),
            acked: Vec::new(),
            broken: Vec::new(),
            faults: BTreeMap::new(),
            overflowed: 0,
            pushed_back: 0,
            readings: 0,
            last_trouble: None,
            slowest_ns: 0,
        }
    }
}

impl Stats {
    /// Adds what another worker counted.
    pub(crate) fn merge(&mut self, other: Self) {
        self.published += other.published;
        self.acknowledged += other.acknowledged;
        self.resent += other.resent;
        self.unacknowledged += other.unacknowledged;
        self.stray_acks += other.stray_acks;
        self.lost += other.lost;
        self.reconnects += other.reconnects;
        self.sessions_lost += other.sessions_lost;
        self.connect_failures += other.connect_failures;
        self.overflowed += other.overflowed;
        self.pushed_back += other.pushed_back;
        self.readings += other.readings;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        for (into, from) in
            [(&mut self.connect_refused, other.connect_refused), (&mut self.disconnects, other.disconnects)]
        {
            for (code, count) in from {
                *into.entry(code).or_default() += count;
            }
        }
        for (phase, histogram) in other.latency.iter().enumerate() {
            self.phase(phase).add(histogram).expect("all have the same bounds");
        }
        self.connect_latency.add(&other.connect_latency).expect("all have the same bounds");
        self.acked.extend(other.acked);
        self.broken.extend(other.broken);
        self.last_trouble = self.last_trouble.take().or(other.last_trouble);
    }

    /// A message was acknowledged, so long after it was meant to go out.
    pub(crate) fn answered(&mut self, phase: usize, took_ns: u64) {
        self.phase(phase).saturating_record(took_ns);
        self.slowest_ns = self.slowest_ns.max(took_ns);
        self.acknowledged += 1;
    }

    /// Something went wrong on purpose.
    pub(crate) fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    pub(crate) fn phase(&mut self, phase: usize) -> &mut Histogram<u64> {
        while self.latency.len() <= phase {
            self.latency.push(histogram());
        }
        &mut self.latency[phase]
    }
}

/// A histogram in a few numbers, microseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Latency {
    /// Values.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Half are under this.
    pub p50_us: f64,
    /// 90 in 100 are under this.
    pub p90_us: f64,
    /// 99 in 100 are under this.
    pub p99_us: f64,
    /// 999 in 1 000 are under this.
    pub p999_us: f64,
    /// The worst.
    pub max_us: f64,
}

impl Latency {
    /// Sums up a histogram of nanoseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let us = |nanoseconds: u64| (nanoseconds / 100) as f64 / 10.0;
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            mean_us: us(histogram.mean() as u64),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us(histogram.max()),
        }
    }
}

/// The result of a load, as `--format json` prints it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What was spoken: `mqtt`, `http`.
    pub protocol: &'static str,
    /// Connections.
    pub connections: usize,
    /// Publishes that each had on its way at most.
    pub in_flight: u16,
    /// Quality of service.
    pub qos: u8,
    /// Messages written.
    pub published: u64,
    /// Acknowledged with success.
    pub acknowledged: u64,
    /// Refused, by reason code (MQTT) or status (HTTP).
    pub refused: BTreeMap<u16, u64>,
    /// Sent again after reconnects.
    pub resent: u64,
    /// Neither acknowledged nor refused.
    pub unacknowledged: u64,
    /// Acknowledgements nobody waited for.
    pub stray_acks: u64,
    /// Connections that broke without our doing.
    pub lost: u64,
    /// Connections made again.
    pub reconnects: u64,
    /// Sessions that the server did not keep.
    pub sessions_lost: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// CONNECTs refused, by reason code.
    pub connect_refused: BTreeMap<u8, u64>,
    /// DISCONNECTs from the server, by reason code.
    pub disconnects: BTreeMap<u8, u64>,
    /// Measurements dropped because too many waited for their connection.
    pub overflowed: u64,
    /// Requests that the server told to come back (429, 5xx).
    pub pushed_back: u64,
    /// When publishes began, milliseconds since the epoch.
    pub began_ms: i64,
    /// From the first publish to the last acknowledgement, seconds.
    pub seconds: f64,
    /// Acknowledged publishes per second.
    pub acknowledged_per_second: f64,
    /// Intended send to acknowledgement, by phase.
    pub latency: Vec<Latency>,
    /// Attempt to CONNACK.
    pub connect_latency: Latency,
    /// CPU of this process during the publishes, seconds (user + system).
    pub generator_cpu_seconds: f64,
    /// CPU of the watched server during the publishes, seconds (user + system).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_seconds: Option<f64>,
    /// The same per million acknowledged publishes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_seconds_per_million: Option<f64>,
    /// The last thing that went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_trouble: Option<String>,
}

impl Report {
    /// Sums up counts; the caller adds what only it knows.
    #[must_use]
    pub fn of(stats: &Stats) -> Self {
        Self {
            published: stats.published,
            acknowledged: stats.acknowledged,
            refused: stats.refused.clone(),
            resent: stats.resent,
            unacknowledged: stats.unacknowledged,
            stray_acks: stats.stray_acks,
            lost: stats.lost,
            reconnects: stats.reconnects,
            sessions_lost: stats.sessions_lost,
            connect_failures: stats.connect_failures,
            connect_refused: stats.connect_refused.clone(),
            disconnects: stats.disconnects.clone(),
            overflowed: stats.overflowed,
            pushed_back: stats.pushed_back,
            latency: stats.latency.iter().map(Latency::of).collect(),
            connect_latency: Latency::of(&stats.connect_latency),
            last_trouble: stats.last_trouble.clone(),
            ..Self::default()
        }
    }
}
