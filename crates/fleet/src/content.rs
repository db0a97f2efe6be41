//! What is published: bytes that name themselves, or the telemetry of simulated devices.

use crate::device::{self, Metric};
use crate::packet::{self, Publish, Version};
use crate::random::{mix, unit};

/// What each connection publishes. `{i}` in a topic becomes the connection's number.
#[derive(Debug, Clone)]
pub enum Content {
    /// The same packet again and again, its first 24 payload bytes naming connection and sequence ([`Id`]).
    Plain {
        /// Topic pattern.
        topic: String,
        /// Payload size, bytes; under 24 the payload does not name itself.
        size_bytes: usize,
    },
    /// Readings of simulated devices as JSON.
    Telemetry {
        /// Topic pattern.
        topic: String,
        /// Metrics in each message.
        metrics: usize,
        /// Which fleet: the same seed gives the same devices.
        seed: u64,
        /// What goes wrong on purpose.
        faults: Faults,
    },
}

/// How often devices misbehave, each the share of messages it happens to (0 to 1).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// The connection breaks without DISCONNECT right after the publish, and comes back.
    pub drop: f64,
    /// The reading before is sent once more as a new message.
    pub duplicate: f64,
    /// The payload is not what was agreed.
    pub malformed: f64,
}

impl std::str::FromStr for Faults {
    type Err = String;

    /// `drop=0.01,duplicate=0.02,malformed=0.001`
    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, share) = part.split_once('=').ok_or_else(|| format!("{part:?} is not name=share"))?;
            let share: f64 = share.parse().map_err(|_| format!("{share:?} is not a number"))?;
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("{name}={share}: a share is between 0 and 1"));
            }
            match name {
                "drop" => faults.drop = share,
                "duplicate" => faults.duplicate = share,
                "malformed" => faults.malformed = share,
                _ => return Err(format!("no fault {name:?}: there are drop, duplicate and malformed")),
            }
        }
        Ok(faults)
    }
}

/// Who published a plain message: 8 hexadecimal digits of the connection, 16 of the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The connection's number.
    pub connection: u32,
    /// The message's number on it, from 0.
    pub sequence: u64,
}

impl Id {
    /// Bytes it takes at the start of a payload.
    pub const LEN: usize = 24;

    /// Reads it from the start of a payload.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload.get(..Self::LEN)?).ok()?;
        Some(Self {
            connection: u32::from_str_radix(&text[..8], 16).ok()?,
            sequence: u64::from_str_radix(&text[8..], 16).ok()?,
        })
    }

    fn write(self, payload: &mut [u8]) {
        hex(&mut payload[..8], u64::from(self.connection));
        hex(&mut payload[8..Self::LEN], self.sequence);
    }
}

fn hex(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

/// What [`Writer::write`] appended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// Where in the buffer the packet starts.
    pub(crate) start: usize,
    /// The time that its payload names, milliseconds.
    pub(crate) stamp_ms: i64,
    /// Its readings are meant to be stored.
    pub(crate) valid: bool,
    /// The connection is to break now.
    pub(crate) drop: bool,
}

/// Which message to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next {
    /// The connection's index in the worker.
    pub(crate) local: usize,
    pub(crate) id: Id,
    /// 0 at QoS 0.
    pub(crate) packet_id: u16,
    pub(crate) now_ms: i64,
    /// The stamp of the connection's message before.
    pub(crate) last_ms: i64,
}

/// Encodes the publishes of one worker's connections.
#[derive(Debug)]
pub(crate) struct Writer {
    version: Version,
    qos: u8,
    retain: bool,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    /// Per connection: the packet, where its packet identifier and its payload stand.
    Plain(Vec<Template>),
    Telemetry {
        topics: Vec<String>,
        metrics: Vec<Metric>,
        seed: u64,
        faults: Faults,
        text: String,
    },
}

#[derive(Debug)]
struct Template {
    bytes: Box<[u8]>,
    packet_id_at: Option<usize>,
    payload_at: usize,
}

impl Writer {
    pub(crate) fn new(content: &Content, version: Version, qos: u8, retain: bool, numbers: &[u32]) -> Self {
        let topics = |pattern: &str| -> Vec<String> {
            numbers.iter().map(|number| pattern.replace("{i}", &number.to_string())).collect()
        };
        let shape = match content {
            Content::Plain { topic, size_bytes } => {
                let payload = vec![b'x'; *size_bytes];
                let template = |topic: &String| {
                    let mut bytes = Vec::new();
                    let says = Publish { topic, qos, retain, packet_id: 1 };
                    let (_, packet_id_at) = packet::publish(&mut bytes, version, &says, &payload);
                    let payload_at = bytes.len() - size_bytes;
                    Template { bytes: bytes.into(), packet_id_at, payload_at }
                };
                Shape::Plain(topics(topic).iter().map(template).collect())
            }
            Content::Telemetry { topic, metrics, seed, faults } => Shape::Telemetry {
                topics: topics(topic),
                metrics: device::metrics(*metrics),
                seed: *seed,
                faults: *faults,
                text: String::new(),
            },
        };
        Self { version, qos, retain, shape }
    }

    /// Appends a PUBLISH.
    pub(crate) fn write(&mut self, next: Next, out: &mut Vec<u8>) -> Written {
        match &mut self.shape {
            Shape::Plain(templates) => {
                let template = &templates[next.local];
                let start = out.len();
                out.extend_from_slice(&template.bytes);
                if let Some(at) = template.packet_id_at {
                    out[start + at..start + at + 2].copy_from_slice(&next.packet_id.to_be_bytes());
                }
                let payload = &mut out[start + template.payload_at..];
                if payload.len() >= Id::LEN {
                    next.id.write(payload);
                }
                Written { start, stamp_ms: next.now_ms, valid: true, drop: false }
            }
            Shape::Telemetry { topics, metrics, seed, faults, text } => {
                let luck = mix(*seed ^ mix(u64::from(next.id.connection)) ^ mix(!next.id.sequence));
                let happens = |salt: u64, share: f64| share > 0.0 && unit(luck ^ salt) < share;
                let duplicate = next.last_ms > 0 && happens(1, faults.duplicate);
                // A device's key is its time: two readings of one millisecond would be one reading.
                let stamp_ms = if duplicate { next.last_ms } else { next.now_ms.max(next.last_ms + 1) };
                let valid = !happens(2, faults.malformed);
                text.clear();
                device::write_telemetry(text, metrics, *seed, next.id.connection, stamp_ms);
                if !valid {
                    text.truncate(text.len() / 2);
                }
                let topic = &topics[next.local];
                let says = Publish { topic, qos: self.qos, retain: self.retain, packet_id: next.packet_id };
                let (start, _) = packet::publish(out, self.version, &says, text.as_bytes());
                Written { start, stamp_ms, valid, drop: happens(3, faults.drop) }
            }
        }
    }
}
