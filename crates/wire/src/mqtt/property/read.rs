//! Reading properties: checked once when a packet is decoded, walked when somebody asks.

use super::super::reader::Reader;
use super::super::rules::{self, Rule};
use super::super::topic::check_name;
use super::super::{DecodeError, Version};
use super::{Carrier, PropertiesBuf, Property};

/// The properties of a packet, as on the wire without their length. Bytes that came through the decoder are
/// well-formed, allowed in their packet, and not doubled where the standard forbids it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Properties<'a>(pub(in crate::mqtt) &'a [u8]);

/// The properties of a packet, one after the other.
#[derive(Clone)]
pub struct Iter<'a>(Reader<'a>);

impl<'a> Properties<'a> {
    /// None at all.
    pub const EMPTY: Self = Self(&[]);

    /// Takes `bytes` as properties, for instance those of a message that was stored.
    ///
    /// # Errors
    /// Whatever `carrier` may not carry; the offset counts from the start of `bytes`.
    pub fn parse(bytes: &'a [u8], carrier: Carrier) -> Result<Self, DecodeError> {
        Self::check(&mut Reader::new(bytes, 0, Some(Version::V5)), carrier)?;
        Ok(Self(bytes))
    }

    /// The bytes on the wire, without their length.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// One after the other, in the order of the wire.
    #[must_use]
    pub fn iter(self) -> Iter<'a> {
        Iter(Reader::new(self.0, 0, None))
    }

    /// Reads a property length and so many bytes of properties, and checks them.
    #[inline]
    pub(in crate::mqtt) fn read(reader: &mut Reader<'a>, carrier: Carrier) -> Result<Self, DecodeError> {
        let start = reader.at();
        let len = reader.varint()? as usize;
        if len == 0 {
            return Ok(Self::EMPTY);
        }
        Self::read_some(reader, carrier, start, len)
    }

    fn read_some(
        reader: &mut Reader<'a>,
        carrier: Carrier,
        start: usize,
        len: usize,
    ) -> Result<Self, DecodeError> {
        let mut inside = *reader;
        let bytes = reader.take(len).map_err(|_| reader.fail_at(start, &rules::TRUNCATED))?;
        inside.end_after(len);
        Self::check(&mut inside, carrier)?;
        Ok(Self(bytes))
    }

    fn check(reader: &mut Reader<'a>, carrier: Carrier) -> Result<(), DecodeError> {
        let mut seen = 0_u64;
        while !reader.is_empty() {
            let at = reader.at();
            let property = Property::read(reader)?;
            let bit = 1_u64 << property.id();
            if carrier.allowed() & bit == 0 {
                return Err(reader.fail_at(at, &rules::PROPERTY_NOT_HERE));
            }
            if seen & bit & !carrier.repeatable() != 0 {
                return Err(reader.fail_at(at, &rules::PROPERTY_TWICE));
            }
            seen |= bit;
            match (property, carrier) {
                (Property::SubscriptionId(_), Carrier::PublishOfClient) => {
                    return Err(reader.fail_at(at, &rules::SUBSCRIPTION_ID_FROM_CLIENT));
                }
                (Property::SessionExpiry(_), Carrier::DisconnectOfServer) => {
                    return Err(reader.fail_at(at, &rules::SESSION_EXPIRY_FROM_SERVER));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Appends to `out` those properties of a PUBLISH or will that travel with its message: payload format, content
    /// type, response topic, correlation data, and user properties in their order (MQTT-3.3.2-17). Topic alias,
    /// subscription identifiers and will delay belong to one hop and stay behind. The message expiry is not copied but
    /// written as given, because what is left of it shrinks while the message waits (MQTT-3.3.2-6).
    pub fn forward(self, message_expiry_s: Option<u32>, out: &mut PropertiesBuf) {
        if let Some(left_s) = message_expiry_s {
            out.push(Property::MessageExpiry(left_s));
        }
        let travels = |id: u8| matches!(id, 0x01 | 0x03 | 0x08 | 0x09 | 0x26);
        self.copy_if(travels, out);
    }

    /// Appends to `out`, as they are, those whose identifier `keep` wants.
    pub(in crate::mqtt) fn copy_if(self, keep: impl Fn(u8) -> bool, out: &mut PropertiesBuf) {
        let mut iter = self.iter();
        loop {
            let start = iter.0.at();
            let Some(property) = iter.next() else { return };
            if keep(property.id()) {
                out.0.extend_from_slice(&self.0[start..iter.0.at()]);
            }
        }
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = Property<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        if self.0.is_empty() {
            return None;
        }
        // Checked before; bytes that were not end the walk.
        Property::read(&mut self.0).ok()
    }
}

impl<'a> Property<'a> {
    /// Reads one and checks its value; whether it is allowed here is for the caller to say.
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let at = reader.at();
        let id = reader.varint()?;
        Ok(match id {
            0x01 => Self::PayloadFormat(u8::from(boolean(reader)?)),
            0x02 => Self::MessageExpiry(reader.u32()?),
            0x03 => Self::ContentType(reader.string()?),
            0x08 => Self::ResponseTopic(response_topic(reader)?),
            0x09 => Self::CorrelationData(reader.binary()?),
            0x0B => Self::SubscriptionId(not_zero(reader, &rules::SUBSCRIPTION_ID_ZERO, Reader::varint)?),
            0x11 => Self::SessionExpiry(reader.u32()?),
            0x12 => Self::AssignedClientId(reader.string()?),
            0x13 => Self::ServerKeepAlive(reader.u16()?),
            0x15 => Self::AuthMethod(reader.string()?),
            0x16 => Self::AuthData(reader.binary()?),
            0x17 => Self::RequestProblemInformation(boolean(reader)?),
            0x18 => Self::WillDelay(reader.u32()?),
            0x19 => Self::RequestResponseInformation(boolean(reader)?),
            0x1A => Self::ResponseInformation(reader.string()?),
            0x1C => Self::ServerReference(reader.string()?),
            0x1F => Self::ReasonString(reader.string()?),
            0x21 => Self::ReceiveMaximum(not_zero(reader, &rules::RECEIVE_MAXIMUM_ZERO, Reader::u16)?),
            0x22 => Self::TopicAliasMaximum(reader.u16()?),
            0x23 => Self::TopicAlias(not_zero(reader, &rules::TOPIC_ALIAS_ZERO, Reader::u16)?),
            0x24 => Self::MaximumQos(u8::from(boolean(reader)?)),
            0x25 => Self::RetainAvailable(boolean(reader)?),
            0x26 => Self::UserProperty(reader.string()?, reader.string()?),
            0x27 => Self::MaximumPacketSize(not_zero(reader, &rules::MAXIMUM_PACKET_SIZE_ZERO, Reader::u32)?),
            0x28 => Self::WildcardAvailable(boolean(reader)?),
            0x29 => Self::SubscriptionIdAvailable(boolean(reader)?),
            0x2A => Self::SharedAvailable(boolean(reader)?),
            _ => return Err(reader.fail_at(at, &rules::PROPERTY_UNKNOWN)),
        })
    }
}

fn boolean(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    let at = reader.at();
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.fail_at(at, &rules::PROPERTY_NOT_BOOLEAN)),
    }
}

fn not_zero<'a, N: PartialEq + Default>(
    reader: &mut Reader<'a>,
    rule: &'static Rule,
    read: impl Fn(&mut Reader<'a>) -> Result<N, DecodeError>,
) -> Result<N, DecodeError> {
    let at = reader.at();
    let value = read(reader)?;
    if value == N::default() { Err(reader.fail_at(at, rule)) } else { Ok(value) }
}

/// A topic to answer to is a topic name.
fn response_topic<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let start = reader.at();
    let topic = reader.utf8()?;
    match check_name(topic) {
        Ok(()) => Ok(topic),
        Err(e) => {
            let rule = if *e.rule == rules::TOPIC_WILDCARD {
                &rules::RESPONSE_TOPIC_WILDCARD
            } else if *e.rule == rules::TOPIC_EMPTY {
                &rules::RESPONSE_TOPIC_EMPTY
            } else {
                e.rule
            };
            Err(reader.fail_at(start + 2 + e.at, rule))
        }
    }
}

macro_rules! lookups {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $value:ty;)+) => {
        impl<'a> Properties<'a> {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(self) -> Option<$value> {
                self.iter().find_map(|p| match p { Property::$variant(value) => Some(value), _ => None })
            })+
        }
    };
}

lookups! {
    /// 1 when the payload is said to be UTF-8 text.
    payload_format: PayloadFormat -> u8;
    /// Seconds the message may wait.
    message_expiry: MessageExpiry -> u32;
    /// What the payload is, in the publisher's words.
    content_type: ContentType -> &'a str;
    /// Where to answer to.
    response_topic: ResponseTopic -> &'a str;
    /// What the answer repeats.
    correlation_data: CorrelationData -> &'a [u8];
    /// The subscription identifier, the first where there are several.
    subscription_id: SubscriptionId -> u32;
    /// Seconds the session outlives its connection; `u32::MAX` = for ever.
    session_expiry: SessionExpiry -> u32;
    /// The client id that the server chose.
    assigned_client_id: AssignedClientId -> &'a str;
    /// Seconds, instead of those the client asked for.
    server_keep_alive: ServerKeepAlive -> u16;
    /// Which extended authentication.
    auth_method: AuthMethod -> &'a str;
    /// Its bytes.
    auth_data: AuthData -> &'a [u8];
    /// Whether reason strings and user properties are wanted on anything but PUBLISH, CONNACK and DISCONNECT; absent = yes.
    request_problem_information: RequestProblemInformation -> bool;
    /// Seconds between the loss of the connection and the will.
    will_delay: WillDelay -> u32;
    /// Whether response information is wanted in the CONNACK; absent = no.
    request_response_information: RequestResponseInformation -> bool;
    /// On what to base response topics.
    response_information: ResponseInformation -> &'a str;
    /// Which server to use instead.
    server_reference: ServerReference -> &'a str;
    /// Why, for people.
    reason_string: ReasonString -> &'a str;
    /// How many QoS 1 and 2 publishes may be unacknowledged at once; absent = 65 535.
    receive_maximum: ReceiveMaximum -> u16;
    /// The highest topic alias accepted; absent = 0, none.
    topic_alias_maximum: TopicAliasMaximum -> u16;
    /// The number that stands for the topic on this connection.
    topic_alias: TopicAlias -> u16;
    /// The highest QoS the server takes; absent = 2.
    maximum_qos: MaximumQos -> u8;
    /// Whether the server retains; absent = yes.
    retain_available: RetainAvailable -> bool;
    /// Bytes of the largest packet accepted; absent = no limit.
    maximum_packet_size: MaximumPacketSize -> u32;
    /// Whether the server takes wildcards; absent = yes.
    wildcard_available: WildcardAvailable -> bool;
    /// Whether the server takes subscription identifiers; absent = yes.
    subscription_id_available: SubscriptionIdAvailable -> bool;
    /// Whether the server takes shared subscriptions; absent = yes.
    shared_available: SharedAvailable -> bool;
}

impl<'a> Properties<'a> {
    /// All subscription identifiers of a PUBLISH.
    pub fn subscription_ids(self) -> impl Iterator<Item = u32> + 'a {
        self.iter().filter_map(|p| if let Property::SubscriptionId(id) = p { Some(id) } else { None })
    }

    /// Names and values of the user properties, in their order.
    pub fn user_properties(self) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        self.iter().filter_map(|p| if let Property::UserProperty(k, v) = p { Some((k, v)) } else { None })
    }
}
