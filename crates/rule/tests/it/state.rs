//! Other rules, restarts, agreement with the book of alerts.

use std::path::Path;

use record::{DeviceId, TenantId, Timestamp, ValueRef};
use rule::{
    Asked, Detector, Detectors, Evaluator, OpenCause, Output, Phase, Rule, RuleId, Score, Series, Settings,
    StateError,
};

use crate::given::{Given, SECOND, START, rule, set, short, when};

fn version(rule: Rule, version: u32) -> Rule {
    Rule { version, ..rule }
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_nanos(START + second * SECOND)
}

#[test]
fn other_rules_keep_what_is_the_same_and_end_what_is_not() {
    let named = |name: &str, when: &str| rule(&serde_json::json!({"name": name, "when": when}).to_string());
    let mut off = named("off", "t > 80");
    let rules = [named("same", "t > 80"), named("other", "t > 80"), named("gone", "t > 80"), off.clone()];
    let mut given = Given::new(&rules);
    given.number(0, "t", 90.0);
    assert_eq!(given.told(), ["+gone@0 0", "+off@0 0", "+other@0 0", "+same@0 0"]);
    off.enabled = false;
    let rules =
        [named("before", "t > 85"), named("same", "t > 80"), version(named("other", "t > 85"), 2), off];
    given.evaluator.replace(set(&rules), &mut given.out);
    let why: Vec<_> = given.out.transitions.iter().map(|transition| transition.why.clone()).collect();
    assert_eq!(why, ["the rule was removed", "the rule was disabled", "the rule was changed"]);
    assert_eq!(given.told(), ["-gone@0 0", "-off@0 0", "-other@0 0"]);
    given.number(10, "t", 91.0);
    assert_eq!(
        given.told(),
        ["+before@10 10", "+other@10 10"],
        "the new ones are looked at, whatever the value was"
    );
    given.evaluator.replace(set(&[]), &mut given.out);
    assert_eq!((given.told().len(), given.evaluator.devices()), (3, 0));
}

#[test]
fn a_new_rule_finds_who_is_silent_already() {
    let mut given = Given::new(&[when("t > 80")]);
    given.number(0, "t", 1.0).tick(1000);
    let silent = rule(r#"{"name": "silent", "when": "no_data('10 minutes')"}"#);
    given.evaluator.replace(set(&[when("t > 80"), silent]), &mut given.out);
    given.tick(1001);
    assert_eq!(given.told(), ["+silent@600 600"]);
}

#[test]
fn the_book_says_what_is_raised() {
    let hot = || rule(r#"{"name": "r", "when": "t > 80"}"#);
    let open = |device: &str, version: u32, cause: i64| OpenCause {
        tenant: TenantId::default_tenant(),
        device: DeviceId::parse(device).unwrap(),
        rule: RuleId("r".into()),
        version,
        cause: time(cause),
    };
    let mut given = Given::new(&[hot()]);
    given.number(0, "t", 90.0);
    assert_eq!((given.told(), given.evaluator.open()), (vec!["+r@0 0".to_owned()], vec![open("d1", 1, 0)]));
    let mut out = Output::default();
    given.evaluator.reconcile(&[open("d2", 1, 20), open("d3", 7, 5)], &mut out);
    let told: Vec<_> = out.transitions.iter().map(short).collect();
    assert_eq!(told, ["-r@5 5"], "that version is not evaluated any more");
    assert_eq!(given.evaluator.open(), [open("d2", 1, 20)]);
    given.number(1, "t", 90.0);
    assert_eq!(given.told(), ["+r@0 0"], "what the book did not know comes with the cause it had");
    given.device = "d2";
    given.number(10, "t", 1.0).number(20, "t", 90.0).number(30, "t", 1.0);
    assert_eq!(given.told(), ["-r@20 30"], "what is given again from before the cause does not end it");
}

#[test]
fn devices_heard_least_recently_are_forgotten() {
    let settings = Settings { devices: 32, ..Settings::default() };
    let mut given = Given::new(&[]);
    given.evaluator = Evaluator::new(set(&[when("t > 80")]), settings);
    let names: Vec<&'static str> =
        (0..33).map(|n| &*Box::leak(format!("device-{n}").into_boxed_str())).collect();
    for (second, name) in names.iter().enumerate() {
        given.device = name;
        given.number(second as i64, "t", 90.0);
    }
    let ended: Vec<_> = given.out.transitions.iter().filter(|told| told.why.contains("forgotten")).collect();
    let devices: Vec<_> = ended.iter().map(|told| told.device.as_str()).collect();
    assert_eq!((devices, given.evaluator.devices()), (vec!["device-0", "device-1"], 31));
}

#[test]
fn what_is_kept_of_readings_is_bounded() {
    let settings = Settings { kept_bytes: 4096, ..Settings::default() };
    let mut given = Given::new(&[]);
    given.evaluator = Evaluator::new(set(&[when("p95(t, '1 day') > 80")]), settings);
    for second in 0..200 {
        given.device = ["d1", "d2", "d3"][second as usize % 3];
        given.number(second, "t", 90.0);
    }
    // 16 bytes a value: 3200 for the three; with the 57th of a fourth it is too much.
    assert!(given.out.transitions.iter().all(|told| told.kind == rule::Kind::Began));
    given.device = "d4";
    for second in 200..300 {
        given.number(second, "t", 90.0);
    }
    let ended: Vec<_> = given.out.transitions.iter().filter(|told| told.kind == rule::Kind::Ended).collect();
    assert_eq!(
        ended.iter().map(|told| told.device.as_str()).collect::<Vec<_>>(),
        ["d3"],
        "heard least recently"
    );
    assert!(ended[0].why.contains("forgotten"), "{}", ended[0].why);
}

#[test]
fn how_a_rule_stands_is_explained() {
    let mut given =
        Given::new(&[rule(r#"{"name": "r", "when": "avg(t, '5m') > 80 AND s = 'on'", "for": "1m"}"#)]);
    given.number(0, "t", 90.0).send(5, &[("s", ValueRef::Text("on"))]);
    let explained = given.evaluator.explain("default", &RuleId("r".into()), "d1").unwrap();
    assert_eq!(explained.phase, Phase::Pending { cause: time(5), at: time(65) });
    assert_eq!((explained.holds, explained.is_for_device, explained.seen), (Some(true), true, Some(time(5))));
    let parts: Vec<_> = explained.parts.iter().map(|part| (part.text.as_str(), part.value.clone())).collect();
    let (avg, state) = (record::Value::Float(90.0), record::Value::Text("on".into()));
    assert_eq!(parts, [("avg(t, '5m')", Some(avg)), ("s", Some(state))]);
    assert!(given.evaluator.explain("default", &RuleId("r".into()), "d2").is_none());
}

/// Scores a value by how much greater it is than the largest before.
#[derive(Debug)]
struct Records(f64, f64);

#[derive(Debug)]
struct AllRecords;

impl Detectors for AllRecords {
    fn start(&self, series: &Series<'_>) -> Option<Box<dyn Detector>> {
        let is_usual = *series.asked == Asked::Usual { utc_offset_minutes: 0 };
        is_usual.then(|| Box::new(Records(f64::NAN, 0.0)) as Box<dyn Detector>)
    }

    fn restore(&self, _: &Asked, saved: &[u8]) -> Option<Box<dyn Detector>> {
        let largest = f64::from_le_bytes(saved.try_into().ok()?);
        Some(Box::new(Records(largest, 0.0)))
    }
}

impl Detector for Records {
    fn next(&mut self, _: Timestamp, _: usize, value: f64) -> Option<Score> {
        self.1 = value - self.0;
        self.0 = self.0.max(value);
        Some(Score { score: self.1 })
    }

    fn why(&self) -> String {
        format!("{} above the record", self.1)
    }

    fn save(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }

    fn bytes(&self) -> usize {
        16
    }
}

#[test]
fn detectors_score_and_are_kept_over_a_restart() {
    let rules = set(&[when("anomaly(t) > 5 OR anomaly(t, 'seasonal') > 0")]);
    let settings = Settings { detectors: std::sync::Arc::new(AllRecords), ..Settings::default() };
    let mut given = Given::new(&[]);
    given.evaluator = Evaluator::new(rules.clone(), settings.clone());
    given.number(0, "t", 10.0).number(1, "t", 12.0);
    let state = given.evaluator.encode();
    given.evaluator = Evaluator::restore(rules, settings, &state, &mut given.out).unwrap();
    given.number(2, "t", 20.0);
    let why = "anomaly(t) = 8 (8 above the record), anomaly(t, 'seasonal') = NULL";
    assert_eq!(given.out.transitions[0].why, why);
    assert_eq!(given.told(), ["+r@2 2"]);
}

/// Every kind of state.
fn everything() -> Given {
    let mut given = Given::new(&[
        rule(r#"{"name": "held", "when": "t > 80", "for": "5m", "retrospective": true}"#),
        rule(r#"{"name": "text", "when": "s = 'fault' OR distance(p, 53.5, 10) > 1e9 OR flag"}"#),
        rule(
            r#"{"name": "windows", "when": "avg(t, '1m') > 80 AND stddev(t, '1m') < 99 AND max(t, '1m') > 1 AND rate(t, '1m') < 1 AND p95(t, '1m') > 1 AND zscore(t, 10) < 9 AND anomaly(t) IS NULL"}"#,
        ),
        rule(
            r#"{"name": "silent", "when": "no_data('1 minute')", "scope": {"type": "motor", "tags": {"line": "3"}}}"#,
        ),
    ]);
    given.facts.device_type = Some("motor".into());
    given.facts.tags = [("line".into(), "3".into())].into();
    for second in 0..12 {
        given.number(second, "t", 81.0);
    }
    given.send(
        12,
        &[
            ("s", ValueRef::Text("fault")),
            ("p", ValueRef::Location { lat: 53.5, lng: 10.0 }),
            ("flag", ValueRef::Bool(false)),
            ("t", ValueRef::Float(81.0)),
        ],
    );
    given.device = "d2";
    given.is_history = true;
    given.number(5, "t", 82.0);
    given
}

#[test]
fn a_state_of_version_1_is_gone_on_from() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rules-state-v1.bin");
    let mut given = everything();
    let state = given.evaluator.encode();
    assert_eq!(std::fs::read(&fixture).unwrap(), state, "what is written is what version 1 is");
    assert_eq!(given.told(), ["+windows@10 10", "+text@12 12"]);
    let mut out = Output::default();
    let rules = given.evaluator.rules().clone();
    given.evaluator = Evaluator::restore(rules, Settings::default(), &state, &mut out).unwrap();
    assert_eq!(out, Output::default());
    given.device = "d1";
    given.is_history = false;
    given.tick(72).tick(300).number(310, "t", 1.0);
    let expected = ["+silent@72 72", "+held@0 300", "-held@0 310", "-silent@72 310", "-windows@10 310"];
    assert_eq!(given.told(), expected);
}

#[test]
fn a_state_that_cannot_be_read_is_refused() {
    let given = everything();
    let state = given.evaluator.encode();
    let read = |bytes: &[u8]| {
        let rules = given.evaluator.rules().clone();
        Evaluator::restore(rules, Settings::default(), bytes, &mut Output::default()).err()
    };
    assert_eq!(read(&state), None);
    let mut newer = state.clone();
    newer[8] = 2;
    assert_eq!(read(&newer), Some(StateError::Version { found: 2 }));
    for length in 0..state.len() {
        assert!(matches!(read(&state[..length]), Some(StateError::Damaged { .. })), "{length}");
        let mut flipped = state.clone();
        flipped[length] ^= 1;
        assert!(read(&flipped).is_some(), "{length}");
    }
}

#[test]
fn a_state_of_other_rules_is_gone_on_from_as_if_they_were_replaced() {
    let mut given = everything();
    given.told();
    let state = given.evaluator.encode();
    let rules =
        set(&[rule(r#"{"name": "text", "when": "s = 'fault' OR distance(p, 53.5, 10) > 1e9 OR flag"}"#)]);
    let mut out = Output::default();
    given.evaluator = Evaluator::restore(rules, Settings::default(), &state, &mut out).unwrap();
    let told: Vec<_> = out.transitions.iter().map(short).collect();
    assert_eq!(told, ["-windows@10 12"]);
    given.device = "d1";
    given.is_history = false;
    given.send(13, &[("s", ValueRef::Text("ok"))]);
    assert_eq!(given.told(), ["-text@12 13"]);
}
