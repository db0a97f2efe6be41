use std::collections::BTreeMap;

use log::{Batch, Lane, Log, MemoryLog, PartitionId, Partitions, Position, Topic};
use metadata::Metadata;
use penstock_gateway::state::{Book, Entry, Limits, Opening, Positions, SessionKey, SessionRecord, recover};
use penstock_gateway::topics::{Audience, Matches, Standing, group_hash};
use record::{Envelope, Qos};
use wire::mqtt::session::{Event, Subscription};
use wire::mqtt::{RetainHandling, SubscribeOptions};

use super::world::{Random, TENANT, envelope, now_or_never};

const MEMBERS: [&str; 3] = ["m0", "m1", "m2"];
const FILTER: &str = "$share/g/a/+";

struct Everyone;

impl Audience<SessionKey> for Everyone {
    fn standing(&self, _: SessionKey) -> Standing {
        Standing::Connected
    }
    fn is_publisher(&self, _: SessionKey) -> bool {
        false
    }
}

fn append(log: &MemoryLog, partition: PartitionId, bytes: &[u8]) -> Position {
    let mut batch = Batch::new();
    batch.push(partition, bytes);
    now_or_never(log.append(batch)).unwrap()[0]
}

fn say(log: &MemoryLog, client: &str, entries: &[Entry]) -> (Position, Vec<u8>) {
    let mut bytes = Vec::new();
    let tails = Positions::message_tails(log).unwrap();
    SessionRecord::encode(&mut bytes, TENANT, client, Some(&tails), entries);
    let partition = PartitionId { topic: Topic::Sessions, lane: Lane::Live, index: 0 };
    (append(log, partition, &bytes), bytes)
}

/// Each message goes to one member, before and after a crash, whatever of the choices was logged.
fn live(seed: u64) {
    let mut random = Random::new(seed);
    let log = MemoryLog::new(Partitions::uniform(1).unwrap());
    let metadata = metadata::Memory::new();
    let mut book = Book::new(Limits::default());
    let options = SubscribeOptions {
        qos: Qos::ExactlyOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::DoNotSend,
    };
    for member in MEMBERS {
        let session = book.open(TENANT, member, true, 0).session;
        let opening = Opening { clean: true, expiry_s: u32::MAX, ..Opening::default() };
        let subscription = Subscription { filter: FILTER.into(), options, id: 0 };
        let entries = [Entry::Opened(Box::new(opening)), Entry::Event(Event::Subscribed(subscription))];
        let (at, bytes) = say(&log, member, &entries);
        book.apply_session(at, &bytes).unwrap();
        book.subscriptions().insert(TENANT, FILTER, session, &options, 0).unwrap();
    }
    let mut done: BTreeMap<Position, usize> = BTreeMap::new();
    let mut published = Vec::new();
    let mut out = Matches::new();
    for n in 0..30_u32 {
        let qos = random.pick(&[Qos::AtLeastOnce, Qos::ExactlyOnce]);
        let payload = n.to_be_bytes();
        let message: Envelope<'_> = envelope("a/b", &payload, qos, false, None, 0);
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let partition = PartitionId { topic: Topic::Messages, lane: Lane::Live, index: 0 };
        let at = append(&log, partition, &bytes);
        published.push(at);
        if random.one_in(5) {
            continue; // not read before the crash
        }
        for unread in published.clone() {
            if book.positions().contain(unread) {
                continue;
            }
            let bytes =
                now_or_never(log.read(&[unread]).unwrap().next(1)).unwrap().runs[0].records[0].value.clone();
            book.apply_message(unread, &bytes, &Everyone, &mut out).unwrap();
            assert_eq!(out.as_slice().len(), 1);
            let chosen = book.name(out.as_slice()[0].subscriber).unwrap().1.to_string();
            if random.one_in(2) {
                say(&log, &chosen, &[Entry::Assigned { message: unread, group: group_hash(FILTER) }]);
            }
            if random.one_in(3) {
                let completed = Event::Completed { packet_id: 1, message: unread };
                say(&log, &chosen, &[Entry::Event(completed)]);
                *done.entry(unread).or_default() += 1;
            }
        }
        if random.one_in(10) {
            metadata.commit(&book.checkpoint().changes).unwrap();
        }
    }
    let book = now_or_never(recover(&log, &metadata, Limits::default(), 1)).unwrap().book;
    for at in published {
        let holders = MEMBERS.iter().filter(|member| {
            let durable = book.durable(book.find(TENANT, member).unwrap()).unwrap();
            durable.outgoing.iter().any(|outgoing| outgoing.message == at)
        });
        let copies = holders.count() + done.get(&at).copied().unwrap_or(0);
        assert_eq!(copies, 1, "seed {seed}: {at:?}");
    }
}

#[test]
fn a_share_group_gets_each_message_once_whatever_the_crash_left_of_its_choices() {
    for seed in 0..200 {
        live(seed);
    }
}

#[test]
fn a_message_that_a_client_without_session_took_goes_to_nobody_else() {
    let log = MemoryLog::new(Partitions::uniform(1).unwrap());
    let options = SubscribeOptions {
        qos: Qos::ExactlyOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::DoNotSend,
    };
    let opening = Opening { clean: true, expiry_s: u32::MAX, ..Opening::default() };
    let subscription = Subscription { filter: FILTER.into(), options, id: 0 };
    say(&log, "m0", &[Entry::Opened(Box::new(opening)), Entry::Event(Event::Subscribed(subscription))]);
    let mut bytes = Vec::new();
    envelope("a/b", b"1", Qos::ExactlyOnce, false, None, 0).encode(&mut bytes);
    let partition = PartitionId { topic: Topic::Messages, lane: Lane::Live, index: 0 };
    let (taken, other) = (append(&log, partition, &bytes), append(&log, partition, &bytes));
    say(&log, "passer-by", &[Entry::Assigned { message: taken, group: group_hash(FILTER) }]);
    let metadata = metadata::Memory::new();
    let book = now_or_never(recover(&log, &metadata, Limits::default(), 1)).unwrap().book;
    let durable = book.durable(book.find(TENANT, "m0").unwrap()).unwrap();
    let queued: Vec<Position> = durable.outgoing.iter().map(|outgoing| outgoing.message).collect();
    assert_eq!(queued, [other]);
}
