//! JSON against JSON Schema, and which schema it is held against.

use penstock_schema::{Facts, RawRule, Rules, SchemaType};
use record::{Encoding, TenantId};

use super::{Desk, facts, lenient, plain, rule};

const PUMP: &str = r#"{"type":"object","required":["ts","metrics"],"properties":{"ts":{"type":"integer"},
    "metrics":{"type":"object","required":["flow"],"properties":{"flow":{"type":"number","maximum":100}}}}}"#;

#[test]
fn strict_refuses_what_does_not_fit_and_lenient_what_lacks_a_required_field() {
    let desk = Desk::new();
    desk.with("pumps", SchemaType::Json, PUMP);
    let (strict, lenient) = (desk.under(&[rule("pumps")]), desk.under(&[lenient("pumps")]));
    for (payload, strict_says, lenient_says) in [
        (r#"{"ts":1,"metrics":{"flow":2.5}}"#, None, None),
        (r#"{"ts":1,"metrics":{"flow":200}}"#, Some("/metrics/flow"), None),
        (r#"{"ts":"yesterday","metrics":{"flow":1}}"#, Some("/ts"), None),
        (r#"{"ts":1,"metrics":{}}"#, Some("/metrics"), Some("/metrics")),
        (r#"{"metrics":{"flow":1}}"#, Some(""), Some("")),
        (r#"[{"ts":1,"metrics":{"flow":1}},{"ts":1}]"#, Some("/1"), Some("/1")),
        // What is no JSON is for the decoder to refuse.
        (r#"{"ts":1"#, None, None),
    ] {
        for (schemas, says) in [(&strict, strict_says), (&lenient, lenient_says)] {
            let found = plain(schemas, Encoding::Json, payload.as_bytes());
            assert_eq!(
                found.as_ref().err().map(|violation| violation.path.as_str()),
                says,
                "{payload}: {found:?}"
            );
            if let Err(violation) = found {
                assert_eq!((violation.subject.as_deref(), violation.version), (Some("pumps"), Some(1)));
            }
        }
    }
    let lines = b"{\"ts\":1,\"metrics\":{\"flow\":1}}\n\n{\"ts\":1}\n";
    let found = plain(&strict, Encoding::Ndjson, lines).unwrap_err().to_string();
    assert_eq!(found, "schema \"pumps\" version 1, line 3: \"metrics\" is a required property");
}

#[test]
fn the_first_rule_that_fits_picks_the_schema() {
    let desk = Desk::new();
    let demands = |name: &str| format!(r#"{{"required":["{name}"]}}"#);
    for name in ["a", "b", "c", "d"] {
        desk.with(name, SchemaType::Json, &demands(name));
    }
    desk.with("a", SchemaType::Json, &demands("a2"));
    let some = |text: &str| Some(text.to_owned());
    let rules = [
        RawRule { topic: some("devices/+/telemetry"), firmware: some("2.*"), ..rule("a") },
        RawRule {
            topic: some("devices/{id}/telemetry"),
            firmware: some("1.0"),
            version: Some(1),
            ..rule("a")
        },
        RawRule { device_type: some("pump"), ..rule("b") },
        RawRule { topic: some("plant/#"), ..rule("c") },
        RawRule { tenant: some("other"), ..rule("d") },
    ];
    let schemas = desk.under(&rules);
    for (topic, device_type, firmware, missing) in [
        ("devices/d1/telemetry", None, Some("2.7"), Some("a2")),
        ("devices/d1/telemetry", None, Some("1.0"), Some("a")),
        ("devices/d1/telemetry", Some("pump"), Some("1.1"), Some("b")),
        ("devices/d1/telemetry", None, None, None),
        ("plant/x/y", None, None, Some("c")),
        ("plants", None, None, None),
    ] {
        let facts = Facts { tenant: TenantId::DEFAULT, topic, device_type, firmware };
        let mut buffer = String::new();
        let found =
            schemas.view().plain(&facts, Encoding::Json, b"{}", &mut buffer).map(drop).map_err(|v| v.reason);
        let expect = missing.map_or(Ok(()), |name| Err(format!("\"{name}\" is a required property")));
        assert_eq!(found, expect, "{topic} {device_type:?} {firmware:?}");
    }
}

#[test]
fn what_is_registered_counts_from_the_next_view_on() {
    let desk = Desk::new();
    let schemas = desk.under(&[rule("pumps")]);
    let before = schemas.view();
    let reason = plain(&schemas, Encoding::Json, b"{}").unwrap_err().reason;
    assert!(reason.contains("register it"), "{reason}");
    desk.with("pumps", SchemaType::Json, "{}");
    let after = schemas.view();
    assert!(after.generation() > before.generation());
    let mut buffer = String::new();
    assert!(before.plain(&facts(), Encoding::Json, b"{}", &mut buffer).is_err());
    assert!(after.plain(&facts(), Encoding::Json, b"{}", &mut buffer).is_ok());
}

#[test]
fn json_may_stand_behind_the_id_of_its_schema() {
    let desk = Desk::new();
    let id = desk.with("pumps", SchemaType::Json, PUMP);
    let schemas = desk.under(&[]);
    let framed = |id: u32, json: &str| [&[0], &id.to_be_bytes()[..], json.as_bytes()].concat();
    let good = framed(id, r#"{"ts":1,"metrics":{"flow":1}}"#);
    assert_eq!(schemas.view().encoding(&facts(), &good), Some(Encoding::Json));
    assert_eq!(plain(&schemas, Encoding::Json, &good).unwrap(), r#"{"ts":1,"metrics":{"flow":1}}"#);
    assert_eq!(plain(&schemas, Encoding::Json, &framed(id, "{}")).unwrap_err().path, "");
    let unknown = plain(&schemas, Encoding::Json, &framed(77, "{}")).unwrap_err().reason;
    assert_eq!(unknown, "the message's schema 77 is not registered");
    // A rule's subject must have it among its versions.
    desk.with("others", SchemaType::Json, r#"{"title":"another"}"#);
    let foreign = plain(&desk.under(&[rule("others")]), Encoding::Json, &good).unwrap_err().reason;
    assert_eq!(foreign, "the message's schema 1 is no version of it");
}

#[test]
fn line_protocol_is_left_alone() {
    let desk = Desk::new();
    let schemas = desk.under(&[rule("nothing")]);
    assert_eq!(plain(&schemas, Encoding::Influx, b"m v=1").unwrap(), "m v=1");
}

#[test]
fn a_rule_that_cannot_be_is_refused() {
    let some = |text: &str| Some(text.to_owned());
    for (raw, expect) in [
        (rule(""), "rule 1: subject: "),
        (RawRule { topic: some("a/#/b"), ..rule("s") }, "rule 1: topic: \"a/#/b\" has a wildcard"),
        (RawRule { tenant: some("a/b"), ..rule("s") }, "rule 1: tenant: "),
        (RawRule { firmware: some("1*2"), ..rule("s") }, "rule 1: firmware: "),
        (RawRule { version: Some(0), ..rule("s") }, "rule 1: version: counts from 1"),
        (RawRule { raw: true, ..rule("s") }, "rule 1: version: must be given with raw = true"),
    ] {
        let error = Rules::check(&[raw]).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{error}");
    }
}
