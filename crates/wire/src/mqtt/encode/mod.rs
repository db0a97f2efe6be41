//! Packets to bytes. A packet is walked twice, once counting and once writing, so that its length is known before its
//! first byte goes out and nothing is written of one that cannot be.

mod body;
mod fit;
mod publish;

pub use publish::{EncodedPublish, encode_publish, set_dup, set_packet_id};

use super::{AckKind, EncodeError, Packet, ReasonCode, Version, varint};

impl Packet<'_> {
    /// Appends the packet to `out`. In 3.1.1 what it does not know is left out: properties, reasons of
    /// acknowledgements, options of subscriptions but the QoS.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] for a field over 65 535 bytes, [`EncodeError::NotInV3`] for an AUTH, or a CONNACK
    /// whose reason 3.1.1 cannot tell. Then `out` is as before.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let body_len = self.body_len(version)?;
        out.reserve(1 + varint::len(body_len) + body_len);
        out.push(self.first_byte());
        write_length(body_len, out);
        body::write(self, version, out)
    }

    /// Bytes that [`Packet::encode`] will append.
    ///
    /// # Errors
    /// Those of [`Packet::encode`].
    pub fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        let body_len = self.body_len(version)?;
        Ok(1 + varint::len(body_len) + body_len)
    }

    fn body_len(&self, version: Version) -> Result<usize, EncodeError> {
        let mut count = body::Count(0);
        body::write(self, version, &mut count)?;
        if count.0 > varint::MAX as usize {
            return Err(EncodeError::TooLong { field: "packet", len: count.0 });
        }
        Ok(count.0)
    }

    /// Type and flags.
    fn first_byte(&self) -> u8 {
        match self {
            Self::Connect(_) => 0x10,
            Self::ConnAck(_) => 0x20,
            Self::Publish(p) => publish::first_byte(p),
            Self::Ack(ack) => ack_first_byte(ack.kind),
            Self::Subscribe(_) => 0x82,
            Self::SubAck(_) => 0x90,
            Self::Unsubscribe(_) => 0xA2,
            Self::UnsubAck(_) => 0xB0,
            Self::PingReq => 0xC0,
            Self::PingResp => 0xD0,
            Self::Disconnect(_) => 0xE0,
            Self::Auth(_) => 0xF0,
        }
    }
}

/// Appends an acknowledgement without properties: 4 bytes, or 5 when MQTT 5 has something else than success to tell.
#[inline]
pub fn encode_ack(version: Version, kind: AckKind, packet_id: u16, reason: ReasonCode, out: &mut Vec<u8>) {
    let [high, low] = packet_id.to_be_bytes();
    if version == Version::V3 || reason == ReasonCode::Success {
        out.extend_from_slice(&[ack_first_byte(kind), 2, high, low]);
    } else {
        out.extend_from_slice(&[ack_first_byte(kind), 3, high, low, reason as u8]);
    }
}

#[inline]
const fn ack_first_byte(kind: AckKind) -> u8 {
    match kind {
        AckKind::PubAck => 0x40,
        AckKind::PubRec => 0x50,
        AckKind::PubRel => 0x62,
        AckKind::PubComp => 0x70,
    }
}

fn write_length(len: usize, out: &mut Vec<u8>) {
    let (bytes, n) = varint::bytes(len);
    out.extend_from_slice(&bytes[..n]);
}
