//! The one internal record: what a gateway writes into the log for a message of any protocol.
//!
//! Format (version 1, documented in `docs/formats/envelope.md`; integers little-endian, lengths LEB128):
//!
//! ```text
//! u8  version = 1
//! u8  kind            0 telemetry, 1 message (plain publish/subscribe), 2 part, 3 replay
//! u8  protocol        0 MQTT 3.1.1, 1 MQTT 5, 2 HTTP, 3 Influx line protocol over HTTP, 4 CoAP, 5 AMQP, 6 internal
//! u8  encoding        0 opaque, 1 JSON, 2 newline-delimited JSON, 3 Influx line protocol, 4 Avro, 5 Protobuf
//! u8  flags           bits 0-1 QoS, bit 2 retain, bit 3 refused (a dead letter in waiting: `reason` is set),
//!                     bit 4 origin present, bit 5 properties present
//! i64 arrived_at      nanoseconds since the epoch, the server's clock
//! var tenant          length, UTF-8
//! var device          length, UTF-8; empty: not known from topic or credential
//! var topic           length, UTF-8
//! var reason          length, UTF-8; only when refused
//! var origin          only when present: client id (length, UTF-8), u16 packet id (0 = none; set for QoS 2)
//! var properties      only when present: length, MQTT 5 PUBLISH properties as encoded on the wire that
//!                     travel with the message (payload format, message expiry, content type, response topic,
//!                     correlation data, user properties); of a replay: `ReplayOf`, 12 bytes
//!     payload         the rest, exactly as the device sent it
//! ```

use crate::{Lane, Timestamp};

/// The current version of the format.
const VERSION: u8 = 1;

const QOS_MASK: u8 = 0b11;
const RETAIN: u8 = 1 << 2;
const REFUSED: u8 = 1 << 3;
const ORIGIN: u8 = 1 << 4;
const PROPERTIES: u8 = 1 << 5;

/// Why bytes are not an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The bytes end inside a field.
    #[error("the envelope ends inside its {0}")]
    Truncated(&'static str),
    /// A later version wrote it.
    #[error("the envelope has version {0}, this build reads version 1: upgrade before reading this log")]
    Version(u8),
    /// A byte that stands for a choice stands for none.
    #[error("the envelope's {field} is {found}, which means nothing in version 1")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// What it held.
        found: u8,
    },
    /// A text field is not UTF-8.
    #[error("the envelope's {0} is not UTF-8")]
    Utf8(&'static str),
}

macro_rules! byte_enum {
    ($(#[$doc:meta])* $name:ident ($field:literal) { $($(#[$vdoc:meta])* $variant:ident = $n:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $n),+ }

        impl TryFrom<u8> for $name {
            type Error = EnvelopeError;
            fn try_from(found: u8) -> Result<Self, EnvelopeError> {
                match found {
                    $($n => Ok(Self::$variant),)+
                    _ => Err(EnvelopeError::Unknown { field: $field, found }),
                }
            }
        }
    };
}

byte_enum!(
    /// What a record is for.
    Kind("kind") {
        /// Readings of a device: the stream decodes and stores them.
        Telemetry = 0,
        /// Plain publish/subscribe: kept for its subscribers, not for the store.
        Message = 1,
        /// Readings of one device, cut out of a telemetry message of several devices, so that they stand in their
        /// device's partition. The message itself is a record of kind [`Kind::Message`] in the same batch.
        Part = 2,
        /// A dead message tried again: what it was when it came in, its payload perhaps mended, and in the
        /// properties which message it was ([`crate::ReplayOf`]).
        Replay = 3,
    }
);
byte_enum!(
    /// How it came in.
    Protocol("protocol") {
        /// MQTT 3.1.1.
        Mqtt3 = 0,
        /// MQTT 5.0.
        Mqtt5 = 1,
        /// `POST /v1/telemetry`.
        Http = 2,
        /// `/write` and `/api/v2/write`.
        Influx = 3,
        /// CoAP.
        Coap = 4,
        /// AMQP 1.0.
        Amqp = 5,
        /// Penstock itself (wills, `$SYS`, replays).
        Internal = 6,
    }
);
byte_enum!(
    /// How the payload is to be decoded.
    Encoding("encoding") {
        /// Not telemetry, or unknown.
        Opaque = 0,
        /// One JSON document.
        Json = 1,
        /// JSON documents separated by newlines.
        Ndjson = 2,
        /// Influx line protocol, timestamps in nanoseconds.
        Influx = 3,
        /// Avro's binary encoding, by a schema of the tenant.
        Avro = 4,
        /// Protobuf, by a schema of the tenant.
        Protobuf = 5,
    }
);
byte_enum!(
    /// MQTT quality of service.
    Qos("QoS") {
        /// At most once.
        AtMostOnce = 0,
        /// At least once.
        AtLeastOnce = 1,
        /// Exactly once.
        ExactlyOnce = 2,
    }
);

/// Which dead message a record of kind [`Kind::Replay`] tries again: its place in the log. As the envelope's
/// properties: topic (u8), lane (u8), partition (u16), offset (u64), little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplayOf {
    /// The topic's number in the log.
    pub topic: u8,
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: u16,
    /// The offset.
    pub offset: u64,
}

impl ReplayOf {
    /// As properties of an envelope.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[0] = self.topic;
        bytes[1] = self.lane as u8;
        bytes[2..4].copy_from_slice(&self.partition.to_le_bytes());
        bytes[4..].copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }

    /// From an envelope's properties; `None` when they name no message.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 12] = bytes.try_into().ok()?;
        let (head, offset) = bytes.split_last_chunk::<8>()?;
        let lane = match head[1] {
            0 => Lane::Live,
            1 => Lane::Backfill,
            _ => return None,
        };
        let partition = u16::from_le_bytes([head[2], head[3]]);
        Some(Self { topic: head[0], lane, partition, offset: u64::from_le_bytes(*offset) })
    }
}

/// Which session a message came from. With QoS 2 the packet id is part of the message: committing the
/// message commits that its packet id was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The publisher's client id.
    pub client_id: &'a str,
    /// The packet id of a QoS 2 publish, else 0.
    pub packet_id: u16,
}

/// A message of any protocol, borrowed from a socket's buffer or from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What the record is for.
    pub kind: Kind,
    /// How it came in.
    pub protocol: Protocol,
    /// How to decode the payload.
    pub encoding: Encoding,
    /// The publisher's quality of service; HTTP and CoAP confirmable count as at least once.
    pub qos: Qos,
    /// MQTT retain flag.
    pub retain: bool,
    /// Why the gateway refused it, if it did: the stream makes it a dead letter.
    pub refused: Option<&'a str>,
    /// When it arrived, by the server's clock.
    pub arrived_at: Timestamp,
    /// Whose it is; from the credential, never from the message.
    pub tenant: &'a str,
    /// The device if topic, credential or request named it, else empty and the payload must.
    pub device: &'a str,
    /// The topic; for HTTP the path's pseudo-topic.
    pub topic: &'a str,
    /// The session it came from, for MQTT.
    pub origin: Option<Origin<'a>>,
    /// MQTT 5 properties that travel with the message, as on the wire; empty: none.
    pub properties: &'a [u8],
    /// What the device sent, untouched.
    pub payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Appends the encoded envelope to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags = self.qos as u8
            | if self.retain { RETAIN } else { 0 }
            | if self.refused.is_some() { REFUSED } else { 0 }
            | if self.origin.is_some() { ORIGIN } else { 0 }
            | if self.properties.is_empty() { 0 } else { PROPERTIES };
        out.reserve(
            32 + self.tenant.len()
                + self.device.len()
                + self.topic.len()
                + self.properties.len()
                + self.payload.len(),
        );
        out.extend_from_slice(&[VERSION, self.kind as u8, self.protocol as u8, self.encoding as u8, flags]);
        out.extend_from_slice(&self.arrived_at.nanos().to_le_bytes());
        put(out, self.tenant.as_bytes());
        put(out, self.device.as_bytes());
        put(out, self.topic.as_bytes());
        if let Some(reason) = self.refused {
            put(out, reason.as_bytes());
        }
        if let Some(origin) = self.origin {
            put(out, origin.client_id.as_bytes());
            out.extend_from_slice(&origin.packet_id.to_le_bytes());
        }
        if !self.properties.is_empty() {
            put(out, self.properties);
        }
        out.extend_from_slice(self.payload);
    }

    /// Reads an envelope; the parts borrow from `bytes`.
    ///
    /// # Errors
    /// [`EnvelopeError`] when the bytes are not an envelope of a known version.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let mut rest = Reader(bytes);
        let version = rest.byte("version")?;
        if version != VERSION {
            return Err(EnvelopeError::Version(version));
        }
        let kind = Kind::try_from(rest.byte("kind")?)?;
        let protocol = Protocol::try_from(rest.byte("protocol")?)?;
        let encoding = Encoding::try_from(rest.byte("encoding")?)?;
        let flags = rest.byte("flags")?;
        if flags & !(QOS_MASK | RETAIN | REFUSED | ORIGIN | PROPERTIES) != 0 {
            return Err(EnvelopeError::Unknown { field: "flags", found: flags });
        }
        let qos = Qos::try_from(flags & QOS_MASK)?;
        let arrived_at = Timestamp::from_nanos(i64::from_le_bytes(rest.array("arrival time")?));
        let tenant = rest.text("tenant")?;
        let device = rest.text("device")?;
        let topic = rest.text("topic")?;
        let refused = if flags & REFUSED != 0 { Some(rest.text("reason")?) } else { None };
        let origin = if flags & ORIGIN != 0 {
            let client_id = rest.text("client id")?;
            Some(Origin { client_id, packet_id: u16::from_le_bytes(rest.array("packet id")?) })
        } else {
            None
        };
        let properties = if flags & PROPERTIES != 0 { rest.slice("properties")? } else { &[] };
        Ok(Self {
            kind,
            protocol,
            encoding,
            qos,
            retain: flags & RETAIN != 0,
            refused,
            arrived_at,
            tenant,
            device,
            topic,
            origin,
            properties,
            payload: rest.0,
        })
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self, field: &'static str) -> Result<u8, EnvelopeError> {
        let (&first, rest) = self.0.split_first().ok_or(EnvelopeError::Truncated(field))?;
        self.0 = rest;
        Ok(first)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], EnvelopeError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(EnvelopeError::Truncated(field))?;
        self.0 = rest;
        Ok(*head)
    }

    fn slice(&mut self, field: &'static str) -> Result<&'a [u8], EnvelopeError> {
        let mut length = 0_usize;
        for shift in (0..35).step_by(7) {
            let byte = self.byte(field)?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let (head, rest) = self.0.split_at_checked(length).ok_or(EnvelopeError::Truncated(field))?;
                self.0 = rest;
                return Ok(head);
            }
        }
        Err(EnvelopeError::Truncated(field))
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, EnvelopeError> {
        std::str::from_utf8(self.slice(field)?).map_err(|_| EnvelopeError::Utf8(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Envelope<'static> {
        Envelope {
            kind: Kind::Telemetry,
            protocol: Protocol::Mqtt5,
            encoding: Encoding::Json,
            qos: Qos::ExactlyOnce,
            retain: true,
            refused: Some("not JSON"),
            arrived_at: Timestamp::from_nanos(1_700_000_000_123_456_789),
            tenant: "default",
            device: "d1",
            topic: "devices/d1/telemetry",
            origin: Some(Origin { client_id: "c1", packet_id: 7 }),
            properties: &[1, 1],
            payload: b"{\"t\":1}",
        }
    }

    #[test]
    fn an_envelope_comes_back_as_it_went_in() {
        let plain = Envelope { refused: None, origin: None, properties: &[], device: "", ..sample() };
        for envelope in [sample(), plain] {
            let mut bytes = Vec::new();
            envelope.encode(&mut bytes);
            assert_eq!(Envelope::decode(&bytes), Ok(envelope));
        }
    }

    #[test]
    fn a_cut_envelope_is_an_error_or_a_shorter_payload_and_never_a_panic() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        let header = bytes.len() - sample().payload.len();
        for cut in 0..header {
            assert!(
                matches!(Envelope::decode(&bytes[..cut]), Err(EnvelopeError::Truncated(_))),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_replay_names_its_message() {
        let of = ReplayOf { topic: 0, lane: Lane::Backfill, partition: 513, offset: 1 << 40 };
        assert_eq!(ReplayOf::from_bytes(&of.to_bytes()), Some(of));
        assert_eq!(of.to_bytes(), [0, 1, 1, 2, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(ReplayOf::from_bytes(&of.to_bytes()[1..]), None);
    }

    #[test]
    fn another_version_is_refused() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        bytes[0] = 2;
        assert_eq!(Envelope::decode(&bytes), Err(EnvelopeError::Version(2)));
    }
}
