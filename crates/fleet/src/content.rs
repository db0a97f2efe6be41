//! What is published: bytes that name themselves, or the telemetry of simulated devices.

use std::time::Duration;

use crate::device::{Device, Maker, Sample, Spec};
use crate::disorder::{Disorder, Flaw};
use crate::faults::Faults;
use crate::outbox::Message;
use crate::packet::{self, Publish, Version};
use crate::schedule::Schedule;

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
    Telemetry(Devices),
}

/// Simulated devices.
#[derive(Debug, Clone)]
pub struct Devices {
    /// How many share a connection, in turn, as behind the gateway of a site (MQTT; 1 over HTTP).
    pub behind: u32,
    /// Topic pattern; `{kind}` becomes what the device is. Over HTTP it only names the device.
    pub topic: String,
    /// Who they are.
    pub spec: Spec,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// How long the run lasts, for when it goes wrong.
    pub lasts: Option<Duration>,
}

impl Devices {
    /// When things go wrong in a run that began at `began_ms`.
    #[must_use]
    pub fn disorder(&self, began_ms: i64) -> Disorder {
        let schedule = Schedule::new(self.spec.seed, self.lasts).began(began_ms);
        Disorder { faults: self.faults, schedule }
    }

    /// The topic of a device.
    #[must_use]
    pub fn topic_of(&self, number: u32) -> String {
        let kind = self.spec.kind.of(number).name();
        self.topic.replace("{i}", &number.to_string()).replace("{kind}", kind)
    }

    /// The name of a device: the second level of its topic.
    #[must_use]
    pub fn name_of(&self, number: u32) -> String {
        self.topic_of(number).split('/').nth(1).unwrap_or_default().to_owned()
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

/// What [`Writer::publish`] appended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// Where in the buffer the packet starts.
    pub(crate) start: usize,
    /// The time that its payload names, milliseconds.
    pub(crate) stamp_ms: i64,
}

/// Which PUBLISH to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next {
    /// The connection's index in the worker.
    pub(crate) local: usize,
    pub(crate) id: Id,
    /// 0 at QoS 0.
    pub(crate) packet_id: u16,
    pub(crate) message: Message,
    /// The largest packet that the server takes.
    pub(crate) server_takes_bytes: usize,
}

/// Encodes the messages of one worker's connections.
#[derive(Debug)]
pub(crate) struct Writer {
    version: Version,
    qos: u8,
    retain: bool,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Per connection: the packet, where its packet identifier and its payload stand.
    Plain(Vec<Template>),
    Telemetry(Box<Telemetry>),
}

#[derive(Debug)]
struct Template {
    bytes: Box<[u8]>,
    packet_id_at: Option<usize>,
    payload_at: usize,
}

#[derive(Debug)]
struct Telemetry {
    behind: usize,
    topics: Vec<String>,
    names: Vec<String>,
    numbers: Vec<u32>,
    devices: Vec<Device>,
    /// The last time that each device claimed.
    stamps_ms: Vec<i64>,
    disorder: Disorder,
    sample: Sample,
    text: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(content: &Content, version: Version, qos: u8, retain: bool, numbers: &[u32]) -> Self {
        let form = match content {
            Content::Plain { topic, size_bytes } => {
                let payload = vec![b'x'; *size_bytes];
                let template = |number: &u32| {
                    let topic = &topic.replace("{i}", &number.to_string());
                    let mut bytes = Vec::new();
                    let says = Publish { topic, qos, retain, packet_id: 1 };
                    let (_, packet_id_at) = packet::publish(&mut bytes, version, &says, &payload);
                    let payload_at = bytes.len() - size_bytes;
                    Template { bytes: bytes.into(), packet_id_at, payload_at }
                };
                Form::Plain(numbers.iter().map(template).collect())
            }
            Content::Telemetry(devices) => Form::Telemetry(Box::new(Telemetry::new(devices, numbers))),
        };
        Self { version, qos, retain, form }
    }

    /// The run begins: what goes wrong goes wrong from here on.
    pub(crate) fn begin(&mut self, began_ms: i64) {
        if let Form::Telemetry(telemetry) = &mut self.form {
            telemetry.disorder.schedule.began_ms = began_ms;
        }
    }

    /// Readings in each message of a connection.
    pub(crate) fn readings_of(&self, local: usize) -> u64 {
        match &self.form {
            Form::Plain(_) => 0,
            Form::Telemetry(telemetry) => {
                telemetry.devices[local * telemetry.behind].shape().names().len() as u64
            }
        }
    }

    /// Devices that share a connection.
    pub(crate) fn behind(&self) -> usize {
        match &self.form {
            Form::Plain(_) => 1,
            Form::Telemetry(telemetry) => telemetry.behind,
        }
    }

    /// What goes wrong, where that is wanted.
    pub(crate) fn disorder(&self) -> Option<&Disorder> {
        match &self.form {
            Form::Plain(_) => None,
            Form::Telemetry(telemetry) => Some(&telemetry.disorder),
        }
    }

    /// Appends a PUBLISH.
    pub(crate) fn publish(&mut self, next: Next, out: &mut Vec<u8>) -> Written {
        match &mut self.form {
            Form::Plain(templates) => {
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
                Written { start, stamp_ms: next.message.measured_ms }
            }
            Form::Telemetry(telemetry) => {
                let mut text = std::mem::take(&mut telemetry.text);
                text.clear();
                let device = next.local * telemetry.behind + next.id.sequence as usize % telemetry.behind;
                let stamp_ms = telemetry.write(device, next.message, false, &mut text);
                if next.message.flaw == Flaw::Oversize {
                    text.resize(next.server_takes_bytes + 1, b'x');
                }
                let topic = &telemetry.topics[device];
                let says = Publish { topic, qos: self.qos, retain: self.retain, packet_id: next.packet_id };
                let (start, _) = packet::publish(out, self.version, &says, &text);
                telemetry.text = text;
                Written { start, stamp_ms }
            }
        }
    }

    /// Appends a line of newline-delimited JSON that names its device; returns the time that it names.
    pub(crate) fn line(&mut self, local: usize, message: Message, out: &mut Vec<u8>) -> i64 {
        let Form::Telemetry(telemetry) = &mut self.form else { return message.measured_ms };
        let stamp_ms = telemetry.write(local, message, true, out);
        out.push(b'\n');
        stamp_ms
    }
}

impl Telemetry {
    fn new(devices: &Devices, numbers: &[u32]) -> Self {
        let maker = Maker::new(devices.spec);
        let behind = devices.behind;
        let numbers: Vec<u32> = numbers
            .iter()
            .flat_map(|connection| (0..behind).map(move |of| connection * behind + of))
            .collect();
        Self {
            behind: behind as usize,
            stamps_ms: vec![i64::MIN; numbers.len()],
            topics: numbers.iter().map(|number| devices.topic_of(*number)).collect(),
            names: numbers.iter().map(|number| devices.name_of(*number)).collect(),
            devices: numbers.iter().map(|number| maker.device(*number)).collect(),
            numbers,
            disorder: devices.disorder(0),
            sample: Sample::default(),
            text: Vec::new(),
        }
    }

    /// Appends what a device says; returns the time that it claims.
    fn write(&mut self, index: usize, message: Message, named: bool, out: &mut Vec<u8>) -> i64 {
        let (device, begin) = (&self.devices[index], out.len());
        device.measure(message.measured_ms, &self.disorder.schedule, &mut self.sample);
        let mut stamp_ms = self.disorder.claimed_ms(self.numbers[index], message.measured_ms);
        if self.behind > 1 {
            // Its outbox is shared, and so does not keep two readings of one millisecond apart.
            stamp_ms = stamp_ms.max(self.stamps_ms[index].saturating_add(1));
            self.stamps_ms[index] = stamp_ms;
        }
        let name = named.then(|| self.names[index].as_str());
        let head = device.shape().write(out, name, stamp_ms, &self.sample);
        if message.flaw == Flaw::Malformed {
            // Cut off within the metrics: what is left says whose it is and of when.
            let middle = head + 1 + (out.len() - begin - head) / 2;
            out.truncate(begin + middle.min(out.len() - begin - 1));
        }
        stamp_ms
    }
}
