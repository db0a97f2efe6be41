//! What the state machine asks for, done: into the batch, into the socket's buffer, to the dispatcher.

use std::collections::VecDeque;
use std::sync::Arc;

use log::{PartitionId, Position, Topic};
use record::{Envelope, Kind, Lane, Origin, Protocol, Qos, TenantId, Timestamp, partition_of};
use registry::Identity;
use smallvec::SmallVec;
use wire::mqtt::session::{
    Due, DueConnAck, Event, Inbound, Outgoing, OwnedWill, Sink, Subscription, Terms, TopicName, Transmit,
    Transmitted, Verdict, remaining_expiry_s,
};
use wire::mqtt::{
    AckKind, Carrier, Packet, Properties, PropertiesBuf, Property, Publish, ReasonCode, RetainHandling,
    SubscribeOptions, Version,
};

use super::commit::{Awaited, ConnKey};
use super::mixed::Mixed;
use super::output::Output;
use super::worker::Worker;
use crate::dispatch::{Command, ConnRef, Delivery, Message, SessionKey, WantRetained};
use crate::state::{Entry, Opening};

/// Bodies that a session keeps in memory for deliveries that wait; of those beyond, only the place in the log.
const BODIES: usize = 64;
/// And at most so many bytes of them.
const BODIES_BYTES: usize = 1 << 20;
/// QoS 0 messages on their way to the dispatcher; beyond, they are shed and counted.
const DIRECT_BYTES: usize = 16 << 20;

/// What a connection has beside its machine.
pub(super) struct Side {
    pub(super) tenant: TenantId,
    pub(super) client_id: Arc<str>,
    pub(super) session: SessionKey,
    pub(super) identity: Arc<Identity>,
    /// Bytes handed to the log and not yet settled.
    pub(super) in_flight_bytes: usize,
    /// Answers in the worker's FIFO.
    pub(super) waiting: u32,
    /// Bodies of deliveries that wait, oldest first.
    pub(super) bodies: VecDeque<Arc<Message>>,
    pub(super) bodies_bytes: usize,
    /// A body that has to be read from the log, one that is being read, and one that was found to be gone.
    pub(super) wanted: Option<Position>,
    pub(super) fetching: Option<Position>,
    pub(super) gone: Option<Position>,
    /// Retained messages that wait for room, and pages to ask for after them.
    pub(super) feed: Option<Box<Feed>>,
    /// What the `Opened` record is to say, until it is written.
    pub(super) opening: Option<Box<Opening>>,
}

/// See [`Side::feed`].
#[derive(Default)]
pub(super) struct Feed {
    pub(super) queue: VecDeque<Delivery>,
    pub(super) next: Vec<WantRetained>,
}

/// The shell around the machine of one connection, for the time of a call.
pub(super) struct Shell<'a> {
    pub(super) worker: &'a Worker,
    pub(super) key: ConnKey,
    pub(super) side: &'a mut Side,
    pub(super) output: &'a mut Output,
    pub(super) version: Version,
    pub(super) packet_bytes: u32,
    /// The socket is gone: nothing is sent any more.
    pub(super) dead: bool,
    pub(super) now: Timestamp,
    /// Answers that wait for nothing, to be settled as soon as the machine returns.
    pub(super) immediate: SmallVec<[Due; 2]>,
    /// What happened to the session in this call, to be logged together.
    entries: Vec<Entry>,
    /// Whether this call put something into the batch, and the number of the last publish there.
    wrote: bool,
    record: Option<usize>,
    bytes: usize,
}

impl<'a> Shell<'a> {
    pub(super) fn new(
        worker: &'a Worker,
        key: ConnKey,
        side: &'a mut Side,
        output: &'a mut Output,
        terms: &Terms,
        dead: bool,
    ) -> Self {
        Self {
            worker,
            key,
            side,
            output,
            version: terms.version,
            packet_bytes: terms.packet_bytes,
            dead,
            now: worker.now(),
            immediate: SmallVec::new(),
            entries: Vec::new(),
            wrote: false,
            record: None,
            bytes: 0,
        }
    }

    /// Writes what happened into the batch. To be called at the end of a call.
    pub(super) fn log_entries(&mut self) {
        if !self.entries.is_empty() {
            self.worker.log_entries(&self.side.tenant, &self.side.client_id, &self.entries);
            self.entries.clear();
        }
    }

    /// Says that the connection has ended; see [`Entry::Closed`].
    pub(super) fn closed(&mut self, at_ms: i64, expiry_s: u32, will_owed: bool) {
        self.entries.push(Entry::Closed { at_ms, expiry_s, will_owed });
    }

    /// Publishes a will. It was allowed when the client connected; if it no longer is, it is counted and dropped.
    pub(super) fn publish_will(&mut self, will: &OwnedWill) {
        if let Verdict::Done(ReasonCode::NotAuthorized | ReasonCode::QuotaExceeded) =
            self.publish(inbound_of(will))
        {
            tracing::info!(client = %self.side.client_id, "a will was not published: not allowed any more");
        }
        self.worker.commits.borrow_mut().wake(); // No answer waits for it.
    }

    /// The envelope of a will that may be owed; its time of arrival is still to be set.
    pub(super) fn owed_will(&self, will: &OwnedWill) -> Option<crate::state::Will> {
        let publish = inbound_of(will);
        let rules = self.worker.shared.rules.load();
        let mut scratch = self.worker.payloads.borrow_mut();
        let route = rules.decide(&self.side.identity, &publish, self.now, &mut scratch)?;
        let mut envelope = Vec::new();
        Envelope {
            // A will is not cut up: what the stream cannot read as it is goes to its subscribers alone.
            kind: if route.plain.is_some() { Kind::Message } else { route.kind },
            protocol: self.protocol(),
            encoding: route.encoding,
            qos: will.qos,
            retain: will.retain,
            refused: route.refused.as_deref(),
            arrived_at: Timestamp::default(),
            tenant: self.side.tenant.as_str(),
            device: route.device,
            topic: &will.topic,
            origin: Some(Origin { client_id: &self.side.client_id, packet_id: 0 }),
            properties: &will.properties,
            payload: &will.payload,
        }
        .encode(&mut envelope);
        Some(crate::state::Will { delay_s: will.delay_s, envelope: envelope.into() })
    }

    fn encode(&mut self, packet: &Packet<'_>) {
        if self.dead {
            return;
        }
        let buffer = self.output.buffer(&self.worker.spares);
        match packet.encode_within(self.version, self.packet_bytes as usize, buffer) {
            Ok(()) => self.worker.counters().packets_sent.add(1),
            Err(error) => tracing::debug!(%error, "packet left out"),
        }
    }

    /// Sends a QoS 0 message, unless the reader is slow: then it is dropped and counted.
    pub(super) fn deliver_qos0(&mut self, delivery: &Delivery, name: impl FnOnce(&str) -> TopicName) {
        let counters = self.worker.counters();
        if self.dead {
            return;
        }
        if self.output.len() > self.worker.shared.config.limits.outgoing_bytes {
            counters.dropped_slow_reader.add(1);
            return;
        }
        let envelope = delivery.message.envelope();
        if !self.worker.shared.rules.load().acl.may_receive(&self.side.identity, envelope.topic) {
            counters.dropped_denied.add(1);
            return;
        }
        let head = Head {
            qos: Qos::AtMostOnce,
            retain: delivery.retain,
            dup: false,
            packet_id: 0,
            ids: &delivery.ids,
        };
        let buffer = self.output.buffer(&self.worker.spares);
        match encode_delivery(&envelope, &head, self.version, self.packet_bytes, self.now, name, buffer) {
            Ok(()) => {
                counters.publishes_sent.add(1);
                counters.packets_sent.add(1);
            }
            Err(Lost::Expired) => counters.dropped_expired.add(1),
            Err(Lost::TooLarge) => counters.dropped_too_large.add(1),
        }
    }

    /// Keeps the body of a delivery while there is room.
    pub(super) fn keep_body(&mut self, message: &Arc<Message>) {
        let bytes = message.size_bytes();
        if self.side.bodies.len() < BODIES && self.side.bodies_bytes + bytes <= BODIES_BYTES {
            self.side.bodies_bytes += bytes;
            self.side.bodies.push_back(Arc::clone(message));
        }
    }

    fn take_body(&mut self, position: Position) -> Option<Arc<Message>> {
        let at = self.side.bodies.iter().position(|m| m.position == Some(position))?;
        let message = self.side.bodies.remove(at)?;
        self.side.bodies_bytes -= message.size_bytes();
        Some(message)
    }

    fn protocol(&self) -> Protocol {
        match self.version {
            Version::V3 => Protocol::Mqtt3,
            Version::V5 => Protocol::Mqtt5,
        }
    }

    /// Writes a publish into the batch.
    fn append(&mut self, publish: &Inbound<'_>, route: &super::route::Route<'_>) {
        let tenant = self.side.tenant.as_str();
        let log = &*self.worker.shared.log;
        // What is cut up goes to its subscribers whole, to the stream in parts.
        let kind = if route.is_mixed { Kind::Message } else { route.kind };
        let (topic, lane, key) = match kind {
            Kind::Message => (Topic::Messages, Lane::Live, publish.topic),
            _ if !route.device.is_empty() => (Topic::Raw, route.lane, route.device),
            _ => (Topic::Raw, route.lane, route.device_in_payload.as_deref().unwrap_or(publish.topic)),
        };
        let index = partition_of(tenant, key, log.partitions(topic));
        let mut travelling = PropertiesBuf::new();
        if !publish.properties.is_empty() {
            publish.properties.forward(publish.properties.message_expiry(), &mut travelling);
        }
        // A refused QoS 2 publish of MQTT 5 ends with its PUBREC: its packet id is not kept.
        let told = route.refused.is_some() && self.version == Version::V5;
        let envelope = Envelope {
            kind,
            protocol: self.protocol(),
            encoding: route.encoding,
            qos: publish.qos,
            retain: publish.retain,
            refused: route.refused.as_deref(),
            arrived_at: self.now,
            tenant,
            device: route.device,
            topic: publish.topic,
            origin: Some(Origin {
                client_id: &self.side.client_id,
                packet_id: if told { 0 } else { publish.packet_id },
            }),
            properties: travelling.as_properties().as_bytes(),
            payload: publish.payload,
        };
        let mut commits = self.worker.commits.borrow_mut();
        let batch = commits.batch();
        let before = batch.size_bytes();
        batch.push_with(PartitionId { topic, lane, index }, |out| envelope.encode(out));
        self.record = Some(batch.len() - 1);
        if route.is_mixed {
            let (encoding, payload) = match &route.plain {
                Some(plain) => (plain.encoding, &*plain.payload),
                None => (envelope.encoding, envelope.payload),
            };
            let part = Envelope {
                kind: Kind::Part,
                retain: false,
                origin: None,
                properties: &[],
                encoding,
                payload,
                ..envelope
            };
            let mixed = Mixed { log, lane: route.lane, part };
            mixed.append(&self.worker.payloads.borrow(), batch);
        }
        self.bytes = batch.size_bytes() - before;
        self.side.in_flight_bytes += self.bytes;
        self.wrote = true;
        let counters = self.worker.counters();
        counters.record_bytes.add(self.bytes as u64);
        match self.version {
            Version::V3 => counters.records_mqtt3.add(1),
            Version::V5 => counters.records_mqtt5.add(1),
        }
        if publish.qos == Qos::AtMostOnce {
            commits.wait(self.key, Awaited::Nothing, None, self.bytes);
            self.bytes = 0;
        }
    }

    /// A plain QoS 0 message goes to the dispatcher without the log.
    fn direct(&mut self, publish: &Inbound<'_>) {
        let shared = &self.worker.shared;
        let tenant = self.side.tenant.as_str();
        if shared.subscriptions.has_none(tenant) {
            return;
        }
        let mut travelling = PropertiesBuf::new();
        if !publish.properties.is_empty() {
            publish.properties.forward(publish.properties.message_expiry(), &mut travelling);
        }
        let mut record = Vec::new();
        Envelope {
            kind: Kind::Message,
            protocol: self.protocol(),
            encoding: record::Encoding::Opaque,
            qos: Qos::AtMostOnce,
            retain: false,
            refused: None,
            arrived_at: self.now,
            tenant,
            device: "",
            topic: publish.topic,
            origin: Some(Origin { client_id: &self.side.client_id, packet_id: 0 }),
            properties: travelling.as_properties().as_bytes(),
            payload: publish.payload,
        }
        .encode(&mut record);
        if !shared.direct.try_add(record.len(), DIRECT_BYTES) {
            self.worker.counters().shed.add(1);
            return;
        }
        if let Ok(message) = Message::new(record.into(), None) {
            shared.command(Command::Direct(Arc::new(message)));
        }
    }

    fn conn_ref(&self) -> ConnRef {
        self.worker.conn_ref(self.key)
    }
}

impl Sink<Position> for Shell<'_> {
    fn connack(&mut self, due: &DueConnAck, terms: &Terms) {
        let properties =
            terms.connack_properties(&self.worker.shared.session_limits, due.assigned.as_deref());
        self.encode(&Packet::ConnAck(due.packet(&properties)));
    }

    fn send(&mut self, packet: &Packet<'_>) {
        if let Packet::Ack(ack) = packet
            && ack.properties.is_empty()
        {
            if !self.dead {
                let buffer = self.output.buffer(&self.worker.spares);
                wire::mqtt::encode_ack(self.version, ack.kind, ack.packet_id, ack.reason, buffer);
                self.worker.counters().packets_sent.add(1);
            }
            return;
        }
        self.encode(packet);
    }

    fn send_encoded(&mut self, bytes: &[u8]) {
        if !self.dead {
            self.output.buffer(&self.worker.spares).extend_from_slice(bytes);
            self.worker.counters().packets_sent.add(1);
            self.worker.counters().publishes_sent.add(1);
        }
    }

    fn publish(&mut self, publish: Inbound<'_>) -> Verdict {
        let counters = self.worker.counters();
        counters.publishes_received.add(1);
        let rules = self.worker.shared.rules.load();
        let identity = Arc::clone(&self.side.identity);
        let mut scratch = self.worker.payloads.borrow_mut();
        let Some(route) = rules.decide(&identity, &publish, self.now, &mut scratch) else {
            counters.publishes_denied.add(1);
            return Verdict::Done(ReasonCode::NotAuthorized);
        };
        drop(scratch);
        if publish.retain && self.worker.shared.full_tenants.contains(self.side.tenant.as_str()) {
            return Verdict::Done(ReasonCode::QuotaExceeded);
        }
        if publish.qos == Qos::AtMostOnce {
            if route.kind == Kind::Message && !publish.retain {
                self.direct(&publish);
                return Verdict::Done(ReasonCode::Success);
            }
            if self.worker.shared.is_crowded() {
                counters.shed.add(1);
                return Verdict::Done(ReasonCode::Success);
            }
        }
        self.append(&publish, &route);
        match route.refused {
            None => Verdict::Logged,
            Some(words) => {
                counters.publishes_rejected.add(1);
                Verdict::Rejected { reason: ReasonCode::PayloadFormatInvalid, words }
            }
        }
    }

    fn event(&mut self, event: Event<Position>) {
        self.wrote = true;
        self.entries.push(match (event, self.side.opening.take()) {
            (Event::Opened { .. }, Some(opening)) => Entry::Opened(opening),
            (event, _) => Entry::Event(event),
        });
    }

    fn due(&mut self, due: Due) {
        if !self.wrote && self.side.waiting == 0 && !matches!(due, Due::Ack { logged: true, .. }) {
            self.immediate.push(due);
            return;
        }
        let record = match &due {
            Due::Ack { kind: AckKind::PubAck | AckKind::PubRec, logged: true, .. } => self.record.take(),
            _ => None,
        };
        self.side.waiting += 1;
        let bytes = std::mem::take(&mut self.bytes);
        self.worker.commits.borrow_mut().wait(self.key, Awaited::Answer(due), record, bytes);
    }

    fn may_subscribe(&mut self, filter: &str, _options: &SubscribeOptions) -> Result<(), ReasonCode> {
        self.worker.shared.rules.load().acl.may_subscribe(&self.side.identity, filter).map_err(|denied| {
            tracing::debug!(client = %self.side.client_id, filter, %denied, "subscription refused");
            match denied {
                // Nobody may: another credential would not help.
                registry::Denied::SwitchedOff => ReasonCode::UnspecifiedError,
                _ => ReasonCode::NotAuthorized,
            }
        })
    }

    fn subscribed(&mut self, subscription: &Subscription, is_new: bool) -> Result<(), ReasonCode> {
        let Subscription { filter, options, id } = subscription;
        let (shared, session) = (&self.worker.shared, self.side.session);
        let tenant = self.side.tenant.as_str();
        shared.subscriptions.insert(tenant, filter, session, options, *id).map_err(|full| {
            tracing::warn!(tenant, %full, "subscription refused");
            ReasonCode::QuotaExceeded
        })?;
        let wanted = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        // Shared subscriptions get no retained messages (MQTT 5, 4.8.2).
        if wanted && !filter.starts_with("$share/") {
            shared.command(Command::Retained(Box::new(WantRetained {
                tenant: self.side.tenant.clone(),
                conn: self.conn_ref(),
                filter: filter.clone(),
                qos: options.qos,
                id: *id,
                from: None,
            })));
        }
        Ok(())
    }

    fn unsubscribed(&mut self, filter: &str) {
        self.worker.shared.subscriptions.remove(self.side.tenant.as_str(), filter, self.side.session);
    }

    fn transmit(
        &mut self,
        transmit: Transmit<'_, Position>,
        names: &mut dyn FnMut(&str) -> TopicName,
    ) -> Transmitted {
        let position = transmit.outgoing.message;
        let counters = self.worker.counters();
        if self.side.gone == Some(position) {
            self.side.gone = None;
            counters.dropped_not_in_log.add(1);
            return Transmitted::Gone;
        }
        if self.dead || self.output.len() > self.worker.shared.config.limits.outgoing_bytes {
            return Transmitted::Later;
        }
        let Some(message) = self.take_body(position) else {
            self.side.wanted.get_or_insert(position);
            return Transmitted::Later;
        };
        let envelope = message.envelope();
        if !self.worker.shared.rules.load().acl.may_receive(&self.side.identity, envelope.topic) {
            counters.dropped_denied.add(1);
            return Transmitted::Gone;
        }
        let Outgoing { qos, retain, subscription_ids, .. } = transmit.outgoing;
        let head = Head {
            qos: *qos,
            retain: *retain,
            dup: transmit.dup,
            packet_id: transmit.packet_id,
            ids: subscription_ids,
        };
        let mut held = Vec::new();
        let buffer = if transmit.hold { &mut held } else { self.output.buffer(&self.worker.spares) };
        match encode_delivery(&envelope, &head, self.version, self.packet_bytes, self.now, names, buffer) {
            Ok(()) if transmit.hold => Transmitted::Held(held.into()),
            Ok(()) => {
                counters.publishes_sent.add(1);
                counters.packets_sent.add(1);
                Transmitted::Sent
            }
            Err(Lost::Expired) => {
                counters.dropped_expired.add(1);
                Transmitted::Gone
            }
            Err(Lost::TooLarge) => {
                counters.dropped_too_large.add(1);
                Transmitted::Gone
            }
        }
    }

    fn dropped(&mut self, message: &Position) {
        self.worker.counters().dropped_queue_full.add(1);
        self.take_body(*message);
    }
}

fn inbound_of(will: &OwnedWill) -> Inbound<'_> {
    Inbound {
        topic: &will.topic,
        qos: will.qos,
        retain: will.retain,
        packet_id: 0,
        properties: Properties::parse(&will.properties, Carrier::Will).unwrap_or(Properties::EMPTY),
        payload: &will.payload,
    }
}

/// What differs between the receivers of a message.
struct Head<'a> {
    qos: Qos,
    retain: bool,
    dup: bool,
    packet_id: u16,
    ids: &'a [u32],
}

/// Why a message is not sent.
enum Lost {
    Expired,
    TooLarge,
}

/// Appends the PUBLISH of a message for one receiver.
fn encode_delivery(
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
