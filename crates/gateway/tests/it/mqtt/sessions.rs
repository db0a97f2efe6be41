//! Sessions over connections and restarts.

use log::{Log, Topic};
use record::Qos;
use wire::mqtt::AckKind;

use super::client::{Client, Hello};
use super::rig::Rig;

const QOS1: Qos = Qos::AtLeastOnce;
const QOS2: Qos = Qos::ExactlyOnce;

/// CONNACK of a client, and the client.
fn connect(rig: &Rig, hello: &Hello<'_>) -> (String, Client) {
    let mut client = Client::greet(rig.address(), hello);
    (client.hear(), client)
}

#[test]
fn a_persistent_session_keeps_its_messages_over_a_restart() {
    for persistent in [Hello::v3("c").persistent(), Hello::v5("c").persistent()] {
        let mut rig = Rig::new();
        let (connack, mut client) = connect(&rig, &persistent);
        assert_eq!(connack, "CONNACK 00 present=false");
        client.subscribe("a/#", QOS2);
        client.disconnect();
        let mut publisher = Client::connect(rig.address(), &Hello::v5("p"));
        publisher.published("a/1", "one");
        publisher.publish("a/2", "two", QOS2, 1);
        publisher.expect(&["PUBREC 1 00"]);
        publisher.publish("a/3", "three", Qos::AtMostOnce, 0);
        drop(publisher);
        rig.restart();
        let (connack, mut client) = connect(&rig, &persistent);
        assert_eq!(connack, "CONNACK 00 present=true", "MQTT-3.2.2-3");
        let mut heard = [client.hear(), client.hear()];
        heard.sort_unstable();
        assert!(heard[0].starts_with("a/1 one q1"), "{heard:?}");
        assert!(heard[1].starts_with("a/2 two q2"), "{heard:?}");
        client.expect_silence();
    }
}

#[test]
fn what_was_sent_and_not_acknowledged_is_sent_again_under_its_id() {
    for restarted in [false, true] {
        let mut rig = Rig::new();
        let hello = Hello::v5("c").persistent();
        let mut client = Client::connect(rig.address(), &hello);
        client.subscribe("a", QOS2);
        let mut publisher = Client::connect(rig.address(), &Hello::v5("p"));
        publisher.publish("a", "two", QOS2, 1);
        publisher.expect(&["PUBREC 1 00"]);
        publisher.ack(AckKind::PubRel, 1);
        publisher.expect(&["PUBCOMP 1 00"]);
        publisher.published("a", "one");
        let mut heard = [client.hear(), client.hear()];
        heard.sort_unstable();
        assert!(heard[1].starts_with("a two q2"), "{heard:?}");
        let id = |line: &str| line.split(" id").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        let two = id(&heard[1]);
        drop((client, publisher));
        if restarted {
            rig.restart();
        }
        let (connack, mut client) = connect(&rig, &hello);
        assert_eq!(connack, "CONNACK 00 present=true");
        let mut again = [client.hear(), client.hear()];
        again.sort_unstable();
        assert_eq!(again[1], format!("a two q2 id{two} dup=1 retain=0"), "MQTT-4.4.0-1");
        assert_eq!(again[0], format!("a one q1 id{} dup=1 retain=0", id(&heard[0])));
        client.ack(AckKind::PubRec, two.parse().unwrap());
        client.expect(&[&format!("PUBREL {two} 00")]);
        drop(client);
        if restarted {
            rig.restart();
        }
        let (_, mut client) = connect(&rig, &hello);
        let mut last = [client.hear(), client.hear()];
        last.sort_unstable();
        assert_eq!(last[0], format!("PUBREL {two} 00"), "the release is what is left of it");
    }
}

#[test]
fn a_qos_2_publish_is_taken_once_over_connections_and_restarts() {
    for restarted in [false, true] {
        let mut rig = Rig::new();
        let hello = Hello::v5("c").persistent();
        let mut client = Client::connect(rig.address(), &hello);
        client.publish("a", "x", QOS2, 5);
        client.expect(&["PUBREC 5 00"]);
        drop(client);
        if restarted {
            rig.restart();
        }
        let (connack, mut client) = connect(&rig, &hello);
        assert_eq!(connack, "CONNACK 00 present=true");
        client.publish_with("a", "x", QOS2, 5, |p| p.dup = true);
        client.expect(&["PUBREC 5 00"]);
        client.ack(AckKind::PubRel, 5);
        client.expect(&["PUBCOMP 5 00"]);
        client.ack(AckKind::PubRel, 5);
        client.expect(&["PUBCOMP 5 92"]);
        assert_eq!(rig.log.records(log::Topic::Messages).len(), 1, "MQTT-4.3.3-10");
    }
}

#[test]
fn a_client_id_belongs_to_the_connection_that_came_last() {
    let rig = Rig::with(|config| config.workers = 3);
    for hello in [Hello::v5("c"), Hello::v5("p").persistent()] {
        let mut first = Client::connect(rig.address(), &hello);
        first.subscribe("a", QOS1);
        let (connack, mut second) = connect(&rig, &hello);
        let present = !hello.clean;
        assert_eq!(connack, format!("CONNACK 00 present={present}"));
        first.expect(&["DISCONNECT 8e", "closed"]);
        let (_, mut third) = connect(&rig, &hello);
        second.expect(&["DISCONNECT 8e", "closed"]);
        let mut publisher = Client::connect(rig.address(), &Hello::v5("other"));
        publisher.published("a", "x");
        if present {
            third.expect(&["a x q1 id1 dup=0 retain=0"]);
        } else {
            third.expect_silence();
        }
    }
}

#[test]
fn what_was_on_its_way_when_the_connection_was_lost_belongs_to_the_session() {
    let rig = Rig::new();
    let hello = Hello::v5("c").persistent();
    let mut client = Client::connect(rig.address(), &hello);
    rig.log.hold();
    client.publish("a", "x", QOS2, 5);
    client.expect_silence();
    drop(client);
    let mut again = Client::greet(rig.address(), &hello);
    rig.log.release();
    assert_eq!(again.hear(), "CONNACK 00 present=true");
    again.publish_with("a", "x", QOS2, 5, |p| p.dup = true);
    again.expect(&["PUBREC 5 00"]);
    assert_eq!(rig.log.records(log::Topic::Messages).len(), 1);
}

#[test]
fn a_clean_start_drops_what_there_was() {
    let rig = Rig::new();
    let mut client = Client::connect(rig.address(), &Hello::v5("c").persistent());
    client.subscribe("a", QOS1);
    client.disconnect();
    let mut publisher = Client::connect(rig.address(), &Hello::v5("p"));
    publisher.published("a", "before");
    let (connack, client) = connect(&rig, &Hello::v5("c"));
    assert_eq!(connack, "CONNACK 00 present=false", "MQTT-3.1.2-4");
    drop(client);
    publisher.published("a", "between");
    let (connack, mut client) = connect(&rig, &Hello::v5("c").persistent());
    assert_eq!(connack, "CONNACK 00 present=false", "the session ended with its connection");
    client.expect_silence();
}

#[test]
fn an_empty_client_id_is_given_one() {
    let rig = Rig::new();
    let (connack, _client) = connect(&rig, &Hello::v5(""));
    assert_eq!(connack, "CONNACK 00 present=false assigned", "MQTT-3.1.3-6, MQTT-3.1.3-7");
}

#[test]
fn a_stop_says_goodbye() {
    let mut rig = Rig::new();
    let mut five = Client::connect(rig.address(), &Hello::v5("five"));
    let mut three = Client::connect(rig.address(), &Hello::v3("three"));
    rig.restart();
    five.expect(&["DISCONNECT 8b", "closed"]);
    three.expect(&["closed"]);
}

#[test]
fn retention_is_told_how_far_the_checkpoint_reaches() {
    let mut rig = Rig::new();
    let mut publisher = Client::connect(rig.address(), &Hello::v5("p").persistent());
    publisher.published("a", "one");
    drop(publisher);
    rig.restart();
    let committed = rig.log.committed(penstock_gateway::READER).unwrap();
    let topics: Vec<Topic> = committed.iter().map(|position| position.partition.topic).collect();
    assert!(topics.contains(&Topic::Sessions) && topics.contains(&Topic::Messages), "{committed:?}");
}
