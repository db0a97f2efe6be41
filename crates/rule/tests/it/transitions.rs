//! When rules begin and end.

use record::{CleanReading, TenantId, Timestamp, ValueRef, When};
use rule::{Kind, Message, Route};

use crate::given::{Given, SECOND, START, rule, when};

#[test]
fn a_threshold_is_crossed_and_crossed_back() {
    let mut given = Given::new(&[when("temperature > 80")]);
    given.number(0, "temperature", 70.0).number(10, "temperature", 90.0).number(20, "temperature", 95.0);
    given.number(30, "temperature", 80.0).number(40, "temperature", 80.1);
    let began = given.out.transitions[0].clone();
    assert_eq!((began.kind, began.version, &*began.why), (Kind::Began, 1, "temperature = 90"));
    assert_eq!(given.told(), ["+r@10 10", "-r@10 30", "+r@40 40"]);
}

#[test]
fn a_time_in_which_the_server_was_away_is_nobodys_silence() {
    let mut given = Given::new(&[when("no_data('10 minutes')")]);
    given.number(0, "t", 1.0).tick(60);
    given.evaluator.was_away(3600 * SECOND);
    given.tick(3660 + 500);
    assert!(given.told().is_empty());
    given.tick(3660 + 540);
    assert_eq!(given.told(), ["+r@4200 4200"]);
    // What was silent before it went away stays so, under the same cause.
    given.evaluator.was_away(3600 * SECOND);
    given.tick(9000);
    assert!(given.told().is_empty());
    given.number(9100, "t", 1.0);
    assert_eq!(given.told(), ["-r@4200 9100"]);
}

#[test]
fn for_is_proven_by_a_reading_or_by_time() {
    let hot = rule(r#"{"name": "hot", "when": "t > 80", "for": "1m"}"#);
    let mut given = Given::new(&[hot]);
    given.number(0, "t", 90.0).number(59, "t", 90.0);
    assert!(given.told().is_empty());
    given.number(61, "t", 90.0).number(70, "t", 10.0);
    assert_eq!(given.told(), ["+hot@0 60", "-hot@0 70"]);
    given.number(100, "t", 90.0).number(130, "t", 10.0).number(140, "t", 90.0).tick(199);
    assert!(given.told().is_empty(), "a break starts it anew");
    given.tick(200);
    assert_eq!(given.told(), ["+hot@140 200"]);
    given.number(300, "t", 10.0).number(400, "t", 90.0).number(500, "t", 10.0);
    assert_eq!(given.told(), ["-hot@140 300", "+hot@400 460", "-hot@400 500"], "it held until what ended it");
}

#[test]
fn for_counts_from_arrival_where_messages_are_slow() {
    let mut given = Given::new(&[rule(r#"{"name": "hot", "when": "t > 80", "for": "1m"}"#)]);
    given.delay = 300;
    given.number(0, "t", 90.0).tick(355).number(58, "t", 10.0).tick(400);
    assert!(given.told().is_empty(), "the break was on its way");
    given.number(200, "t", 90.0).tick(559);
    assert!(given.told().is_empty());
    given.tick(560);
    assert_eq!(given.told(), ["+hot@200 260"]);
}

#[test]
fn what_is_raised_stays_until_it_clears() {
    let hot = r#"{"name": "hot", "when": "t > 80", "clear_when": "t < 75 AND fan = 'on'"}"#;
    let mut given = Given::new(&[rule(hot)]);
    given.number(0, "t", 90.0).number(1, "t", 77.0).number(2, "t", 90.0).number(3, "t", 70.0);
    assert_eq!(given.told(), ["+hot@0 0"]);
    given.send(4, &[("fan", ValueRef::Text("on"))]);
    assert_eq!(given.told(), ["-hot@0 4"]);
}

#[test]
fn bounds_of_one_metric_beside_each_other() {
    let check = |condition: &str, told: &[&str]| {
        let mut given = Given::new(&[when(condition)]);
        for (second, value) in (0..).zip([50.0, 70.0, 90.0, 85.0, 70.0, 50.0]) {
            given.number(second, "t", value);
        }
        assert_eq!(given.told(), told, "{condition}");
    };
    check("t > 60 AND t > 80", &["+r@2 2", "-r@2 4"]);
    check("t >= 90 AND 60 < t", &["+r@2 2", "-r@2 3"]);
    check("t > 60 OR t > 80", &["+r@1 1", "-r@1 5"]);
    check("t < 60 AND t < 80", &["+r@0 0", "-r@0 1", "+r@5 5"]);
    check("t < 60 OR t < 80", &["+r@0 0", "-r@0 2", "+r@4 4"]);
    check("NOT (t > 60 AND t > 80)", &["+r@0 0", "-r@0 2", "+r@4 4"]);
    check("t > 60 AND t < 80", &["+r@1 1", "-r@1 2", "+r@4 4", "-r@4 5"]);
}

#[test]
fn silence_is_found_by_time_or_by_the_next_reading() {
    let mut given = Given::new(&[when("no_data('10 minutes')")]);
    given.number(0, "a", 1.0).tick(599);
    assert!(given.told().is_empty());
    given.tick(605).number(700, "a", 1.0).number(1500, "a", 2.0);
    assert_eq!(given.told(), ["+r@600 600", "-r@600 700", "+r@1300 1300", "-r@1300 1500"]);
}

#[test]
fn silence_of_one_metric_and_silence_for_longer() {
    let mut given = Given::new(&[
        when("no_data(a, '1 minute')"),
        rule(r#"{"name": "long", "when": "no_data('1 minute')", "for": "1m"}"#),
    ]);
    given.number(0, "a", 1.0).number(30, "b", 1.0).tick(60).tick(90).tick(149);
    assert_eq!(given.told(), ["+r@60 60"]);
    given.tick(150).number(160, "a", 1.0);
    assert_eq!(given.told(), ["+long@90 150", "-long@90 160", "-r@60 160"]);
}

#[test]
fn a_device_that_is_slow_ends_its_silence() {
    let mut given = Given::new(&[when("no_data('1 minute')")]);
    given.delay = 5;
    given.number(0, "a", 1.0).tick(66).number(61, "a", 1.0);
    assert_eq!(given.told(), ["+r@65 65", "-r@65 65"], "by its own clock it spoke before the cause");
}

#[test]
fn text_and_facts() {
    let mut given = Given::new(&[when("state = 'fault' AND device.type = 'motor'")]);
    given.facts.device_type = Some("motor".into());
    given.send(0, &[("state", ValueRef::Text("fault"))]).send(1, &[("state", ValueRef::Text("ok"))]);
    assert_eq!(given.told(), ["+r@0 0", "-r@0 1"]);
    given.send(2, &[("state", ValueRef::Text("fault"))]);
    given.facts.device_type = Some("pump".into());
    given.number(3, "other", 1.0);
    assert_eq!(given.told(), ["+r@2 2", "-r@2 3"], "it is not for this device any more");
    given.send(4, &[("state", ValueRef::Text("fault"))]);
    assert!(given.told().is_empty());
}

#[test]
fn scopes_say_which_devices() {
    let scoped = |scope: &str| rule(&format!(r#"{{"name": "r", "when": "t > 1", "scope": {scope}}}"#));
    for (scope, is_in) in [
        (r#"{"type": "motor"}"#, true),
        (r#"{"type": "motor", "site": "berlin"}"#, false),
        (r#"{"devices": ["x", "d*"]}"#, true),
        (r#"{"devices": ["d1"]}"#, true),
        (r#"{"devices": ["d"]}"#, false),
        (r#"{"devices": ["*1"], "tags": {"line": "3"}}"#, true),
        (r#"{"tags": {"line": "3", "row": "1"}}"#, false),
    ] {
        let mut given = Given::new(&[scoped(scope)]);
        given.facts.device_type = Some("motor".into());
        given.facts.tags = [("line".into(), "3".into())].into();
        given.number(0, "t", 2.0);
        assert_eq!(given.told().len(), usize::from(is_in), "{scope}");
    }
}

#[test]
fn a_schedule_says_when_it_may_be_raised_not_when_it_may_end() {
    // The start is a Thursday, 09:00 in Berlin.
    for (schedule, hold, at) in [
        (r#"{"from": "08:00", "to": "18:00", "tz": "Europe/Berlin"}"#, "0s", 0),
        (r#"{"from": "10:00", "to": "18:00", "tz": "Europe/Berlin"}"#, "0s", 3600),
        (r#"{"from": "10:00", "to": "18:00", "tz": "Europe/Berlin"}"#, "90m", 5400),
        (r#"{"from": "10:00", "to": "18:00"}"#, "0s", 7200),
        (r#"{"days": ["fri"], "tz": "Europe/Berlin"}"#, "0s", 15 * 3600),
        (r#"{"days": ["wed"], "from": "22:00", "to": "10:00", "tz": "Europe/Berlin"}"#, "0s", 0),
        (
            r#"{"days": ["thu"], "from": "08:00", "to": "09:00", "tz": "Europe/Berlin"}"#,
            "0s",
            7 * 86_400 - 3600,
        ),
    ] {
        let document =
            format!(r#"{{"name": "r", "when": "t > 1", "for": "{hold}", "schedule": {schedule}}}"#);
        let mut given = Given::new(&[rule(&document)]);
        given.number(0, "t", 2.0);
        for second in [3600, 7200] {
            given.number(second, "t", 2.0);
        }
        given.tick(at - 1).tick(at).tick(30 * 86_400);
        given.number(30 * 86_400, "t", 0.0);
        assert_eq!(given.told(), [format!("+r@0 {at}"), format!("-r@0 {}", 30 * 86_400)], "{schedule}");
    }
}

#[test]
fn windows_slide() {
    let mut given = Given::new(&[
        rule(r#"{"name": "avg", "when": "avg(t, '2 minutes') > 1.5 * avg(t, '10 minutes')"}"#),
        rule(r#"{"name": "up", "when": "increase(t, '10 minutes') >= 6 AND rate(t, '1 minute') < 0"}"#),
    ]);
    for second in 0..10 {
        given.number(second * 60, "t", 1.0);
    }
    assert!(given.told().is_empty());
    given.number(600, "t", 7.0);
    assert_eq!(given.told(), ["+avg@600 600"], "8 / 2 is more than 1.5 times 16 / 10");
    given.number(630, "t", 0.0);
    assert_eq!(given.told(), ["+up@630 630"], "a counter that falls was reset");
}

#[test]
fn what_is_out_of_order_late_or_history_changes_windows_only() {
    let past = r#"{"name": "past", "when": "t > 80", "retrospective": true}"#;
    let mut given = Given::new(&[
        rule(past),
        when("t > 80"),
        rule(r#"{"name": "max", "when": "max(t, '10 minutes') > 80"}"#),
    ]);
    given.number(100, "t", 1.0).number(99, "t", 90.0);
    assert_eq!(given.told(), ["+past@99 99 past"], "out of order");
    given.number(101, "t", 1.0);
    assert_eq!(given.told(), ["+max@101 101"], "it is in the window all the same");
    given.device = "d2";
    given.number(300, "t", 1.0);
    given.device = "d3";
    given.number(289, "t", 90.0);
    assert_eq!(given.told(), ["+past@289 289 past"], "late");
    given.number(290, "t", 1.0);
    given.is_history = true;
    given.device = "d4";
    given.number(400, "t", 90.0).number(401, "t", 1.0).number(200, "t", 90.0);
    let expected = ["+past@400 400 past", "-past@400 401 past", "+past@200 200 past"];
    assert_eq!(given.told(), expected, "history, and earlier history");
}

#[test]
fn one_message_may_hold_many_times() {
    let mut given = Given::new(&[when("t > 80")]);
    let reading = |second: i64, value: f64| {
        let time = |second: i64| Timestamp::from_nanos(START + second * SECOND);
        CleanReading {
            metric: "t",
            when: When::by_device(time(second), time(10)),
            value: ValueRef::Float(value),
        }
    };
    let readings = [reading(7, 1.0), reading(5, 90.0), reading(9, 90.0), reading(3, 1.0)];
    let Given { facts, evaluator, out, .. } = &mut given;
    let message =
        Message { tenant: TenantId::DEFAULT, device: "d1", facts, is_history: false, readings: &readings };
    evaluator.message(&message, out);
    assert_eq!(given.told(), ["+r@5 5", "-r@5 7", "+r@9 9"]);
}

#[test]
fn routes_take_each_reading_once() {
    let route = r#"{"name": "r", "when": "t > 80 AND n IS NOT NULL", "route": {"mqtt": "hot"}}"#;
    let mut given = Given::new(&[rule(route)]);
    given
        .number(0, "t", 90.0)
        .number(1, "n", 1.0)
        .number(2, "other", 1.0)
        .number(3, "t", 91.0)
        .number(4, "t", 1.0);
    given.number(2, "t", 95.0);
    assert!(given.told().is_empty());
    let routed = std::mem::take(&mut given.out.routed);
    let at: Vec<_> = routed.iter().map(|routed| (routed.at.nanos() - START) / SECOND).collect();
    assert_eq!(at, [1, 3]);
    assert_eq!(routed[1].route, Route::Mqtt("hot".into()));
    let values: Vec<_> =
        routed[1].values.iter().map(|(metric, value)| (metric.as_str(), value.clone())).collect();
    assert_eq!(values, [("t", record::Value::Float(91.0)), ("n", record::Value::Float(1.0))]);
}
