//! Bytes to packets, strictly: what the standard forbids is refused with the code it asks for, before anything is
//! kept, and a packet over the limit as soon as its length is known. The refusals are listed in `rules`.

mod codes;
mod connect;
mod ending;
mod publish;
mod subscribe;

use record::Qos;

use super::reader::Reader;
use super::rules::{self, Rule};
use super::{AckKind, DecodeError, Packet, Version, varint};

/// Who sent the bytes: some packets go one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A client; the reader is a server.
    Client,
    /// A server; the reader is a client.
    Server,
}

/// What the decoder has to know of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The version agreed on. None on a server before the CONNECT, and then nothing but a CONNECT is accepted.
    pub version: Option<Version>,
    /// Longest packet accepted, bytes, its fixed header included.
    pub max_packet_bytes: usize,
    /// Who sent the bytes.
    pub sender: Sender,
}

/// What the bytes hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded<'a> {
    /// The start of a packet, of which so many bytes are missing; none while the length itself is incomplete.
    Incomplete(Option<usize>),
    /// A packet.
    Packet {
        /// It borrows from the bytes.
        packet: Packet<'a>,
        /// Bytes it took, its fixed header included; the next packet starts behind them.
        consumed: usize,
    },
}

/// The kinds of packet, by their number on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connect,
    ConnAck,
    Publish,
    Ack(AckKind),
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    PingReq,
    PingResp,
    Disconnect,
    Auth,
}

/// Decodes the packet at the start of `bytes`.
///
/// The answer does not depend on how the bytes were cut: a packet refused when whole is refused, with the same error,
/// at the latest when its last byte is there, and never accepted before.
///
/// # Errors
/// What the packet breaks, with the reason code to answer with and the byte. The connection is of no more use.
#[inline]
pub fn decode<'a>(bytes: &'a [u8], limits: &DecodeLimits) -> Result<Decoded<'a>, DecodeError> {
    let Some(&first) = bytes.first() else { return Ok(Decoded::Incomplete(None)) };
    let refuse = |at, rule| Err(DecodeError::new(rule, limits.version, at));
    let kind = match kind_of(first, limits) {
        Ok(kind) => kind,
        Err(rule) => return refuse(0, rule),
    };
    let (body_len, length_len) = match varint::read(&bytes[1..]) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Decoded::Incomplete(None)),
        Err(rule) => return refuse(1, rule),
    };
    let body_at = 1 + length_len;
    let total = body_at + body_len as usize;
    if total > limits.max_packet_bytes {
        return Err(DecodeError::too_large(limits.version, total, limits.max_packet_bytes));
    }
    if bytes.len() < total {
        return Ok(Decoded::Incomplete(Some(total - bytes.len())));
    }
    let mut reader = Reader::new(&bytes[..total], body_at, limits.version);
    let packet = body(kind, first, &mut reader, limits)?;
    if !reader.is_empty() {
        return Err(reader.fail(&rules::TRAILING));
    }
    Ok(Decoded::Packet { packet, consumed: total })
}

/// What the first byte says, and whether it may: the type, its flags, and who sends it when.
#[inline]
fn kind_of(first: u8, limits: &DecodeLimits) -> Result<Kind, &'static Rule> {
    let (kind, flags) = kind_and_flags(first >> 4)?;
    match flags {
        Some((wanted, rule)) if first & 0x0F != wanted => return Err(rule),
        None if first & 0b0110 == 0b0110 => return Err(&rules::QOS_3),
        None if first & 0b1110 == 0b1000 => return Err(&rules::DUP_QOS_0),
        _ => {}
    }
    check_turn(kind, limits)?;
    Ok(kind)
}

/// The type of this number, and the flags it must have; PUBLISH has its own.
#[expect(clippy::type_complexity, reason = "a table of two columns, used once")]
#[inline]
fn kind_and_flags(number: u8) -> Result<(Kind, Option<(u8, &'static Rule)>), &'static Rule> {
    let none = |kind| Ok((kind, Some((0, &rules::WRONG_FLAGS))));
    match number {
        1 => none(Kind::Connect),
        2 => none(Kind::ConnAck),
        3 => Ok((Kind::Publish, None)),
        4 => none(Kind::Ack(AckKind::PubAck)),
        5 => none(Kind::Ack(AckKind::PubRec)),
        6 => Ok((Kind::Ack(AckKind::PubRel), Some((2, &rules::PUBREL_FLAGS)))),
        7 => none(Kind::Ack(AckKind::PubComp)),
        8 => Ok((Kind::Subscribe, Some((2, &rules::SUBSCRIBE_FLAGS)))),
        9 => none(Kind::SubAck),
        10 => Ok((Kind::Unsubscribe, Some((2, &rules::UNSUBSCRIBE_FLAGS)))),
        11 => none(Kind::UnsubAck),
        12 => none(Kind::PingReq),
        13 => none(Kind::PingResp),
        14 => Ok((Kind::Disconnect, Some((0, &rules::DISCONNECT_FLAGS)))),
        15 => Ok((Kind::Auth, Some((0, &rules::AUTH_FLAGS)))),
        _ => Err(&rules::RESERVED_TYPE),
    }
}

/// Whether this side may send such a packet now.
#[inline]
fn check_turn(kind: Kind, limits: &DecodeLimits) -> Result<(), &'static Rule> {
    let version = match (limits.version, kind) {
        (None, Kind::Connect) if limits.sender == Sender::Client => return Ok(()),
        (None, _) => return Err(&rules::FIRST_NOT_CONNECT),
        (Some(version), _) => version,
    };
    match (kind, limits.sender) {
        (Kind::Publish | Kind::Ack(_), _) => Ok(()),
        (Kind::Connect, Sender::Client) => Err(&rules::SECOND_CONNECT),
        (Kind::Auth, _) if version == Version::V3 => Err(&rules::NOT_IN_3_1_1),
        (Kind::Disconnect, Sender::Server) if version == Version::V3 => Err(&rules::WRONG_DIRECTION),
        (Kind::Disconnect | Kind::Auth, _)
        | (Kind::Subscribe | Kind::Unsubscribe | Kind::PingReq, Sender::Client)
        | (Kind::ConnAck | Kind::SubAck | Kind::UnsubAck | Kind::PingResp, Sender::Server) => Ok(()),
        _ => Err(&rules::WRONG_DIRECTION),
    }
}

#[inline]
fn body<'a>(
    kind: Kind,
    first: u8,
    reader: &mut Reader<'a>,
    limits: &DecodeLimits,
) -> Result<Packet<'a>, DecodeError> {
    let v5 = limits.version == Some(Version::V5);
    Ok(match kind {
        Kind::Publish => Packet::Publish(publish::publish(first, reader, v5, limits.sender)?),
        Kind::Ack(kind) => Packet::Ack(publish::ack(kind, reader, v5, limits.sender)?),
        Kind::PingReq => Packet::PingReq,
        Kind::PingResp => Packet::PingResp,
        Kind::Connect => Packet::Connect(connect::connect(reader)?),
        Kind::ConnAck => Packet::ConnAck(connect::connack(reader, v5)?),
        Kind::Subscribe => Packet::Subscribe(subscribe::subscribe(reader, v5)?),
        Kind::SubAck => Packet::SubAck(subscribe::suback(reader, v5)?),
        Kind::Unsubscribe => Packet::Unsubscribe(subscribe::unsubscribe(reader, v5)?),
        Kind::UnsubAck => Packet::UnsubAck(subscribe::unsuback(reader, v5)?),
        Kind::Disconnect => Packet::Disconnect(ending::disconnect(reader, v5, limits.sender)?),
        Kind::Auth => Packet::Auth(ending::auth(reader, limits.sender)?),
    })
}

/// A packet identifier, which is never 0.
#[inline]
fn packet_id(reader: &mut Reader<'_>, zero: &'static Rule) -> Result<u16, DecodeError> {
    let at = reader.at();
    match reader.u16()? {
        0 => Err(reader.fail_at(at, zero)),
        id => Ok(id),
    }
}

/// QoS by its number on the wire.
#[inline]
fn qos(bits: u8) -> Option<Qos> {
    match bits {
        0 => Some(Qos::AtMostOnce),
        1 => Some(Qos::AtLeastOnce),
        2 => Some(Qos::ExactlyOnce),
        _ => None,
    }
}
