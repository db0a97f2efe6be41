//! Windows that are new wait for what was stored before.

use record::{DeviceId, Facts, MetricName, TenantId, Timestamp, Value};
use rule::{Evaluator, Filled, Settings};

use crate::given::{Given, SECOND, START, set, when};

fn settings() -> Settings {
    Settings { fills: true, ..Settings::default() }
}

fn given(condition: &str) -> Given {
    let mut given = Given::new(&[]);
    given.evaluator = Evaluator::new(set(&[when(condition)]), settings());
    given
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_nanos(START + second * SECOND)
}

/// Fills the windows of `d1` with readings of `t`.
fn fill(given: &mut Given, readings: &[(i64, f64)]) {
    let tenant = TenantId::default_tenant();
    let open = given.evaluator.open_windows();
    assert_eq!(open.len(), 1);
    let mut windows = open[0].start();
    for (second, value) in readings {
        let metric = open[0].metrics().iter().position(|metric| **metric == *"t");
        metric.into_iter().for_each(|metric| windows.take(metric, at(*second), *value));
    }
    let (second, value) = *readings.last().unwrap();
    let last = (MetricName::parse("t").unwrap(), Value::Float(value), at(second), at(second));
    let device = DeviceId::parse("d1").unwrap();
    let filled = Filled { device, facts: Facts::default(), heard: at(second), last: vec![last], windows };
    given.evaluator.fill(&tenant, filled, &mut given.out);
}

#[test]
fn a_window_is_unknown_until_it_is_filled_and_then_judged_as_of_the_last_reading() {
    for condition in ["avg(t, '1 hour') > 5", "p95(t, '1 hour') > 5", "increase(t, '1 hour') > 50"] {
        let mut given = given(condition);
        given.number(0, "t", 1.0).number(10, "t", 99.0);
        assert_eq!(given.told(), [""; 0], "{condition}");
        fill(&mut given, &[(-3000, 0.0), (-2000, 40.0), (0, 1.0), (10, 99.0)]);
        assert_eq!(given.told(), ["+r@10 10"], "{condition}");
    }
}

#[test]
fn what_is_not_filled_begins_empty() {
    let mut given = given("count(t, '1 hour') >= 2");
    given.number(0, "t", 1.0);
    let open = given.evaluator.open_windows().remove(0);
    given.evaluator.close(&open);
    assert!(given.evaluator.open_windows().is_empty());
    given.number(1, "t", 1.0);
    assert_eq!(given.told(), [""; 0]);
    given.number(2, "t", 1.0);
    assert_eq!(given.told(), ["+r@2 2"]);
}

#[test]
fn windows_that_wait_still_do_after_a_restart_and_others_stay_filled() {
    let hour = when("count(t, '1 hour') > 100");
    let mut given = given("count(t, '1 hour') > 100");
    given.number(0, "t", 1.0);
    fill(&mut given, &[(-10, 1.0), (0, 1.0)]);
    given.evaluator.close(&given.evaluator.open_windows()[0].clone());
    // Another rule comes, with a window of its own; the first keeps its own.
    let mut day = when("count(t, '1 day') > 3");
    day.id = rule::RuleId("day".into());
    given.evaluator.replace(set(&[hour.clone(), day.clone()]), &mut given.out);
    for _ in 0..2 {
        let open = given.evaluator.open_windows();
        assert_eq!((open.len(), open[0].longest().nanos()), (1, 86_400 * SECOND));
        let bytes = given.evaluator.encode();
        let rules = set(&[hour.clone(), day.clone()]);
        given.evaluator = Evaluator::restore(rules, settings(), &bytes, &mut given.out).unwrap();
    }
    fill(&mut given, &[(-5000, 1.0), (-10, 1.0), (0, 1.0)]);
    given.number(1, "t", 1.0);
    assert_eq!(given.told(), ["+day@1 1"]);
    // More is to be summed up in a window that is known: it waits again.
    let mut wide = when("max(t, '1 day') > 50");
    wide.id = rule::RuleId("wide".into());
    let open = given.evaluator.open_windows()[0].clone();
    given.evaluator.close(&open);
    given.evaluator.replace(set(&[hour, day, wide]), &mut given.out);
    assert_eq!(given.evaluator.open_windows().len(), 1);
}

#[test]
fn who_was_silent_before_the_rule_came_is_silent_as_of_then() {
    let mut given = given("no_data('10 minutes')");
    given.tick(0);
    fill(&mut given, &[(-1000, 1.0)]);
    given.tick(1);
    let told: Vec<String> = given.told();
    assert_eq!(told, ["+r@-400 -400"]);
    // Once it is heard, it is over.
    given.number(5, "t", 1.0);
    assert_eq!(given.told(), ["-r@-400 5"]);
}

#[test]
fn where_nobody_fills_nothing_waits() {
    let mut given = Given::new(&[when("avg(t, '1 hour') > 5")]);
    assert!(given.evaluator.open_windows().is_empty());
    given.number(0, "t", 9.0);
    assert_eq!(given.told(), ["+r@0 0"]);
}
