//! The packets. They borrow from the buffer they were decoded from, so that a publish is copied once, into the log.

use record::Qos;

use super::{Properties, ReasonCode};

/// The protocol version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V3,
    /// MQTT 5.0, protocol level 5.
    V5,
}

/// A control packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet<'a> {
    /// Client asks for a connection.
    Connect(Connect<'a>),
    /// Server answers it.
    ConnAck(ConnAck<'a>),
    /// A message.
    Publish(Publish<'a>),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(Ack<'a>),
    /// Client subscribes.
    Subscribe(Subscribe<'a>),
    /// Server answers it.
    SubAck(SubAck<'a>),
    /// Client unsubscribes.
    Unsubscribe(Unsubscribe<'a>),
    /// Server answers it.
    UnsubAck(UnsubAck<'a>),
    /// Client is alive.
    PingReq,
    /// So is the server.
    PingResp,
    /// Either side ends the connection.
    Disconnect(Disconnect<'a>),
    /// MQTT 5 extended authentication.
    Auth(Auth<'a>),
}

/// CONNECT (3.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Connect<'a> {
    /// The version the client speaks.
    pub version: Version,
    /// Clean session (3.1.1) or clean start (5).
    pub clean_start: bool,
    /// Seconds; 0 turns keep-alive off.
    pub keep_alive_s: u16,
    /// May be empty: the server assigns one.
    pub client_id: &'a str,
    /// MQTT 5; empty in 3.1.1.
    pub properties: Properties<'a>,
    /// What to publish when the connection is lost.
    pub will: Option<Will<'a>>,
    /// User name.
    pub username: Option<&'a str>,
    /// Password: any bytes.
    pub password: Option<&'a [u8]>,
}

/// The will in a CONNECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Will<'a> {
    /// Where to publish.
    pub topic: &'a str,
    /// What.
    pub payload: &'a [u8],
    /// How.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// MQTT 5: will delay and the properties of the message.
    pub properties: Properties<'a>,
}

/// CONNACK (3.2).
#[derive(Clone, Debug, PartialEq)]
pub struct ConnAck<'a> {
    /// Whether the server has state for this client id.
    pub session_present: bool,
    /// Success or why not; mapped to the six codes of 3.1.1 when encoded for it.
    pub reason: ReasonCode,
    /// MQTT 5.
    pub properties: Properties<'a>,
}

/// PUBLISH (3.3).
#[derive(Clone, Debug, PartialEq)]
pub struct Publish<'a> {
    /// Sent before.
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// Keep as the topic's last message.
    pub retain: bool,
    /// Empty only with a topic alias.
    pub topic: &'a str,
    /// 0 exactly when QoS is 0.
    pub packet_id: u16,
    /// MQTT 5.
    pub properties: Properties<'a>,
    /// The message.
    pub payload: &'a [u8],
}

/// Which acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckKind {
    /// QoS 1 received.
    PubAck,
    /// QoS 2 received.
    PubRec,
    /// QoS 2 released.
    PubRel,
    /// QoS 2 complete.
    PubComp,
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7).
#[derive(Clone, Debug, PartialEq)]
pub struct Ack<'a> {
    /// Which.
    pub kind: AckKind,
    /// Of which packet, never 0.
    pub packet_id: u16,
    /// Always success in 3.1.1.
    pub reason: ReasonCode,
    /// MQTT 5.
    pub properties: Properties<'a>,
}

/// What to do with retained messages at subscribe (3.8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// Send them.
    Send = 0,
    /// Send them if the subscription is new.
    SendIfNew = 1,
    /// Do not.
    DoNotSend = 2,
}

/// The options of a subscription; 3.1.1 has only the QoS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The most the subscriber wants.
    pub qos: Qos,
    /// Not its own messages.
    pub no_local: bool,
    /// Keep the retain flag on forwarded messages.
    pub retain_as_published: bool,
    /// Retained messages at subscribe.
    pub retain_handling: RetainHandling,
}

/// A filter in a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubscribeFilter<'a> {
    /// The filter, `$share/{group}/` included; its form has been checked.
    pub filter: &'a str,
    /// Its options.
    pub options: SubscribeOptions,
}

/// SUBSCRIBE (3.8).
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe<'a> {
    /// Never 0.
    pub packet_id: u16,
    /// MQTT 5: subscription identifier, user properties.
    pub properties: Properties<'a>,
    /// At least one.
    pub filters: Vec<SubscribeFilter<'a>>,
}

/// SUBACK (3.9).
#[derive(Clone, Debug, PartialEq)]
pub struct SubAck<'a> {
    /// Of which SUBSCRIBE.
    pub packet_id: u16,
    /// MQTT 5.
    pub properties: Properties<'a>,
    /// One per filter, in order.
    pub reasons: Vec<ReasonCode>,
}

/// UNSUBSCRIBE (3.10).
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe<'a> {
    /// Never 0.
    pub packet_id: u16,
    /// MQTT 5.
    pub properties: Properties<'a>,
    /// At least one; their form has been checked.
    pub filters: Vec<&'a str>,
}

/// UNSUBACK (3.11); 3.1.1 sends no reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct UnsubAck<'a> {
    /// Of which UNSUBSCRIBE.
    pub packet_id: u16,
    /// MQTT 5.
    pub properties: Properties<'a>,
    /// One per filter, in order.
    pub reasons: Vec<ReasonCode>,
}

/// DISCONNECT (3.14).
#[derive(Clone, Debug, PartialEq)]
pub struct Disconnect<'a> {
    /// Why.
    pub reason: ReasonCode,
    /// MQTT 5.
    pub properties: Properties<'a>,
}

/// AUTH (3.15), MQTT 5 only.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth<'a> {
    /// Success, continue or re-authenticate.
    pub reason: ReasonCode,
    /// Method and data.
    pub properties: Properties<'a>,
}
