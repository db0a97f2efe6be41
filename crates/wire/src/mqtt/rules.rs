//! What the decoder refuses: every rule with its reason code, its words, and the normative statement of each
//! version ("" where the standard has none). A refusal points here, so that it costs two words and no allocation.
//!
//! Which code: what cannot be parsed is `MalformedPacket`, what parses but is not allowed is `ProtocolError`
//! (MQTT 5, 1.2 and 4.13), unless a more telling code exists. Ill-formed topic names and filters get 0x90 and 0x8F,
//! which tell the client more than 0x81 would.

use super::{ReasonCode, Version};

/// A rule that a packet can break.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) reason: ReasonCode,
    pub(super) what: &'static str,
    v3: &'static str,
    v5: &'static str,
}

impl Rule {
    /// The statement it comes from, of the version, or of either when the version is not known yet.
    pub(super) fn statement(&self, version: Option<Version>) -> Option<&'static str> {
        let statement = match version {
            Some(Version::V3) => self.v3,
            Some(Version::V5) => self.v5,
            None if self.v5.is_empty() => self.v3,
            None => self.v5,
        };
        (!statement.is_empty()).then_some(statement)
    }
}

macro_rules! rules {
    ($($name:ident = $reason:ident, $what:literal, $v3:literal, $v5:literal;)+) => {
        $(pub(super) static $name: Rule =
            Rule { reason: ReasonCode::$reason, what: $what, v3: $v3, v5: $v5 };)+
    };
}

// Framing.
rules! {
    RESERVED_TYPE = MalformedPacket, "packet type is reserved", "", "";
    WRONG_FLAGS = MalformedPacket, "flags of the fixed header are not those of the packet type", "MQTT-2.2.2-2", "MQTT-2.1.3-1";
    PUBREL_FLAGS = MalformedPacket, "flags of PUBREL are not 0010", "MQTT-3.6.1-1", "MQTT-3.6.1-1";
    SUBSCRIBE_FLAGS = MalformedPacket, "flags of SUBSCRIBE are not 0010", "MQTT-3.8.1-1", "MQTT-3.8.1-1";
    UNSUBSCRIBE_FLAGS = MalformedPacket, "flags of UNSUBSCRIBE are not 0010", "MQTT-3.10.1-1", "MQTT-3.10.1-1";
    DISCONNECT_FLAGS = MalformedPacket, "flags of DISCONNECT are not 0000", "MQTT-3.14.1-1", "MQTT-3.14.1-1";
    AUTH_FLAGS = MalformedPacket, "flags of AUTH are not 0000", "", "MQTT-3.15.1-1";
    QOS_3 = MalformedPacket, "QoS is 3", "MQTT-3.3.1-4", "MQTT-3.3.1-4";
    DUP_QOS_0 = MalformedPacket, "DUP is set on a message of QoS 0", "MQTT-3.3.1-2", "MQTT-3.3.1-2";
    LENGTH_OVERLONG = MalformedPacket, "length takes more than four bytes", "", "";
    LENGTH_NOT_MINIMAL = MalformedPacket, "length is not in its shortest form", "", "MQTT-1.5.5-1";
    PACKET_TOO_LARGE = PacketTooLarge, "packet is longer than the limit", "", "MQTT-3.2.2-15";
    FIRST_NOT_CONNECT = ProtocolError, "first packet is not a CONNECT", "MQTT-3.1.0-1", "MQTT-3.1.0-1";
    SECOND_CONNECT = ProtocolError, "second CONNECT on a connection", "MQTT-3.1.0-2", "MQTT-3.1.0-2";
    WRONG_DIRECTION = ProtocolError, "packet type is not one this side sends", "", "";
    NOT_IN_3_1_1 = MalformedPacket, "packet type does not exist in MQTT 3.1.1", "", "";
}

// Fields.
rules! {
    TRUNCATED = MalformedPacket, "packet ends inside a field", "", "";
    TRAILING = MalformedPacket, "bytes follow the last field", "", "";
    BAD_UTF8 = MalformedPacket, "string is not well-formed UTF-8", "MQTT-1.5.3-1", "MQTT-1.5.4-1";
    NUL_IN_STRING = MalformedPacket, "string contains U+0000", "MQTT-1.5.3-2", "MQTT-1.5.4-2";
    PACKET_ID_ZERO = ProtocolError, "packet identifier is 0", "MQTT-2.3.1-1", "MQTT-2.2.1-3";
    ACK_ID_ZERO = ProtocolError, "acknowledgement of packet identifier 0", "MQTT-2.3.1-6", "MQTT-2.2.1-5";
    SUBACK_ID_ZERO = ProtocolError, "acknowledgement of packet identifier 0", "MQTT-2.3.1-7", "MQTT-2.2.1-6";
}

// CONNECT and CONNACK.
rules! {
    PROTOCOL_NAME = UnsupportedProtocolVersion, "protocol name is not \"MQTT\"", "MQTT-3.1.2-1", "MQTT-3.1.2-1";
    PROTOCOL_LEVEL = UnsupportedProtocolVersion, "protocol level is neither 4 nor 5", "MQTT-3.1.2-2", "MQTT-3.1.2-2";
    CONNECT_RESERVED = MalformedPacket, "reserved connect flag is set", "MQTT-3.1.2-3", "MQTT-3.1.2-3";
    WILL_QOS_WITHOUT_WILL = MalformedPacket, "will QoS without a will", "MQTT-3.1.2-13", "MQTT-3.1.2-11";
    WILL_RETAIN_WITHOUT_WILL = MalformedPacket, "will retain without a will", "MQTT-3.1.2-15", "MQTT-3.1.2-13";
    WILL_QOS_3 = MalformedPacket, "will QoS is 3", "MQTT-3.1.2-14", "MQTT-3.1.2-12";
    PASSWORD_WITHOUT_USER = MalformedPacket, "password without a user name", "MQTT-3.1.2-22", "";
    EMPTY_CLIENT_ID = ClientIdentifierNotValid, "empty client identifier without clean session", "MQTT-3.1.3-8", "";
    AUTH_DATA_WITHOUT_METHOD = ProtocolError, "authentication data without a method", "", "";
    AUTH_WITHOUT_METHOD = ProtocolError, "AUTH without an authentication method", "", "";
    CONNACK_FLAGS = MalformedPacket, "reserved CONNACK flag is set", "", "MQTT-3.2.2-1";
    CONNACK_SESSION_WITH_ERROR = ProtocolError, "session present with a refusal", "MQTT-3.2.2-4", "MQTT-3.2.2-6";
    CONNACK_CODE = ProtocolError, "not a CONNACK reason code", "", "MQTT-3.2.2-8";
}

// Topics.
rules! {
    TOPIC_EMPTY = TopicNameInvalid, "topic is empty", "MQTT-4.7.3-1", "MQTT-4.7.3-1";
    TOPIC_EMPTY_NO_ALIAS = ProtocolError, "topic is empty and there is no topic alias", "", "";
    TOPIC_WILDCARD = TopicNameInvalid, "topic contains a wildcard", "MQTT-3.3.2-2", "MQTT-3.3.2-2";
    TOPIC_NUL = MalformedPacket, "topic contains U+0000", "MQTT-4.7.3-2", "MQTT-4.7.3-2";
    TOPIC_TOO_LONG = TopicNameInvalid, "topic is longer than the limit", "", "";
    TOPIC_TOO_DEEP = TopicNameInvalid, "topic has more levels than the limit", "", "";
    RESPONSE_TOPIC_EMPTY = ProtocolError, "response topic is empty", "", "MQTT-4.7.3-1";
    RESPONSE_TOPIC_WILDCARD = ProtocolError, "response topic contains a wildcard", "", "MQTT-3.3.2-14";
    FILTER_EMPTY = TopicFilterInvalid, "topic filter is empty", "MQTT-4.7.3-1", "MQTT-4.7.3-1";
    FILTER_NUL = MalformedPacket, "topic filter contains U+0000", "MQTT-4.7.3-2", "MQTT-4.7.3-2";
    FILTER_HASH = TopicFilterInvalid, "'#' is not alone in the last level", "MQTT-4.7.1-2", "MQTT-4.7.1-1";
    FILTER_PLUS = TopicFilterInvalid, "'+' is not alone in its level", "MQTT-4.7.1-3", "MQTT-4.7.1-2";
    FILTER_TOO_LONG = TopicFilterInvalid, "topic filter is longer than the limit", "", "";
    FILTER_TOO_DEEP = TopicFilterInvalid, "topic filter has more levels than the limit", "", "";
    SHARE_EMPTY = TopicFilterInvalid, "share name is empty", "", "MQTT-4.8.2-1";
    SHARE_WILDCARD = TopicFilterInvalid, "share name contains a wildcard", "", "MQTT-4.8.2-2";
    SHARE_WITHOUT_FILTER = TopicFilterInvalid, "no topic filter follows the share name", "", "MQTT-4.8.2-2";
}

// SUBSCRIBE, UNSUBSCRIBE and their answers.
rules! {
    SUBSCRIBE_EMPTY = ProtocolError, "SUBSCRIBE without a topic filter", "MQTT-3.8.3-3", "MQTT-3.8.3-2";
    SUBSCRIBE_RESERVED = MalformedPacket, "reserved bits of the subscription options are set", "MQTT-3.8.3-4", "MQTT-3.8.3-5";
    SUBSCRIBE_QOS_3 = ProtocolError, "subscription asks for QoS 3", "MQTT-3.8.3-4", "";
    RETAIN_HANDLING_3 = ProtocolError, "retain handling is 3", "", "";
    NO_LOCAL_SHARED = ProtocolError, "no local on a shared subscription", "", "MQTT-3.8.3-4";
    UNSUBSCRIBE_EMPTY = ProtocolError, "UNSUBSCRIBE without a topic filter", "MQTT-3.10.3-2", "MQTT-3.10.3-2";
    SUBACK_CODE = ProtocolError, "not a SUBACK reason code", "MQTT-3.9.3-2", "MQTT-3.9.3-2";
    SUBACK_EMPTY = ProtocolError, "SUBACK without a reason code", "MQTT-3.8.4-5", "MQTT-3.8.4-6";
    UNSUBACK_CODE = ProtocolError, "not an UNSUBACK reason code", "", "MQTT-3.11.3-2";
    UNSUBACK_EMPTY = ProtocolError, "UNSUBACK without a reason code", "", "MQTT-3.11.3-1";
}

// Reason codes of the other packets.
rules! {
    PUBACK_CODE = ProtocolError, "not a PUBACK reason code", "", "MQTT-3.4.2-1";
    PUBREC_CODE = ProtocolError, "not a PUBREC reason code", "", "MQTT-3.5.2-1";
    PUBREL_CODE = ProtocolError, "not a PUBREL reason code", "", "MQTT-3.6.2-1";
    PUBCOMP_CODE = ProtocolError, "not a PUBCOMP reason code", "", "MQTT-3.7.2-1";
    DISCONNECT_CODE = ProtocolError, "not a DISCONNECT reason code of this side", "", "MQTT-3.14.2-1";
    AUTH_CODE = ProtocolError, "not an AUTH reason code of this side", "", "MQTT-3.15.2-1";
}

// Properties (MQTT 5, 2.2.2 and the sections of each packet).
rules! {
    PROPERTY_UNKNOWN = MalformedPacket, "property identifier is unknown", "", "";
    PROPERTY_NOT_HERE = MalformedPacket, "property is not allowed in this packet", "", "";
    PROPERTY_TWICE = ProtocolError, "property is given twice", "", "";
    PROPERTY_NOT_BOOLEAN = ProtocolError, "property is neither 0 nor 1", "", "";
    SUBSCRIPTION_ID_FROM_CLIENT = ProtocolError, "PUBLISH of a client carries a subscription identifier", "", "MQTT-3.3.4-6";
    SUBSCRIPTION_ID_ZERO = ProtocolError, "subscription identifier is 0", "", "";
    TOPIC_ALIAS_ZERO = TopicAliasInvalid, "topic alias is 0", "", "MQTT-3.3.2-8";
    RECEIVE_MAXIMUM_ZERO = ProtocolError, "receive maximum is 0", "", "";
    MAXIMUM_PACKET_SIZE_ZERO = ProtocolError, "maximum packet size is 0", "", "";
    SESSION_EXPIRY_FROM_SERVER = ProtocolError, "DISCONNECT of a server carries a session expiry", "", "MQTT-3.14.2-2";
}
