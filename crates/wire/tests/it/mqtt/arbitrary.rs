//! Arbitrary packets that the standard allows. They live for ever: tests are short, and packets borrow.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use record::Qos;
use wire::mqtt::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, Packet, Properties, PropertiesBuf, Property, Publish,
    ReasonCode, RetainHandling, Sender, SubAck, Subscribe, SubscribeFilter, SubscribeOptions, UnsubAck,
    Unsubscribe, Version, Will,
};

type Text = &'static str;
type Bytes = &'static [u8];

/// A packet, its version, and who sends it.
pub(crate) fn sent_packet() -> impl Strategy<Value = (Version, Sender, Packet<'static>)> {
    (version(), select(vec![Sender::Client, Sender::Server]))
        .prop_flat_map(|(version, sender)| (Just(version), Just(sender), packet(version, sender)))
}

fn version() -> impl Strategy<Value = Version> {
    select(vec![Version::V3, Version::V5])
}

pub(crate) fn packet(version: Version, sender: Sender) -> BoxedStrategy<Packet<'static>> {
    let both = prop_oneof![publish(version, sender).prop_map(Packet::Publish), ack(version, sender)];
    match (sender, version) {
        (Sender::Client, Version::V3) => prop_oneof![
            2 => both,
            1 => connect(version),
            1 => subscribe(version),
            1 => unsubscribe(version),
            1 => Just(Packet::PingReq),
            1 => disconnect(version, sender),
        ]
        .boxed(),
        (Sender::Client, Version::V5) => prop_oneof![
            2 => both,
            1 => connect(version),
            1 => subscribe(version),
            1 => unsubscribe(version),
            1 => disconnect(version, sender),
            1 => auth(vec![ReasonCode::ContinueAuthentication, ReasonCode::ReAuthenticate]),
        ]
        .boxed(),
        (Sender::Server, Version::V3) => prop_oneof![
            2 => both,
            1 => connack(version),
            1 => suback(version),
            1 => unsuback(version),
            1 => Just(Packet::PingResp),
        ]
        .boxed(),
        (Sender::Server, Version::V5) => prop_oneof![
            2 => both,
            1 => connack(version),
            1 => suback(version),
            1 => unsuback(version),
            1 => disconnect(version, sender),
            1 => auth(vec![ReasonCode::ContinueAuthentication, ReasonCode::Success]),
        ]
        .boxed(),
    }
}

fn leak(text: String) -> Text {
    Box::leak(text.into_boxed_str())
}

/// A string with everything but U+0000.
pub(crate) fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        "[a-z0-9]{0,12}".prop_map(leak),
        vec(any::<char>().prop_filter("U+0000", |c| *c != '\0'), 0..20)
            .prop_map(|chars| leak(chars.into_iter().collect())),
    ]
}

fn binary() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(|bytes| &*Box::leak(bytes.into_boxed_slice()))
}

/// A topic name.
pub(crate) fn topic() -> impl Strategy<Value = Text> {
    vec(text(), 1..6).prop_map(|levels| {
        let name = levels.join("/").replace(['+', '#'], "-");
        leak(if name.is_empty() { "/".into() } else { name })
    })
}

/// A filter, and whether it is shared.
fn filter() -> impl Strategy<Value = (Text, bool)> {
    let level = prop_oneof![3 => "[a-zü$]{0,5}", 1 => Just("+".to_owned())];
    let group = proptest::option::weighted(0.3, "[a-z]{1,4}");
    (vec(level, 0..5), any::<bool>(), group).prop_map(|(mut levels, hash, group)| {
        if hash || levels.iter().all(String::is_empty) {
            levels.push("#".into());
        }
        let filter = levels.join("/");
        let shared = group.is_some();
        (leak(group.map_or(filter.clone(), |group| format!("$share/{group}/{filter}"))), shared)
    })
}

fn qos() -> impl Strategy<Value = Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

fn packet_id() -> impl Strategy<Value = u16> {
    1..=u16::MAX
}

/// Any value of the property with this identifier.
fn property(id: u8) -> BoxedStrategy<Property<'static>> {
    use Property as P;
    match id {
        0x01 => (0..=1_u8).prop_map(P::PayloadFormat).boxed(),
        0x02 => any::<u32>().prop_map(P::MessageExpiry).boxed(),
        0x03 => text().prop_map(P::ContentType).boxed(),
        0x08 => topic().prop_map(P::ResponseTopic).boxed(),
        0x09 => binary().prop_map(P::CorrelationData).boxed(),
        0x0B => (1..=268_435_455_u32).prop_map(P::SubscriptionId).boxed(),
        0x11 => any::<u32>().prop_map(P::SessionExpiry).boxed(),
        0x12 => text().prop_map(P::AssignedClientId).boxed(),
        0x13 => any::<u16>().prop_map(P::ServerKeepAlive).boxed(),
        0x15 => text().prop_map(P::AuthMethod).boxed(),
        0x16 => binary().prop_map(P::AuthData).boxed(),
        0x17 => any::<bool>().prop_map(P::RequestProblemInformation).boxed(),
        0x18 => any::<u32>().prop_map(P::WillDelay).boxed(),
        0x19 => any::<bool>().prop_map(P::RequestResponseInformation).boxed(),
        0x1A => text().prop_map(P::ResponseInformation).boxed(),
        0x1C => text().prop_map(P::ServerReference).boxed(),
        0x1F => text().prop_map(P::ReasonString).boxed(),
        0x21 => (1..=u16::MAX).prop_map(P::ReceiveMaximum).boxed(),
        0x22 => any::<u16>().prop_map(P::TopicAliasMaximum).boxed(),
        0x23 => (1..=u16::MAX).prop_map(P::TopicAlias).boxed(),
        0x24 => (0..=1_u8).prop_map(P::MaximumQos).boxed(),
        0x25 => any::<bool>().prop_map(P::RetainAvailable).boxed(),
        0x26 => (text(), text()).prop_map(|(k, v)| P::UserProperty(k, v)).boxed(),
        0x27 => (1..=u32::MAX).prop_map(P::MaximumPacketSize).boxed(),
        0x28 => any::<bool>().prop_map(P::WildcardAvailable).boxed(),
        0x29 => any::<bool>().prop_map(P::SubscriptionIdAvailable).boxed(),
        0x2A => any::<bool>().prop_map(P::SharedAvailable).boxed(),
        _ => unreachable!("no such property"),
    }
}

/// Some of these, none twice but those of `repeatable`; none at all in 3.1.1.
fn properties(version: Version, ids: &[u8], repeatable: &'static [u8]) -> BoxedStrategy<Properties<'static>> {
    if version == Version::V3 {
        return Just(Properties::EMPTY).boxed();
    }
    let any_of = proptest::strategy::Union::new(ids.iter().map(|id| property(*id)));
    prop_oneof![1 => Just(Vec::new()), 2 => vec(any_of, 0..8)]
        .prop_map(|all| {
            let mut buf = PropertiesBuf::new();
            let mut seen = Vec::new();
            for property in all {
                if repeatable.contains(&property.id()) || !seen.contains(&property.id()) {
                    seen.push(property.id());
                    assert!(buf.push(property));
                }
            }
            let buf: &'static PropertiesBuf = Box::leak(Box::new(buf));
            buf.as_properties()
        })
        .boxed()
}

const USER: &[u8] = &[0x26];

pub(crate) fn publish(version: Version, sender: Sender) -> impl Strategy<Value = Publish<'static>> {
    let (ids, repeatable): (&[u8], _) = match sender {
        Sender::Client => (&[0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26], USER),
        Sender::Server => (&[0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26], &[0x0B, 0x26][..]),
    };
    (any::<[bool; 3]>(), qos(), topic(), packet_id(), properties(version, ids, repeatable), binary())
        .prop_map(|([dup, retain, leave_out], qos, topic, id, properties, payload)| Publish {
            dup: dup && qos != Qos::AtMostOnce,
            qos,
            retain,
            topic: if leave_out && properties.topic_alias().is_some() { "" } else { topic },
            packet_id: if qos == Qos::AtMostOnce { 0 } else { id },
            properties,
            payload,
        })
}

fn ack(version: Version, sender: Sender) -> BoxedStrategy<Packet<'static>> {
    use ReasonCode as R;
    let received = match (version, sender) {
        (Version::V3, _) => vec![R::Success],
        (Version::V5, Sender::Client) => vec![R::Success, R::NotAuthorized, R::PayloadFormatInvalid],
        (Version::V5, Sender::Server) => vec![R::Success, R::NoMatchingSubscribers, R::QuotaExceeded],
    };
    let released = match version {
        Version::V3 => vec![R::Success],
        Version::V5 => vec![R::Success, R::PacketIdentifierNotFound],
    };
    let kind = select(vec![AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp]);
    (kind, packet_id(), select(received), select(released), properties(version, &[0x1F, 0x26], USER))
        .prop_map(|(kind, packet_id, received, released, properties)| {
            let first = matches!(kind, AckKind::PubAck | AckKind::PubRec);
            let reason = if first { received } else { released };
            Packet::Ack(Ack { kind, packet_id, reason, properties })
        })
        .boxed()
}

fn connect(version: Version) -> BoxedStrategy<Packet<'static>> {
    let ids = [0x11, 0x15, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27];
    let will = (topic(), binary(), qos(), any::<bool>(), will_properties(version)).prop_map(
        |(topic, payload, qos, retain, properties)| Will { topic, payload, qos, retain, properties },
    );
    (
        (any::<bool>(), any::<u16>(), text()),
        properties(version, &ids, USER),
        proptest::option::of(will),
        proptest::option::of(text()),
        proptest::option::of(binary()),
    )
        .prop_map(move |((clean, keep_alive_s, client_id), properties, will, username, password)| {
            Packet::Connect(Connect {
                version,
                clean_start: clean || (version == Version::V3 && client_id.is_empty()),
                keep_alive_s,
                client_id,
                properties,
                will,
                username,
                password: password.filter(|_| version == Version::V5 || username.is_some()),
            })
        })
        .boxed()
}

fn will_properties(version: Version) -> BoxedStrategy<Properties<'static>> {
    properties(version, &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26], USER)
}

fn connack(version: Version) -> BoxedStrategy<Packet<'static>> {
    use ReasonCode as R;
    let mut reasons = vec![R::Success, R::UnsupportedProtocolVersion, R::NotAuthorized];
    if version == Version::V5 {
        reasons.extend([R::ServerBusy, R::PacketTooLarge, R::ConnectionRateExceeded]);
    }
    let ids = [
        0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A,
    ];
    (any::<bool>(), select(reasons), properties(version, &ids, USER))
        .prop_map(|(present, reason, properties)| {
            let session_present = present && reason == R::Success;
            Packet::ConnAck(ConnAck { session_present, reason, properties })
        })
        .boxed()
}

fn subscribe(version: Version) -> BoxedStrategy<Packet<'static>> {
    let handling = vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
    let one = (filter(), qos(), any::<[bool; 2]>(), select(handling)).prop_map(
        move |((filter, shared), qos, bits, h)| {
            let v5 = version == Version::V5;
            let options = SubscribeOptions {
                qos,
                no_local: v5 && bits[0] && !shared,
                retain_as_published: v5 && bits[1],
                retain_handling: if v5 { h } else { RetainHandling::Send },
            };
            SubscribeFilter { filter, options }
        },
    );
    (packet_id(), properties(version, &[0x0B, 0x26], USER), vec(one, 1..6))
        .prop_map(|(packet_id, properties, filters)| {
            Packet::Subscribe(Subscribe { packet_id, properties, filters })
        })
        .boxed()
}

fn suback(version: Version) -> BoxedStrategy<Packet<'static>> {
    use ReasonCode as R;
    let mut reasons = vec![R::Success, R::GrantedQos1, R::GrantedQos2, R::UnspecifiedError];
    if version == Version::V5 {
        reasons.extend([R::NotAuthorized, R::TopicFilterInvalid, R::WildcardSubscriptionsNotSupported]);
    }
    (packet_id(), properties(version, &[0x1F, 0x26], USER), vec(select(reasons), 1..6))
        .prop_map(|(packet_id, properties, reasons)| {
            Packet::SubAck(SubAck { packet_id, properties, reasons })
        })
        .boxed()
}

fn unsubscribe(version: Version) -> BoxedStrategy<Packet<'static>> {
    (packet_id(), properties(version, USER, USER), vec(filter().prop_map(|(filter, _)| filter), 1..6))
        .prop_map(|(packet_id, properties, filters)| {
            Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters })
        })
        .boxed()
}

fn unsuback(version: Version) -> BoxedStrategy<Packet<'static>> {
    use ReasonCode as R;
    let reasons = vec(select(vec![R::Success, R::NoSubscriptionExisted, R::NotAuthorized]), 1..6);
    (packet_id(), properties(version, &[0x1F, 0x26], USER), reasons)
        .prop_map(move |(packet_id, properties, reasons)| {
            let reasons = if version == Version::V5 { reasons } else { Vec::new() };
            Packet::UnsubAck(UnsubAck { packet_id, properties, reasons })
        })
        .boxed()
}

fn disconnect(version: Version, sender: Sender) -> BoxedStrategy<Packet<'static>> {
    use ReasonCode as R;
    let (reasons, ids): (_, &[u8]) = match (version, sender) {
        (Version::V3, _) => (vec![R::Success], &[0x26]),
        (_, Sender::Client) => {
            (vec![R::Success, R::DisconnectWithWill, R::ProtocolError], &[0x11, 0x1F, 0x26])
        }
        (_, Sender::Server) => {
            (vec![R::Success, R::SessionTakenOver, R::MaximumConnectTime], &[0x1C, 0x1F, 0x26])
        }
    };
    (select(reasons), properties(version, ids, USER))
        .prop_map(|(reason, properties)| Packet::Disconnect(Disconnect { reason, properties }))
        .boxed()
}

fn auth(reasons: Vec<ReasonCode>) -> BoxedStrategy<Packet<'static>> {
    (select(reasons), text(), binary())
        .prop_map(|(reason, method, data)| {
            let buf = PropertiesBuf::new().with(Property::AuthMethod(method)).with(Property::AuthData(data));
            let buf: &'static PropertiesBuf = Box::leak(Box::new(buf));
            Packet::Auth(Auth { reason, properties: buf.as_properties() })
        })
        .boxed()
}
