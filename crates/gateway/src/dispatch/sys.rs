//! `$SYS/broker/…`: the gateway's own counters as topics, for people with an MQTT client and nothing else.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use record::{Encoding, Envelope, Kind, Protocol, Qos, TenantId, Timestamp};

use super::message::Message;
use crate::metrics::{Metrics, Totals};

/// How often they are published.
pub(super) const EVERY: Duration = Duration::from_secs(10);

/// The last values, and what the averages are made of.
#[derive(Debug, Default)]
pub(super) struct Sys {
    topics: Vec<(&'static str, String)>,
    loads: Vec<Load>,
    last: Option<Totals>,
}

/// The averages per minute of one counter, over 1, 5 and 15 minutes.
#[derive(Debug, Default)]
struct Load([f64; 3]);

impl Load {
    /// Moves the averages by what was counted in `seconds`: exponentially, as the system's load average is.
    fn add(&mut self, counted: u64, seconds: f64) {
        let per_minute = counted as f64 * 60.0 / seconds;
        for (average, minutes) in self.0.iter_mut().zip([1.0, 5.0, 15.0]) {
            let keep = (-seconds / (60.0 * minutes)).exp();
            *average = *average * keep + per_minute * (1.0 - keep);
        }
    }
}

/// A counter's name under `load/`, and the counter.
type LoadOf = (&'static [&'static str; 3], fn(&Totals) -> u64);

const LOADS: [LoadOf; 6] = [
    (&["load/messages/received/1min", "load/messages/received/5min", "load/messages/received/15min"], |t| {
        t.packets_received
    }),
    (&["load/messages/sent/1min", "load/messages/sent/5min", "load/messages/sent/15min"], |t| t.packets_sent),
    (&["load/publish/received/1min", "load/publish/received/5min", "load/publish/received/15min"], |t| {
        t.publishes_received
    }),
    (&["load/publish/sent/1min", "load/publish/sent/5min", "load/publish/sent/15min"], |t| t.publishes_sent),
    (&["load/bytes/received/1min", "load/bytes/received/5min", "load/bytes/received/15min"], |t| {
        t.bytes_received
    }),
    (&["load/connections/1min", "load/connections/5min", "load/connections/15min"], |t| t.connects),
];

impl Sys {
    /// Takes the counters as they are now.
    pub(super) fn update(&mut self, metrics: &Metrics, uptime_s: i64) {
        let now = metrics.totals();
        self.loads.resize_with(LOADS.len(), Load::default);
        if let Some(last) = &self.last {
            for (load, (_, of)) in self.loads.iter_mut().zip(LOADS) {
                load.add(of(&now).saturating_sub(of(last)), EVERY.as_secs_f64());
            }
        }
        let away = metrics.sessions_away.load(Ordering::Relaxed);
        let dropped = now.dropped_slow_reader
            + now.dropped_queue_full
            + now.dropped_expired
            + now.dropped_too_large
            + now.dropped_not_in_log
            + now.dropped_denied
            + now.shed;
        let mut topics: Vec<(&'static str, String)> = vec![
            ("version", format!("penstock {}", env!("CARGO_PKG_VERSION"))),
            ("uptime", format!("{uptime_s} seconds")),
            ("clients/connected", now.connected_now.to_string()),
            ("clients/disconnected", away.to_string()),
            ("clients/total", (now.connected_now + away).to_string()),
            ("messages/received", now.packets_received.to_string()),
            ("messages/sent", now.packets_sent.to_string()),
            ("publish/messages/received", now.publishes_received.to_string()),
            ("publish/messages/sent", now.publishes_sent.to_string()),
            ("publish/messages/dropped", dropped.to_string()),
            ("bytes/received", now.bytes_received.to_string()),
            ("bytes/sent", now.bytes_sent.to_string()),
            ("subscriptions/count", metrics.subscriptions.load(Ordering::Relaxed).to_string()),
            ("retained messages/count", metrics.retained.load(Ordering::Relaxed).to_string()),
        ];
        for (load, (names, _)) in self.loads.iter().zip(LOADS) {
            topics.extend(names.iter().zip(load.0).map(|(name, average)| (*name, format!("{average:.2}"))));
        }
        self.topics = topics;
        self.last = Some(now);
    }

    /// The messages, for the subscribers of one tenant.
    pub(super) fn messages(&self, tenant: &TenantId, now: Timestamp) -> impl Iterator<Item = Arc<Message>> {
        self.topics.iter().filter_map(move |(name, value)| message(tenant, name, value, now))
    }
}

fn message(tenant: &TenantId, name: &str, value: &str, now: Timestamp) -> Option<Arc<Message>> {
    let mut topic = String::with_capacity(64);
    write!(topic, "$SYS/broker/{name}").ok()?;
    let mut record = Vec::new();
    Envelope {
        kind: Kind::Message,
        protocol: Protocol::Internal,
        encoding: Encoding::Opaque,
        qos: Qos::AtMostOnce,
        retain: true,
        refused: None,
        arrived_at: now,
        tenant: tenant.as_str(),
        device: "",
        topic: &topic,
        origin: None,
        properties: &[],
        payload: value.as_bytes(),
    }
    .encode(&mut record);
    Message::new(record.into(), None).ok().map(Arc::new)
}
