//! Publishes of the client.

use super::*;

#[test]
fn nothing_is_acknowledged_before_it_is_durable() {
    for (what, qos, acknowledged) in [
        ("MQTT-4.3.1-1 (5: 4.3.1)", Qos::AtMostOnce, vec![]),
        ("MQTT-4.3.2-4", Qos::AtLeastOnce, vec!["PubAck 5 00"]),
        ("MQTT-4.3.3-8", Qos::ExactlyOnce, vec!["PubRec 5 00"]),
    ] {
        let mut rig = Rig::v5();
        let id = if qos == Qos::AtMostOnce { 0 } else { 5 };
        rig.packet(&publish(qos, id, false)).unwrap();
        rig.expect(what, &[&format!("log a {}", qos as u8)]);
        rig.commit();
        rig.expect(what, &acknowledged);
    }
}

#[test]
fn acknowledgements_keep_the_order_of_the_publishes() {
    let mut rig = Rig::v5();
    for id in [7, 3] {
        rig.packet(&publish(Qos::AtLeastOnce, id, false)).unwrap();
    }
    rig.said();
    rig.commit();
    rig.expect("MQTT-4.6.0-2", &["PubAck 7 00", "PubAck 3 00"]);
}

#[test]
fn a_qos_2_publish_is_logged_once() {
    let mut rig = Rig::v5_persistent();
    rig.packet(&publish(Qos::ExactlyOnce, 5, false)).unwrap();
    rig.packet(&publish(Qos::ExactlyOnce, 5, true)).unwrap();
    rig.expect("a repetition on the way into the log gets nothing", &["log a 2"]);
    rig.commit();
    rig.expect("one PUBREC", &["PubRec 5 00"]);
    rig.packet(&publish(Qos::ExactlyOnce, 5, true)).unwrap();
    rig.commit();
    rig.expect("MQTT-4.3.3-10", &["PubRec 5 00"]);
    rig.packet(&ack(AckKind::PubRel, 5)).unwrap();
    rig.expect("the release is durable first", &["event Released { packet_id: 5, message: 101 }"]);
    rig.commit();
    rig.expect("MQTT-4.3.3-11", &["PubComp 5 00"]);
    rig.packet(&publish(Qos::ExactlyOnce, 5, false)).unwrap();
    rig.expect("MQTT-4.3.3-12: a new message", &["log a 2"]);
}

#[test]
fn what_arrived_on_an_earlier_connection_is_not_logged_again() {
    let stored = Durable { arrived: vec![(5, 77)], ..Durable::default() };
    let mut rig = Rig::open(Version::V5, 100, PropertiesBuf::new(), Some(stored));
    rig.said();
    rig.packet(&publish(Qos::ExactlyOnce, 5, true)).unwrap();
    rig.commit();
    rig.expect("MQTT-4.1.0-1, MQTT-4.3.3-10", &["PubRec 5 00"]);
    rig.packet(&ack(AckKind::PubRel, 5)).unwrap();
    rig.commit();
    rig.expect("and released", &["event Released { packet_id: 5, message: 77 }", "PubComp 5 00"]);
}

#[test]
fn a_release_of_nothing_is_answered_and_changes_nothing() {
    for (what, mut rig, want) in
        [("4.3.3, 3.7.2.1", Rig::v5(), "PubComp 8 92"), ("MQTT-4.3.3-2 (3.1.1)", Rig::v3(), "PubComp 8 00")]
    {
        rig.packet(&ack(AckKind::PubRel, 8)).unwrap();
        rig.commit();
        rig.expect(what, &[want]);
    }
}

#[test]
fn a_release_before_our_pubrec_is_a_protocol_error() {
    let mut rig = Rig::v5();
    rig.packet(&publish(Qos::ExactlyOnce, 5, false)).unwrap();
    let stop = rig.packet(&ack(AckKind::PubRel, 5));
    assert_eq!(stop, Err(Stop::Server(ReasonCode::ProtocolError)), "MQTT-4.3.3-6");
}

#[test]
fn a_failed_commit_is_told_to_mqtt_5_and_ends_3_1_1() {
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut rig = Rig::v5();
        rig.packet(&publish(qos, 5, false)).unwrap();
        rig.said();
        assert_eq!(rig.fail(ReasonCode::QuotaExceeded), Ok(()));
        let kind = if qos == Qos::AtLeastOnce { "PubAck" } else { "PubRec" };
        rig.expect("refused, not acknowledged", &[&format!("{kind} 5 97")]);
        rig.packet(&publish(qos, 5, false)).unwrap();
        rig.expect("MQTT-4.3.3-9: the packet id is free", &[&format!("log a {}", qos as u8)]);

        let mut rig = Rig::v3();
        rig.packet(&publish(qos, 5, false)).unwrap();
        rig.said();
        assert_eq!(rig.fail(ReasonCode::QuotaExceeded), Err(Stop::Server(ReasonCode::QuotaExceeded)));
        rig.expect("no acknowledgement", &[]);
    }
}

#[test]
fn a_failed_release_ends_the_connection_and_the_id_stays_taken() {
    let mut rig = Rig::v5_persistent();
    rig.packet(&publish(Qos::ExactlyOnce, 5, false)).unwrap();
    rig.commit();
    rig.packet(&ack(AckKind::PubRel, 5)).unwrap();
    rig.said();
    assert!(rig.fail(ReasonCode::UnspecifiedError).is_err());
    rig.expect("no PUBCOMP", &[]);
    assert_eq!(rig.machine.durable().arrived, [(5, 101)]);
}

#[test]
fn a_dead_letter_is_kept_and_mqtt_5_is_told_why() {
    let words: Box<str> = "byte 0: not JSON".into();
    let verdict = Verdict::Rejected { reason: ReasonCode::PayloadFormatInvalid, words };
    let told = "PubAck 5 99 \"byte 0: not JSON\"";
    let quiet = PropertiesBuf::new().with(Property::RequestProblemInformation(false));
    for (what, mut rig, want) in [
        ("R4.3", Rig::v5(), told),
        ("MQTT-3.1.2-29", Rig::open(Version::V5, 0, quiet, None), "PubAck 5 99"),
        ("3.1.1 cannot say no", Rig::v3(), "PubAck 5 00"),
    ] {
        rig.said();
        rig.shell.verdict = Some(verdict.clone());
        rig.packet(&publish(Qos::AtLeastOnce, 5, false)).unwrap();
        rig.said();
        rig.commit();
        rig.expect(what, &[want]);
    }
}

#[test]
fn what_is_not_allowed_is_answered_in_its_turn() {
    for (what, mut rig, want) in
        [("MQTT-3.4.2-1", Rig::v5(), "PubAck 6 87"), ("MQTT-3.3.5-2 (3.1.1)", Rig::v3(), "PubAck 6 00")]
    {
        rig.packet(&publish(Qos::AtLeastOnce, 5, false)).unwrap();
        rig.shell.verdict = Some(Verdict::Done(ReasonCode::NotAuthorized));
        rig.packet(&publish(Qos::AtLeastOnce, 6, false)).unwrap();
        rig.expect(what, &["log a 1", "log a 1"]);
        rig.commit();
        rig.expect(what, &["PubAck 5 00", want]);
    }
}

#[test]
fn the_receive_maximum_holds_mqtt_5_and_stops_reading_3_1_1() {
    let mut rig = Rig::v5();
    for id in 1..=3 {
        rig.packet(&publish(Qos::ExactlyOnce, id, false)).unwrap();
    }
    let stop = rig.packet(&publish(Qos::AtLeastOnce, 4, false));
    assert_eq!(stop, Err(Stop::Server(ReasonCode::ReceiveMaximumExceeded)), "MQTT-3.3.4-9");

    let mut rig = Rig::v5();
    for id in 1..=3 {
        rig.packet(&publish(Qos::ExactlyOnce, id, false)).unwrap();
    }
    rig.commit();
    for id in 1..=3 {
        rig.packet(&ack(AckKind::PubRel, id)).unwrap();
    }
    rig.commit();
    assert_eq!(rig.packet(&publish(Qos::AtLeastOnce, 4, false)), Ok(()), "4.9: PUBCOMP gives quota back");

    let mut rig = Rig::v3();
    for id in 1..=3 {
        assert!(rig.machine.wants_input());
        rig.packet(&publish(Qos::AtLeastOnce, id, false)).unwrap();
    }
    assert!(!rig.machine.wants_input());
    rig.commit();
    assert!(rig.machine.wants_input());
}

#[test]
fn a_topic_alias_stands_for_the_topic_it_was_given_with() {
    let by = |topic: &'static str, alias: u16, rig: &mut Rig| {
        let properties = PropertiesBuf::new().with(Property::TopicAlias(alias));
        let mut packet = Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic,
            packet_id: 0,
            properties: properties.as_properties(),
            payload: b"",
        };
        packet.topic = topic;
        rig.packet(&Packet::Publish(packet))
    };
    let mut rig = Rig::v5();
    by("long/topic", 1, &mut rig).unwrap();
    by("", 1, &mut rig).unwrap();
    by("other", 1, &mut rig).unwrap();
    by("", 1, &mut rig).unwrap();
    let want = ["log long/topic 0", "log long/topic 0", "log other 0", "log other 0"];
    rig.expect("3.3.2.3.4", &want);
    let unknown = by("", 2, &mut rig);
    assert_eq!(unknown, Err(Stop::Server(ReasonCode::ProtocolError)), "3.3.4: never set");
    let high = by("x", 5, &mut rig);
    assert_eq!(high, Err(Stop::Server(ReasonCode::TopicAliasInvalid)), "MQTT-3.3.2-9");
}
