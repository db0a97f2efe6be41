//! Several metrics of a device together: how readings become moments.

use detect::Joint;
use record::{Timestamp, Value, ValueRef};

use super::{INTERVAL, PER_DAY, given, noise, number, value};
use crate::given::{Given, SECOND, START};

const NAN: f64 = f64::NAN;

/// Three metrics that go with a load.
fn machine(n: i64) -> [f64; 3] {
    let load = (n as f64 / 40.0).sin();
    [10.0 + 3.0 * load, 500.0 - 90.0 * load, 30.0 + 5.0 * load].map(|value| value + 0.1 * noise(n * 7))
}

fn all_of(n: i64) -> Vec<(i64, &'static str, f64)> {
    let [a, b, c] = machine(n);
    vec![(n * INTERVAL, "a", a), (n * INTERVAL, "b", b), (n * INTERVAL, "c", c)]
}

/// Moments as they are to be observed, and what the last one scores.
fn expected(moments: &[(i64, [f64; 3])]) -> f64 {
    let mut state = Joint { metrics: 3 }.start().unwrap();
    let mut last = NAN;
    for (second, values) in moments {
        last = state.observe(Timestamp::from_nanos(START + second * SECOND), values).score;
    }
    last
}

fn one_by_one(given: &mut Given, readings: &[(i64, &str, f64)]) {
    for (second, metric, value) in readings {
        given.number(*second, metric, *value);
    }
}

#[test]
fn readings_become_moments_however_they_come() {
    let days = 2 * PER_DAY;
    let healthy: Vec<(i64, [f64; 3])> = (0..days).map(|n| (n * INTERVAL, machine(n))).collect();
    let at = days * INTERVAL;
    let odd = [12.0, 510.0, 31.0];
    // What comes in the end, and the moments that it makes.
    type Case<'a> = (&'a str, &'a [(i64, &'a str, f64)], &'a [(i64, [f64; 3])]);
    let cases: [Case<'_>; 6] = [
        ("all of a moment", &[(0, "a", 12.0), (0, "b", 510.0), (0, "c", 31.0)], &[(0, odd)]),
        ("in another order", &[(0, "c", 31.0), (0, "a", 12.0), (0, "b", 510.0)], &[(0, odd)]),
        ("one of them twice", &[(0, "a", 1.0), (0, "a", 12.0), (0, "b", 510.0), (0, "c", 31.0)], &[(0, odd)]),
        (
            "again, after it is complete",
            &[(0, "a", 12.0), (0, "b", 510.0), (0, "c", 31.0), (0, "a", 99.0)],
            &[(0, odd)],
        ),
        (
            "one is missing: its last value",
            &[(0, "a", 12.0), (0, "b", 510.0), (300, "a", 1.0)],
            &[(0, [12.0, 510.0, NAN])],
        ),
        (
            "one is missing for more than an hour: none",
            &[(0, "a", 12.0), (0, "b", 510.0), (3600, "a", 9.0), (3600, "b", 490.0), (7200, "a", 1.0)],
            &[(0, [12.0, 510.0, NAN]), (3600, [9.0, 490.0, NAN])],
        ),
    ];
    for (name, readings, moments) in cases {
        let mut given = given("anomaly(a, b, c) > 2");
        (0..days).for_each(|n| one_by_one(&mut given, &all_of(n)));
        let readings: Vec<_> =
            readings.iter().map(|(second, metric, value)| (at + second, *metric, *value)).collect();
        one_by_one(&mut given, &readings);
        let last = machine(days - 1)[2];
        let carried = |(second, mut values): (i64, [f64; 3])| {
            // The last value of c was five minutes before the first of these moments.
            if values[2].is_nan() && second < 3600 - INTERVAL {
                values[2] = last;
            }
            (at + second, values)
        };
        let all: Vec<_> = healthy.iter().copied().chain(moments.iter().copied().map(carried)).collect();
        assert_eq!(number(&given), expected(&all), "{name}");
    }
}

#[test]
fn a_message_or_several_is_the_same() {
    let (mut apart, mut at_once) = (given("anomaly(a, b, c) > 2"), given("anomaly(a, b, c) > 2"));
    for n in 0..2 * PER_DAY {
        let readings = all_of(n);
        one_by_one(&mut apart, &readings);
        let values: Vec<_> =
            readings.iter().map(|(_, metric, value)| (*metric, ValueRef::Float(*value))).collect();
        at_once.send(n * INTERVAL, &values);
        assert_eq!(number(&apart).to_bits(), number(&at_once).to_bits(), "moment {n}");
    }
}

/// Within all its limits, and yet the current does not go with the speed.
#[test]
fn what_does_not_go_together_begins_and_ends() {
    let mut given = given("anomalous(a, b, c, '30 days')");
    for n in 0..12 * PER_DAY {
        one_by_one(&mut given, &all_of(n));
    }
    assert_eq!(given.told(), Vec::<String>::new());
    let mut values = machine(12 * PER_DAY);
    values[0] = if values[0] > 10.0 { 7.5 } else { 12.5 };
    let second = 12 * PER_DAY * INTERVAL;
    one_by_one(&mut given, &[(second, "a", values[0]), (second, "b", values[1]), (second, "c", values[2])]);
    let why = given.out.transitions[0].why.clone();
    assert!(why.contains("the metrics are") && why.contains("the 1st"), "{why}");
    assert_eq!(
        (given.told(), value(&given)),
        (vec![format!("+r@{second} {second}")], Some(Value::Bool(true)))
    );
    one_by_one(&mut given, &all_of(12 * PER_DAY + 1));
    assert_eq!(given.told(), [format!("-r@{second} {}", second + INTERVAL)]);
}
