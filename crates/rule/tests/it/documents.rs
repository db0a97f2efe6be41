//! Documents: what they may say, and sets of rules.

use record::TenantId;
use rule::{Class, Document, Duration, Notify, Route, Rule, RuleId, RuleSet, Severity};

use crate::given::{rule, when};

#[test]
fn a_document_is_read_and_written_as_it_is() {
    let text = r#"{
        "name": "hot", "when": "temperature > 80", "for": "1h 30 minutes", "clear_when": "temperature < 75",
        "severity": "critical", "scope": {"type": "motor", "site": "hamburg", "devices": ["m-*"], "tags": {"line": "3"}},
        "class": "batched", "schedule": {"days": ["mon", "fri"], "from": "08:00", "to": "18:00", "tz": "Europe/Berlin"},
        "retrospective": true, "suppress": "5m",
        "notify": [{"webhook": "https://example.com/hook"}, {"email": "ops@example.com"}, {"sms": "+49401234"},
                   {"mqtt": "alerts/hot"}, {"person": "kim"}]
    }"#;
    let document: Document = serde_json::from_str(text).unwrap();
    assert_eq!(document.hold.nanos(), 90 * 60 * 1_000_000_000);
    assert_eq!(
        (document.severity, document.class, document.notify.len()),
        (Severity::Critical, Class::Batched, 5)
    );
    assert_eq!(document.notify[4], Notify::Person("kim".into()));
    assert_eq!(document.compile(), Ok(()));
    let again: Document = serde_json::from_str(&serde_json::to_string(&document).unwrap()).unwrap();
    assert_eq!(again, document);
    let rule = Rule {
        tenant: TenantId::default_tenant(),
        id: RuleId("hot".into()),
        version: 3,
        enabled: false,
        document,
    };
    let again: Rule = serde_json::from_str(&serde_json::to_string(&rule).unwrap()).unwrap();
    assert_eq!(again, rule);
    let least: Document = serde_json::from_str(r#"{"name": "hot", "when": "t > 1"}"#).unwrap();
    assert_eq!(least, Document { name: "hot".into(), when: "t > 1".into(), ..Document::default() });
    assert_eq!(
        serde_json::to_string(&least).unwrap(),
        r#"{"name":"hot","when":"t > 1","severity":"warning","class":"critical"}"#
    );
}

#[test]
fn what_a_document_may_not_say() {
    for (change, expected) in [
        (r#""name": """#, "name \"\" is not possible"),
        (r#""for": "31d""#, "for is longer than 30 days"),
        (r#""clear_when": "t >""#, "clear_when at line 1, column 4"),
        (r#""scope": {"type": ""}"#, "scope \"\" is not possible"),
        (r#""schedule": {"tz": "Europe/Atlantis"}"#, "schedule tz \"Europe/Atlantis\" is no time zone"),
        (r#""schedule": {"from": "8:00"}"#, "schedule from \"8:00\" is no time of a day"),
        (r#""schedule": {"to": "24:01"}"#, "schedule to \"24:01\" is no time of a day"),
        (r#""notify": [{"webhook": "ftp://x"}]"#, "notify webhook \"ftp://x\" is no URL"),
        (r#""notify": [{"email": "ops"}]"#, "notify email \"ops\" is no address"),
        (r#""notify": [{"mqtt": "a/#"}]"#, "notify mqtt topic \"a/#\" cannot be published to"),
        (r#""route": {"mqtt": "a"}, "for": "5m""#, "route goes with neither for"),
        (r#""route": {"log": "info"}, "when": "no_data('5m')""#, "route takes readings"),
    ] {
        let mut document = serde_json::json!({"name": "r", "when": "t > 1"});
        let change: serde_json::Value = serde_json::from_str(&format!("{{{change}}}")).unwrap();
        document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let told = serde_json::from_value::<Document>(document).unwrap().compile().unwrap_err().to_string();
        assert!(told.starts_with(expected), "{told}");
    }
    for text in [
        r#"{"name": "r"}"#,
        r#"{"name": "r", "when": "t > 1", "colour": "red"}"#,
        r#"{"name": "r", "when": "t > 1", "for": "soon"}"#,
        r#"{"name": "r", "when": "t > 1", "notify": [{"pigeon": "x"}]}"#,
        r#"{"name": "r", "when": "t > 1", "scope": {"group": "x"}}"#,
        r#"{"name": "r", "when": "t > 1", "schedule": {"days": ["monday"]}}"#,
    ] {
        serde_json::from_str::<Document>(text).unwrap_err();
    }
    let route: Route = serde_json::from_str(r#"{"log": "warning"}"#).unwrap();
    assert_eq!(route, Route::Log(Severity::Warning));
}

#[test]
fn durations_are_read_as_people_write_them() {
    for (text, written) in [
        ("5m", "5m"),
        ("90s", "1m30s"),
        ("1h30m", "1h30m"),
        ("10 minutes", "10m"),
        ("1 day 12 hours", "1d12h"),
        ("2 weeks", "2w"),
        ("1500ms", "1s500ms"),
        ("0s", "0s"),
    ] {
        let duration = Duration::parse(text).unwrap();
        assert_eq!(duration.to_string(), written, "{text}");
        assert_eq!(Duration::parse(written), Ok(duration));
    }
    for text in ["", "5", "m", "5 parsecs", "-5m", "5m later", "99999999999999w", "1.5h"] {
        Duration::parse(text).unwrap_err();
    }
}

#[test]
fn a_set_leaves_out_what_does_not_compile_and_says_what_it_needs() {
    let named = |name: &str, when: &str| rule(&serde_json::json!({"name": name, "when": when}).to_string());
    let mut disabled = named("off", "other > 1");
    disabled.enabled = false;
    let mut elsewhere = named("a", "no_data('2 hours')");
    elsewhere.tenant = TenantId::parse("acme").unwrap();
    let rules = [
        named("good", "avg(b, '1 hour') > a"),
        named("bad", "a >"),
        named("Bad Id", "a > 1"),
        disabled,
        elsewhere,
        named("good", "a > 2"),
    ];
    let (set, refused) = RuleSet::compile(&rules);
    let refused: Vec<_> =
        refused.iter().map(|(tenant, id, error)| format!("{tenant} {}: {}", id.0, error.key)).collect();
    assert_eq!(refused, ["default Bad Id: id", "default bad: when", "default good: id"]);
    assert_eq!((set.len(), set.longest_window().to_string()), (2, "2h".to_owned()));
    let wants = set.wants("default").unwrap();
    assert_eq!(
        (wants.metrics.iter().map(|name| &**name).collect::<Vec<_>>(), wants.any),
        (vec!["b", "a"], false)
    );
    assert!(set.wants("acme").unwrap().any && set.wants("nobody").is_none());
    let many: Vec<Rule> =
        (0..10_001).map(|n| Rule { id: RuleId(format!("r{n}").into()), ..when("t > 1") }).collect();
    let (set, refused) = RuleSet::compile(&many);
    assert_eq!((set.len(), refused.len()), (10_000, 1));
    assert!(refused[0].2.to_string().starts_with("rules are more than 10000"), "{}", refused[0].2);
}
