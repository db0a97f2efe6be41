//! What subscriptions cost in memory, what matching costs, and how long a recovery takes.
//! `cargo bench -p penstock-gateway --bench state [-- SUBSCRIPTIONS MESSAGES]`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and may panic")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use log::{Batch, Lane, Log, MemoryLog, PartitionId, Partitions, Topic};
use penstock_gateway::state::{Entry, Limits, Opening, Positions, SessionRecord, recover};
use penstock_gateway::topics::{Audience, Matches, Standing, SubscriptionLimits, Subscriptions};
use record::{Encoding, Envelope, Kind, Origin, Protocol, Qos, Timestamp, partition_of};
use wire::mqtt::session::{Event, Subscription};
use wire::mqtt::{RetainHandling, SubscribeOptions};

const OPTIONS: SubscribeOptions = SubscribeOptions {
    qos: Qos::AtLeastOnce,
    no_local: false,
    retain_as_published: false,
    retain_handling: RetainHandling::Send,
};

struct Everyone;

impl Audience<u64> for Everyone {
    fn standing(&self, _: u64) -> Standing {
        Standing::Connected
    }
    fn is_publisher(&self, _: u64) -> bool {
        false
    }
}

fn main() {
    let mut numbers = std::env::args().filter_map(|arg| arg.parse::<u64>().ok());
    let (subscriptions, messages) =
        (numbers.next().unwrap_or(1_000_000), numbers.next().unwrap_or(1_000_000));
    subscribe("devices/{}/commands", subscriptions);
    subscribe("devices/{}/#", subscriptions);
    replay(messages);
}

/// One subscription of one device each, then one message to each of a sample.
fn subscribe(form: &str, count: u64) {
    let real = Subscriptions::new(SubscriptionLimits::default());
    let (before, began) = (rss_bytes(), Instant::now());
    for device in 0..count {
        let filter = form.replace("{}", &format!("device-{device:08}"));
        real.insert("default", &filter, device, &OPTIONS, 0).unwrap();
    }
    let (each, spent) = ((rss_bytes() - before) / count, began.elapsed());
    println!("{count} subscriptions {form}: {each} bytes and {} ns each", spent.as_nanos() as u64 / count);
    let mut out = Matches::new();
    let topics: Vec<String> =
        (0..100_000).map(|n| format!("devices/device-{:08}/commands", n * 7919 % count)).collect();
    let began = Instant::now();
    for topic in &topics {
        real.matching("default", topic, Qos::AtLeastOnce, &Everyone, &mut out);
        assert_eq!(out.as_slice().len(), 1);
    }
    println!("  a match: {} ns", began.elapsed().as_nanos() / topics.len() as u128);
    std::mem::forget(real); // or the next would be measured on what this one gave back
}

/// A log of that many messages since the checkpoint, half of them for one of a thousand sessions.
fn replay(messages: u64) {
    let log = MemoryLog::new(Partitions::default());
    let metadata = metadata::Memory::new();
    let mut batch = Batch::new();
    for n in 0..1000 {
        let client = format!("device-{n:04}");
        let opening = Opening { clean: true, expiry_s: u32::MAX, ..Opening::default() };
        let filter = format!("devices/{client}/commands").into();
        let entries = [
            Entry::Opened(Box::new(opening)),
            Entry::Event(Event::Subscribed(Subscription { filter, options: OPTIONS, id: 0 })),
        ];
        let index = partition_of("default", &client, 16);
        batch.push_with(PartitionId { topic: Topic::Sessions, lane: Lane::Live, index }, |out| {
            SessionRecord::encode(out, "default", &client, Some(&Positions::new()), &entries);
        });
    }
    for n in 0..messages {
        let topic = format!("devices/device-{:04}/commands", n % 2000);
        let message = Envelope {
            kind: Kind::Message,
            protocol: Protocol::Mqtt5,
            encoding: Encoding::Opaque,
            qos: Qos::AtLeastOnce,
            retain: false,
            refused: None,
            arrived_at: Timestamp::from_nanos(1),
            tenant: "default",
            device: "",
            topic: &topic,
            origin: Some(Origin { client_id: "publisher", packet_id: 0 }),
            properties: &[],
            payload: &[0x55; 200],
        };
        let index = partition_of("default", &topic, 16);
        let partition = PartitionId { topic: Topic::Messages, lane: Lane::Live, index };
        batch.push_with(partition, |out| message.encode(out));
    }
    now(log.append(batch)).unwrap();
    let began = Instant::now();
    let recovered = now(recover(&log, &metadata, Limits::default(), 0)).unwrap();
    println!("{} messages replayed in {} ms", recovered.messages, began.elapsed().as_millis());
}

/// The memory log has nothing to wait for.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory log has nothing to wait for"),
    }
}

fn rss_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap() * 4096
}
