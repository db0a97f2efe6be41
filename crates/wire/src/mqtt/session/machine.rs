//! One connection of a session, from its CONNECT to its end.

use record::Qos;

use super::alias::Aliases;
use super::sink::{Due, DueConnAck, DueSubAck, DueUnsubAck, Sink};
use super::terms::{Limits, OwnedWill, Terms};
use super::{Durable, Event, Progress, Subscription};
use crate::mqtt::{
    Ack, AckKind, ConnAck, Disconnect, Packet, Properties, PropertiesBuf, Property, ReasonCode, SubAck,
    Subscribe, UnsubAck, Unsubscribe, Version,
};

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The client said DISCONNECT, with this reason.
    Client(ReasonCode),
    /// The server ends it: MQTT 5 is sent a DISCONNECT with this reason, 3.1.1 nothing.
    Server(ReasonCode),
}

/// How a connection ended, as far as its will cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client said DISCONNECT, with this reason.
    Client(ReasonCode),
    /// The network failed, the client was silent for too long, or the server closed it.
    Lost,
    /// Another connection took the client id; whether that one starts clean.
    TakenOver {
        /// Clean start of the other connection.
        clean: bool,
    },
}

/// What becomes of the will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Will {
    /// There is none, or it was cancelled.
    None,
    /// Publish it now.
    Now(Box<OwnedWill>),
    /// Publish it after so many seconds unless the session is resumed before (MQTT-3.1.3-9).
    After(Box<OwnedWill>, u32),
}

/// What a connection leaves behind.
#[derive(Debug)]
pub struct Farewell<M> {
    /// What becomes of the will.
    pub will: Will,
    /// The event to log, for a session that is logged.
    pub event: Option<Event<M>>,
    /// The session; its expiry says whether it is to be kept.
    pub durable: Durable<M>,
}

/// One connection of a session.
#[derive(Debug)]
pub struct Machine<M> {
    pub(super) terms: Terms,
    pub(super) receive_maximum: u16,
    pub(super) alias_maximum: u16,
    pub(super) queued: usize,
    pub(super) durable: Durable<M>,
    /// Whether the events of the session are logged.
    pub(super) persistent: bool,
    /// Whether CONNACK has gone out.
    pub(super) open: bool,
    /// The first so many of `durable.outgoing` were sent on this connection and are unacknowledged.
    pub(super) cursor: usize,
    /// The packet id given last.
    pub(super) last_id: u16,
    /// Whether a new packet id may be one in use: after a resumption, and once the numbers came round.
    pub(super) ids_may_clash: bool,
    /// Publishes of the client not yet acknowledged (QoS 2: to PUBCOMP).
    pub(super) outstanding: u16,
    /// Packet ids of QoS 2 publishes that are on their way into the log.
    pub(super) arriving: Vec<u16>,
    /// Answers handed to the shell and not yet settled.
    dues: u32,
    pub(super) aliases: Option<Box<Aliases>>,
    will: Option<Box<OwnedWill>>,
}

impl<M: Clone + PartialEq> Machine<M> {
    /// Opens a connection on `stored`, the session the server has for this client id, if any. CONNACK becomes due.
    /// `logged`: the log has a session for this client id, or is to have one; so its events are logged, even when it
    /// ends with this connection.
    pub fn open(
        terms: Terms,
        limits: &Limits,
        will: Option<Box<OwnedWill>>,
        stored: Option<Durable<M>>,
        logged: bool,
        assigned: Option<Box<str>>,
        sink: &mut impl Sink<M>,
    ) -> Self {
        let session_present = stored.is_some() && !terms.clean_start; // MQTT-3.2.2-2, MQTT-3.2.2-3
        let opened = Event::Opened { clean: terms.clean_start, expiry_s: terms.expiry_s };
        let persistent = logged || terms.expiry_s != 0;
        let mut durable = stored.unwrap_or_default();
        durable.apply(&opened);
        if persistent {
            sink.event(opened);
        }
        // What was sent goes first: a replay may have queued it behind messages of another partition, and a new packet
        // id is held only against what comes before it.
        durable.outgoing.make_contiguous().sort_by_key(|o| o.progress == Progress::Queued);
        let ids_may_clash = !durable.outgoing.is_empty();
        let mut machine = Self {
            terms,
            receive_maximum: limits.receive_maximum,
            alias_maximum: limits.topic_alias_maximum,
            queued: limits.queued,
            durable,
            persistent,
            open: false,
            cursor: 0,
            last_id: 0,
            ids_may_clash,
            outstanding: 0,
            arriving: Vec::new(),
            dues: 0,
            aliases: None,
            will,
        };
        machine.owe(Due::ConnAck(Box::new(DueConnAck { session_present, assigned })), sink);
        machine
    }

    /// The terms of the connection.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The state of the session as it is now.
    #[must_use]
    pub fn durable(&self) -> &Durable<M> {
        &self.durable
    }

    /// Whether CONNACK has gone out.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Takes a subscription away that the client may no longer have.
    pub fn withdraw(&mut self, filter: &str, sink: &mut impl Sink<M>) {
        let event = Event::Unsubscribed { filter: filter.into() };
        self.durable.apply(&event);
        sink.unsubscribed(filter);
        if self.persistent {
            sink.event(event);
        }
    }

    /// Whether the events of the session are logged.
    #[must_use]
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Answers handed to [`Sink::due`] and not yet settled. A connection that has ended is kept until there are none,
    /// because what becomes durable then belongs to the session.
    #[must_use]
    pub fn unsettled(&self) -> u32 {
        self.dues
    }

    /// Whether the socket may be read. MQTT 3.1.1 knows no Receive Maximum, so reading stops instead.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.open && (self.terms.version == Version::V5 || self.outstanding < self.receive_maximum)
    }

    /// Takes a packet of the client.
    ///
    /// # Errors
    /// [`Stop`]: the connection ends.
    pub fn packet(&mut self, packet: &Packet<'_>, sink: &mut impl Sink<M>) -> Result<(), Stop> {
        match packet {
            Packet::Publish(publish) => self.publish(publish, sink),
            Packet::Ack(ack) => self.acknowledged(ack, sink),
            Packet::Subscribe(subscribe) => self.subscribe(subscribe, sink),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe, sink),
            Packet::PingReq => {
                sink.send(&Packet::PingResp);
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.disconnect(disconnect),
            // A second CONNECT (MQTT-3.1.0-2), AUTH without extended authentication (MQTT-4.12.0-7), and what only
            // servers send.
            _ => Err(Stop::Server(ReasonCode::ProtocolError)),
        }
    }

    /// Gives an answer that was due, in the order in which they became due: what precedes it is durable, or will never
    /// be for this reason. With a PUBREC comes the name that its message has from now on.
    ///
    /// # Errors
    /// [`Stop`]: the connection ends.
    pub fn settle(
        &mut self,
        due: Due,
        outcome: Result<Option<M>, ReasonCode>,
        sink: &mut impl Sink<M>,
    ) -> Result<(), Stop> {
        self.dues = self.dues.saturating_sub(1);
        if let Due::Ack { kind, packet_id, reason, logged, words } = due {
            let outcome = if logged { outcome } else { Ok(None) };
            return self.settle_ack(kind, packet_id, reason, words, outcome, sink);
        }
        outcome.map_err(Stop::Server)?;
        match due {
            Due::ConnAck(due) => self.settle_connack(&due, sink),
            Due::SubAck(due) => self.settle_suback(*due, sink),
            Due::UnsubAck(due) => self.settle_unsuback(*due, sink),
            Due::Publish(bytes) => sink.send_encoded(&bytes),
            Due::Ack { .. } => {}
        }
        Ok(())
    }

    /// Ends the connection and says what it leaves behind. `at_ms`: now, milliseconds since the epoch.
    #[must_use]
    pub fn finish(mut self, end: End, at_ms: i64) -> Farewell<M> {
        let expiry_s = self.terms.expiry_s;
        let will = match (self.will.take(), end) {
            (None, _) | (Some(_), End::Client(ReasonCode::Success)) => Will::None, // MQTT-3.14.4-3
            // Resumed before the delay was over (MQTT-3.1.3-9).
            (Some(will), End::TakenOver { clean: false }) if will.delay_s.min(expiry_s) > 0 => Will::None,
            (Some(will), End::TakenOver { .. }) => Will::Now(will),
            (Some(will), _) => match will.delay_s.min(expiry_s) {
                0 => Will::Now(will),
                delay_s => Will::After(will, delay_s),
            },
        };
        let closed = Event::Closed { at_ms, expiry_s };
        self.durable.apply(&closed);
        Farewell { will, event: self.persistent.then_some(closed), durable: self.durable }
    }

    /// Counts an answer that is due.
    pub(super) fn owe(&mut self, due: Due, sink: &mut impl Sink<M>) {
        self.dues += 1;
        sink.due(due);
    }

    fn settle_connack(&mut self, due: &DueConnAck, sink: &mut impl Sink<M>) {
        self.open = true;
        sink.connack(due, &self.terms);
        self.pump(sink);
    }

    fn subscribe(&mut self, packet: &Subscribe<'_>, sink: &mut impl Sink<M>) -> Result<(), Stop> {
        let id = packet.properties.subscription_id().unwrap_or(0);
        let mut filters = Vec::with_capacity(packet.filters.len());
        for asked in &packet.filters {
            if asked.options.no_local && asked.filter.starts_with("$share/") {
                return Err(Stop::Server(ReasonCode::ProtocolError)); // MQTT-3.8.3-4
            }
            let granted = sink.may_subscribe(asked.filter, &asked.options);
            filters.push(granted.map(|()| {
                let subscription = Subscription { filter: asked.filter.into(), options: asked.options, id };
                if self.persistent {
                    sink.event(Event::Subscribed(subscription.clone()));
                }
                subscription
            }));
        }
        self.owe(Due::SubAck(Box::new(DueSubAck { packet_id: packet.packet_id, filters })), sink);
        Ok(())
    }

    fn settle_suback(&mut self, due: DueSubAck, sink: &mut impl Sink<M>) {
        let reasons = due.filters.into_iter().map(|granted| self.subscribed(granted?, sink));
        let reasons = reasons.map(|outcome| outcome.unwrap_or_else(|reason| reason)).collect();
        let packet_id = due.packet_id;
        sink.send(&Packet::SubAck(SubAck { packet_id, properties: Properties::EMPTY, reasons }));
    }

    fn subscribed(
        &mut self,
        subscription: Subscription,
        sink: &mut impl Sink<M>,
    ) -> Result<ReasonCode, ReasonCode> {
        let is_new = !self.durable.subscriptions.iter().any(|s| s.filter == subscription.filter);
        if let Err(reason) = sink.subscribed(&subscription, is_new) {
            if self.persistent {
                sink.event(Event::Unsubscribed { filter: subscription.filter });
            }
            return Err(reason);
        }
        let qos = subscription.options.qos;
        self.durable.apply(&Event::Subscribed(subscription));
        Ok(match qos {
            Qos::AtMostOnce => ReasonCode::Success,
            Qos::AtLeastOnce => ReasonCode::GrantedQos1,
            Qos::ExactlyOnce => ReasonCode::GrantedQos2,
        })
    }

    fn unsubscribe(&mut self, packet: &Unsubscribe<'_>, sink: &mut impl Sink<M>) -> Result<(), Stop> {
        let filters: Vec<Box<str>> = packet.filters.iter().map(|&f| f.into()).collect();
        if self.persistent {
            for filter in &filters {
                sink.event(Event::Unsubscribed { filter: filter.clone() });
            }
        }
        self.owe(Due::UnsubAck(Box::new(DueUnsubAck { packet_id: packet.packet_id, filters })), sink);
        Ok(())
    }

    fn settle_unsuback(&mut self, due: DueUnsubAck, sink: &mut impl Sink<M>) {
        let mut reasons = Vec::with_capacity(due.filters.len());
        for filter in due.filters {
            let existed = self.durable.subscriptions.iter().any(|s| s.filter == filter);
            if existed {
                sink.unsubscribed(&filter);
                self.durable.apply(&Event::Unsubscribed { filter });
            }
            reasons.push(if existed { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted });
        }
        let packet_id = due.packet_id;
        sink.send(&Packet::UnsubAck(UnsubAck { packet_id, properties: Properties::EMPTY, reasons }));
    }

    fn disconnect(&mut self, packet: &Disconnect<'_>) -> Result<(), Stop> {
        if let Some(expiry_s) = packet.properties.session_expiry() {
            if self.terms.expiry_s == 0 && expiry_s != 0 {
                return Err(Stop::Server(ReasonCode::ProtocolError)); // MQTT-3.1.2-23, 3.14.2.2.2
            }
            self.terms.expiry_s = expiry_s;
        }
        Err(Stop::Client(packet.reason))
    }

    /// Sends an acknowledgement; words only to those who want them (MQTT-3.1.2-29).
    pub(super) fn send_ack(
        &self,
        kind: AckKind,
        packet_id: u16,
        reason: ReasonCode,
        words: Option<&str>,
        sink: &mut impl Sink<M>,
    ) {
        let v5 = self.terms.version == Version::V5;
        let reason = if v5 { reason } else { ReasonCode::Success };
        let mut properties = PropertiesBuf::new();
        if let Some(words) = words.filter(|_| v5 && self.terms.problem_information) {
            properties.push(Property::ReasonString(words));
        }
        let properties = properties.as_properties();
        sink.send(&Packet::Ack(Ack { kind, packet_id, reason, properties }));
    }
}

impl DueConnAck {
    /// The packet.
    #[must_use]
    pub fn packet<'a>(&self, properties: &'a PropertiesBuf) -> ConnAck<'a> {
        ConnAck {
            session_present: self.session_present,
            reason: ReasonCode::Success,
            properties: properties.as_properties(),
        }
    }
}
