//! Deliveries to the client.

use super::*;

#[test]
fn a_delivery_goes_through_its_steps() {
    let mut rig = Rig::v5();
    rig.deliver(1, Qos::AtLeastOnce);
    rig.expect("MQTT-4.3.2-1, -2, -3", &["PUBLISH m1 q1 id1 dup=false"]);
    rig.packet(&ack(AckKind::PubAck, 1)).unwrap();
    rig.deliver(2, Qos::ExactlyOnce);
    rig.expect("MQTT-4.3.3-1, -2, -3", &["PUBLISH m2 q2 id2 dup=false"]);
    rig.packet(&ack(AckKind::PubRec, 2)).unwrap();
    rig.expect("MQTT-4.3.3-4", &["PubRel 2 00"]);
    rig.packet(&ack(AckKind::PubComp, 2)).unwrap();
    rig.expect("over", &[]);
    assert!(rig.machine.durable().outgoing.is_empty());
}

#[test]
fn qos_2_of_a_persistent_session_is_durable_at_each_step() {
    let mut rig = Rig::v5_persistent();
    rig.deliver(1, Qos::ExactlyOnce);
    rig.expect("not sent yet", &["event Sent { message: 1, packet_id: 1 }"]);
    rig.commit();
    rig.expect("MQTT-4.3.3-1", &["PUBLISH held m1 q2 id1 dup=false"]);
    rig.packet(&ack(AckKind::PubRec, 1)).unwrap();
    rig.expect("received, not released", &["event Received { packet_id: 1, message: 1 }"]);
    rig.commit();
    rig.expect("MQTT-4.3.3-4", &["PubRel 1 00"]);
    rig.packet(&ack(AckKind::PubComp, 1)).unwrap();
    rig.expect("over", &["event Completed { packet_id: 1, message: 1 }"]);
}

#[test]
fn a_resumed_session_is_sent_again_what_it_did_not_acknowledge() {
    let outgoing = |message, qos, progress| Outgoing {
        message,
        qos,
        retain: false,
        subscription_ids: Box::default(),
        progress,
    };
    let stored = Durable {
        outgoing: [
            outgoing(1, Qos::AtLeastOnce, Progress::Sent(4)),
            outgoing(2, Qos::ExactlyOnce, Progress::Received(5)),
            outgoing(3, Qos::ExactlyOnce, Progress::Sent(6)),
            outgoing(4, Qos::AtLeastOnce, Progress::Queued),
        ]
        .into(),
        ..Durable::default()
    };
    let mut rig = Rig::open(Version::V5, 100, PropertiesBuf::new(), Some(stored));
    let said = rig.said();
    let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("event")).collect();
    assert_eq!(
        said,
        [
            "CONNACK present=true",
            "PUBLISH m1 q1 id4 dup=true",
            "PubRel 5 00",
            "PUBLISH m3 q2 id6 dup=true",
            "PUBLISH m4 q1 id1 dup=false",
        ],
        "MQTT-4.4.0-1, MQTT-4.6.0-1, MQTT-3.3.1-1"
    );
}

#[test]
fn the_clients_receive_maximum_holds_deliveries_back() {
    let asked = PropertiesBuf::new().with(Property::ReceiveMaximum(2));
    let mut rig = Rig::open(Version::V5, 0, asked, None);
    rig.said();
    for message in 1..=3 {
        rig.deliver(message, Qos::AtLeastOnce);
    }
    rig.expect("MQTT-3.3.4-9", &["PUBLISH m1 q1 id1 dup=false", "PUBLISH m2 q1 id2 dup=false"]);
    rig.packet(&ack(AckKind::PubAck, 2)).unwrap();
    rig.expect("4.9", &["PUBLISH m3 q1 id3 dup=false"]);
}

#[test]
fn acknowledgements_that_nothing_waits_for_change_nothing() {
    let mut rig = Rig::v5();
    rig.deliver(1, Qos::ExactlyOnce);
    rig.said();
    for packet in [ack(AckKind::PubAck, 1), ack(AckKind::PubComp, 1), ack(AckKind::PubAck, 77)] {
        rig.packet(&packet).unwrap();
    }
    rig.expect("of another step, or unknown", &[]);
    rig.packet(&ack(AckKind::PubRec, 77)).unwrap();
    rig.expect("3.6.2.1", &["PubRel 77 92"]);
    assert_eq!(rig.machine.durable().outgoing.len(), 1);
}

#[test]
fn a_refused_delivery_is_over() {
    let mut rig = Rig::v5();
    rig.deliver(1, Qos::ExactlyOnce);
    rig.packet(&ack_with(AckKind::PubRec, 1, ReasonCode::QuotaExceeded)).unwrap();
    rig.expect("4.3.3: PUBREC of 0x80 and up ends it", &["PUBLISH m1 q2 id1 dup=false"]);
    assert!(rig.machine.durable().outgoing.is_empty());
}

#[test]
fn a_full_queue_gives_up_the_oldest_that_was_not_sent() {
    let asked = PropertiesBuf::new().with(Property::ReceiveMaximum(1));
    let mut rig = Rig::open(Version::V5, 100, asked, None);
    rig.said();
    for message in 1..=5 {
        rig.deliver(message, Qos::AtLeastOnce);
    }
    rig.expect(
        "limit 4: one sent, three waiting",
        &[
            "PUBLISH m1 q1 id1 dup=false",
            "event Sent { message: 1, packet_id: 1 }",
            "dropped 2",
            "event Dropped { message: 2 }",
        ],
    );
}

#[test]
fn what_the_socket_does_not_take_waits_and_what_is_gone_is_passed_over() {
    let mut rig = Rig::v5();
    rig.shell.blocked = true;
    rig.shell.gone = vec![2];
    for message in 1..=3 {
        rig.deliver(message, Qos::AtLeastOnce);
    }
    rig.expect("blocked", &[]);
    assert!(rig.machine.is_pumping());
    rig.shell.blocked = false;
    rig.machine.pump(&mut rig.shell);
    rig.expect("in order", &["PUBLISH m1 q1 id1 dup=false", "PUBLISH m3 q1 id2 dup=false"]);
}

#[test]
fn topic_aliases_are_used_when_the_client_takes_them_and_never_out_of_order() {
    let asked = || PropertiesBuf::new().with(Property::TopicAliasMaximum(1));
    let mut rig = Rig::open(Version::V5, 0, asked(), None);
    rig.said();
    rig.deliver(1, Qos::AtLeastOnce);
    rig.deliver(2, Qos::ExactlyOnce);
    rig.expect(
        "3.3.2.3.4",
        &["PUBLISH m1 q1 id1 dup=false Introduce(1)", "PUBLISH m2 q2 id2 dup=false Alias(1)"],
    );
    assert_eq!(rig.machine.name_topic("second"), TopicName::Full, "MQTT-3.1.2-26");
    let mut rig = Rig::open(Version::V5, 100, asked(), None);
    rig.said();
    rig.deliver(1, Qos::ExactlyOnce);
    rig.deliver(2, Qos::AtLeastOnce);
    rig.commit();
    rig.expect(
        "what is held back introduces nothing",
        &[
            "event Sent { message: 1, packet_id: 1 }",
            "PUBLISH m2 q1 id2 dup=false Introduce(1)",
            "event Sent { message: 2, packet_id: 2 }",
            "PUBLISH held m1 q2 id1 dup=false",
        ],
    );
}

#[test]
fn packet_ids_come_round_and_pass_over_those_in_use() {
    let mut rig = Rig::v5();
    rig.deliver(0, Qos::AtLeastOnce);
    for n in 2..=u16::MAX {
        rig.deliver(u32::from(n), Qos::AtLeastOnce);
        rig.packet(&ack(AckKind::PubAck, n)).unwrap();
    }
    rig.said();
    rig.deliver(1, Qos::AtLeastOnce);
    rig.expect("MQTT-2.2.1-3, MQTT-2.2.1-4", &["PUBLISH m1 q1 id2 dup=false"]);
}

#[test]
fn a_message_loses_the_time_it_waited() {
    for (what, expiry_s, waited_ms, want) in [
        ("MQTT-3.3.2-6", 10, 3_500, Some(7)),
        ("MQTT-3.3.2-5", 10, 10_000, None),
        ("a clock that went back", 10, -5_000, Some(10)),
        ("the longest", u32::MAX, 1_000, Some(u32::MAX - 1)),
    ] {
        assert_eq!(remaining_expiry_s(expiry_s, 1_000_000, 1_000_000 + waited_ms), want, "{what}");
    }
}

#[test]
fn what_becomes_durable_after_the_end_belongs_to_the_session() {
    let mut rig = Rig::v5_persistent();
    rig.packet(&publish(Qos::ExactlyOnce, 5, false)).unwrap();
    assert_eq!(rig.machine.unsettled(), 1);
    rig.commit();
    assert_eq!(rig.machine.unsettled(), 0);
    let farewell = rig.machine.finish(End::Lost, 7);
    assert_eq!(farewell.durable.arrived, [(5, 101)]);
}

/// A replay of the log may queue a message before ones that were sent.
#[test]
fn a_resumed_session_gives_no_packet_id_twice() {
    let outgoing = |message, progress| Outgoing {
        message,
        qos: Qos::ExactlyOnce,
        retain: false,
        subscription_ids: Box::default(),
        progress,
    };
    let stored = Durable {
        outgoing: [outgoing(1, Progress::Queued), outgoing(2, Progress::Sent(1))].into(),
        ..Durable::default()
    };
    let mut rig = Rig::open(Version::V5, 100, PropertiesBuf::new(), Some(stored));
    rig.commit();
    let said = rig.said();
    let sent: Vec<&str> = said.lines().filter(|line| line.starts_with("PUBLISH")).collect();
    assert_eq!(
        sent,
        ["PUBLISH m2 q2 id1 dup=true", "PUBLISH held m1 q2 id2 dup=false"],
        "MQTT-2.2.1-4, MQTT-4.4.0-1"
    );
}
