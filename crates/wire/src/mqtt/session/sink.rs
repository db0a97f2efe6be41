//! What the state machine asks of the shell around it.

use record::Qos;

use super::alias::TopicName;
use super::{Event, Outgoing, Subscription, Terms};
use crate::mqtt::{AckKind, Packet, Properties, ReasonCode, SubscribeOptions};

/// A publish of the client on its way into the log, its topic alias resolved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inbound<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Quality of service.
    pub qos: Qos,
    /// Retain flag.
    pub retain: bool,
    /// To be part of the record when QoS is 2, else 0.
    pub packet_id: u16,
    /// All properties of the packet; those of the hop only are among them.
    pub properties: Properties<'a>,
    /// The message.
    pub payload: &'a [u8],
}

/// What the shell made of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is part of the batch, acknowledged once durable.
    Logged,
    /// It is part of the batch as a dead letter. Once durable, MQTT 5 is told the reason (an error) and why in words;
    /// the packet id of a QoS 2 publish is free again then. MQTT 3.1.1 has no reasons and acknowledges all the same.
    Rejected {
        /// An error reason.
        reason: ReasonCode,
        /// For people.
        words: Box<str>,
    },
    /// It needed no log (QoS 0) or is not kept; a QoS 1 or 2 publish is acknowledged with this reason in its turn.
    /// MQTT 3.1.1 acknowledges all the same (MQTT-3.3.5-2 of 3.1.1).
    Done(ReasonCode),
    /// The connection ends.
    Close(ReasonCode),
}

/// An answer that waits until everything handed over before it is durable: the shell keeps them in order and calls
/// [`super::Machine::settle`] with each.
#[derive(Debug, PartialEq)]
pub enum Due {
    /// CONNACK, and the redelivery that follows it.
    ConnAck(Box<DueConnAck>),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack {
        /// Which.
        kind: AckKind,
        /// Of which packet.
        packet_id: u16,
        /// How.
        reason: ReasonCode,
        /// Whether a failed batch turns it into a refusal.
        logged: bool,
        /// Why, for people.
        words: Option<Box<str>>,
    },
    /// SUBACK.
    SubAck(Box<DueSubAck>),
    /// UNSUBACK.
    UnsubAck(Box<DueUnsubAck>),
    /// A QoS 2 PUBLISH to the client, encoded.
    Publish(Box<[u8]>),
}

/// See [`Due::ConnAck`].
#[derive(Debug, PartialEq, Eq)]
pub struct DueConnAck {
    /// Whether the session has state.
    pub session_present: bool,
    /// The client id, when the server chose it.
    pub assigned: Option<Box<str>>,
}

/// See [`Due::SubAck`].
#[derive(Debug, PartialEq)]
pub struct DueSubAck {
    /// Of which SUBSCRIBE.
    pub packet_id: u16,
    /// What was granted for each filter, or why not.
    pub filters: Vec<Result<Subscription, ReasonCode>>,
}

/// See [`Due::UnsubAck`].
#[derive(Debug, PartialEq, Eq)]
pub struct DueUnsubAck {
    /// Of which UNSUBSCRIBE.
    pub packet_id: u16,
    /// The filters.
    pub filters: Vec<Box<str>>,
}

/// A PUBLISH to the client.
#[derive(Debug)]
pub struct Transmit<'a, M> {
    /// Which message, and with which flags.
    pub outgoing: &'a Outgoing<M>,
    /// Never 0.
    pub packet_id: u16,
    /// Sent on an earlier connection.
    pub dup: bool,
    /// Encode it for [`Transmitted::Held`] instead of sending it: what precedes it is not yet durable.
    pub hold: bool,
}

/// What became of a [`Transmit`].
#[derive(Debug, PartialEq, Eq)]
pub enum Transmitted {
    /// Sent, or on its way.
    Sent,
    /// Encoded, as asked.
    Held(Box<[u8]>),
    /// Not now: the socket takes no more, or the body has to be read from the log first. The shell calls
    /// [`super::Machine::pump`] when that has changed.
    Later,
    /// Never: expired, larger than the client takes, or no longer in the log. It counts as delivered
    /// (MQTT-3.1.2-25); the shell has counted it.
    Gone,
}

/// The shell. Every call is immediate; nothing waits.
pub trait Sink<M> {
    /// Sends the CONNACK of success, with [`Terms::connack_properties`] and whatever the shell has to add.
    fn connack(&mut self, due: &DueConnAck, terms: &Terms);

    /// Sends a packet.
    fn send(&mut self, packet: &Packet<'_>);

    /// Sends bytes that [`Transmitted::Held`] gave.
    fn send_encoded(&mut self, bytes: &[u8]);

    /// Takes a publish of the client.
    fn publish(&mut self, publish: Inbound<'_>) -> Verdict;

    /// Adds an event of a persistent session to the batch.
    fn event(&mut self, event: Event<M>);

    /// Keeps an answer until what was handed over is durable.
    fn due(&mut self, due: Due);

    /// Whether the client may subscribe.
    ///
    /// # Errors
    /// The reason for the SUBACK.
    fn may_subscribe(&mut self, filter: &str, options: &SubscribeOptions) -> Result<(), ReasonCode>;

    /// The subscription holds from now on. `is_new`: it replaced none, which decides about retained messages.
    ///
    /// # Errors
    /// The reason for the SUBACK when there is no room for it.
    fn subscribed(&mut self, subscription: &Subscription, is_new: bool) -> Result<(), ReasonCode>;

    /// The subscription is gone.
    fn unsubscribed(&mut self, filter: &str);

    /// Sends a PUBLISH of QoS 1 or 2 to the client.
    fn transmit(
        &mut self,
        transmit: Transmit<'_, M>,
        names: &mut dyn FnMut(&str) -> TopicName,
    ) -> Transmitted;

    /// A message of the queue was given up because the queue is full.
    fn dropped(&mut self, message: &M);
}
