use std::collections::BTreeMap;

use log::{Lane, PartitionId, Position, Topic};
use penstock_gateway::topics::{Outcome, Retained, RetainedLimits};
use proptest::prelude::*;
use record::{Encoding, Envelope, Kind, Protocol, Qos, Timestamp};

use super::subscriptions::{filter, fits, topic};

fn at(topic: Topic, index: u16, offset: u64) -> Position {
    Position { partition: PartitionId { topic, lane: Lane::Live, index }, offset }
}

fn envelope(tenant: &str, topic: &str, payload: &[u8], arrived_ms: i64, properties: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Envelope {
        kind: Kind::Message,
        protocol: Protocol::Mqtt5,
        encoding: Encoding::Opaque,
        qos: Qos::AtLeastOnce,
        retain: true,
        refused: None,
        arrived_at: Timestamp::from_millis(arrived_ms).unwrap(),
        tenant,
        device: "",
        topic,
        origin: None,
        properties,
        payload,
    }
    .encode(&mut out);
    out
}

fn all(real: &Retained, tenant: &str, filter: &str, look_at: usize, now_ms: i64) -> Vec<String> {
    let (mut found, mut from) = (Vec::new(), None::<std::sync::Arc<str>>);
    loop {
        let page = real.matching(tenant, filter, from.as_deref(), look_at, now_ms);
        found.extend(page.messages.iter().map(|kept| kept.message().topic.to_owned()));
        match page.next {
            Some(next) => from = Some(next),
            None => return found,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn holds_the_last_message_of_each_topic(
        steps in prop::collection::vec((topic(), 0..3_u8, 0..2_u16, prop::option::of(1..50_u32), filter(), 1..4_usize), 1..60)
    ) {
        let mut real = Retained::new(RetainedLimits::default());
        let mut model: BTreeMap<String, Option<i64>> = BTreeMap::new();
        for (n, (topic, payload, partition, expiry, filter, look_at)) in steps.into_iter().enumerate() {
            let now_ms = n as i64 * 1000;
            let properties = expiry.map_or(vec![], |s| {
                let mut bytes = vec![0x26, 0, 1, b'k', 0, 1, b'v', 0x02];
                bytes.extend(s.to_be_bytes());
                bytes
            });
            let bytes = envelope("t", &topic, &vec![7; payload.into()], now_ms, &properties);
            let outcome = real.update(at(Topic::Raw, partition, n as u64), &bytes).unwrap();
            if payload == 0 {
                prop_assert_eq!(outcome, Outcome::Deleted);
                model.remove(&topic);
            } else {
                prop_assert_eq!(outcome, Outcome::Kept);
                model.insert(topic, expiry.map(|s| now_ms + i64::from(s) * 1000));
            }
            let expect: Vec<String> = model
                .iter()
                .filter(|(topic, expires)| fits(&filter, topic) && expires.is_none_or(|at| now_ms < at))
                .map(|(topic, _)| topic.clone())
                .collect();
            prop_assert_eq!(all(&real, "t", &filter, look_at, now_ms), expect);
            prop_assert!(all(&real, "u", &filter, look_at, now_ms).is_empty());
        }
        real.forget_expired(i64::MAX);
        prop_assert_eq!(real.len(), model.values().filter(|e| e.is_none()).count());
    }

    #[test]
    fn the_order_in_which_partitions_are_read_does_not_matter(
        messages in prop::collection::vec((0..3_u16, 0..2_usize, 0..2_u8), 1..20), seed in any::<u64>()
    ) {
        // Each message arrives a millisecond after the one before; any merge of the partitions gives the same.
        let topics = ["a", "b"];
        let mut queues: Vec<std::collections::VecDeque<(Position, Vec<u8>)>> = vec![Default::default(); 3];
        let mut expect: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for (n, (partition, topic, payload)) in messages.iter().enumerate() {
            let body = vec![n as u8; (*payload).into()];
            let bytes = envelope("t", topics[*topic], &body, n as i64, &[]);
            queues[usize::from(*partition)].push_back((at(Topic::Raw, *partition, n as u64), bytes));
            if body.is_empty() { expect.remove(topics[*topic]); } else { expect.insert(topics[*topic], body); }
        }
        let mut real = Retained::new(RetainedLimits::default());
        let mut state = seed;
        while queues.iter().any(|q| !q.is_empty()) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if let Some((position, bytes)) = queues[(state >> 33) as usize % 3].pop_front() {
                real.update(position, &bytes).unwrap();
            }
        }
        let found: BTreeMap<&str, Vec<u8>> = real.iter().filter(|(_, _, k)| !k.deleted)
            .map(|(_, topic, kept)| (topic, kept.message().payload.to_vec())).collect();
        prop_assert_eq!(found, expect);
        let minute = Timestamp::from_millis(120_000).unwrap();
        real.forget_deletions(minute);
        prop_assert_eq!(real.iter().count(), real.len());
    }
}

#[test]
fn limits_refuse_what_is_more_and_tell_the_workers() {
    let mut real = Retained::new(RetainedLimits { messages: 2, bytes: 10_000 });
    let full = real.full_tenants();
    let mut put = |n: u64, topic: &str, payload: &[u8]| {
        real.update(at(Topic::Messages, 0, n), &envelope("t", topic, payload, 0, &[])).unwrap()
    };
    assert_eq!(put(0, "a", b"1"), Outcome::Kept);
    assert!(!full.contains("t"));
    assert_eq!(put(1, "b", b"1"), Outcome::Kept);
    assert!(full.contains("t") && !full.contains("u"));
    assert_eq!(put(2, "c", b"1"), Outcome::Refused);
    assert_eq!(put(3, "a", b"2"), Outcome::Kept, "replacing needs no room");
    assert_eq!(put(4, "a", b""), Outcome::Deleted);
    assert!(!full.contains("t"));
    assert_eq!(put(4, "a", b"again"), Outcome::Kept, "a deletion of a plain message leaves nothing behind");
    assert_eq!(put(5, "b", &[0; 20_000]), Outcome::Refused, "too large");
    assert!(real.get("t", "b").is_none(), "and what it replaces is no longer the last");
    assert!(real.at(at(Topic::Messages, 0, 4)).is_some());
}

#[test]
fn a_shared_subscription_gets_no_retained_messages() {
    let mut real = Retained::new(RetainedLimits::default());
    real.update(at(Topic::Messages, 0, 0), &envelope("t", "a", b"1", 0, &[])).unwrap();
    assert!(real.matching("t", "$share/g/a", None, 10, 0).messages.is_empty());
    assert_eq!(real.matching("t", "a", None, 10, 0).messages.len(), 1);
}
