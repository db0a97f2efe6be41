//! PUBLISH for many receivers: encoded once per (version, QoS); each receiver differs in the packet identifier and
//! perhaps the DUP flag, which lie at known places.

use record::Qos;

use super::super::{EncodeError, Publish, Version, varint};
use super::body::qos_bits;

/// Where the parts of a PUBLISH lie that was just encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedPublish {
    /// Bytes of the whole packet.
    pub len: usize,
    /// Byte of the packet at which the two bytes of the packet identifier are; none with QoS 0.
    pub packet_id_at: Option<usize>,
}

/// Appends a PUBLISH to `out` and says where its packet identifier lies.
///
/// To share the bytes, send `..packet_id_at`, the receiver's own two bytes, and `packet_id_at + 2..`; or copy and use
/// [`set_packet_id`].
///
/// # Errors
/// [`EncodeError::TooLong`]; then `out` is as before.
#[inline]
pub fn encode_publish(
    publish: &Publish<'_>,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<EncodedPublish, EncodeError> {
    let v5 = version == Version::V5;
    let topic = publish.topic.as_bytes();
    let topic_len =
        u16::try_from(topic.len()).map_err(|_| EncodeError::TooLong { field: "topic", len: topic.len() })?;
    let id_len = if publish.qos == Qos::AtMostOnce { 0 } else { 2 };
    let properties = if v5 { publish.properties.as_bytes() } else { &[] };
    let properties_len_len = if v5 { varint::len(properties.len()) } else { 0 };
    let body_len = 2 + topic.len() + id_len + properties_len_len + properties.len() + publish.payload.len();
    if body_len > varint::MAX as usize {
        return Err(EncodeError::TooLong { field: "packet", len: body_len });
    }
    let (length, length_len) = varint::bytes(body_len);
    let len = 1 + length_len + body_len;
    out.reserve(len);
    out.push(first_byte(publish));
    out.extend_from_slice(&length[..length_len]);
    out.extend_from_slice(&topic_len.to_be_bytes());
    out.extend_from_slice(topic);
    if id_len > 0 {
        out.extend_from_slice(&publish.packet_id.to_be_bytes());
    }
    if v5 {
        let (properties_len, n) = varint::bytes(properties.len());
        out.extend_from_slice(&properties_len[..n]);
        out.extend_from_slice(properties);
    }
    out.extend_from_slice(publish.payload);
    Ok(EncodedPublish { len, packet_id_at: (id_len > 0).then_some(1 + length_len + 2 + topic.len()) })
}

/// Gives a copy of an encoded PUBLISH its receiver's packet identifier, at [`EncodedPublish::packet_id_at`].
#[inline]
pub fn set_packet_id(packet: &mut [u8], at: usize, packet_id: u16) {
    packet[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
}

/// Marks a copy of an encoded PUBLISH of QoS 1 or 2 as sent before, or not.
#[inline]
pub fn set_dup(packet: &mut [u8], dup: bool) {
    packet[0] = packet[0] & !0x08 | u8::from(dup) << 3;
}

pub(super) fn first_byte(p: &Publish<'_>) -> u8 {
    0x30 | u8::from(p.dup) << 3 | qos_bits(p.qos) << 1 | u8::from(p.retain)
}
