//! What follows the fixed header.

use super::super::{
    Ack, Auth, ConnAck, Connect, Disconnect, EncodeError, Packet, Properties, Publish, ReasonCode, SubAck,
    Subscribe, SubscribeFilter, UnsubAck, Unsubscribe, Version, varint,
};
use record::Qos;

/// Where bytes go: a buffer, or a count of them.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

/// Counts.
pub(super) struct Count(pub(super) usize);

impl Sink for Count {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

pub(super) fn write(packet: &Packet<'_>, version: Version, out: &mut impl Sink) -> Result<(), EncodeError> {
    let v5 = version == Version::V5;
    match packet {
        Packet::Connect(p) => connect(p, out),
        Packet::ConnAck(p) => connack(p, v5, out),
        Packet::Publish(p) => publish(p, v5, out),
        Packet::Ack(p) => ack(p, v5, out),
        Packet::Subscribe(p) => subscribe(p, v5, out),
        Packet::SubAck(p) => suback(p, v5, out),
        Packet::Unsubscribe(p) => unsubscribe(p, v5, out),
        Packet::UnsubAck(p) => unsuback(p, v5, out),
        Packet::PingReq | Packet::PingResp => Ok(()),
        Packet::Disconnect(p) => disconnect(p, v5, out),
        Packet::Auth(p) => auth(p, v5, out),
    }
}

/// A CONNECT says itself which version it is in.
fn connect(p: &Connect<'_>, out: &mut impl Sink) -> Result<(), EncodeError> {
    let v5 = p.version == Version::V5;
    let mut flags = 0;
    flags |= if p.clean_start { 0x02 } else { 0 };
    if let Some(will) = &p.will {
        flags |= 0x04 | qos_bits(will.qos) << 3 | if will.retain { 0x20 } else { 0 };
    }
    flags |= if p.password.is_some() { 0x40 } else { 0 };
    flags |= if p.username.is_some() { 0x80 } else { 0 };
    out.put(b"\0\x04MQTT");
    out.put(&[if v5 { 5 } else { 4 }, flags]);
    out.put(&p.keep_alive_s.to_be_bytes());
    properties(p.properties, v5, out);
    field("client id", p.client_id.as_bytes(), out)?;
    if let Some(will) = &p.will {
        properties(will.properties, v5, out);
        field("will topic", will.topic.as_bytes(), out)?;
        field("will payload", will.payload, out)?;
    }
    p.username.map_or(Ok(()), |name| field("user name", name.as_bytes(), out))?;
    p.password.map_or(Ok(()), |password| field("password", password, out))
}

fn connack(p: &ConnAck<'_>, v5: bool, out: &mut impl Sink) -> Result<(), EncodeError> {
    let code = if v5 {
        p.reason as u8
    } else {
        p.reason.connack_v3().ok_or(EncodeError::NotInV3("CONNACK return code for this reason"))?
    };
    out.put(&[p.session_present.into(), code]);
    properties(p.properties, v5, out);
    Ok(())
}

fn publish(p: &Publish<'_>, v5: bool, out: &mut impl Sink) -> Result<(), EncodeError> {
    field("topic", p.topic.as_bytes(), out)?;
    if p.qos != Qos::AtMostOnce {
        out.put(&p.packet_id.to_be_bytes());
    }
    properties(p.properties, v5, out);
    out.put(p.payload);
    Ok(())
}

fn ack(p: &Ack<'_>, v5: bool, out: &mut impl Sink) -> Result<(), EncodeError> {
    out.put(&p.packet_id.to_be_bytes());
    reason_and_properties(p.reason, p.properties, v5, out);
    Ok(())
}

fn subscribe(p: &Subscribe<'_>, v5: bool, out: &mut impl Sink) -> Result<(), EncodeError> {
    out.put(&p.packet_id.to_be_bytes());
    properties(p.properties, v5, out);
    p.filters.iter().try_for_each(|f| {
        field("topic filter", f.filter.as_bytes(), out)?;
        out.put(&[options(f, v5)]);
        Ok(())
    })
}

fn options(f: &SubscribeFilter<'_>, v5: bool) -> u8 {
    let o = f.options;
    let qos = qos_bits(o.qos);
    if !v5 {
        return qos;
    }
    qos | u8::from(o.no_local) << 2 | u8::from(o.retain_as_published) << 3 | (o.retain_handling as u8) << 4
}

fn suback(p: &SubAck<'_>, v5: bool, out: &mut impl Sink) -> Result<(), EncodeError> {
    out.put(&p.packet_id.to_be_bytes());
    properties(p.properties, v5, out);
    for &reason in &p.reasons {
        // 3.1.1 knows one failure (3.9.3).
        out.put(&[if v5 || !reason.is_error() { reason as u8 } else { 0x80 }]);
    }
    Ok(())
}

fn unsubscribe(p: &Unsubscribe<'_>, v5: bool, out: &mut impl Sink) -> Result<(), EncodeError> {
    out.put(&p.packet_id.to_be_bytes());
    properties(p.properties, v5, out);
    p.filters.iter().try_for_each(|f| field("topic filter", f.as_bytes(), out))
}

fn unsuback(p: &UnsubAck<'_>, v5: bool, out: &mut impl Sink) -> Result<(), EncodeError> {
    out.put(&p.packet_id.to_be_bytes());
    properties(p.properties, v5, out);
    if v5 {
        p.reasons.iter().for_each(|&reason| out.put(&[reason as u8]));
    }
    Ok(())
}

fn disconnect(p: &Disconnect<'_>, v5: bool, out: &mut impl Sink) -> Result<(), EncodeError> {
    reason_and_properties(p.reason, p.properties, v5, out);
    Ok(())
}

fn auth(p: &Auth<'_>, v5: bool, out: &mut impl Sink) -> Result<(), EncodeError> {
    if !v5 {
        return Err(EncodeError::NotInV3("AUTH packet"));
    }
    // Unlike with DISCONNECT, a code alone is no AUTH: both are there or neither (3.15.2.1).
    if p.reason != ReasonCode::Success || !p.properties.is_empty() {
        out.put(&[p.reason as u8]);
        properties(p.properties, v5, out);
    }
    Ok(())
}

/// Left out from the end as far as they say nothing.
fn reason_and_properties(reason: ReasonCode, all: Properties<'_>, v5: bool, out: &mut impl Sink) {
    if v5 && (reason != ReasonCode::Success || !all.is_empty()) {
        out.put(&[reason as u8]);
        if !all.is_empty() {
            properties(all, v5, out);
        }
    }
}

fn properties(all: Properties<'_>, v5: bool, out: &mut impl Sink) {
    if v5 {
        let (length, n) = varint::bytes(all.0.len());
        out.put(&length[..n]);
        out.put(all.0);
    }
}

fn field(name: &'static str, bytes: &[u8], out: &mut impl Sink) -> Result<(), EncodeError> {
    let len =
        u16::try_from(bytes.len()).map_err(|_| EncodeError::TooLong { field: name, len: bytes.len() })?;
    out.put(&len.to_be_bytes());
    out.put(bytes);
    Ok(())
}

pub(super) const fn qos_bits(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}
