//! A gateway reduced to what it does with the book: clients that open, subscribe, publish, acknowledge and vanish, a
//! dispatcher that reads the log's partitions in any order and late, checkpoints, crashes.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use log::{Batch, Lane, Log, MemoryLog, PartitionId, Partitions, Position, Topic};
use metadata::{Change, Metadata, Table};
use penstock_gateway::state::{
    Book, Entry, Limits, Opening, Positions, SessionKey, SessionRecord, Will, recover,
};
use penstock_gateway::topics::{Audience, Matches, Standing};
use record::{Encoding, Envelope, Kind, Origin, Protocol, Qos, Timestamp, partition_of};
use wire::mqtt::session::{Event, Outgoing, Progress, Subscription};
use wire::mqtt::{RetainHandling, SubscribeOptions};

use super::model::{Copy, Model, Published, Session, Step};

pub(super) const TENANT: &str = "t";
const CLIENTS: [&str; 4] = ["c0", "c1", "c2", "c3"];
const TOPICS: [&str; 6] = ["a", "a/b", "a/c", "d/b", "$x/b", "raw/1"];
const FILTERS: [&str; 8] = ["a", "a/+", "a/#", "#", "+/b", "d/b", "$x/#", "raw/+"];
const PARTITIONS: u16 = 3;

/// What is broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// The offsets of a checkpoint are committed before its rows.
    OffsetsFirst,
    /// SUBACK goes out before the event is in the log.
    AckFirst,
    /// Subscriptions are replayed without the positions at which they began.
    NoPositions,
}

pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed)
    }
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    pub(super) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// Futures of the memory log never wait.
pub(super) fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory log has nothing to wait for"),
    }
}

struct Publisher(Option<SessionKey>);

impl Audience<SessionKey> for Publisher {
    fn standing(&self, _: SessionKey) -> Standing {
        Standing::Connected
    }
    fn is_publisher(&self, subscriber: SessionKey) -> bool {
        self.0 == Some(subscriber)
    }
}

pub(super) struct World {
    pub(super) random: Random,
    broken: Broken,
    log: MemoryLog,
    /// What the log holds, to be read in any order.
    tail: BTreeMap<PartitionId, Vec<Vec<u8>>>,
    metadata: metadata::Memory,
    book: Book,
    keys: BTreeMap<String, SessionKey>,
    model: Model,
    /// Acknowledgements of clients that are not yet in the log.
    lazy: Vec<(String, Position, u16)>,
    now_ms: i64,
    serial: u32,
}

impl World {
    pub(super) fn new(seed: u64, broken: Broken) -> Self {
        Self {
            random: Random::new(seed),
            broken,
            log: MemoryLog::new(Partitions::uniform(PARTITIONS).unwrap()),
            tail: BTreeMap::new(),
            metadata: metadata::Memory::new(),
            book: Book::new(Limits::default()),
            keys: BTreeMap::new(),
            model: Model::default(),
            lazy: Vec::new(),
            now_ms: 1_000_000,
            serial: 0,
        }
    }

    pub(super) fn run(&mut self, steps: usize) -> Result<(), String> {
        for _ in 0..steps {
            self.now_ms += 100;
            let client = self.random.pick(&CLIENTS).to_owned();
            let connected = self.model.sessions.get(&client).is_some_and(|s| s.connected);
            match self.random.below(40) {
                0..3 if !connected => self.open(&client)?,
                3 if connected => self.close(&client),
                4..8 if connected => self.subscribe(&client),
                8 if connected => self.unsubscribe(&client),
                9..16 => self.publish(Some(client).filter(|_| connected)),
                16..18 if connected => self.release(&client),
                18..26 if connected => self.progress(&client),
                26..34 => self.read_some(),
                34 => self.flush(),
                35 => self.checkpoint(),
                36 => self.tick()?,
                37 => self.check("live")?,
                38 => self.crash()?,
                _ => {}
            }
        }
        self.crash()
    }

    fn append(&mut self, partition: PartitionId, bytes: Vec<u8>) -> Position {
        let mut batch = Batch::new();
        batch.push(partition, &bytes);
        self.tail.entry(partition).or_default().push(bytes);
        now_or_never(self.log.append(batch)).unwrap()[0]
    }

    fn append_entries(&mut self, client: &str, tails: Option<&Positions>, entries: &[Entry]) {
        self.flush();
        let index = partition_of(TENANT, client, PARTITIONS);
        let partition = PartitionId { topic: Topic::Sessions, lane: Lane::Live, index };
        let mut bytes = Vec::new();
        SessionRecord::encode(&mut bytes, TENANT, client, tails, entries);
        self.append(partition, bytes);
    }

    fn tails(&self) -> Positions {
        if self.broken == Broken::NoPositions {
            return Positions::new();
        }
        Positions::message_tails(&self.log).unwrap()
    }

    /// Hands the book one more record of a partition, if there is one.
    fn read_one(&mut self, partition: PartitionId) -> bool {
        let offset = self.book.positions().get(partition);
        let Some(bytes) = self.tail.get(&partition).and_then(|p| p.get(offset as usize)) else {
            return false;
        };
        let at = Position { partition, offset };
        if partition.topic == Topic::Sessions {
            self.book.apply_session(at, bytes).unwrap();
        } else {
            let message = Envelope::decode(bytes).unwrap();
            let publisher = message.origin.and_then(|o| self.book.find(TENANT, o.client_id));
            self.book.apply_message(at, bytes, &Publisher(publisher), &mut Matches::new()).unwrap();
        }
        true
    }

    fn read_some(&mut self) {
        let partitions: Vec<PartitionId> = self.tail.keys().copied().collect();
        for _ in 0..self.random.below(6) {
            if !partitions.is_empty() {
                let partition = self.random.pick(&partitions);
                self.read_one(partition);
            }
        }
    }

    fn read_all(&mut self) {
        let partitions: Vec<PartitionId> = self.tail.keys().copied().collect();
        partitions.into_iter().for_each(|partition| while self.read_one(partition) {});
    }

    fn open(&mut self, client: &str) -> Result<(), String> {
        self.flush();
        // The rule of the hand-over: the book has read all there is of the session.
        let index = partition_of(TENANT, client, PARTITIONS);
        while self.read_one(PartitionId { topic: Topic::Sessions, lane: Lane::Live, index }) {}
        let clean = self.random.one_in(4);
        let opened = self.book.open(TENANT, client, clean, self.now_ms);
        let expected = self
            .model
            .sessions
            .get(client)
            .filter(|s| !clean && s.closed_at_ms + i64::from(s.expiry_s) * 1000 > self.now_ms);
        if opened.stored.is_some() != expected.is_some() {
            return Err(format!("session present for {client}: {}", opened.stored.is_some()));
        }
        self.keys.insert(client.to_owned(), opened.session);
        let clean = opened.stored.is_none();
        let expiry_s = self.random.pick(&[0, 5, 30, 100, u32::MAX]);
        self.serial += 1;
        let will = self.random.one_in(2).then_some((self.serial, self.random.below(20) as u32));
        let opening = Opening {
            clean,
            expiry_s,
            at_ms: self.now_ms,
            subject: client.into(),
            will: will.map(|(payload, delay_s)| {
                let mut bytes = Vec::new();
                envelope("will", &payload.to_be_bytes(), Qos::AtLeastOnce, false, None, 0).encode(&mut bytes);
                Will { delay_s, envelope: bytes.into() }
            }),
        };
        let tails = self.tails();
        self.append_entries(client, Some(&tails), &[Entry::Opened(Box::new(opening))]);
        if clean {
            self.model.end(client, self.now_ms);
        }
        let now_ms = self.now_ms;
        let session = self.model.sessions.entry(client.to_owned()).or_default();
        session.owed.retain(|(_, due)| *due <= now_ms);
        (session.connected, session.expiry_s, session.will) = (true, expiry_s, will);
        Ok(())
    }

    fn close(&mut self, client: &str) {
        let will_owed = self.random.one_in(2);
        let expiry_s = self.model.sessions[client].expiry_s;
        let expiry_s = if self.random.one_in(5) { 0 } else { expiry_s };
        self.append_entries(client, None, &[Entry::Closed { at_ms: self.now_ms, expiry_s, will_owed }]);
        self.model.close(client, self.now_ms, expiry_s, will_owed);
    }

    fn subscribe(&mut self, client: &str) {
        let filter = self.random.pick(&FILTERS).to_owned();
        let options = SubscribeOptions {
            qos: self.qos(),
            no_local: self.random.one_in(4),
            retain_as_published: self.random.one_in(2),
            retain_handling: RetainHandling::Send,
        };
        let id = self.random.below(3) as u32;
        self.flush();
        let tails = self.tails();
        let key = self.keys[client];
        let subscription = Subscription { filter: filter.as_str().into(), options, id };
        let mut entries = vec![Entry::Event(Event::Subscribed(subscription))];
        // What is published before and not yet read: the standard leaves open whether it matches.
        let unread: Vec<Position> =
            self.model.fitting(&filter).filter(|at| !self.book.positions().contain(*at)).collect();
        let retained = if self.random.one_in(3) {
            self.book.retained().matching(TENANT, &filter, None, 1000, self.now_ms).messages
        } else {
            Vec::new()
        };
        let session = self.model.sessions.get_mut(client).unwrap();
        // Replaced: the dispatcher matches what it has not yet read by the new options, a replay by the old.
        session.queue.retain(|copy| !(copy.progress == Step::Queued && unread.contains(&copy.message)));
        session.maybe.extend(unread);
        session.subscriptions.insert(filter.clone(), (options, id));
        for kept in retained {
            let qos = kept.qos.min(options.qos);
            if qos == Qos::AtMostOnce {
                continue;
            }
            let ids = if id == 0 { vec![] } else { vec![id] };
            session.queue.push(Copy {
                message: kept.position,
                qos,
                retain: true,
                ids: ids.clone(),
                progress: Step::Queued,
            });
            entries.push(Entry::Event(Event::Queued(Outgoing {
                message: kept.position,
                qos,
                retain: true,
                subscription_ids: ids.into(),
                progress: Progress::Queued,
            })));
        }
        if !(self.broken == Broken::AckFirst && self.random.one_in(3)) {
            self.append_entries(client, Some(&tails), &entries);
        }
        self.book.subscriptions().insert(TENANT, &filter, key, &options, id).unwrap();
    }

    fn unsubscribe(&mut self, client: &str) {
        let filters: Vec<String> = self.model.sessions[client].subscriptions.keys().cloned().collect();
        if filters.is_empty() {
            return;
        }
        let filter = self.random.pick(&filters);
        let tails = self.tails();
        self.append_entries(
            client,
            Some(&tails),
            &[Entry::Event(Event::Unsubscribed { filter: filter.as_str().into() })],
        );
        self.book.subscriptions().remove(TENANT, &filter, self.keys[client]);
        let unread: Vec<Position> =
            self.model.fitting(&filter).filter(|at| !self.book.positions().contain(*at)).collect();
        let session = self.model.sessions.get_mut(client).unwrap();
        session.subscriptions.remove(&filter);
        // Matched but not yet seen by the dispatcher: may be given up.
        session.queue.retain(|copy| !(copy.progress == Step::Queued && unread.contains(&copy.message)));
        session.maybe.extend(unread);
    }

    fn publish(&mut self, publisher: Option<String>) {
        let topic = self.random.pick(&TOPICS);
        let qos = self.qos();
        let retain = self.random.one_in(4);
        let empty = retain && self.random.one_in(4);
        self.serial += 1;
        let payload = if empty { vec![] } else { self.serial.to_be_bytes().to_vec() };
        let mut packet_id = 0;
        if let Some(client) = publisher.as_ref().filter(|_| qos == Qos::ExactlyOnce) {
            let arrived = &self.model.sessions[client].arrived;
            packet_id = (1..).find(|id| !arrived.contains_key(id)).unwrap();
        }
        let origin = publisher.as_deref().map(|client_id| Origin { client_id, packet_id });
        let mut bytes = Vec::new();
        envelope(topic, &payload, qos, retain, origin, self.now_ms).encode(&mut bytes);
        let (log_topic, lane) = match topic {
            "raw/1" => (Topic::Raw, Lane::Live),
            _ => (Topic::Messages, Lane::Live),
        };
        let index = partition_of(TENANT, topic, PARTITIONS);
        let at = self.append(PartitionId { topic: log_topic, lane, index }, bytes);
        if let Some(client) = publisher.as_ref().filter(|_| packet_id != 0) {
            self.model.sessions.get_mut(client).unwrap().arrived.insert(packet_id, at);
        }
        self.model.publish(Published { at, topic: topic.to_owned(), qos, retain, publisher }, empty);
    }

    fn release(&mut self, client: &str) {
        let arrived: Vec<(u16, Position)> =
            self.model.sessions[client].arrived.iter().map(|(id, at)| (*id, *at)).collect();
        if !arrived.is_empty() {
            let (packet_id, message) = self.random.pick(&arrived);
            self.append_entries(client, None, &[Entry::Event(Event::Released { packet_id, message })]);
            self.model.sessions.get_mut(client).unwrap().arrived.remove(&packet_id);
        }
    }

    /// The client gets or acknowledges a message that the dispatcher has read.
    fn progress(&mut self, client: &str) {
        let session = &self.model.sessions[client];
        let taken = |copy: &Copy| self.lazy.iter().any(|(c, m, _)| c == client && *m == copy.message);
        let ready: Vec<usize> = (0..session.queue.len())
            .filter(|at| {
                self.book.positions().contain(session.queue[*at].message) && !taken(&session.queue[*at])
            })
            .collect();
        if ready.is_empty() {
            return;
        }
        let at = self.random.pick(&ready);
        let Copy { message, qos, progress, .. } = session.queue[at].clone();
        // The same message twice (also as a retained one): which copy is meant can be told by the packet id alone.
        if session.queue.iter().filter(|copy| copy.message == message).count() > 1 {
            return;
        }
        let packet_id = (1..)
            .find(|id| {
                !session
                    .queue
                    .iter()
                    .any(|c| c.progress == Step::Sent(*id) || c.progress == Step::Received(*id))
            })
            .unwrap();
        let (event, next) = match (qos, progress) {
            (Qos::ExactlyOnce, Step::Queued) => {
                (Event::Sent { message, packet_id }, Some(Step::Sent(packet_id)))
            }
            (Qos::ExactlyOnce, Step::Sent(id)) => {
                (Event::Received { packet_id: id, message }, Some(Step::Received(id)))
            }
            (_, Step::Received(id) | Step::Sent(id)) => {
                self.lazy.push((client.to_owned(), message, id));
                return;
            }
            (_, Step::Queued) => {
                self.lazy.push((client.to_owned(), message, packet_id));
                return;
            }
        };
        self.append_entries(client, None, &[Entry::Event(event)]);
        let queue = &mut self.model.sessions.get_mut(client).unwrap().queue;
        if let (Some(next), Some(copy)) = (next, queue.iter_mut().find(|copy| copy.message == message)) {
            copy.progress = next;
        }
    }

    /// Acknowledgements of clients get into the log.
    fn flush(&mut self) {
        for (client, message, packet_id) in std::mem::take(&mut self.lazy) {
            self.append_entries(&client, None, &[Entry::Event(Event::Completed { packet_id, message })]);
            if let Some(session) = self.model.sessions.get_mut(&client)
                && let Some(at) = session.queue.iter().position(|copy| copy.message == message)
            {
                session.queue.remove(at);
            }
        }
    }

    fn checkpoint(&mut self) {
        let checkpoint = self.book.checkpoint();
        if self.random.one_in(4) {
            self.book.checkpoint_failed(checkpoint);
        } else if self.broken == Broken::OffsetsFirst && self.random.one_in(2) {
            let offsets = |c: &Change| matches!(c, Change::Put(Table::Offsets, _));
            let first: Vec<Change> = checkpoint.changes.into_iter().filter(offsets).collect();
            self.metadata.commit(&first).unwrap();
            // And here the process dies: the rows are never written.
        } else {
            self.metadata.commit(&checkpoint.changes).unwrap();
        }
    }

    /// Time passes: sessions expire, wills are published.
    fn tick(&mut self) -> Result<(), String> {
        self.flush();
        self.read_all();
        self.now_ms += self.random.below(20_000) as i64;
        self.book.expire(self.now_ms);
        self.model.expire(self.now_ms);
        for will in self.book.owed_wills(self.now_ms) {
            if self.random.one_in(5) {
                self.book.will_failed(will.session);
                return Ok(());
            }
            let message = Envelope::decode(&will.envelope).unwrap();
            let payload = u32::from_be_bytes(message.payload.try_into().unwrap());
            if !self.model.wills().contains(&payload) {
                return Err(format!("will {payload} is not owed"));
            }
            let index = partition_of(TENANT, "will", PARTITIONS);
            let partition = PartitionId { topic: Topic::Messages, lane: Lane::Live, index };
            let at = self.append(partition, will.envelope.to_vec());
            self.append_entries(&will.client_id, None, &[Entry::WillSent { opened: will.opened }]);
            self.model.will_sent(payload);
            let (topic, qos) = ("will".to_owned(), Qos::AtLeastOnce);
            self.model.publish(Published { at, topic, qos, retain: false, publisher: None }, false);
        }
        Ok(())
    }

    fn crash(&mut self) -> Result<(), String> {
        self.lazy.clear();
        let recovered = recover(&self.log, &self.metadata, Limits::default(), self.now_ms);
        let recovered = now_or_never(recovered).map_err(|e| e.to_string())?;
        if self.random.one_in(4) {
            return self.crash(); // again, before it is on its feet
        }
        let closings = recovered.closings(&self.log, self.now_ms);
        for record in closings.records() {
            self.append(record.partition, record.value.to_vec());
        }
        self.book = recovered.book;
        let open: Vec<(String, u32)> = self
            .model
            .sessions
            .iter()
            .filter(|(_, s)| s.connected)
            .map(|(client, s)| (client.clone(), s.expiry_s))
            .collect();
        for (client, expiry_s) in open {
            self.model.close(&client, self.now_ms, expiry_s, true);
        }
        self.compare("crash")
    }

    fn check(&mut self, when: &str) -> Result<(), String> {
        self.flush();
        self.read_all();
        self.compare(when)
    }

    fn compare(&mut self, when: &str) -> Result<(), String> {
        self.book.expire(self.now_ms);
        self.model.expire(self.now_ms);
        let say = |what: String| Err(format!("{when}: {what}"));
        for client in CLIENTS {
            let real =
                self.book.find(TENANT, client).and_then(|key| self.book.durable(key).map(|d| (key, d)));
            let Some(expected) = self.model.sessions.get(client) else {
                if real.is_some_and(|(_, d)| !d.subscriptions.is_empty() || !d.outgoing.is_empty()) {
                    return say(format!("{client} should be gone: {real:?}"));
                }
                continue;
            };
            let Some((_, durable)) = real else { return say(format!("{client} is missing")) };
            let subscriptions: BTreeMap<String, (SubscribeOptions, u32)> =
                durable.subscriptions.iter().map(|s| (s.filter.to_string(), (s.options, s.id))).collect();
            if subscriptions != expected.subscriptions {
                return say(format!(
                    "{client} subscribed {subscriptions:?}, expected {:?}",
                    expected.subscriptions
                ));
            }
            let arrived: BTreeMap<u16, Position> = durable.arrived.iter().copied().collect();
            if arrived != expected.arrived {
                return say(format!("{client} arrived {arrived:?}, expected {:?}", expected.arrived));
            }
            if durable.expiry_s != expected.expiry_s || durable.closed_at_ms.is_none() != expected.connected {
                return say(format!(
                    "{client}: {} {:?} {expected:?}",
                    durable.expiry_s, durable.closed_at_ms
                ));
            }
            compare_queues(&durable.outgoing, expected).or_else(|what| say(format!("{client} {what}")))?;
        }
        let retained: BTreeMap<String, Position> = self
            .book
            .retained()
            .iter()
            .filter(|(_, _, kept)| !kept.deleted)
            .map(|(_, topic, kept)| (topic.to_owned(), kept.position))
            .collect();
        if retained != self.model.retained {
            return say(format!("retained {retained:?}, expected {:?}", self.model.retained));
        }
        Ok(())
    }

    /// The wills that the book owes, by payload, all taken at the end of time.
    pub(super) fn wills(&mut self) -> (Vec<u32>, Vec<u32>) {
        let owed = self.book.owed_wills(i64::MAX);
        let payload = |envelope: &[u8]| Envelope::decode(envelope).unwrap().payload.try_into().unwrap();
        let mut real: Vec<u32> =
            owed.iter().map(|will| u32::from_be_bytes(payload(&will.envelope))).collect();
        real.sort_unstable();
        (real, self.model.wills().into_iter().collect())
    }

    fn qos(&mut self) -> Qos {
        self.random.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
    }
}

/// Everything that must be there is, nothing is doubled, and what is there besides may be.
fn compare_queues<'a>(
    real: impl IntoIterator<Item = &'a Outgoing<Position>>,
    expected: &Session,
) -> Result<(), String> {
    let mut real: Vec<Copy> = real
        .into_iter()
        .map(|o| Copy {
            message: o.message,
            qos: o.qos,
            retain: o.retain,
            ids: o.subscription_ids.to_vec(),
            progress: o.progress.into(),
        })
        .collect();
    for copy in &expected.queue {
        // A message at the edge of a subscription may have matched that one too.
        let edge = expected.maybe.contains(&copy.message);
        let same = |r: &Copy| {
            r == copy
                || (edge && r.message == copy.message && (r.progress == copy.progress || r.qos != copy.qos))
        };
        match real.iter().position(same) {
            Some(at) => {
                real.remove(at);
            }
            None => return Err(format!("misses {copy:?}, has {real:?}")),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    match real.iter().find(|r| !expected.maybe.contains(&r.message) || !seen.insert(r.message)) {
        Some(more) => Err(format!("should not have {more:?}")),
        None => Ok(()),
    }
}

pub(super) fn envelope<'a>(
    topic: &'a str,
    payload: &'a [u8],
    qos: Qos,
    retain: bool,
    origin: Option<Origin<'a>>,
    now_ms: i64,
) -> Envelope<'a> {
    Envelope {
        kind: Kind::Message,
        protocol: Protocol::Mqtt5,
        encoding: Encoding::Opaque,
        qos,
        retain,
        refused: None,
        arrived_at: Timestamp::from_millis(now_ms).unwrap(),
        tenant: TENANT,
        device: "",
        topic,
        origin,
        properties: &[],
        payload,
    }
}
