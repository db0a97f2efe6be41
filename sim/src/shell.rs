//! The shell around a session machine: what it asks for becomes bytes for the client and records for the log.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use gateway::state::{Entry, Opening, Positions, SessionKey, SessionRecord};
use gateway::topics::Subscriptions;
use log::{Batch, EmbeddedLog, Lane, Log, PartitionId, Position, Topic};
use record::{Encoding, Envelope, Kind, Origin, Protocol, Timestamp, partition_of};
use wire::mqtt::session::{
    Due, DueConnAck, Event, Inbound, Sink, Subscription, Terms, TopicName, Transmit, Transmitted, Verdict,
};
use wire::mqtt::{Packet, Properties, PropertiesBuf, Publish, ReasonCode, SubscribeOptions, Version};

pub(crate) const TENANT: &str = "default";

/// Something that waits for the batch it was handed over with.
pub(crate) struct Waiting {
    pub(crate) conn: u32,
    pub(crate) what: Awaited,
}

pub(crate) enum Awaited {
    /// An answer, and which record of the batch is its message.
    Answer(Due, Option<usize>),
    /// The connection's last word is in the log: the session is free.
    Closed,
}

/// What all connections share.
pub(crate) struct Core {
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) subscriptions: Arc<Subscriptions<SessionKey>>,
    pub(crate) batch: Batch,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) now_ms: i64,
}

impl Core {
    pub(crate) fn log_entries(&mut self, client: &str, entries: &[Entry]) {
        let needs_tails = |entry: &Entry| {
            matches!(
                entry,
                Entry::Opened(_) | Entry::Event(Event::Subscribed(_) | Event::Unsubscribed { .. })
            )
        };
        let tails = entries
            .iter()
            .any(needs_tails)
            .then(|| Positions::message_tails(&*self.log).expect("the partitions exist"));
        let partition = self.session_partition(client);
        self.batch.push_with(partition, |out| {
            SessionRecord::encode(out, TENANT, client, tails.as_ref(), entries);
        });
    }

    pub(crate) fn session_partition(&self, client: &str) -> PartitionId {
        let index = partition_of(TENANT, client, self.log.partitions(Topic::Sessions));
        PartitionId { topic: Topic::Sessions, lane: Lane::Live, index }
    }
}

/// One connection's view of [`Core`].
pub(crate) struct Shell<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) conn: u32,
    pub(crate) client: &'a str,
    pub(crate) session: SessionKey,
    pub(crate) version: Version,
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) opening: Option<Box<Opening>>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) record: Option<usize>,
}

impl Shell<'_> {
    /// To be called after each call of the machine.
    pub(crate) fn finish(self) {
        if !self.entries.is_empty() {
            self.core.log_entries(self.client, &self.entries);
        }
    }

    fn encode(&mut self, packet: &Packet<'_>) {
        packet.encode(self.version, self.out).expect("what the machine sends can be encoded");
    }
}

impl Sink<Position> for Shell<'_> {
    fn connack(&mut self, due: &DueConnAck, _terms: &Terms) {
        let properties = PropertiesBuf::new();
        self.encode(&Packet::ConnAck(due.packet(&properties)));
    }

    fn send(&mut self, packet: &Packet<'_>) {
        self.encode(packet);
    }

    fn send_encoded(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn publish(&mut self, publish: Inbound<'_>) -> Verdict {
        let envelope = Envelope {
            kind: Kind::Message,
            protocol: if self.version == Version::V5 { Protocol::Mqtt5 } else { Protocol::Mqtt3 },
            encoding: Encoding::Opaque,
            qos: publish.qos,
            retain: publish.retain,
            refused: None,
            arrived_at: Timestamp::from_millis(self.core.now_ms).expect("simulated time is small"),
            tenant: TENANT,
            device: "",
            topic: publish.topic,
            origin: Some(Origin { client_id: self.client, packet_id: publish.packet_id }),
            properties: &[],
            payload: publish.payload,
        };
        let index = partition_of(TENANT, publish.topic, self.core.log.partitions(Topic::Messages));
        let partition = PartitionId { topic: Topic::Messages, lane: Lane::Live, index };
        self.record = Some(self.core.batch.len());
        self.core.batch.push_with(partition, |out| envelope.encode(out));
        Verdict::Logged
    }

    fn event(&mut self, event: Event<Position>) {
        self.entries.push(match (event, self.opening.take()) {
            (Event::Opened { .. }, Some(opening)) => Entry::Opened(opening),
            (Event::Closed { at_ms, expiry_s }, _) => Entry::Closed { at_ms, expiry_s, will_owed: false },
            (event, _) => Entry::Event(event),
        });
    }

    fn due(&mut self, due: Due) {
        let what = Awaited::Answer(due, self.record.take());
        self.core.waiting.push(Waiting { conn: self.conn, what });
    }

    fn may_subscribe(&mut self, _filter: &str, _options: &SubscribeOptions) -> Result<(), ReasonCode> {
        Ok(())
    }

    fn subscribed(&mut self, new: &Subscription, _is_new: bool) -> Result<(), ReasonCode> {
        let inserted =
            self.core.subscriptions.insert(TENANT, &new.filter, self.session, &new.options, new.id);
        inserted.map(drop).map_err(|_| ReasonCode::QuotaExceeded)
    }

    fn unsubscribed(&mut self, filter: &str) {
        self.core.subscriptions.remove(TENANT, filter, self.session);
    }

    fn transmit(
        &mut self,
        transmit: Transmit<'_, Position>,
        _names: &mut dyn FnMut(&str) -> TopicName,
    ) -> Transmitted {
        let outgoing = transmit.outgoing;
        let body = match read_one(&*self.core.log, outgoing.message) {
            Ok(Some(body)) => body,
            Ok(None) => return Transmitted::Gone,
            // A disk that fails has not lost it yet.
            Err(_) => return Transmitted::Later,
        };
        let message = Envelope::decode(&body).expect("what the log holds is what was written");
        let packet = Packet::Publish(Publish {
            dup: transmit.dup,
            qos: outgoing.qos,
            retain: outgoing.retain,
            topic: message.topic,
            packet_id: transmit.packet_id,
            properties: Properties::EMPTY,
            payload: message.payload,
        });
        if transmit.hold {
            let mut held = Vec::new();
            packet.encode(self.version, &mut held).expect("a stored message can be encoded");
            return Transmitted::Held(held.into());
        }
        self.encode(&packet);
        Transmitted::Sent
    }

    fn dropped(&mut self, _message: &Position) {}
}

/// One record; `None` when retention has taken it.
fn read_one(log: &dyn Log, position: Position) -> log::Result<Option<bytes::Bytes>> {
    let mut reader = log.read(&[position])?;
    match reader.next(1).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(chunk)) => {
            Ok(chunk.runs.first().and_then(|run| run.records.first()).map(|record| record.value.clone()))
        }
        Poll::Ready(Err(log::Error::Expired { .. })) => Ok(None),
        Poll::Ready(Err(error)) => Err(error),
        Poll::Pending => Err(log::Error::Closed),
    }
}
