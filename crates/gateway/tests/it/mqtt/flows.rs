//! Publishes in, deliveries out.

use record::{Envelope, Kind, Lane, Qos};
use wire::mqtt::{AckKind, PropertiesBuf, Property};

use super::client::{Client, Hello};
use super::rig::Rig;

const QOS1: Qos = Qos::AtLeastOnce;
const QOS2: Qos = Qos::ExactlyOnce;

#[test]
fn acknowledgements_wait_for_the_commit_and_keep_their_order() {
    let rig = Rig::new();
    let mut client = Client::connect(rig.address(), &Hello::v5("c"));
    rig.log.hold();
    for id in [3, 1, 2] {
        client.publish("devices/d1/telemetry", r#"{"metric":"t","value":1}"#, QOS1, id);
    }
    client.publish("a", "x", QOS2, 4);
    client.expect_silence();
    rig.log.await_held();
    rig.log.release();
    client.expect(&["PUBACK 3 00", "PUBACK 1 00", "PUBACK 2 00", "PUBREC 4 00"]);
    client.ack(AckKind::PubRel, 4);
    client.expect(&["PUBCOMP 4 00"]);
    let totals = rig.totals();
    assert_eq!((totals.publishes_received, totals.records_mqtt5), (4, 4));
}

#[test]
fn a_full_log_is_told_to_mqtt_5_and_closes_3_1_1_and_ends_by_itself() {
    let rig = Rig::new();
    let mut five = Client::connect(rig.address(), &Hello::v5("five"));
    let mut three = Client::connect(rig.address(), &Hello::v3("three"));
    rig.log.fill();
    five.publish("a", "x", QOS1, 1);
    five.publish("a", "x", QOS2, 2);
    five.expect(&["PUBACK 1 97", "PUBREC 2 97"]);
    three.publish("a", "x", QOS1, 1);
    three.expect(&["closed"]);
    rig.log.release();
    five.publish("a", "x", QOS1, 3);
    five.expect(&["PUBACK 3 00"]);
}

#[test]
fn telemetry_lies_in_the_raw_topic_and_a_bad_payload_is_kept_with_its_reason() {
    let rig = Rig::new();
    let mut five = Client::connect(rig.address(), &Hello::v5("five"));
    let good = r#"{"metric":"t","value":1}"#;
    five.publish("devices/d1/telemetry", good, QOS1, 1);
    five.expect(&["PUBACK 1 00"]);
    let lane = PropertiesBuf::new().with(Property::UserProperty("penstock-lane", "backfill"));
    five.publish_with("devices/d1/telemetry", good, QOS1, 2, |p| p.properties = lane.as_properties());
    five.expect(&["PUBACK 2 00"]);
    five.publish("devices/d1/telemetry", "{", QOS1, 3);
    let told = five.hear();
    assert!(told.starts_with("PUBACK 3 99 \"byte 1: not JSON"), "{told}");
    let mut three = Client::connect(rig.address(), &Hello::v3("three"));
    three.publish("devices/d1/telemetry", "{", QOS2, 4);
    three.expect(&["PUBREC 4 00"]);

    let records = rig.log.records(log::Topic::Raw);
    let read = |(partition, bytes): &(log::PartitionId, bytes::Bytes)| {
        let e = Envelope::decode(bytes).unwrap();
        assert_eq!((e.kind, e.device, e.tenant), (Kind::Telemetry, "d1", "default"));
        (partition.lane, e.refused.is_some(), e.origin.unwrap().packet_id)
    };
    let mut seen: Vec<_> = records.iter().map(read).collect();
    seen.sort_unstable();
    let live = Lane::Live;
    let want = [(live, false, 0), (live, true, 0), (live, true, 4), (Lane::Backfill, false, 0)];
    assert_eq!(seen, want);
}

#[test]
fn every_quality_of_service_is_delivered_with_the_lower_of_the_two() {
    let rig = Rig::new();
    let mut subscriber = Client::connect(rig.address(), &Hello::v5("s"));
    let mut publisher = Client::connect(rig.address(), &Hello::v3("p"));
    for granted in [Qos::AtMostOnce, QOS1, QOS2] {
        subscriber.subscribe("a/+", granted);
        for (id, sent) in [(0, Qos::AtMostOnce), (1, QOS1), (2, QOS2)] {
            publisher.publish("a/b", "x", sent, id);
            match sent {
                Qos::AtMostOnce => {}
                Qos::AtLeastOnce => publisher.expect(&["PUBACK 1 00"]),
                Qos::ExactlyOnce => {
                    publisher.expect(&["PUBREC 2 00"]);
                    publisher.ack(AckKind::PubRel, 2);
                    publisher.expect(&["PUBCOMP 2 00"]);
                }
            }
            let heard = subscriber.hear();
            let qos = sent.min(granted);
            let (text, id) = heard.split_once(" id").unwrap();
            assert_eq!(text, format!("a/b x q{}", qos as u8));
            let id: u16 = id.split(' ').next().unwrap().parse().unwrap();
            match qos {
                Qos::AtMostOnce => {}
                Qos::AtLeastOnce => subscriber.ack(AckKind::PubAck, id),
                Qos::ExactlyOnce => {
                    subscriber.ack(AckKind::PubRec, id);
                    subscriber.expect(&[&format!("PUBREL {id} 00")]);
                    subscriber.ack(AckKind::PubComp, id);
                }
            }
        }
    }
    subscriber.expect_silence();
}

#[test]
fn a_share_group_gets_each_message_once() {
    let rig = Rig::new();
    let mut members: Vec<Client> =
        ["m1", "m2"].iter().map(|id| Client::connect(rig.address(), &Hello::v5(id))).collect();
    for member in &mut members {
        member.subscribe("$share/g/work", QOS1);
    }
    let mut publisher = Client::connect(rig.address(), &Hello::v5("p"));
    for n in 0..10 {
        publisher.published("work", &n.to_string());
    }
    let mut heard = Vec::new();
    for member in &mut members {
        for _ in 0..5 {
            heard.push(member.hear().split(' ').nth(1).unwrap().parse::<u8>().unwrap());
        }
        member.expect_silence();
    }
    heard.sort_unstable();
    assert_eq!(heard, (0..10).collect::<Vec<_>>());
}

#[test]
fn topic_aliases_work_both_ways_and_properties_travel() {
    let rig = Rig::new();
    let mut subscriber = Client::connect(rig.address(), &Hello::v5("s").with(Property::TopicAliasMaximum(2)));
    let id = PropertiesBuf::new().with(Property::SubscriptionId(42));
    subscriber.subscribe_with("long/#", QOS1, &id);
    subscriber.expect(&["SUBACK 7 01"]);
    let mut publisher = Client::connect(rig.address(), &Hello::v5("p"));
    let first = PropertiesBuf::new()
        .with(Property::TopicAlias(1))
        .with(Property::ResponseTopic("re"))
        .with(Property::UserProperty("k", "v"))
        .with(Property::MessageExpiry(100));
    publisher.publish_with("long/topic", "1", QOS1, 1, |p| p.properties = first.as_properties());
    let second = PropertiesBuf::new().with(Property::TopicAlias(1));
    publisher.publish_with("", "2", QOS1, 2, |p| p.properties = second.as_properties());
    publisher.expect(&["PUBACK 1 00", "PUBACK 2 00"]);
    subscriber.expect(&[
        "long/topic 1 q1 id1 dup=0 retain=0 expiry=100 response=re k=v sub=42 alias=1",
        " 2 q1 id2 dup=0 retain=0 sub=42 alias=1",
    ]);
}

#[test]
fn retained_messages_are_kept_replaced_and_deleted() {
    let mut rig = Rig::new();
    let mut publisher = Client::connect(rig.address(), &Hello::v5("p"));
    for (topic, payload) in [("r/a", "old"), ("r/a", "new"), ("r/b", "b"), ("r/c", "c"), ("r/c", "")] {
        publisher.publish_with(topic, payload, QOS1, 5, |p| p.retain = true);
        publisher.expect(&["PUBACK 5 00"]);
    }
    for restarted in [false, true] {
        if restarted {
            rig.restart();
        }
        // Subscribed once the dispatcher has read the publishes: it reads in the order of the log.
        let mut subscriber = Client::connect(rig.address(), &Hello::v5("s"));
        subscriber.subscribe("fence", Qos::AtMostOnce);
        let mut other = Client::connect(rig.address(), &Hello::v5("o"));
        other.published("fence", "");
        subscriber.expect(&["fence  q0 id0 dup=0 retain=0"]);
        subscriber.subscribe("r/#", QOS1);
        subscriber.expect(&["r/a new q1 id1 dup=0 retain=1", "r/b b q1 id2 dup=0 retain=1"]);
        subscriber.expect_silence();
    }
}

#[test]
fn a_will_is_published_when_the_connection_is_lost_and_not_after_a_disconnect() {
    let rig = Rig::new();
    let mut watcher = Client::connect(rig.address(), &Hello::v5("w"));
    watcher.subscribe("will/#", QOS1);
    let doomed = Client::connect(rig.address(), &Hello::v5("d1").will("will/1", "lost", 0));
    drop(doomed);
    watcher.expect(&["will/1 lost q1 id1 dup=0 retain=0"]);
    Client::connect(rig.address(), &Hello::v5("d2").will("will/2", "never", 0)).disconnect();
    let delayed = || Hello::v5("d3").persistent().will("will/3", "delayed", 1);
    drop(Client::connect(rig.address(), &delayed()));
    watcher.expect(&["will/3 delayed q1 id2 dup=0 retain=0"]);
}

#[test]
fn the_brokers_own_topics_can_be_read_and_not_written() {
    let rig = Rig::new();
    let mut client = Client::connect(rig.address(), &Hello::v5("c"));
    client.publish("$SYS/broker/version", "mine", QOS1, 1);
    client.expect(&["PUBACK 1 87"]);
    client.subscribe("$SYS/broker/version", QOS1);
    let heard = client.hear();
    assert!(heard.starts_with("$SYS/broker/version penstock "), "{heard}");
}

#[test]
fn a_client_that_does_not_wait_for_suback_still_gets_what_it_publishes_next() {
    let rig = Rig::new();
    for n in 0..20 {
        let mut client = Client::connect(rig.address(), &Hello::v5("c"));
        client.subscribe_with("own", QOS1, &PropertiesBuf::new());
        client.publish("own", &n.to_string(), QOS1, 3);
        let mut heard = [client.hear(), client.hear(), client.hear()];
        heard.sort_unstable();
        assert_eq!(heard, ["PUBACK 3 00", "SUBACK 7 01", &format!("own {n} q1 id1 dup=0 retain=0")]);
    }
}
