use penstock_registry::{Acl, AuthConfig, Denied, Identity, Mode};

use crate::{House, device, now, required, tenant};

const TEMPLATES: [&str; 5] = [
    "{org}/{site}/{device_type}/{device_id}/{measurement}",
    "devices/{id}/telemetry",
    "assets/{id}/telemetry",
    "fleet/{id}/{metric}",
    "sensors/{metric}",
];

fn acl(config: &AuthConfig) -> Acl {
    Acl::new(&config.validate().unwrap(), TEMPLATES).unwrap()
}

fn d1(house: &House) -> Identity {
    let token = house.administration.add_device_token(&tenant("acme"), &device("d1"), None, now()).unwrap();
    house.ask("", token.reveal()).unwrap()
}

fn service(house: &House, publish: &[&str], subscribe: &[&str]) -> Identity {
    let own = |topics: &[&str]| topics.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let token = house
        .administration
        .add_service_token(&tenant("acme"), &device("svc"), &own(publish), &own(subscribe), now())
        .unwrap();
    house.ask("", token.reveal()).unwrap()
}

#[test]
fn a_device_publishes_and_receives_only_as_itself() {
    let config = required("");
    let (house, acl) = (House::new(&config), acl(&config));
    let d1 = d1(&house);
    for (topic, publish, receive) in [
        ("devices/d1/telemetry", true, true),
        ("devices/d1/anything/else", true, true),
        ("devices/d2/telemetry", false, false),
        ("devices/d1", true, true),
        ("fleet/d1/temp", true, true),
        ("fleet/d2/temp", false, false),
        ("acme/s/pump/d1/temp", true, true),
        ("acme/s/pump/d2/temp", false, false),
        ("other/s/pump/d1/temp", false, false),
        ("cmd/d1/req/7", true, true),
        ("cmd/d2/req/7", false, false),
        ("cmd/d10/x", false, false),
        // The device is the credential's; what others send there is theirs.
        ("sensors/temp", true, false),
        ("anything", false, false),
        ("devices", false, false),
        ("", false, false),
        ("$SYS/broker/uptime", false, false),
        ("$SYS/x/y/d1/z", false, false),
    ] {
        assert_eq!(acl.may_publish(&d1, topic).is_ok(), publish, "publish {topic}");
        assert_eq!(acl.may_receive(&d1, topic), receive, "receive {topic}");
    }
}

#[test]
fn a_wildcard_cannot_reach_across() {
    let config = required("");
    let (house, acl) = (House::new(&config), acl(&config));
    let d1 = d1(&house);
    for (filter, expect) in [
        ("devices/d1/telemetry", true),
        ("devices/d1/#", true),
        ("cmd/d1/+/x", true),
        ("$share/g/cmd/d1/#", true),
        ("acme/+/+/d1/+", true),
        ("devices/+/telemetry", false),
        ("devices/#", false),
        ("+/d1/telemetry", false),
        ("#", false),
        ("+/+/+/d1/+", false),
        ("acme/+/+/+/+", false),
        ("acme/+/+/d1/#", false),
        ("other/+/+/d1/+", false),
        ("sensors/+", false),
        ("sensors/temp", false),
        ("$share/g/devices/#", false),
        ("$share/g/devices/d2/telemetry", false),
        ("$share/g/$share/h/cmd/d1/#", false),
        ("$SYS/#", false),
        ("cmd/d2/#", false),
    ] {
        assert_eq!(acl.may_subscribe(&d1, filter).is_ok(), expect, "{filter}");
    }
    for malformed in ["$share", "$share/", "$share/g", "$share/g/", "$share//cmd/d1/#", "$share/+/cmd/d1/#"] {
        assert_eq!(acl.may_subscribe(&d1, malformed), Err(Denied::MalformedShare), "{malformed}");
    }
}

#[test]
fn a_topic_that_two_patterns_give_to_two_devices_is_nobodys() {
    // In the tenant "cmd" the first template reads d2's commands as a measurement of d1.
    let config = required("");
    let (house, acl) = (House::new(&config), acl(&config));
    let token = house.administration.add_device_token(&tenant("cmd"), &device("d1"), None, now()).unwrap();
    let d1 = house.ask("", token.reveal()).unwrap();
    assert!(acl.may_publish(&d1, "cmd/d2/x/d1/y").is_err());
    assert!(!acl.may_receive(&d1, "cmd/d2/x/d1/y"));
    acl.may_publish(&d1, "cmd/d1/x/d1/y").unwrap();
}

#[test]
fn a_service_has_exactly_its_grants() {
    let config = required("");
    let (house, acl) = (House::new(&config), acl(&config));
    let bridge = service(&house, &["cmd/+/#"], &["devices/+/telemetry", "$SYS/#"]);
    acl.may_publish(&bridge, "cmd/d7/reboot").unwrap();
    assert_eq!(acl.may_publish(&bridge, "devices/d7/telemetry"), Err(Denied::NotYours));
    assert_eq!(acl.may_publish(&bridge, "$SYS/x"), Err(Denied::Reserved));
    acl.may_subscribe(&bridge, "devices/+/telemetry").unwrap();
    acl.may_subscribe(&bridge, "$share/g/devices/+/telemetry").unwrap();
    acl.may_subscribe(&bridge, "$SYS/broker/#").unwrap();
    assert!(acl.may_subscribe(&bridge, "devices/#").is_err());
    assert!(
        acl.may_receive(&bridge, "devices/d7/telemetry") && !acl.may_receive(&bridge, "devices/d7/state")
    );
    let everything = service(&house, &["#"], &["#"]);
    acl.may_subscribe(&everything, "#").unwrap();
    assert!(acl.may_subscribe(&everything, "$SYS/#").is_err(), "$ topics are granted only when spelled out");
    assert!(!acl.may_receive(&everything, "$SYS/broker/uptime"));
    let nothing = service(&house, &[], &[]);
    assert!(acl.may_publish(&nothing, "x").is_err() && acl.may_subscribe(&nothing, "x").is_err());
}

#[test]
fn readings_without_a_topic_follow_the_same_rules() {
    let config = required("");
    let (house, acl) = (House::new(&config), acl(&config));
    let d1 = d1(&house);
    acl.may_report(&d1, &device("d1")).unwrap();
    assert!(acl.may_report(&d1, &device("d2")).is_err());
    let telegraf = service(&house, &["devices/+/telemetry"], &[]);
    acl.may_report(&telegraf, &device("d2")).unwrap();
    assert!(acl.may_report(&service(&house, &["cmd/#"], &[]), &device("d2")).is_err());
}

#[test]
fn open_mode_allows_all_but_what_is_reserved_or_switched_off() {
    let config: AuthConfig = toml::from_str("deny_subscribe = [\"test/nosubscribe\"]").unwrap();
    assert_eq!(config.mode, Mode::Open);
    let (acl, anyone) = (acl(&config), Identity::open());
    acl.may_publish(&anyone, "any/topic").unwrap();
    acl.may_publish(&anyone, "test/nosubscribe").unwrap();
    assert_eq!(acl.may_publish(&anyone, "$SYS/x"), Err(Denied::Reserved));
    for filter in ["#", "$SYS/#", "test/+", "$share/g/#"] {
        acl.may_subscribe(&anyone, filter).unwrap();
    }
    for filter in ["test/nosubscribe", "$share/g/test/nosubscribe"] {
        assert_eq!(acl.may_subscribe(&anyone, filter), Err(Denied::SwitchedOff), "{filter}");
    }
    // A wider filter may be subscribed to, and what is switched off is not delivered.
    assert!(!acl.may_receive(&anyone, "test/nosubscribe"));
    assert!(acl.may_receive(&anyone, "test/other") && acl.may_receive(&anyone, "$SYS/broker/uptime"));
    acl.may_report(&anyone, &device("d2")).unwrap();
}

mod properties {
    use penstock_registry::Pattern;
    use proptest::prelude::*;

    use super::{House, acl, d1, required};

    fn literal() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "cmd",
            "devices",
            "fleet",
            "acme",
            "d1",
            "d2",
            "telemetry",
            "s",
            "$SYS",
            "",
        ])
    }

    /// A filter, often of the shape of d1's own, and a topic that it matches.
    fn filter_and_topic() -> impl Strategy<Value = (String, String)> {
        let head = prop_oneof![
            Just(vec![]),
            Just(vec!["cmd", "d1"]),
            Just(vec!["devices", "d1"]),
            Just(vec!["acme", "+", "+", "d1"]),
        ];
        let level = prop_oneof![3 => literal(), 1 => Just("+")];
        let rest = (prop::collection::vec(level, 0..4), any::<bool>());
        (head, rest, prop::collection::vec(literal(), 12)).prop_map(|(head, (rest, tail), fill)| {
            let mut fill = fill.into_iter();
            let mut filter = [head, rest].concat();
            let mut topic: Vec<&str> =
                filter.iter().map(|l| if *l == "+" { fill.next().unwrap() } else { *l }).collect();
            if tail || filter.is_empty() {
                filter.push("#");
                topic.extend(fill.take(2));
            }
            (filter.join("/"), topic.join("/"))
        })
    }

    proptest! {
        /// Whatever filter is allowed, every topic that it matches is one that may be received.
        #[test]
        fn an_allowed_filter_matches_only_what_may_be_received((filter, topic) in filter_and_topic()) {
            prop_assume!(!filter.is_empty());
            let config = required("");
            let acl = acl(&config);
            let d1 = d1(&House::new(&config));
            // The oracle for matching: a service that is granted just this filter.
            let granted = {
                let mut service = d1.clone();
                service.subject = penstock_registry::Subject::Service("s".into());
                service.grants = std::sync::Arc::new(penstock_registry::Grants {
                    publish: vec![],
                    subscribe: vec![Pattern::parse(&filter).unwrap()],
                });
                service
            };
            if acl.may_subscribe(&d1, &filter).is_ok() && acl.may_receive(&granted, &topic) {
                prop_assert!(acl.may_receive(&d1, &topic), "{} matches {}", filter, topic);
            }
        }
    }
}
