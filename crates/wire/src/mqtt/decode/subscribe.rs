//! SUBSCRIBE (3.8), UNSUBSCRIBE (3.10) and their answers.

use super::super::reader::Reader;
use super::super::rules;
use super::super::topic::{Filter, parse_filter};
use super::super::{
    Carrier, DecodeError, Properties, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter,
    SubscribeOptions, UnsubAck, Unsubscribe,
};
use super::{codes, packet_id, qos};

pub(super) fn subscribe<'a>(reader: &mut Reader<'a>, v5: bool) -> Result<Subscribe<'a>, DecodeError> {
    let packet_id = packet_id(reader, &rules::PACKET_ID_ZERO)?;
    let properties = if v5 { Properties::read(reader, Carrier::Subscribe)? } else { Properties::EMPTY };
    if reader.is_empty() {
        return Err(reader.fail(&rules::SUBSCRIBE_EMPTY));
    }
    let mut filters = Vec::new();
    while !reader.is_empty() {
        let (filter, parsed) = filter(reader)?;
        let options_at = reader.at();
        let options = options(reader, v5)?;
        if options.no_local && parsed.group.is_some() {
            return Err(reader.fail_at(options_at, &rules::NO_LOCAL_SHARED));
        }
        filters.push(SubscribeFilter { filter, options });
    }
    Ok(Subscribe { packet_id, properties, filters })
}

/// A filter of the right form, as written and taken apart.
fn filter<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, Filter<'a>), DecodeError> {
    let start = reader.at() + 2;
    let filter = reader.utf8()?;
    let parsed = parse_filter(filter).map_err(|e| e.in_packet(reader.version, start))?;
    Ok((filter, parsed))
}

/// 3.8.3.1; in 3.1.1 only the two lowest bits exist.
fn options(reader: &mut Reader<'_>, v5: bool) -> Result<SubscribeOptions, DecodeError> {
    let at = reader.at();
    let bits = reader.u8()?;
    let reserved = if v5 { 0xC0 } else { 0xFC };
    if bits & reserved != 0 {
        return Err(reader.fail_at(at, &rules::SUBSCRIBE_RESERVED));
    }
    let qos = qos(bits & 3).ok_or_else(|| reader.fail_at(at, &rules::SUBSCRIBE_QOS_3))?;
    let retain_handling = match bits >> 4 {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(reader.fail_at(at, &rules::RETAIN_HANDLING_3)),
    };
    Ok(SubscribeOptions {
        qos,
        no_local: bits & 0x04 != 0,
        retain_as_published: bits & 0x08 != 0,
        retain_handling,
    })
}

pub(super) fn suback<'a>(reader: &mut Reader<'a>, v5: bool) -> Result<SubAck<'a>, DecodeError> {
    let packet_id = packet_id(reader, &rules::SUBACK_ID_ZERO)?;
    let properties = if v5 { Properties::read(reader, Carrier::SubAck)? } else { Properties::EMPTY };
    let allowed = if v5 { codes::suback } else { codes::suback_v3 };
    let reasons = reasons(reader, allowed, &rules::SUBACK_CODE)?;
    if reasons.is_empty() {
        return Err(reader.fail(&rules::SUBACK_EMPTY));
    }
    Ok(SubAck { packet_id, properties, reasons })
}

pub(super) fn unsubscribe<'a>(reader: &mut Reader<'a>, v5: bool) -> Result<Unsubscribe<'a>, DecodeError> {
    let packet_id = packet_id(reader, &rules::PACKET_ID_ZERO)?;
    let properties = if v5 { Properties::read(reader, Carrier::Unsubscribe)? } else { Properties::EMPTY };
    if reader.is_empty() {
        return Err(reader.fail(&rules::UNSUBSCRIBE_EMPTY));
    }
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(filter(reader)?.0);
    }
    Ok(Unsubscribe { packet_id, properties, filters })
}

/// 3.1.1 sends no codes (3.11).
pub(super) fn unsuback<'a>(reader: &mut Reader<'a>, v5: bool) -> Result<UnsubAck<'a>, DecodeError> {
    let packet_id = packet_id(reader, &rules::SUBACK_ID_ZERO)?;
    if !v5 {
        return Ok(UnsubAck { packet_id, properties: Properties::EMPTY, reasons: Vec::new() });
    }
    let properties = Properties::read(reader, Carrier::SubAck)?;
    let reasons = reasons(reader, codes::unsuback, &rules::UNSUBACK_CODE)?;
    if reasons.is_empty() {
        return Err(reader.fail(&rules::UNSUBACK_EMPTY));
    }
    Ok(UnsubAck { packet_id, properties, reasons })
}

/// The rest of the packet, a code a byte.
fn reasons(
    reader: &mut Reader<'_>,
    allowed: fn(u8) -> bool,
    rule: &'static rules::Rule,
) -> Result<Vec<ReasonCode>, DecodeError> {
    let mut reasons = Vec::new();
    while !reader.is_empty() {
        reasons.push(codes::read(reader, allowed, rule)?);
    }
    Ok(reasons)
}
