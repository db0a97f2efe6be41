//! PUBLISH (3.3) and its acknowledgements (3.4 to 3.7): the packets that there are millions of.

use record::Qos;

use super::super::reader::Reader;
use super::super::rules;
use super::super::topic::check_name;
use super::super::{Ack, AckKind, Carrier, DecodeError, Properties, Publish, ReasonCode};
use super::{Sender, codes, packet_id};

#[inline]
pub(super) fn publish<'a>(
    first: u8,
    reader: &mut Reader<'a>,
    v5: bool,
    sender: Sender,
) -> Result<Publish<'a>, DecodeError> {
    let qos = match first & 0b0110 {
        0b0000 => Qos::AtMostOnce,
        0b0010 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce, // 3 was refused with the fixed header
    };
    let topic_at = reader.at() + 2;
    let topic = reader.utf8()?;
    // An alias may stand for the topic; whether it does is known after the properties.
    if !(v5 && topic.is_empty()) {
        check_name(topic).map_err(|e| e.in_packet(reader.version, topic_at))?;
    }
    let packet_id = if qos == Qos::AtMostOnce { 0 } else { packet_id(reader, &rules::PACKET_ID_ZERO)? };
    let properties = if v5 {
        let carrier = match sender {
            Sender::Client => Carrier::PublishOfClient,
            Sender::Server => Carrier::PublishOfServer,
        };
        Properties::read(reader, carrier)?
    } else {
        Properties::EMPTY
    };
    if topic.is_empty() && properties.topic_alias().is_none() {
        return Err(reader.fail_at(topic_at - 2, &rules::TOPIC_EMPTY_NO_ALIAS));
    }
    Ok(Publish {
        dup: first & 0b1000 != 0,
        qos,
        retain: first & 1 != 0,
        topic,
        packet_id,
        properties,
        payload: reader.rest(),
    })
}

/// Reason code and properties may be left out from the end (3.4.2.1, 3.4.2.2.1).
#[inline]
pub(super) fn ack<'a>(
    kind: AckKind,
    reader: &mut Reader<'a>,
    v5: bool,
    sender: Sender,
) -> Result<Ack<'a>, DecodeError> {
    let packet_id = packet_id(reader, &rules::ACK_ID_ZERO)?;
    let mut ack = Ack { kind, packet_id, reason: ReasonCode::Success, properties: Properties::EMPTY };
    if v5 && !reader.is_empty() {
        ack.reason = codes::read(reader, |code| codes::ack(kind, sender, code), codes::ack_rule(kind))?;
        if !reader.is_empty() {
            ack.properties = Properties::read(reader, Carrier::Ack)?;
        }
    }
    Ok(ack)
}
