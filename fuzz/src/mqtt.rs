//! What the MQTT targets share: the form of an input, seeds, and outcomes.
//!
//! An input is a byte that says who sent what when, and then bytes as from a socket.

use std::hash::{DefaultHasher, Hash, Hasher};

use record::Qos;
use wire::mqtt::{
    Ack, AckKind, Auth, ConnAck, Connect, DecodeLimits, Disconnect, Packet, Properties, PropertiesBuf,
    Property, Publish, ReasonCode, RetainHandling, Sender, SubAck, Subscribe, SubscribeFilter,
    SubscribeOptions, UnsubAck, Unsubscribe, Version, Will,
};

/// An input: the limits it is decoded under, and the bytes. None of an empty input.
pub(crate) fn case(data: &[u8]) -> Option<(DecodeLimits, &[u8])> {
    let (selector, bytes) = data.split_first()?;
    let (version, sender) = SELECTORS[*selector as usize % SELECTORS.len()];
    Some((DecodeLimits { version, sender, max_packet_bytes: MAX_PACKET_BYTES }, bytes))
}

const SELECTORS: [(Option<Version>, Sender); 5] = [
    (None, Sender::Client),
    (Some(Version::V3), Sender::Client),
    (Some(Version::V5), Sender::Client),
    (Some(Version::V3), Sender::Server),
    (Some(Version::V5), Sender::Server),
];

/// Small, so that packets over it are met.
const MAX_PACKET_BYTES: usize = 1 << 14;

/// A number for the kind of outcome.
pub(crate) fn outcome(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// What an accepted packet is like: its kind, flags and the set of its properties, but not its contents.
pub(crate) fn shape(packet: &Packet<'_>) -> u64 {
    let set = |p: Properties<'_>| p.iter().fold(0_u64, |set, p| set | 1 << p.id());
    match packet {
        Packet::Connect(p) => {
            let will = p.will.as_ref().map(|w| (w.qos as u8, w.retain, set(w.properties)));
            let given = (p.username.is_some(), p.password.is_some(), p.client_id.is_empty());
            outcome((1, p.version, p.clean_start, set(p.properties), will, given))
        }
        Packet::ConnAck(p) => outcome((2, p.session_present, p.reason, set(p.properties))),
        Packet::Publish(p) => {
            outcome((3, p.dup, p.qos as u8, p.retain, p.topic.is_empty(), set(p.properties)))
        }
        Packet::Ack(p) => outcome((4, p.kind as u8, p.reason, set(p.properties))),
        Packet::Subscribe(p) => outcome((5, set(p.properties), p.filters.len().min(4))),
        Packet::SubAck(p) => outcome((6, set(p.properties), p.reasons.first())),
        Packet::Unsubscribe(p) => outcome((7, set(p.properties), p.filters.len().min(4))),
        Packet::UnsubAck(p) => outcome((8, set(p.properties), p.reasons.first())),
        Packet::PingReq => 9,
        Packet::PingResp => 10,
        Packet::Disconnect(p) => outcome((11, p.reason, set(p.properties))),
        Packet::Auth(p) => outcome((12, p.reason, set(p.properties))),
    }
}

/// Gives the first packet the length that its bytes have.
pub(crate) fn mend(data: &mut Vec<u8>) {
    let Some(length) = data.get(2..) else { return };
    let old = length.iter().take(4).position(|b| *b < 0x80).map_or(length.len().min(4), |i| i + 1);
    let mut left = data.len() - 2 - old;
    let mut new = Vec::with_capacity(4);
    loop {
        new.push((left & 0x7F) as u8 | if left > 0x7F { 0x80 } else { 0 });
        left >>= 7;
        if left == 0 {
            break;
        }
    }
    data.splice(2..2 + old, new);
}

/// Packets of all kinds with much in them.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (selector, (version, sender)) in SELECTORS.iter().enumerate() {
        let mut add = |version, packet: Packet<'_>| {
            let mut bytes = vec![selector as u8];
            packet.encode(version, &mut bytes).expect("a seed can be encoded");
            seeds.push(bytes);
        };
        match (version, sender) {
            (None, _) => [Version::V3, Version::V5].into_iter().for_each(|v| connects(v, &mut add)),
            (Some(version), Sender::Client) => of_client(*version, &mut add),
            (Some(version), Sender::Server) => of_server(*version, &mut add),
        }
    }
    seeds
}

type Add<'a> = &'a mut dyn FnMut(Version, Packet<'_>);

fn connects(version: Version, add: Add<'_>) {
    let properties: PropertiesBuf = [
        Property::SessionExpiry(3600),
        Property::AuthMethod("m"),
        Property::AuthData(&[1, 2]),
        Property::RequestProblemInformation(false),
        Property::RequestResponseInformation(true),
        Property::ReceiveMaximum(10),
        Property::TopicAliasMaximum(5),
        Property::UserProperty("k", "v"),
        Property::MaximumPacketSize(1000),
    ]
    .into_iter()
    .collect();
    let will_properties = message_properties().with(Property::WillDelay(5));
    let plain = Connect {
        version,
        clean_start: true,
        keep_alive_s: 60,
        client_id: "d1",
        properties: Properties::EMPTY,
        will: None,
        username: None,
        password: None,
    };
    add(version, Packet::Connect(plain.clone()));
    let will = Will {
        topic: "a/b",
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: will_properties.as_properties(),
    };
    add(
        version,
        Packet::Connect(Connect {
            properties: properties.as_properties(),
            will: Some(will),
            username: Some("u\u{e9}"),
            password: Some(b"p"),
            ..plain
        }),
    );
}

fn message_properties() -> PropertiesBuf {
    [
        Property::PayloadFormat(1),
        Property::MessageExpiry(60),
        Property::ContentType("t"),
        Property::ResponseTopic("r/s"),
        Property::CorrelationData(&[0, 255]),
        Property::UserProperty("k", "v"),
        Property::UserProperty("k", "w"),
    ]
    .into_iter()
    .collect()
}

fn of_both(version: Version, extra: Property<'_>, add: Add<'_>) {
    let properties = message_properties().with(extra);
    for (dup, qos, topic) in [
        (false, Qos::AtMostOnce, "a/b"),
        (true, Qos::AtLeastOnce, "devices/d\u{f6}"),
        (false, Qos::ExactlyOnce, "x"),
    ] {
        for properties in [Properties::EMPTY, properties.as_properties()] {
            let packet_id = if qos == Qos::AtMostOnce { 0 } else { 7 };
            let payload = br#"{"v":1}"#;
            add(
                version,
                Packet::Publish(Publish { dup, qos, retain: dup, topic, packet_id, properties, payload }),
            );
        }
    }
    let alias = PropertiesBuf::new().with(extra);
    if version == Version::V5 && alias.as_properties().topic_alias().is_some() {
        let properties = alias.as_properties();
        let (qos, topic, payload) = (Qos::AtLeastOnce, "", b"p");
        add(
            version,
            Packet::Publish(Publish {
                dup: false,
                qos,
                retain: false,
                topic,
                packet_id: 9,
                properties,
                payload,
            }),
        );
    }
    // At the limits: one byte more, or one level, is too much.
    let longest = "t".repeat(record::limits::TOPIC_BYTES);
    let deepest = "/".repeat(record::limits::TOPIC_LEVELS - 1) + "x";
    for topic in [longest.as_str(), deepest.as_str()] {
        let plain = Properties::EMPTY;
        let (qos, payload) = (Qos::AtMostOnce, b"tt");
        add(
            version,
            Packet::Publish(Publish {
                dup: false,
                qos,
                retain: false,
                topic,
                packet_id: 0,
                properties: plain,
                payload,
            }),
        );
    }
    let why = PropertiesBuf::new().with(Property::ReasonString("why")).with(Property::UserProperty("k", "v"));
    for kind in [AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp] {
        let reason = match kind {
            AckKind::PubAck | AckKind::PubRec => ReasonCode::QuotaExceeded,
            AckKind::PubRel | AckKind::PubComp => ReasonCode::PacketIdentifierNotFound,
        };
        let success =
            Ack { kind, packet_id: 300, reason: ReasonCode::Success, properties: Properties::EMPTY };
        add(version, Packet::Ack(Ack { reason, ..success.clone() }));
        add(version, Packet::Ack(Ack { reason, properties: why.as_properties(), ..success.clone() }));
        add(version, Packet::Ack(success));
    }
}

fn of_client(version: Version, add: Add<'_>) {
    of_both(version, Property::TopicAlias(3), add);
    let id = PropertiesBuf::new().with(Property::SubscriptionId(200)).with(Property::UserProperty("k", "v"));
    let options = |qos, no_local, retain_as_published, retain_handling| SubscribeOptions {
        qos,
        no_local,
        retain_as_published,
        retain_handling,
    };
    add(
        version,
        Packet::Subscribe(Subscribe {
            packet_id: 1,
            properties: id.as_properties(),
            filters: vec![
                SubscribeFilter {
                    filter: "a/+/#",
                    options: options(Qos::AtLeastOnce, true, false, RetainHandling::SendIfNew),
                },
                SubscribeFilter {
                    filter: "$share/g/+/b",
                    options: options(Qos::ExactlyOnce, false, true, RetainHandling::DoNotSend),
                },
            ],
        }),
    );
    let user = PropertiesBuf::new().with(Property::UserProperty("k", "v"));
    let longest = "t".repeat(record::limits::TOPIC_BYTES);
    let deepest = "/".repeat(record::limits::TOPIC_LEVELS - 1) + "x";
    for filter in [longest.as_str(), deepest.as_str()] {
        let properties = Properties::EMPTY;
        add(
            version,
            Packet::Unsubscribe(Unsubscribe { packet_id: 1, properties, filters: vec![filter, "t"] }),
        );
    }
    add(
        version,
        Packet::Unsubscribe(Unsubscribe {
            packet_id: 1,
            properties: user.as_properties(),
            filters: vec!["a/+/#", "$share/g/b"],
        }),
    );
    add(version, Packet::PingReq);
    let ended = PropertiesBuf::new().with(Property::SessionExpiry(1)).with(Property::ReasonString("bye"));
    for (reason, properties) in
        [(ReasonCode::Success, Properties::EMPTY), (ReasonCode::DisconnectWithWill, ended.as_properties())]
    {
        add(version, Packet::Disconnect(Disconnect { reason, properties }));
    }
    auth(version, ReasonCode::ReAuthenticate, add);
}

fn of_server(version: Version, add: Add<'_>) {
    of_both(version, Property::SubscriptionId(9), add);
    let all: PropertiesBuf = [
        Property::SessionExpiry(0),
        Property::ReceiveMaximum(20),
        Property::MaximumQos(1),
        Property::RetainAvailable(true),
        Property::MaximumPacketSize(1 << 20),
        Property::AssignedClientId("c"),
        Property::TopicAliasMaximum(16),
        Property::ReasonString("r"),
        Property::UserProperty("k", "v"),
        Property::WildcardAvailable(true),
        Property::SubscriptionIdAvailable(true),
        Property::SharedAvailable(false),
        Property::ServerKeepAlive(30),
        Property::ResponseInformation("i"),
        Property::ServerReference("s"),
        Property::AuthMethod("m"),
        Property::AuthData(&[1]),
    ]
    .into_iter()
    .collect();
    for (session_present, reason) in [(true, ReasonCode::Success), (false, ReasonCode::NotAuthorized)] {
        for properties in [Properties::EMPTY, all.as_properties()] {
            add(version, Packet::ConnAck(ConnAck { session_present, reason, properties }));
        }
    }
    let why = PropertiesBuf::new().with(Property::ReasonString("why")).with(Property::UserProperty("k", "v"));
    let properties = why.as_properties();
    let reasons = vec![ReasonCode::GrantedQos1, ReasonCode::Success, ReasonCode::UnspecifiedError];
    add(version, Packet::SubAck(SubAck { packet_id: 1, properties, reasons }));
    let reasons = vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    add(version, Packet::UnsubAck(UnsubAck { packet_id: 1, properties, reasons }));
    add(version, Packet::PingResp);
    let moved = PropertiesBuf::new().with(Property::ServerReference("s")).with(Property::ReasonString("bye"));
    let properties = moved.as_properties();
    if version == Version::V5 {
        add(version, Packet::Disconnect(Disconnect { reason: ReasonCode::ServerMoved, properties }));
    }
    auth(version, ReasonCode::ContinueAuthentication, add);
}

fn auth(version: Version, reason: ReasonCode, add: Add<'_>) {
    let properties: PropertiesBuf =
        [Property::AuthMethod("m"), Property::AuthData(&[1, 2, 3]), Property::ReasonString("r")]
            .into_iter()
            .collect();
    if version == Version::V5 {
        add(version, Packet::Auth(Auth { reason, properties: properties.as_properties() }));
    }
}
