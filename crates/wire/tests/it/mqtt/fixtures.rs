//! Packets whose bytes on the wire are written down: they decode to this, and this encodes to them.

use record::Qos;
use wire::mqtt::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, EncodeError, Packet, Properties, PropertiesBuf,
    Property, Publish, ReasonCode, RetainHandling, Sender, SubAck, Subscribe, SubscribeFilter,
    SubscribeOptions, UnsubAck, Unsubscribe, Version, Will, encode_ack, encode_publish, set_dup,
    set_packet_id,
};

use super::{bytes, decode_one, limits};

const V3: Version = Version::V3;
const V5: Version = Version::V5;
const NONE: Properties<'static> = Properties::EMPTY;

fn check(version: Version, sender: Sender, wire: &str, packet: &Packet<'_>) {
    let wire = bytes(wire);
    let agreed = if matches!(packet, Packet::Connect(_)) { None } else { Some(version) };
    assert_eq!(decode_one(&wire, &limits(agreed, sender)).as_ref(), Ok(packet));
    let mut out = vec![0xEE];
    packet.encode(version, &mut out).unwrap();
    assert_eq!(out[1..], wire, "{packet:?} encodes to {out:02x?}");
    assert_eq!(packet.encoded_len(version), Ok(wire.len()));
}

fn from_client(version: Version, wire: &str, packet: Packet<'_>) {
    check(version, Sender::Client, wire, &packet);
}

fn from_server(version: Version, wire: &str, packet: Packet<'_>) {
    check(version, Sender::Server, wire, &packet);
}

fn from_both(version: Version, wire: &str, packet: Packet<'_>) {
    check(version, Sender::Client, wire, &packet);
    check(version, Sender::Server, wire, &packet);
}

#[test]
fn connect() {
    let plain = Connect {
        version: V3,
        clean_start: true,
        keep_alive_s: 60,
        client_id: "d1",
        properties: NONE,
        will: None,
        username: None,
        password: None,
    };
    from_client(V3, "10 0e 0004 'MQTT' 04 02 003c 0002 'd1'", Packet::Connect(plain.clone()));
    from_client(
        V3,
        "10 20 0004 'MQTT' 04 ee 003c 0002 'd1' 0003 'a/b' 0004 'gone' 0001 'u' 0002 00ff",
        Packet::Connect(Connect {
            will: Some(Will {
                topic: "a/b",
                payload: b"gone",
                qos: Qos::AtLeastOnce,
                retain: true,
                properties: NONE,
            }),
            username: Some("u"),
            password: Some(&[0, 0xFF]),
            ..plain.clone()
        }),
    );
    let properties: PropertiesBuf =
        [Property::SessionExpiry(3600), Property::ReceiveMaximum(20), Property::UserProperty("k", "v")]
            .into_iter()
            .collect();
    let will_properties = PropertiesBuf::new().with(Property::WillDelay(5));
    from_client(
        V5,
        "10 2d 0004 'MQTT' 05 54 0000 0f 11 00000e10 21 0014 26 0001 'k' 0001 'v' 0000 05 18 00000005 \
         0003 'a/b' 0000 0002 'pw'",
        Packet::Connect(Connect {
            version: V5,
            clean_start: false,
            keep_alive_s: 0,
            client_id: "",
            properties: properties.as_properties(),
            will: Some(Will {
                topic: "a/b",
                payload: b"",
                qos: Qos::ExactlyOnce,
                retain: false,
                properties: will_properties.as_properties(),
            }),
            username: None,
            password: Some(b"pw"),
        }),
    );
}

#[test]
fn connack() {
    let accepted = ConnAck { session_present: true, reason: ReasonCode::Success, properties: NONE };
    from_server(V3, "20 02 01 00", Packet::ConnAck(accepted.clone()));
    from_server(V5, "20 03 01 00 00", Packet::ConnAck(accepted));
    for (v3, reason) in [
        (1, ReasonCode::UnsupportedProtocolVersion),
        (2, ReasonCode::ClientIdentifierNotValid),
        (3, ReasonCode::ServerUnavailable),
        (4, ReasonCode::BadUserNameOrPassword),
        (5, ReasonCode::NotAuthorized),
    ] {
        let refused = ConnAck { session_present: false, reason, properties: NONE };
        from_server(V3, &format!("20 02 00 {v3:02x}"), Packet::ConnAck(refused.clone()));
        from_server(V5, &format!("20 03 00 {:02x} 00", reason as u8), Packet::ConnAck(refused));
    }
    let properties: PropertiesBuf =
        [Property::ServerKeepAlive(30), Property::AssignedClientId("x"), Property::TopicAliasMaximum(16)]
            .into_iter()
            .collect();
    from_server(
        V5,
        "20 0d 00 00 0a 13 001e 12 0001 'x' 22 0010",
        Packet::ConnAck(ConnAck {
            session_present: false,
            reason: ReasonCode::Success,
            properties: properties.as_properties(),
        }),
    );
}

#[test]
fn publish() {
    let plain = Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: "a/b",
        packet_id: 0,
        properties: NONE,
        payload: b"hi",
    };
    from_both(V3, "30 07 0003 'a/b' 'hi'", Packet::Publish(plain.clone()));
    from_both(V5, "30 08 0003 'a/b' 00 'hi'", Packet::Publish(plain.clone()));
    let second =
        Publish { dup: true, qos: Qos::ExactlyOnce, retain: true, packet_id: 0x1234, ..plain.clone() };
    from_both(V3, "3d 09 0003 'a/b' 1234 'hi'", Packet::Publish(second));
    let properties: PropertiesBuf =
        [Property::TopicAlias(7), Property::PayloadFormat(1), Property::CorrelationData(&[0])]
            .into_iter()
            .collect();
    let aliased = Publish {
        topic: "",
        qos: Qos::AtLeastOnce,
        packet_id: 1,
        properties: properties.as_properties(),
        payload: b"",
        ..plain.clone()
    };
    from_both(V5, "32 0e 0000 0001 09 23 0007 01 01 09 0001 00", Packet::Publish(aliased));
    let two = PropertiesBuf::new().with(Property::SubscriptionId(1)).with(Property::SubscriptionId(300));
    let delivered = Publish { properties: two.as_properties(), ..plain };
    from_server(V5, "30 0d 0003 'a/b' 05 0b 01 0b ac02 'hi'", Packet::Publish(delivered));
    assert_eq!(two.as_properties().subscription_ids().collect::<Vec<_>>(), [1, 300]);
}

#[test]
fn acknowledgements() {
    for (kind, first, reason) in [
        (AckKind::PubAck, "40", ReasonCode::QuotaExceeded),
        (AckKind::PubRec, "50", ReasonCode::NotAuthorized),
        (AckKind::PubRel, "62", ReasonCode::PacketIdentifierNotFound),
        (AckKind::PubComp, "70", ReasonCode::PacketIdentifierNotFound),
    ] {
        let success = Ack { kind, packet_id: 0x0102, reason: ReasonCode::Success, properties: NONE };
        from_both(V3, &format!("{first} 02 0102"), Packet::Ack(success.clone()));
        from_both(V5, &format!("{first} 02 0102"), Packet::Ack(success.clone()));
        let failure = Ack { reason, ..success.clone() };
        from_both(V5, &format!("{first} 03 0102 {:02x}", reason as u8), Packet::Ack(failure.clone()));
        let why = PropertiesBuf::new().with(Property::ReasonString("no"));
        let explained = Ack { properties: why.as_properties(), ..failure.clone() };
        let wire = format!("{first} 09 0102 {:02x} 05 1f 0002 'no'", reason as u8);
        from_both(V5, &wire, Packet::Ack(explained));
        // The long ways of saying success mean the same.
        for long in ["03 0102 00", "04 0102 00 00"] {
            let wire = bytes(&format!("{first} {long}"));
            let decoded = decode_one(&wire, &limits(V5, Sender::Client));
            assert_eq!(decoded, Ok(Packet::Ack(success.clone())));
        }
        for (version, packet) in [(V3, &success), (V5, &success), (V5, &failure)] {
            let (mut fast, mut slow) = (Vec::new(), Vec::new());
            encode_ack(version, kind, packet.packet_id, packet.reason, &mut fast);
            Packet::Ack(packet.clone()).encode(version, &mut slow).unwrap();
            assert_eq!(fast, slow);
        }
    }
}

#[test]
fn subscribe() {
    let qos_only = SubscribeOptions {
        qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    };
    let all = SubscribeOptions {
        qos: Qos::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    from_client(
        V3,
        "82 0e 000a 0003 'a/#' 01 0003 'b/+' 00",
        Packet::Subscribe(Subscribe {
            packet_id: 10,
            properties: NONE,
            filters: vec![
                SubscribeFilter { filter: "a/#", options: qos_only },
                SubscribeFilter {
                    filter: "b/+",
                    options: SubscribeOptions { qos: Qos::AtMostOnce, ..qos_only },
                },
            ],
        }),
    );
    let id = PropertiesBuf::new().with(Property::SubscriptionId(268_435_455));
    from_client(
        V5,
        "82 1c 000a 05 0b ffffff7f 0001 '#' 2e 000d '$share/g/a//b' 01",
        Packet::Subscribe(Subscribe {
            packet_id: 10,
            properties: id.as_properties(),
            filters: vec![
                SubscribeFilter { filter: "#", options: all },
                SubscribeFilter { filter: "$share/g/a//b", options: qos_only },
            ],
        }),
    );
    let reasons = vec![ReasonCode::GrantedQos1, ReasonCode::Success, ReasonCode::UnspecifiedError];
    let ack = SubAck { packet_id: 10, properties: NONE, reasons };
    from_server(V3, "90 05 000a 01 00 80", Packet::SubAck(ack.clone()));
    from_server(V5, "90 06 000a 00 01 00 80", Packet::SubAck(ack));
}

#[test]
fn unsubscribe() {
    let packet = Unsubscribe { packet_id: 11, properties: NONE, filters: vec!["a/#", "b"] };
    from_client(V3, "a2 0a 000b 0003 'a/#' 0001 'b'", Packet::Unsubscribe(packet.clone()));
    from_client(V5, "a2 0b 000b 00 0003 'a/#' 0001 'b'", Packet::Unsubscribe(packet));
    let none = UnsubAck { packet_id: 11, properties: NONE, reasons: vec![] };
    from_server(V3, "b0 02 000b", Packet::UnsubAck(none));
    let reasons = vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    let two = UnsubAck { packet_id: 11, properties: NONE, reasons };
    from_server(V5, "b0 05 000b 00 00 11", Packet::UnsubAck(two));
}

#[test]
fn pings_and_endings() {
    for version in [V3, V5] {
        from_client(version, "c0 00", Packet::PingReq);
        from_server(version, "d0 00", Packet::PingResp);
        let normal = Disconnect { reason: ReasonCode::Success, properties: NONE };
        from_client(version, "e0 00", Packet::Disconnect(normal));
    }
    let with_will = Disconnect { reason: ReasonCode::DisconnectWithWill, properties: NONE };
    from_client(V5, "e0 01 04", Packet::Disconnect(with_will));
    let expiry = PropertiesBuf::new().with(Property::SessionExpiry(0));
    let ended = Disconnect { reason: ReasonCode::Success, properties: expiry.as_properties() };
    from_client(V5, "e0 07 00 05 11 00000000", Packet::Disconnect(ended));
    let elsewhere = PropertiesBuf::new().with(Property::ServerReference("b:1"));
    let moved = Disconnect { reason: ReasonCode::ServerMoved, properties: elsewhere.as_properties() };
    from_server(V5, "e0 08 9d 06 1c 0003 'b:1'", Packet::Disconnect(moved));
    let method = PropertiesBuf::new().with(Property::AuthMethod("m")).with(Property::AuthData(&[1]));
    let auth = Auth { reason: ReasonCode::ContinueAuthentication, properties: method.as_properties() };
    from_both(V5, "f0 0a 18 08 15 0001 'm' 16 0001 01", Packet::Auth(auth));
    from_server(V5, "f0 00", Packet::Auth(Auth { reason: ReasonCode::Success, properties: NONE }));
}

#[test]
fn a_publish_is_encoded_once_and_patched_for_each_receiver() {
    let properties = PropertiesBuf::new().with(Property::ContentType("t"));
    for version in [V3, V5] {
        for (qos, id) in [(Qos::AtMostOnce, 0), (Qos::AtLeastOnce, 1), (Qos::ExactlyOnce, 1)] {
            let mut publish = Publish {
                dup: false,
                qos,
                retain: false,
                topic: "devices/d1/telemetry",
                packet_id: id,
                properties: properties.as_properties(),
                payload: &[7; 200],
            };
            let mut shared = vec![1, 2, 3];
            let layout = encode_publish(&publish, version, &mut shared).unwrap();
            let shared = &shared[3..];
            assert_eq!(layout.len, shared.len());
            let mut own = shared.to_vec();
            if let Some(at) = layout.packet_id_at {
                publish.packet_id = 0xBEEF;
                publish.dup = true;
                set_packet_id(&mut own, at, 0xBEEF);
                set_dup(&mut own, true);
            } else {
                assert_eq!(qos, Qos::AtMostOnce);
            }
            let mut whole = Vec::new();
            Packet::Publish(publish).encode(version, &mut whole).unwrap();
            assert_eq!(own, whole);
        }
    }
}

/// Nothing is written of a packet that cannot be.
#[test]
fn what_cannot_be_encoded_leaves_the_buffer_alone() {
    let long = "x".repeat(65_536);
    let publish = Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: &long,
        packet_id: 0,
        properties: NONE,
        payload: b"",
    };
    let refused = ConnAck { session_present: false, reason: ReasonCode::MalformedPacket, properties: NONE };
    for (version, packet, words) in [
        (V3, Packet::ConnAck(refused), "MQTT 3.1.1 has no CONNACK return code for this reason"),
        (
            V3,
            Packet::Auth(Auth { reason: ReasonCode::Success, properties: NONE }),
            "MQTT 3.1.1 has no AUTH packet",
        ),
        (V5, Packet::Publish(publish.clone()), "topic of 65536 bytes is longer than the wire can say"),
        (
            V5,
            Packet::Unsubscribe(Unsubscribe { packet_id: 1, properties: NONE, filters: vec!["a", &long] }),
            "topic filter of 65536 bytes is longer than the wire can say",
        ),
    ] {
        let mut out = vec![1];
        assert_eq!(packet.encode(version, &mut out).unwrap_err().to_string(), words);
        assert_eq!(out, [1]);
    }
    let mut out = vec![1];
    let error = encode_publish(&publish, V3, &mut out).unwrap_err();
    assert_eq!(error, EncodeError::TooLong { field: "topic", len: 65_536 });
    assert_eq!(out, [1]);
}

/// What 5 can tell and 3.1.1 cannot is told as nearly as 3.1.1 can.
#[test]
fn older_clients_are_told_what_they_understand() {
    let busy = ConnAck { session_present: false, reason: ReasonCode::ServerBusy, properties: NONE };
    let reasons = vec![ReasonCode::GrantedQos2, ReasonCode::NotAuthorized, ReasonCode::QuotaExceeded];
    let ack = Ack {
        kind: AckKind::PubAck,
        packet_id: 1,
        reason: ReasonCode::NoMatchingSubscribers,
        properties: NONE,
    };
    for (packet, wire) in [
        (Packet::ConnAck(busy), "20 02 00 03"),
        (
            Packet::SubAck(SubAck { packet_id: 1, properties: NONE, reasons: reasons.clone() }),
            "90 05 0001 02 80 80",
        ),
        (Packet::UnsubAck(UnsubAck { packet_id: 1, properties: NONE, reasons }), "b0 02 0001"),
        (Packet::Ack(ack), "40 02 0001"),
    ] {
        let mut out = Vec::new();
        packet.encode(V3, &mut out).unwrap();
        assert_eq!(out, bytes(wire));
    }
}
