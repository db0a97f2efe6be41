//! Properties: lookups, forwarding, and bytes that come from elsewhere.

use wire::mqtt::{Carrier, Packet, Properties, PropertiesBuf, Property, ReasonCode, SubAck, Version};

#[test]
fn lookups_find_what_is_there() {
    let buf: PropertiesBuf = [
        Property::SessionExpiry(u32::MAX),
        Property::ReceiveMaximum(20),
        Property::UserProperty("a", "1"),
        Property::UserProperty("a", "2"),
        Property::RequestProblemInformation(false),
        Property::AuthMethod(""),
    ]
    .into_iter()
    .collect();
    let all = buf.as_properties();
    assert_eq!(all.session_expiry(), Some(u32::MAX));
    assert_eq!(all.receive_maximum(), Some(20));
    assert_eq!(all.request_problem_information(), Some(false));
    assert_eq!(all.auth_method(), Some(""));
    assert_eq!(all.topic_alias_maximum(), None);
    assert_eq!(all.user_properties().collect::<Vec<_>>(), [("a", "1"), ("a", "2")]);
    assert_eq!(Properties::EMPTY.iter().count(), 0);
}

#[test]
fn a_message_takes_along_what_is_its_own() {
    let received: PropertiesBuf = [
        Property::UserProperty("k", "1"),
        Property::TopicAlias(3),
        Property::MessageExpiry(60),
        Property::ContentType("json"),
        Property::SubscriptionId(9),
        Property::WillDelay(5),
        Property::ResponseTopic("r"),
        Property::CorrelationData(b"c"),
        Property::PayloadFormat(1),
        Property::UserProperty("k", "0"),
    ]
    .into_iter()
    .collect();
    for left_s in [Some(12), None] {
        let mut sent = PropertiesBuf::new();
        received.as_properties().forward(left_s, &mut sent);
        let mut expected: Vec<_> = left_s.map(Property::MessageExpiry).into_iter().collect();
        expected.extend([
            Property::UserProperty("k", "1"),
            Property::ContentType("json"),
            Property::ResponseTopic("r"),
            Property::CorrelationData(b"c"),
            Property::PayloadFormat(1),
            Property::UserProperty("k", "0"),
        ]);
        assert_eq!(sent.as_properties().iter().collect::<Vec<_>>(), expected);
        assert!(Properties::parse(sent.as_properties().as_bytes(), Carrier::PublishOfServer).is_ok());
    }
}

#[test]
fn stored_bytes_are_checked_again() {
    let good = [0x01, 0x01];
    assert_eq!(Properties::parse(&good, Carrier::Will).unwrap().payload_format(), Some(1));
    let error = Properties::parse(&[0x01, 0x01, 0x02], Carrier::Will).unwrap_err();
    assert_eq!(error.to_string(), "malformed packet: packet ends inside a field at byte 3");
    assert!(Properties::parse(&good, Carrier::Ack).is_err());
}

#[test]
fn what_the_wire_cannot_say_is_left_out() {
    let long = "x".repeat(65_536);
    let mut buf = PropertiesBuf::new();
    assert!(!buf.push(Property::ReasonString(&long)));
    assert!(!buf.push(Property::UserProperty("k", &long)));
    assert!(!buf.push(Property::SubscriptionId(268_435_456)));
    assert!(buf.is_empty());
    assert!(buf.push(Property::ReasonString(&long[1..])));
    assert_eq!(buf.as_properties().reason_string().map(str::len), Some(65_535));
}

#[test]
fn explanations_are_dropped_in_order_when_the_peer_takes_little() {
    let all: PropertiesBuf =
        [Property::UserProperty("key", "value"), Property::ReasonString("because")].into_iter().collect();
    let packet = Packet::SubAck(SubAck {
        packet_id: 1,
        properties: all.as_properties(),
        reasons: vec![ReasonCode::Success],
    });
    for (max, user, reason) in [(29, true, true), (28, false, true), (16, false, true), (15, false, false)] {
        let mut out = Vec::new();
        packet.encode_within(Version::V5, max, &mut out).unwrap();
        let whole = String::from_utf8_lossy(&out).into_owned();
        assert_eq!((whole.contains("value"), whole.contains("because")), (user, reason), "{max}");
    }
    let mut out = Vec::new();
    let error = packet.encode_within(Version::V5, 5, &mut out).unwrap_err();
    assert_eq!(error.to_string(), "packet of 6 bytes is over the peer's limit of 5");
}
