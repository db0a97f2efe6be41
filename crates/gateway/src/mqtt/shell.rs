//! What the state machine asks for, done: into the batch, into the socket's buffer, to the dispatcher.

mod encoding;
mod publishing;

use std::collections::VecDeque;
use std::sync::Arc;

use log::Position;
use record::{Kind, Qos, TenantId, Timestamp};
use registry::Identity;
use smallvec::SmallVec;
use wire::mqtt::session::{
    Due, DueConnAck, Event, Inbound, Outgoing, Sink, Subscription, Terms, TopicName, Transmit, Transmitted,
    Verdict,
};
use wire::mqtt::{AckKind, Packet, ReasonCode, RetainHandling, SubscribeOptions, Version};

use self::encoding::{Head, Lost, encode_delivery};
use super::commit::{Awaited, ConnKey};
use super::output::Output;
use super::worker::Worker;
use crate::dispatch::{Command, ConnRef, Delivery, Message, SessionKey, WantRetained};
use crate::state::{Entry, Opening};

/// Bodies that a session keeps in memory for deliveries that wait; of those beyond, only the place in the log.
const BODIES: usize = 64;
/// And at most so many bytes of them.
const BODIES_BYTES: usize = 1 << 20;

/// What a connection has beside its machine.
pub(super) struct Side {
    pub(super) tenant: TenantId,
    pub(super) client_id: Arc<str>,
    pub(super) session: SessionKey,
    pub(super) identity: Arc<Identity>,
    /// Bytes handed to the log and not yet settled.
    pub(super) in_flight_bytes: usize,
    /// Whether the last reading was of the backfill lane, or of the last minutes of what came there.
    pub(super) brings_history: bool,
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
