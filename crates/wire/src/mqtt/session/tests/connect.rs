//! CONNECT, CONNACK, SUBSCRIBE, DISCONNECT and wills.

use super::*;
use crate::mqtt::{Auth, Properties, Unsubscribe, Will as ConnectWill};

#[test]
fn connect_is_answered_with_terms_or_the_right_refusal() {
    let v3 = Version::V3;
    let v5 = Version::V5;
    let none = PropertiesBuf::new();
    let auth = PropertiesBuf::new().with(Property::AuthMethod("SCRAM"));
    let check =
        |what: &str, version, clean, id, properties: &PropertiesBuf, want: Result<u32, ReasonCode>| {
            let connect = Connect { client_id: id, ..connect(version, clean, properties) };
            let got = Terms::negotiate(&connect, &LIMITS).map(|terms| terms.expiry_s);
            assert_eq!(got, want, "{what}");
        };
    check("MQTT-4.12.0-1", v5, true, "c", &auth, Err(ReasonCode::BadAuthenticationMethod));
    check("MQTT-3.1.3-8 (3.1.1)", v3, false, "", &none, Err(ReasonCode::ClientIdentifierNotValid));
    check("MQTT-3.1.3-7 (3.1.1)", v3, true, "", &none, Ok(0));
    check("MQTT-3.1.3-6 (5)", v5, false, "", &none, Ok(0));
    check("MQTT-3.1.2-5 (3.1.1): kept as long as we keep anything", v3, false, "c", &none, Ok(1000));
    let day = PropertiesBuf::new().with(Property::SessionExpiry(86_400));
    check("3.2.2.3.2: the server's cap", v5, false, "c", &day, Ok(1000));
}

#[test]
fn connack_says_what_the_client_did_not_ask_for() {
    let asked = PropertiesBuf::new().with(Property::SessionExpiry(5000)).with(Property::ReceiveMaximum(7));
    let request = Connect { keep_alive_s: 0, ..connect(Version::V5, true, &asked) };
    let terms = Terms::negotiate(&request, &LIMITS).unwrap();
    assert_eq!((terms.window, terms.keep_alive_s), (7, 60));
    let told = terms.connack_properties(&LIMITS, Some("given"));
    let told = told.as_properties();
    assert_eq!(told.session_expiry(), Some(1000), "3.2.2.3.2");
    assert_eq!(told.receive_maximum(), Some(3), "3.2.2.3.3");
    assert_eq!(told.maximum_packet_size(), Some(1 << 20), "3.2.2.3.6");
    assert_eq!(told.assigned_client_id(), Some("given"), "MQTT-3.1.3-7");
    assert_eq!(told.topic_alias_maximum(), Some(4), "3.2.2.3.8");
    assert_eq!(told.server_keep_alive(), Some(60), "MQTT-3.1.2-21");
    let old = Terms::negotiate(&connect(Version::V3, true, &asked), &LIMITS).unwrap();
    assert_eq!(old.keep_alive_s, 30, "3.1.1 cannot be told another keep-alive");
}

#[test]
fn session_present_is_said_only_of_a_session_that_is_resumed() {
    let stored = || Some(Durable::default());
    for (what, clean, stored, want) in [
        ("MQTT-3.2.2-3", false, stored(), true),
        ("MQTT-3.2.2-3: none is known", false, None, false),
        ("MQTT-3.2.2-2", true, stored(), false),
    ] {
        let properties = PropertiesBuf::new().with(Property::SessionExpiry(10));
        let terms = Terms::negotiate(&connect(Version::V5, clean, &properties), &LIMITS).unwrap();
        let mut shell = Recorder::default();
        let machine = Machine::open(terms, &LIMITS, None, stored, true, None, &mut shell);
        let mut rig = Rig { machine, shell, next: 0 };
        rig.expect("Opened is durable before CONNACK", &[&format!("event Opened clean={clean} expiry=10")]);
        rig.commit();
        rig.expect(what, &[&format!("CONNACK present={want}")]);
    }
}

#[test]
fn what_may_not_come_now_ends_the_connection_with_its_code() {
    let none = PropertiesBuf::new();
    let late = PropertiesBuf::new().with(Property::SessionExpiry(10));
    let no_local = |mut packet: Packet<'static>| {
        if let Packet::Subscribe(subscribe) = &mut packet {
            subscribe.filters[0].options.no_local = true;
        }
        packet
    };
    let auth = Packet::Auth(Auth { reason: ReasonCode::ReAuthenticate, properties: Properties::EMPTY });
    for (what, packet, want) in [
        ("MQTT-3.1.0-2", Packet::Connect(connect(Version::V5, true, &none)), ReasonCode::ProtocolError),
        ("MQTT-4.12.0-7", auth, ReasonCode::ProtocolError),
        ("a packet of servers", Packet::PingResp, ReasonCode::ProtocolError),
        ("MQTT-3.8.3-4", no_local(subscribe("$share/g/a")), ReasonCode::ProtocolError),
        ("3.14.2.2.2", disconnect(ReasonCode::Success, &late), ReasonCode::ProtocolError),
    ] {
        assert_eq!(Rig::v5().packet(&packet), Err(Stop::Server(want)), "{what}");
    }
}

#[test]
fn a_disconnect_may_change_the_expiry_of_a_session_that_outlives_it() {
    let zero = PropertiesBuf::new().with(Property::SessionExpiry(0));
    let mut rig = Rig::v5_persistent();
    let stop = rig.packet(&disconnect(ReasonCode::Success, &zero));
    assert_eq!(stop, Err(Stop::Client(ReasonCode::Success)));
    let farewell = rig.machine.finish(End::Client(ReasonCode::Success), 5);
    assert_eq!(farewell.event, Some(Event::Closed { at_ms: 5, expiry_s: 0 }), "3.14.2.2.2");
}

#[test]
fn subscriptions_hold_once_they_are_durable() {
    let mut rig = Rig::v5_persistent();
    for (what, filter, logged, settled) in [
        ("MQTT-3.8.4-1", "a/#", vec!["event Subscribed a/#"], vec!["subscribed a/# new=true", "SUBACK 9 02"]),
        (
            "MQTT-3.8.4-3",
            "a/#",
            vec!["event Subscribed a/#"],
            vec!["subscribed a/# new=false", "SUBACK 9 02"],
        ),
        ("MQTT-3.8.4-6", "denied", vec![], vec!["SUBACK 9 87"]),
        ("no room", "full", vec!["event Subscribed full"], vec!["event Unsubscribed full", "SUBACK 9 97"]),
    ] {
        rig.packet(&subscribe(filter)).unwrap();
        rig.expect(what, &logged);
        rig.commit();
        rig.expect(what, &settled);
    }
    let filters = vec!["a/#", "never"];
    rig.packet(&Packet::Unsubscribe(Unsubscribe { packet_id: 4, properties: Properties::EMPTY, filters }))
        .unwrap();
    rig.commit();
    rig.expect(
        "MQTT-3.10.4-4, MQTT-3.11.3-1",
        &["event Unsubscribed a/#", "event Unsubscribed never", "unsubscribed a/#", "UNSUBACK 4 00 11"],
    );
}

#[test]
fn a_failed_subscribe_ends_the_connection_and_is_never_acknowledged() {
    let mut rig = Rig::v5_persistent();
    rig.packet(&subscribe("a")).unwrap();
    rig.said();
    assert_eq!(rig.fail(ReasonCode::QuotaExceeded), Err(Stop::Server(ReasonCode::QuotaExceeded)));
    rig.expect("nothing is said", &[]);
}

#[test]
fn a_ping_is_answered_at_once() {
    let mut rig = Rig::v3();
    rig.packet(&Packet::PingReq).unwrap();
    rig.expect("MQTT-3.12.4-1", &["PingResp"]);
}

#[test]
fn a_will_is_published_delayed_or_dropped_as_the_end_wants() {
    let with_will = |delay_s: u32, expiry_s: u32, end: End| {
        let (asked, delay) = (
            PropertiesBuf::new().with(Property::SessionExpiry(expiry_s)),
            PropertiesBuf::new().with(Property::WillDelay(delay_s)),
        );
        let mut request = connect(Version::V5, true, &asked);
        request.will = Some(ConnectWill {
            topic: "w",
            payload: b"gone",
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: delay.as_properties(),
        });
        let terms = Terms::negotiate(&request, &LIMITS).unwrap();
        let will = OwnedWill::of(&request);
        let mut shell = Recorder::default();
        let machine = Machine::open(terms, &LIMITS, will, None, expiry_s > 0, None, &mut shell);
        match machine.finish(end, 0).will {
            Will::None => None,
            Will::Now(_) => Some(0),
            Will::After(_, delay_s) => Some(delay_s),
        }
    };
    let normal = End::Client(ReasonCode::Success);
    for (what, delay_s, expiry_s, end, want) in [
        ("MQTT-3.1.2-10, MQTT-3.14.4-3", 0, 0, normal, None),
        ("3.14.2.1: disconnect with will", 0, 0, End::Client(ReasonCode::DisconnectWithWill), Some(0)),
        ("MQTT-3.1.2-8", 0, 0, End::Lost, Some(0)),
        ("MQTT-3.1.3-9: after the delay", 30, 100, End::Lost, Some(30)),
        ("3.1.3.2.2: the session ends earlier", 30, 10, End::Lost, Some(10)),
        ("3.1.3.2.2: the session ends now", 30, 0, End::Lost, Some(0)),
        ("MQTT-3.1.4-3: taken over, no delay", 0, 100, End::TakenOver { clean: false }, Some(0)),
        ("MQTT-3.1.3-9: resumed before the delay was over", 30, 100, End::TakenOver { clean: false }, None),
        ("3.1.3.2.2: a clean start ends the session", 30, 100, End::TakenOver { clean: true }, Some(0)),
    ] {
        assert_eq!(with_will(delay_s, expiry_s, end), want, "{what}");
    }
}
