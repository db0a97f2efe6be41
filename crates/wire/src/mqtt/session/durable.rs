//! The durable part of a session.

use std::collections::VecDeque;

use record::Qos;

use crate::mqtt::SubscribeOptions;

/// A subscription of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The filter as the client wrote it, `$share/{group}/` included.
    pub filter: Box<str>,
    /// Its options.
    pub options: SubscribeOptions,
    /// MQTT 5 subscription identifier; 0: none.
    pub id: u32,
}

/// How far the delivery of a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Waits for room in the client's receive window.
    Queued,
    /// Sent as this packet id, not yet acknowledged (QoS 1: PUBACK, QoS 2: PUBREC).
    Sent(u16),
    /// QoS 2: PUBREC came, PUBREL is due or sent, PUBCOMP has not come.
    Received(u16),
}

/// A message on its way to the client. `M` names the message (in the gateway: its position in the log): a session
/// keeps its place, never a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<M> {
    /// Which message.
    pub message: M,
    /// The lower of the message's and the subscription's quality of service; at least once or exactly once.
    pub qos: Qos,
    /// The retain flag to send with.
    pub retain: bool,
    /// The identifiers of the subscriptions that matched.
    pub subscription_ids: Box<[u32]>,
    /// How far it has come.
    pub progress: Progress,
}

/// Something that happened to a session. Persistent sessions log it; what must be durable before the client
/// hears of it is said at each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<M> {
    /// A client connected. Durable before CONNACK. `clean` drops all earlier state.
    Opened {
        /// Clean start.
        clean: bool,
        /// Seconds the session outlives its connection; `u32::MAX`: for ever.
        expiry_s: u32,
    },
    /// The connection ended at this time (milliseconds since the epoch); the expiry runs from here.
    Closed {
        /// When.
        at_ms: i64,
        /// The expiry in force, which DISCONNECT may have changed.
        expiry_s: u32,
    },
    /// Subscribed or replaced. Durable before SUBACK.
    Subscribed(Subscription),
    /// Unsubscribed. Durable before UNSUBACK.
    Unsubscribed {
        /// The filter.
        filter: Box<str>,
    },
    /// A QoS 2 publish arrived. Not logged by itself: the message's own record carries the packet id, and both
    /// are durable before PUBREC.
    Arrived {
        /// Its packet id.
        packet_id: u16,
        /// Which message it is.
        message: M,
    },
    /// PUBREL came: the packet id is free for a new message. Durable before PUBCOMP, or a new message under the
    /// same id would be taken for the old one after a crash. It names the message because messages and session
    /// events lie in different partitions of the log, between which there is no order: a replay must not free
    /// the id of a later message.
    Released {
        /// The packet id.
        packet_id: u16,
        /// The message that had arrived under it.
        message: M,
    },
    /// A message matched. Not logged for ordinary subscriptions: derived from the log by matching again.
    Queued(Outgoing<M>),
    /// A message is sent. QoS 2: durable before the PUBLISH goes out, so that a restart sends it under the same id.
    Sent {
        /// Which message.
        message: M,
        /// Under which packet id.
        packet_id: u16,
    },
    /// PUBREC came from the client. Durable before PUBREL.
    Received {
        /// The packet id.
        packet_id: u16,
        /// The message.
        message: M,
    },
    /// PUBACK or PUBCOMP came: the message is delivered. Need not be durable before anything; losing it repeats
    /// a QoS 1 delivery or a PUBREL. It names the message, so that a replay need not have seen it sent.
    Completed {
        /// The packet id.
        packet_id: u16,
        /// The message.
        message: M,
    },
    /// A queued message was given up (expired, or the queue's limit), counted by whoever decides it.
    Dropped {
        /// Which message.
        message: M,
    },
}

/// What a session remembers between connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable<M> {
    /// Seconds it outlives its connection; 0: not at all; `u32::MAX`: for ever.
    pub expiry_s: u32,
    /// When the last connection ended, milliseconds since the epoch; `None` while connected.
    pub closed_at_ms: Option<i64>,
    /// Its subscriptions, in the order they were made.
    pub subscriptions: Vec<Subscription>,
    /// QoS 2 publishes received and not yet released, sorted by packet id. Each id once, except in a replay that
    /// is under way.
    pub arrived: Vec<(u16, M)>,
    /// What is on its way to the client, oldest first.
    pub outgoing: VecDeque<Outgoing<M>>,
}

impl<M> Default for Durable<M> {
    fn default() -> Self {
        Self {
            expiry_s: 0,
            closed_at_ms: None,
            subscriptions: Vec::new(),
            arrived: Vec::new(),
            outgoing: VecDeque::new(),
        }
    }
}

impl<M: Clone + PartialEq> Durable<M> {
    /// Changes the state as `event` says. Applying an event that no longer fits (its message or packet id is
    /// gone) changes nothing: a replay may meet an event whose effect it already has.
    pub fn apply(&mut self, event: &Event<M>) {
        match event {
            Event::Opened { clean, expiry_s } => {
                if *clean {
                    *self = Self::default();
                }
                self.expiry_s = *expiry_s;
                self.closed_at_ms = None;
            }
            Event::Closed { at_ms, expiry_s } => {
                self.expiry_s = *expiry_s;
                self.closed_at_ms = Some(*at_ms);
            }
            Event::Subscribed(new) => match self.subscriptions.iter_mut().find(|s| s.filter == new.filter) {
                Some(old) => *old = new.clone(),
                None => self.subscriptions.push(new.clone()),
            },
            Event::Unsubscribed { filter } => self.subscriptions.retain(|s| s.filter != *filter),
            Event::Arrived { packet_id, message } => {
                // A replay may meet the next message of a packet id before the release of the one before.
                let arrived = (*packet_id, message.clone());
                if !self.arrived.contains(&arrived) {
                    let at = self.arrived.partition_point(|(id, _)| id <= packet_id);
                    self.arrived.insert(at, arrived);
                }
            }
            Event::Released { packet_id, message } => {
                self.arrived.retain(|(id, arrived)| id != packet_id || arrived != message);
            }
            Event::Queued(outgoing) => self.outgoing.push_back(outgoing.clone()),
            Event::Sent { message, packet_id } => {
                let waiting = |o: &&mut Outgoing<M>| o.message == *message && o.progress == Progress::Queued;
                if let Some(outgoing) = self.outgoing.iter_mut().find(waiting) {
                    outgoing.progress = Progress::Sent(*packet_id);
                }
            }
            Event::Received { packet_id, message } => {
                let sent = Progress::Sent(*packet_id);
                let meant = |o: &&mut Outgoing<M>| o.progress == sent && o.message == *message;
                if let Some(outgoing) = self.outgoing.iter_mut().find(meant) {
                    outgoing.progress = Progress::Received(*packet_id);
                }
            }
            Event::Completed { packet_id, message } => {
                let (sent, received) = (Progress::Sent(*packet_id), Progress::Received(*packet_id));
                let of = |o: &Outgoing<M>| o.message == *message;
                let under_id = |o: &Outgoing<M>| of(o) && (o.progress == sent || o.progress == received);
                // Sending at QoS 1 need not have been logged.
                let at =
                    self.outgoing.iter().position(under_id).or_else(|| self.outgoing.iter().position(of));
                if let Some(at) = at {
                    self.outgoing.remove(at);
                }
            }
            Event::Dropped { message } => {
                if let Some(at) = self.outgoing.iter().position(|o| o.message == *message) {
                    self.outgoing.remove(at);
                }
            }
        }
    }
}
