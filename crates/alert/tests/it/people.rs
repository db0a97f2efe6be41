//! Who hears of what, when, and by which way.

use penstock_alert::{
    Address, Day, DigestBody, Error, Escalation, How, Kind, Mute, Quiet, Selection, Span, State, Step, Want,
    When,
};
use record::Facts;
use rule::Severity;

use crate::house::{House, at, batched, began, critical, ended, id_of, tenant};

fn night() -> Span {
    Span { days: Vec::new(), from: "22:00".into(), to: "06:00".into(), zone: "UTC".into() }
}

fn of(json: &str) -> Selection {
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_first_want_that_means_an_alert_counts() {
    let house = House::new();
    house.rules.set("bad", critical);
    house
        .rules
        .facts
        .lock()
        .insert("pump-1".into(), Facts { site: Some("hamburg".into()), ..Facts::default() });
    house.person("ann", |ann| {
        ann.channels.insert("mail".into(), Address::Email { to: "ann@example.com".into() });
        ann.wants = vec![
            Want { of: of(r#"{"site":"ham*"}"#), channels: vec!["hook".into()], ..Want::default() },
            Want { from: Severity::Critical, ..Want::default() },
        ];
    });
    house.person("eve", |eve| eve.wants = Vec::new());
    house.take(&[began("hot", "pump-1", 0), began("hot", "pump-2", 0), began("bad", "pump-3", 0)], at(1));
    let mut told: Vec<_> =
        house.outbox().into_iter().map(|delivery| (delivery.channel, delivery.person)).collect();
    told.sort();
    let ann = |channel: &str| (channel.to_owned(), "ann".to_owned());
    assert_eq!(told, [ann("hook"), ann("hook"), ann("mail")]);
    assert_eq!(house.alerts.counters().unheard, 1);
}

#[test]
fn alerts_of_a_batched_rule_come_together() {
    let house = House::new();
    house.rules.set("hot", batched);
    house.person("ann", |_| {});
    let all: Vec<_> = (0..4_332).map(|n| began("hot", &format!("pump-{n}"), n / 100)).collect();
    for batch in all.chunks(500) {
        house.take(batch, at(44));
    }
    house.pass(44, 103);
    assert!(house.outbox().is_empty());
    house.pass(104, 104);
    let bodies = house.bodies("ann");
    let [group] = bodies.as_slice() else { panic!("{bodies:?}") };
    assert_eq!(
        (group.kind, group.count, group.devices.len(), group.alerts.len()),
        (Kind::Group, 4_332, 20, 20)
    );
    assert!(group.devices_in_words().ends_with("pump-19 and 4 312 more"), "{}", group.devices_in_words());
    let alert = house.alert(&all[4_000]);
    assert_eq!((alert.told[0].how, &alert.told[0].message), (How::Group, &group.message));
    assert_eq!(house.alerts.deliveries(&tenant(), &id_of(&all[4_000])).unwrap().len(), 1);
}

#[test]
fn quiet_hours_hold_back_what_is_not_critical_and_say_so_in_the_morning() {
    let house = House::new();
    house.rules.set("bad", critical);
    house.person("ann", |ann| ann.quiet = Some(Quiet { hours: night(), except_from: Severity::Critical }));
    // Midnight.
    house.take(&[began("hot", "pump-1", 0), began("bad", "pump-2", 1), began("hot", "pump-3", 2)], at(5));
    assert_eq!(house.bodies("ann").iter().map(|body| body.kind).collect::<Vec<_>>(), [Kind::Raised]);
    let six = 6 * 3600;
    house.pass(6, 400);
    house.pass(six - 10, six - 1);
    assert_eq!(house.outbox().len(), 1);
    house.pass(six, six);
    let digest = house.bodies("ann").pop().unwrap();
    let counts = digest.digest.unwrap();
    assert_eq!((digest.kind, counts.held, &counts.by_rule["Too hot"]), (Kind::Digest, 2, &2));
}

#[test]
fn a_person_gets_no_more_than_their_limit_and_hears_how_much_there_was() {
    let house = House::new();
    house.rules.set("bad", critical);
    house.person("ann", |_| {});
    // A device a second for two hours, one of ten is critical.
    for second in 0..7200 {
        let rule = if second % 10 == 0 { "bad" } else { "hot" };
        house.take(&[began(rule, &format!("d{second}"), second)], at(second));
        house.pass(second, second);
    }
    // Time for the last digest.
    house.pass(7200, 7200 + 3600);
    let (bodies, (sums, pending)) = (house.bodies("ann"), house.alerts.sums(&tenant(), "ann").unwrap());
    for body in &bodies {
        let hour = body.at_ms..body.at_ms + 3_600_000;
        let in_it: Vec<_> = bodies.iter().filter(|other| hour.contains(&other.at_ms)).collect();
        let critical =
            in_it.iter().filter(|b| b.severity == Severity::Critical && b.digest.is_none()).count();
        assert!(
            in_it.len() <= 35 && in_it.len() - critical.min(5) <= 30,
            "{} at {}",
            in_it.len(),
            body.at_ms
        );
    }
    assert_eq!((sums.concerned, pending), (7200, 0));
    assert_eq!(sums.single + sums.digested, 7200);
    assert_eq!(bodies.iter().map(|body| body.count).sum::<u64>(), 7200);
    let held: u64 = bodies.iter().filter_map(|body| body.digest.as_ref()).map(|digest| digest.held).sum();
    assert_eq!(held, sums.digested);
}

#[test]
fn a_machine_has_no_limit() {
    let house = House::new();
    house.person("bus", |bus| bus.per_hour = Some(0));
    let all: Vec<_> = (0..1000).map(|n| began("hot", &format!("d{n}"), 0)).collect();
    house.take(&all, at(0));
    assert_eq!(house.outbox().len(), 1000);
}

#[test]
fn what_a_mute_kept_from_people_is_said_when_it_ends() {
    let mut house = House::new();
    house.person("ann", |_| {});
    let when = When::Once { from_ms: at(0).millis(), to_ms: at(600).millis() };
    let mute = Mute { of: of(r#"{"device":"pump-*"}"#), when, by: "bob".into(), reason: "works".into() };
    house.alerts.mute(&tenant(), "works", &mute, at(0)).unwrap();
    let hot = began("hot", "pump-1", 10);
    house.take(&[hot.clone(), began("cold", "pump-2", 11), began("hot", "fan-1", 12)], at(13));
    let alert = house.alert(&hot);
    assert_eq!((alert.state, alert.muted_by.as_deref(), alert.told.len()), (State::Raised, Some("works"), 0));
    assert_eq!(house.outbox().len(), 1, "the fan is not muted");
    house.reopen();
    house.pass(14, 599);
    assert_eq!(house.outbox().len(), 1);
    house.pass(600, 601);
    let digest = house.bodies("ann").pop().unwrap().digest.unwrap();
    let by_rule = [("Too hot".into(), 1), ("cold".into(), 1)].into();
    let expect = DigestBody { since_ms: at(600).millis(), muted: 2, by_rule, ..DigestBody::default() };
    assert_eq!(digest, expect);
    let (sums, _) = house.alerts.sums(&tenant(), "ann").unwrap();
    assert_eq!((sums.concerned, sums.single, sums.muted, sums.unmuted), (3, 1, 2, 2));
    // What was muted stands for nobody: the next one is told.
    house.take(&[began("hot", "pump-1", 610)], at(611));
    assert_eq!(house.bodies("ann").last().unwrap().kind, Kind::Raised);
}

#[test]
fn a_mute_that_is_removed_says_what_it_kept_and_a_weekly_one_comes_again() {
    let house = House::new();
    house.person("ann", |_| {});
    // 1 January 2026 is a Thursday.
    let span = Span { days: vec![Day::Thu], from: "00:00".into(), to: "01:00".into(), zone: "UTC".into() };
    let mute = |when| Mute { of: Selection::default(), when, by: String::new(), reason: String::new() };
    house.alerts.mute(&tenant(), "weekly", &mute(When::Weekly(span)), at(0)).unwrap();
    let week = 7 * 86_400;
    for (n, start) in [0, week].into_iter().enumerate() {
        house.take(&[began("hot", "d1", start + 60), began("hot", "d2", start + 60)], at(start + 61));
        house.pass(start + 3600, start + 3601);
        let digests: Vec<_> = house.bodies("ann").into_iter().filter_map(|body| body.digest).collect();
        assert_eq!((digests.len(), digests[n].muted), (n + 1, 2));
    }
    let always = When::Once { from_ms: at(0).millis(), to_ms: at(9 * week).millis() };
    house.alerts.mute(&tenant(), "all", &mute(always), at(week)).unwrap();
    house.take(&[began("hot", "d3", week + 9000)], at(week + 9001));
    assert_eq!(house.outbox().len(), 2);
    house.alerts.unmute(&tenant(), "all", at(week + 9100)).unwrap();
    house.pass(week + 9100, week + 9101);
    assert_eq!(house.bodies("ann").last().unwrap().digest.as_ref().unwrap().muted, 1);
    let error = house.alerts.unmute(&tenant(), "all", at(week + 9200)).unwrap_err();
    assert!(matches!(error, Error::Unknown { what: "mute", .. }), "{error}");
}

#[test]
fn what_nobody_acknowledges_goes_to_the_next_ones() {
    let mut house = House::new();
    house.person("ann", |_| {});
    house.person("bob", |bob| bob.wants = Vec::new());
    house.person("cid", |cid| cid.wants = Vec::new());
    let step = |after_s, person: &str| Step { after_s, people: vec![person.into(), "nobody".into()] };
    let list = Escalation { steps: vec![step(60, "bob"), step(120, "cid")] };
    house.alerts.put_escalation(&tenant(), "default", &list).unwrap();
    let (hot, seen) = (began("hot", "pump-1", 0), began("hot", "pump-2", 0));
    house.take(&[hot.clone(), seen.clone()], at(0));
    house.alerts.acknowledge(&tenant(), &id_of(&seen), "ann", None, at(10)).unwrap();
    house.pass(0, 59);
    assert!(house.bodies("bob").is_empty());
    house.pass(60, 61);
    let told = house.bodies("bob");
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((told.kind, &told.alert.as_ref().unwrap().id), (Kind::Escalated, &id_of(&hot).to_string()));
    house.reopen();
    house.pass(62, 179);
    assert!(house.bodies("cid").is_empty());
    house.pass(180, 181);
    assert_eq!(house.bodies("cid").len(), 1);
    house.take(&[ended(&hot, 200)], at(201));
    house.pass(200, 1000);
    assert_eq!((house.bodies("bob").len(), house.bodies("cid").len()), (1, 1));
    // Since the restart.
    assert_eq!(house.alerts.counters().escalated, 1);
}

#[test]
fn what_is_no_person_mute_or_list_is_refused_by_name() {
    let house = House::new();
    let person = |id: &str, json: serde_json::Value| {
        let person = serde_json::from_value(json).unwrap();
        house.alerts.put_person(&tenant(), id, &person).unwrap_err().to_string()
    };
    let hook = |url: &str| serde_json::json!({"hook": {"kind": "webhook", "url": url}});
    for (id, json, words) in [
        (
            "Ann",
            serde_json::json!({"name": "Ann", "channels": hook("https://a")}),
            "the id \"Ann\" is not possible",
        ),
        ("ann", serde_json::json!({"name": "", "channels": hook("https://a")}), "name is a text"),
        ("ann", serde_json::json!({"name": "Ann", "channels": {}}), "channels has 0 entries"),
        ("ann", serde_json::json!({"name": "Ann", "channels": hook("ftp://a")}), "write https://"),
        ("ann", serde_json::json!({"name": "Ann", "channels": hook("https://u:p@a")}), "sign instead"),
        (
            "ann",
            serde_json::json!({"name": "A", "channels": {"m": {"kind": "email", "to": "a\r\nb@c"}}}),
            "email address",
        ),
        (
            "ann",
            serde_json::json!({"name": "A", "channels": {"m": {"kind": "sms", "to": "call me"}}}),
            "digits",
        ),
        (
            "ann",
            serde_json::json!({"name": "A", "channels": {"m": {"kind": "mqtt", "topic": "a/#"}}}),
            "wildcards",
        ),
        (
            "ann",
            serde_json::json!({"name": "A", "channels": hook("https://a"), "wants": [{"channels": ["x"]}]}),
            "no channel \"x\"",
        ),
        (
            "ann",
            serde_json::json!({"name": "A", "channels": hook("https://a"), "per_hour": 601}),
            "0 (no limit) to 600",
        ),
    ] {
        let told = person(id, json);
        assert!(told.starts_with("person: ") && told.contains(words), "{told}");
    }
    assert!(serde_json::from_str::<penstock_alert::Person>(r#"{"name":"A","channels":{},"x":1}"#).is_err());
    let list = Escalation { steps: Vec::new() };
    let told = house.alerts.put_escalation(&tenant(), "a", &list).unwrap_err().to_string();
    assert!(told.starts_with("escalation list: steps has 0 entries"), "{told}");
    let when = When::Once { from_ms: 5, to_ms: 5 };
    let mute = Mute { of: Selection::default(), when, by: String::new(), reason: String::new() };
    let told = house.alerts.mute(&tenant(), "a", &mute, at(0)).unwrap_err().to_string();
    assert!(told.contains("to_ms is not after from_ms"), "{told}");
    // They are kept, listed, and removed.
    house.person("ann", |_| {});
    assert_eq!(house.alerts.people(&tenant()).unwrap().len(), 1);
    house.alerts.remove_person(&tenant(), "ann").unwrap();
    assert!(house.alerts.people(&tenant()).unwrap().is_empty());
}

#[test]
fn who_renames_a_channel_still_hears_what_was_gathered_for_it() {
    let house = House::new();
    house.rules.set("hot", batched);
    house.person("ann", |_| {});
    house.take(&[began("hot", "pump-1", 0)], at(0));
    let mail = Address::Email { to: "ann@example.com".into() };
    house.person("ann", |ann| ann.channels = [("mail".to_owned(), mail)].into());
    house.pass(0, 61);
    assert_eq!(house.outbox().iter().map(|delivery| delivery.channel.as_str()).collect::<Vec<_>>(), ["mail"]);
}

#[test]
fn a_row_that_cannot_be_read_keeps_nothing_else_from_being_done() {
    let mut house = House::new();
    house.rules.set("hot", batched);
    house.person("ann", |_| {});
    house.take(&[began("hot", "pump-1", 0)], at(0));
    let broken = |table, tenant: &str, id: &str| {
        let row = metadata::Row { tenant: tenant.into(), id: id.into(), body: b"{".to_vec() };
        house.metadata.commit(&[metadata::Change::Put(table, row)]).unwrap();
    };
    broken(metadata::Table::AlertDue, "", "0000000000000000/mute/acme/x");
    broken(metadata::Table::People, "acme", "person/zoe");
    broken(metadata::Table::Mutes, "acme", "works");
    broken(metadata::Table::Outbox, "acme", "a.raised.ann.hook");
    house.reopen();
    house.pass(0, 61);
    assert_eq!(house.alerts.outbox_len(), 1);
    let told = house.alerts.deliveries(&tenant(), &id_of(&began("hot", "pump-1", 0))).unwrap();
    assert_eq!(told[0].kind, Kind::Group);
}
