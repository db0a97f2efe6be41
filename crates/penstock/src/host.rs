//! `penstock host`: this machine as a device, over MQTT like any other.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use fleet::packet::{self, Connect, Incoming, Publish, Version};
use serde_json::{Value, json};

use crate::Answer;

#[derive(clap::Args)]
pub(crate) struct Host {
    /// The MQTT server
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    target: String,
    /// The device to be; this machine's name when left out
    #[arg(long)]
    device: Option<String>,
    /// Seconds between two messages
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    interval: f64,
    /// Stops after this many messages; 0: never
    #[arg(long, default_value_t = 0, value_name = "N")]
    messages: u64,
}

/// How long to wait for an answer before the connection counts as dead.
const PATIENCE: Duration = Duration::from_secs(20);
/// The first and the longest wait before connecting again.
const RECONNECT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Longest answer read, bytes: acknowledgements are a few bytes.
const ANSWER_BYTES: usize = 64 << 10;

impl Host {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        if !self.interval.is_finite() || self.interval <= 0.0 {
            bail!("--interval must be above 0");
        }
        let interval = Duration::from_secs_f64(self.interval);
        let device = self.device.clone().unwrap_or_else(machine_name);
        record::DeviceId::check(&device)?;
        let mut connection = None;
        let mut before = Counters::read();
        let mut due = Instant::now();
        let mut sent = 0;
        while self.messages == 0 || sent < self.messages {
            due += interval;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let now = Counters::read();
            let message = message(&before, &now);
            before = now;
            self.deliver(&mut connection, &device, &message);
            sent += 1;
        }
        if let Some(mut connection) = connection {
            connection.close();
        }
        Ok(Answer::Yes)
    }

    /// Sends a message until it is acknowledged. Its time goes with it, so sending it twice stores it once.
    fn deliver(&self, connection: &mut Option<Connection>, device: &str, message: &Value) {
        let (topic, payload) = (format!("devices/{device}/telemetry"), message.to_string());
        let mut wait = RECONNECT.0;
        loop {
            let outcome = match connection.take() {
                Some(open) => Ok(open),
                None => Connection::open(&self.target, device),
            };
            match outcome.and_then(|mut open| open.publish(&topic, payload.as_bytes()).map(|()| open)) {
                Ok(open) => {
                    *connection = Some(open);
                    return;
                }
                Err(error) => {
                    eprintln!("penstock: {}: {error:#}; trying again in {wait:?}", self.target);
                    std::thread::sleep(wait);
                    wait = (wait * 2).min(RECONNECT.1);
                }
            }
        }
    }
}

/// An MQTT connection that sends one message at a time.
struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    packet_id: u16,
}

impl Connection {
    fn open(target: &str, client_id: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target).context("no connection")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut open = Self { stream, received: Vec::new(), packet_id: 0 };
        let mut out = Vec::new();
        let client_id = format!("host-{client_id}");
        packet::connect(
            &mut out,
            &Connect { client_id: &client_id, clean_start: true, ..Connect::default() },
        );
        open.stream.write_all(&out)?;
        open.wait(|packet| match packet {
            Incoming::ConnAck { code, .. } => Some(*code),
            _ => None,
        })?;
        Ok(open)
    }

    fn publish(&mut self, topic: &str, payload: &[u8]) -> anyhow::Result<()> {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1); // 0 is no packet id
        let packet_id = self.packet_id;
        let mut out = Vec::new();
        let publish = Publish { topic, qos: 1, retain: false, packet_id };
        packet::publish(&mut out, Version::V5, &publish, payload);
        self.stream.write_all(&out)?;
        self.wait(|packet| match packet {
            Incoming::Ack { kind: 4, packet_id: acked, code } if *acked == packet_id => Some(*code),
            _ => None,
        })
    }

    /// Reads until `wanted` finds its packet in what comes; its code says whether that was a yes.
    fn wait(&mut self, wanted: impl Fn(&Incoming<'_>) -> Option<u8>) -> anyhow::Result<()> {
        loop {
            while let Some((packet, size)) = packet::incoming(&self.received, Version::V5)? {
                let code = match packet {
                    Incoming::Disconnect { code } => {
                        bail!("the server ended the connection, reason 0x{code:02X}")
                    }
                    other => wanted(&other),
                };
                self.received.drain(..size);
                match code {
                    Some(code) if code >= 0x80 => bail!("the server refuses, reason 0x{code:02X}"),
                    Some(_) => return Ok(()),
                    None => {}
                }
            }
            if self.received.len() > ANSWER_BYTES {
                bail!("the server's answer has no end");
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).context("no answer")? {
                0 => bail!("the server closed the connection"),
                count => self.received.extend_from_slice(&chunk[..count]),
            }
        }
    }

    fn close(&mut self) {
        let mut out = Vec::new();
        packet::disconnect(&mut out);
        let _ = self.stream.write_all(&out); // everything is acknowledged; this is only good manners
    }
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "host".into() } else { name.to_owned() }
}

/// What the kernel counts; what a machine does not have is left out.
struct Counters {
    at: Instant,
    cpu: Option<(u64, u64)>,
    network: Option<(u64, u64)>,
}

impl Counters {
    fn read() -> Self {
        Self { at: Instant::now(), cpu: cpu_ticks(), network: network_bytes() }
    }
}

/// One message with the machine's metrics: what changed since the last one, and how it stands.
fn message(before: &Counters, now: &Counters) -> Value {
    let mut metrics: BTreeMap<String, Value> = BTreeMap::new();
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    if let (Some((busy, all)), Some((busy_now, all_now))) = (before.cpu, now.cpu) {
        let (busy, all) = (busy_now.saturating_sub(busy), all_now.saturating_sub(all));
        metrics.insert("cpu_busy_percent".into(), json!(rounded(100.0 * busy as f64 / all.max(1) as f64)));
    }
    if let (Some((received, sent)), Some((received_now, sent_now))) = (before.network, now.network) {
        let rate = |bytes: u64| json!(rounded(bytes as f64 / seconds));
        metrics.insert("net_received_bytes_per_s".into(), rate(received_now.saturating_sub(received)));
        metrics.insert("net_sent_bytes_per_s".into(), rate(sent_now.saturating_sub(sent)));
    }
    if let Some(load) = first_number("/proc/loadavg") {
        metrics.insert("load_1min".into(), json!(load));
    }
    if let Some(uptime) = first_number("/proc/uptime") {
        metrics.insert("uptime_s".into(), json!(uptime));
    }
    for (key, metric) in [("MemAvailable:", "memory_available_kib"), ("MemFree:", "memory_free_kib")] {
        if let Some(kib) = memory_kib(key) {
            metrics.insert(metric.into(), json!(kib));
        }
    }
    if let Some(millidegrees) = first_number("/sys/class/thermal/thermal_zone0/temp") {
        metrics.insert("temperature_celsius".into(), json!(millidegrees / 1000.0));
    }
    json!({ "ts": record::Timestamp::now().millis(), "metrics": metrics })
}

/// Three decimals are more than the counters know.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Busy and all ticks of all cores, from the first line of `/proc/stat` (proc_stat(5)).
fn cpu_ticks() -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> =
        stat.lines().next()?.split_whitespace().skip(1).map_while(|n| n.parse().ok()).collect();
    let all: u64 = ticks.iter().take(8).sum(); // guest time, fields 9 and 10, is in user time already
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((all.saturating_sub(idle), all))
}

/// Received and sent bytes of all interfaces but the loopback, from `/proc/net/dev`.
fn network_bytes() -> Option<(u64, u64)> {
    let table = std::fs::read_to_string("/proc/net/dev").ok()?;
    let mut sum = (0, 0);
    for line in table.lines().skip(2) {
        let (name, counters) = line.split_once(':')?;
        if name.trim() != "lo" {
            let mut counters = counters.split_whitespace().map_while(|n| n.parse::<u64>().ok());
            sum.0 += counters.next()?;
            sum.1 += counters.nth(7)?;
        }
    }
    Some(sum)
}

fn memory_kib(key: &str) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

fn first_number(file: &str) -> Option<f64> {
    std::fs::read_to_string(file).ok()?.split_whitespace().next()?.parse().ok()
}
