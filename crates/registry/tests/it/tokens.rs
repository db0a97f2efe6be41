use penstock_registry::{AuthConfig, Method, Presented, RefusalKind, Subject, SubjectKind};

use crate::{House, at, device, now, required, tenant};

fn house() -> House {
    House::new(&required(""))
}

#[test]
fn a_token_opens_for_its_own_user_only() {
    let house = house();
    let add = |t: &str, d: &str| {
        house.administration.add_device_token(&tenant(t), &device(d), None, now()).unwrap()
    };
    let (d1, d2, other) = (add("acme", "d1"), add("acme", "d2"), add("default", "d1"));
    let identity = house.ask("acme/d1", d1.reveal()).unwrap();
    assert_eq!((identity.tenant.as_str(), identity.name(), identity.method), ("acme", "d1", Method::Token));
    assert_eq!(identity.subject, Subject::Device(device("d1")));
    // The token names its user itself: that is how an HTTP bearer token works.
    assert_eq!(house.ask("", d1.reveal()).unwrap().name(), "d1");
    assert_eq!(house.ask("d1", other.reveal()).unwrap().tenant.as_str(), "default");
    let mut altered = d1.reveal().to_owned();
    altered.pop();
    for (username, secret) in [
        ("acme/d1", d2.reveal()),
        ("acme/d2", d1.reveal()),
        ("d1", d1.reveal()),
        ("acme/d1", other.reveal()),
        ("acme/d1", &altered),
        ("acme/nobody", d1.reveal()),
        ("a/b/c", d1.reveal()),
        ("acme/", d1.reveal()),
        ("", "no name anywhere"),
        ("", &altered),
        ("", "ps1.!!.x"),
    ] {
        let refusal = house.ask(username, secret).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Credentials, "{username} {secret}");
        // An unknown user and a wrong token look the same to the client, not to the operator.
        assert_eq!(refusal.to_string(), "the credentials are not valid");
        assert!(!refusal.operator.contains(d1.reveal()));
    }
    assert!(house.ask("acme/nobody", "x").unwrap_err().operator.contains("\"acme/nobody\" is unknown"));
    assert!(house.ask("acme/d1", "x").unwrap_err().operator.contains("is wrong"));
}

#[test]
fn nothing_is_refused_as_missing_and_open_mode_lets_everyone_in() {
    let refusal = house().authenticator.authenticate(&Presented::nothing(), now()).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Missing);
    let empty = Presented { secret: Some(b""), username: Some("acme/d1"), ..Presented::nothing() };
    assert_eq!(house().authenticator.authenticate(&empty, now()).unwrap_err().kind, RefusalKind::Missing);
    let open = House::new(&AuthConfig::default());
    let identity = open.ask("whoever", "whatever").unwrap();
    assert_eq!((identity.tenant.as_str(), identity.method), ("default", Method::Open));
    assert!(open.authenticator.policy().is_open());
}

#[test]
fn a_revocation_counts_at_once() {
    let house = house();
    let (t, d) = (tenant("acme"), device("d1"));
    let old = house.administration.add_device_token(&t, &d, None, now()).unwrap();
    let new = house.administration.add_device_token(&t, &d, None, now()).unwrap();
    let connected = house.ask("acme/d1", old.reveal()).unwrap();
    house.authenticator.recheck(&connected, now()).unwrap();
    let tokens = house.administration.list(Some(&t)).unwrap().remove(0).tokens;
    assert!(house.administration.revoke_token(&t, &d, &tokens[0].id).unwrap());
    assert!(!house.administration.revoke_token(&t, &d, &tokens[0].id).unwrap());
    assert!(house.ask("acme/d1", old.reveal()).is_err());
    let refusal = house.authenticator.recheck(&connected, now()).unwrap_err();
    assert!(refusal.operator.contains("was revoked"), "{}", refusal.operator);
    // Rotation: the other token still works, until the device is blocked, whatever it shows.
    let connected = house.ask("acme/d1", new.reveal()).unwrap();
    house.administration.block(&t, SubjectKind::Device, &d, "stolen", now()).unwrap();
    assert!(house.ask("acme/d1", new.reveal()).unwrap_err().operator.contains("device:d1 is revoked"));
    assert!(house.authenticator.recheck(&connected, now()).is_err());
    house.administration.unblock(&t, SubjectKind::Device, &d).unwrap();
    house.ask("acme/d1", new.reveal()).unwrap();
    assert!(house.administration.remove(&t, &d).unwrap());
    assert!(house.ask("acme/d1", new.reveal()).is_err());
}

#[test]
fn a_token_ends_when_it_was_said_to() {
    let house = house();
    let (t, d) = (tenant("acme"), device("d1"));
    let token = house.administration.add_device_token(&t, &d, Some(at(60)), now()).unwrap();
    let identity = house.ask_at("acme/d1", token.reveal(), at(59)).unwrap();
    assert_eq!(identity.expires_at, Some(at(60)));
    assert!(house.ask_at("acme/d1", token.reveal(), at(60)).is_err());
    assert!(house.authenticator.recheck(&identity, at(60)).is_err());
}

#[test]
fn a_device_may_bring_its_own_token_if_it_is_long_enough() {
    let house = house();
    let (t, d) = (tenant("acme"), device("d1"));
    let short = house.administration.set_device_token(&t, &d, b"hunter2", now()).unwrap_err().to_string();
    assert_eq!(short, "the token has 7 bytes, at least 20 are needed (auth.token_min_bytes)");
    house.administration.set_device_token(&t, &d, b"0123456789abcdefghij", now()).unwrap();
    house.administration.set_device_token(&t, &d, b"0123456789abcdefghij", now()).unwrap();
    assert_eq!(house.administration.list(None).unwrap()[0].tokens.len(), 1);
    house.ask("acme/d1", "0123456789abcdefghij").unwrap();
}

#[test]
fn the_number_of_tokens_is_bounded_and_expired_ones_make_room() {
    let house = house();
    let (t, d) = (tenant("acme"), device("d1"));
    for _ in 0..8 {
        house.administration.add_device_token(&t, &d, Some(at(10)), now()).unwrap();
    }
    let full = house.administration.add_device_token(&t, &d, None, now()).err().unwrap().to_string();
    assert!(full.contains("revoke one first"), "{full}");
    house.administration.add_device_token(&t, &d, None, at(10)).unwrap();
}

#[test]
fn a_client_id_must_be_the_devices_own() {
    let house = house();
    let token =
        house.administration.add_device_token(&tenant("default"), &device("d1"), None, now()).unwrap();
    let ask = |client_id: &str| {
        let secret = Some(token.reveal().as_bytes());
        let presented = Presented { secret, client_id: Some(client_id), ..Presented::nothing() };
        house.authenticator.authenticate(&presented, now())
    };
    for good in ["d1", "d1/backup", ""] {
        ask(good).unwrap();
    }
    for bad in ["d2", "d10", "D1", "x/d1"] {
        assert_eq!(ask(bad).unwrap_err().kind, RefusalKind::ClientId, "{bad}");
    }
}

#[test]
fn a_service_and_a_device_do_not_share_a_name() {
    let house = house();
    let t = tenant("acme");
    let topics = |topics: &[&str]| topics.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    house
        .administration
        .add_service_token(&t, &device("grafana"), &[], &topics(&["devices/+/telemetry"]), now())
        .unwrap();
    let clash = house.administration.add_device_token(&t, &device("grafana"), None, now()).err().unwrap();
    assert!(clash.to_string().contains("already a Service"), "{clash}");
    let bad = house.administration.add_service_token(&t, &device("s"), &topics(&["a/#/b"]), &[], now());
    assert!(bad.err().unwrap().to_string().contains("a/#/b"));
}

#[test]
fn who_was_let_in_and_refused_is_counted() {
    use std::sync::atomic::Ordering::Relaxed;
    let house = house();
    let token = house.administration.add_device_token(&tenant("acme"), &device("d1"), None, now()).unwrap();
    let _ = house.ask("acme/d1", token.reveal());
    let _ = house.ask("acme/d1", "wrong");
    let counters = house.authenticator.counters();
    assert_eq!(counters.accepted.each_ref().map(|n| n.load(Relaxed)), [0, 1, 0, 0]);
    assert_eq!(counters.refused.each_ref().map(|n| n.load(Relaxed)), [0, 1, 0, 0]);
}

/// Rows as the first version wrote them. They are never edited: tokens outlive releases.
#[test]
fn rows_of_the_first_version_are_read() {
    use metadata::{Change, Metadata as _, Row, Table};
    let metadata = std::sync::Arc::new(metadata::Memory::new());
    let put = |table, tenant: &str, id: &str, body: &str| {
        let row = Row { tenant: tenant.into(), id: id.into(), body: body.into() };
        metadata.commit(&[Change::Put(table, row)]).unwrap();
    };
    // SHA-256 of the ASCII text "correct horse battery staple".
    let token = r#"{"id":"c4bbcb1fbec9","sha256":"c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a","created_at_ms":1767225600000}"#;
    put(Table::Credentials, "acme", "d1", &format!(r#"{{"kind":"device","tokens":[{token}]}}"#));
    put(
        Table::Credentials,
        "acme",
        "grafana",
        &format!(r#"{{"kind":"service","tokens":[{token}],"subscribe":["devices/+/telemetry"]}}"#),
    );
    put(Table::Credentials, "acme", "lost", &format!(r#"{{"kind":"device","tokens":[{token}]}}"#));
    put(Table::Revocations, "acme", "device:lost", r#"{"reason":"lost","revoked_at_ms":1767225600000}"#);
    let policy = required("").validate().unwrap();
    let authenticator = penstock_registry::Authenticator::open(policy, metadata.clone()).unwrap();
    let ask = |username: &str| {
        let secret = Some(&b"correct horse battery staple"[..]);
        let presented = Presented { username: Some(username), secret, ..Presented::nothing() };
        authenticator.authenticate(&presented, now())
    };
    assert_eq!(ask("acme/d1").unwrap().subject, Subject::Device(device("d1")));
    let grafana = ask("acme/grafana").unwrap();
    assert_eq!((grafana.subject, grafana.grants.subscribe.len()), (Subject::Service("grafana".into()), 1));
    assert!(ask("acme/lost").is_err());
    // A row that cannot be read is not a wrong token: the client may try again, the operator learns which row.
    put(Table::Credentials, "acme", "d1", "{");
    let refusal = ask("acme/d1").unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    assert!(
        refusal.operator.contains("the credentials row \"d1\" of tenant \"acme\""),
        "{}",
        refusal.operator
    );
}
