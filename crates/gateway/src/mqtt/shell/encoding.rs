//! A message as one receiver gets it.

use record::{Envelope, Qos, Timestamp};
use wire::mqtt::session::{TopicName, remaining_expiry_s};
use wire::mqtt::{Carrier, Properties, PropertiesBuf, Property, Publish, Version};

/// What differs between the receivers of a message.
pub(super) struct Head<'a> {
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) dup: bool,
    pub(super) packet_id: u16,
    pub(super) ids: &'a [u32],
}

/// Why a message is not sent.
pub(super) enum Lost {
    Expired,
    TooLarge,
}

/// Appends the PUBLISH of a message for one receiver.
pub(super) fn encode_delivery(
    envelope: &Envelope<'_>,
    head: &Head<'_>,
    version: Version,
    packet_bytes: u32,
    now: Timestamp,
    name: impl FnOnce(&str) -> TopicName,
    out: &mut Vec<u8>,
) -> Result<(), Lost> {
    let stored = match envelope.properties {
        [] => Properties::EMPTY,
        bytes => Properties::parse(bytes, Carrier::PublishOfServer).unwrap_or(Properties::EMPTY),
    };
    let expiry_s = match stored.message_expiry() {
        None => None,
        Some(given) => {
            let left = remaining_expiry_s(given, envelope.arrived_at.millis(), now.millis());
            Some(left.ok_or(Lost::Expired)?)
        }
    };
    let mut properties = PropertiesBuf::new();
    let mut topic = envelope.topic;
    if version == Version::V5 {
        stored.forward(expiry_s, &mut properties);
        for id in head.ids {
            properties.push(Property::SubscriptionId(*id));
        }
        match name(topic) {
            TopicName::Full => {}
            TopicName::Introduce(alias) => {
                properties.push(Property::TopicAlias(alias));
            }
            TopicName::Alias(alias) => {
                properties.push(Property::TopicAlias(alias));
                topic = "";
            }
        }
    }
    let publish = Publish {
        dup: head.dup,
        qos: head.qos,
        retain: head.retain,
        topic,
        packet_id: head.packet_id,
        properties: properties.as_properties(),
        payload: envelope.payload,
    };
    let before = out.len();
    match wire::mqtt::encode_publish(&publish, version, out) {
        Ok(encoded) if encoded.len <= packet_bytes as usize => Ok(()),
        _ => {
            out.truncate(before);
            Err(Lost::TooLarge)
        }
    }
}
