//! Limits by example, and that disorder fools nobody.

use proptest::collection::vec;
use proptest::prelude::*;
use record::Timestamp;

use super::{LimitConfig, Limits, Mode, Validator, Verdict, Violation};

#[derive(serde::Deserialize)]
struct File {
    limits: Vec<LimitConfig>,
}

fn limits(text: &str) -> Result<Limits, String> {
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    Limits::new(&file.limits).map_err(|error| error.to_string())
}

fn seconds(seconds: f64) -> Timestamp {
    Timestamp::from_nanos((seconds * 1e9) as i64)
}

/// What becomes of readings of one series: `None` for good ones, else the reason.
fn check(limits: &Limits, tenant: &str, metric: &str, readings: &[(f64, f64)]) -> Vec<Option<String>> {
    let mut validator = Validator::new();
    validator.bind(limits, 3, tenant, metric);
    let reason = |&(time, value): &(f64, f64)| match validator.check(limits, 3, seconds(time), value) {
        Verdict::Good => None,
        Verdict::Counted(violation) => Some(format!("counted: {}", violation.of(metric))),
        Verdict::Rejected(violation) => Some(violation.of(metric).to_string()),
    };
    readings.iter().map(reason).collect()
}

#[test]
fn the_first_limit_that_fits_holds() {
    let limits = limits(
        "[[limits]]\nmetric = 'temperature'\ntenant = 'acme'\nmax = 10\n\
         [[limits]]\nmetric = 'temp*'\nmin = -40.0\nmax = 125.0\n\
         [[limits]]\nmetric = '*.rpm'\nmin = 0\nmode = 'lenient'",
    )
    .unwrap();
    for (tenant, metric, value, expected) in [
        ("acme", "temperature", 10.0, None),
        (
            "acme",
            "temperature",
            10.5,
            Some("\"temperature\" is 10.5, above its limit of 10: mend the value or the limit"),
        ),
        ("acme", "temperature", -50.0, None),
        ("other", "temperature", 125.0, None),
        (
            "other",
            "temperature",
            -40.5,
            Some("\"temperature\" is -40.5, below its limit of -40: mend the value or the limit"),
        ),
        ("acme", "temp", 126.0, Some("\"temp\" is 126, above its limit of 125: mend the value or the limit")),
        ("acme", "temp", f64::NAN, Some("\"temp\" is not a number, and its range is limited")),
        (
            "acme",
            "motor.rpm",
            -1.0,
            Some("counted: \"motor.rpm\" is -1, below its limit of 0: mend the value or the limit"),
        ),
        ("acme", "humidity", f64::NAN, None),
    ] {
        let found = check(&limits, tenant, metric, &[(0.0, value)]);
        assert_eq!(found, [expected.map(str::to_owned)], "{tenant} {metric} {value}");
    }
}

#[test]
fn the_rate_is_held_against_the_neighbours_in_time() {
    let strict = limits("[[limits]]\nmetric = '*'\nmax_per_s = 1.0").unwrap();
    let lenient = limits("[[limits]]\nmetric = '*'\nmax_per_s = 1.0\nmode = 'lenient'").unwrap();
    for (what, readings, bad, bad_lenient) in [
        ("in step", &[(0.0, 0.0), (1.0, 1.0), (2.0, 0.5)][..], &[][..], &[][..]),
        ("a spike", &[(0.0, 0.0), (1.0, 9.0), (2.0, 1.0)], &[1], &[1, 2]),
        ("a spike, late and between two", &[(0.0, 0.0), (2.0, 1.0), (1.0, 9.0)], &[2], &[2]),
        ("late, but in step", &[(0.0, 0.0), (10.0, 10.0), (5.0, 5.0), (9.0, 9.0)], &[], &[]),
        ("late, in step with the one before only", &[(0.0, 0.0), (10.0, 10.0), (9.0, 0.0)], &[2], &[2]),
        ("older than all", &[(100.0, 50.0), (0.0, 0.0), (99.0, 0.0)], &[2], &[2]),
        ("an outage", &[(0.0, 0.0), (3600.0, 1000.0)], &[], &[]),
        (
            "a new level is taken as soon as it could be",
            &[(0.0, 0.0), (1.0, 3.5), (2.0, 3.5), (4.0, 3.5)],
            &[1, 2],
            &[1],
        ),
        ("two at one time", &[(0.0, 0.0), (0.0, 5.0), (5.0, 5.0)], &[], &[]),
        ("a jump of NaN", &[(0.0, 0.0), (1.0, f64::NAN), (2.0, 2.0)], &[], &[]),
    ] {
        for (limits, bad) in [(&strict, bad), (&lenient, bad_lenient)] {
            let found = check(limits, "t", "m", readings);
            let found: Vec<usize> = (0..found.len()).filter(|&n| found[n].is_some()).collect();
            assert_eq!(found, bad, "{what}");
        }
    }
    let reason = check(&strict, "t", "m", &[(0.0, 0.0), (2.5, 9.0)]).pop().unwrap();
    let expected = "\"m\" is 9 and 2.5 s apart from it 0: it may change by 1 per second at most";
    assert_eq!(reason.as_deref(), Some(expected));
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    for (text, expected) in [
        ("metric = 'm'", "limit 1: it limits nothing: give min, max or max_per_s"),
        (
            "metric = ''\nmin = 1",
            "limit 1: metric \"\" is neither a metric name nor a pattern such as \"motor.*\"",
        ),
        ("metric = 'm'\nmin = 2\nmax = 1", "limit 1: min 2 is above max 1"),
        ("metric = 'm'\nmax = nan", "limit 1: max is NaN: give a finite number"),
        ("metric = 'm'\nmax_per_s = 0", "limit 1: max_per_s is 0: give a number above 0"),
        (
            "metric = 'm'\nminimum = 0",
            "unknown field `minimum`, expected one of `metric`, `tenant`, `min`, `max`, `max_per_s`, `mode`",
        ),
    ] {
        assert_eq!(limits(&format!("[[limits]]\n{text}")).unwrap_err(), expected);
    }
}

#[test]
fn a_number_given_out_again_begins_anew_and_a_changed_configuration_holds() {
    let rate = limits("[[limits]]\nmetric = 'm'\nmax_per_s = 1").unwrap();
    let mut validator = Validator::new();
    validator.bind(&rate, 0, "t", "m");
    assert_eq!(validator.check(&rate, 0, seconds(0.0), 0.0), Verdict::Good);
    assert_eq!(
        validator.check(&rate, 0, seconds(1.0), 5.0),
        Verdict::Rejected(Violation::Rate { value: 5.0, neighbour: 0.0, apart_s: 1.0, max_per_s: 1.0 })
    );
    let bytes = postcard::to_stdvec(&validator).unwrap();
    let mut back: Validator = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(back, validator);
    back.bind(&rate, 0, "t", "m");
    assert!(matches!(back.check(&rate, 0, seconds(1.0), 5.0), Verdict::Rejected(_)));
    let none = Limits::default();
    back.bind(&none, 0, "t", "m");
    assert_eq!(back.check(&none, 0, seconds(1.0), 5.0), Verdict::Good);
    validator.unbind(0);
    validator.bind(&rate, 0, "t", "m");
    assert_eq!(validator.check(&rate, 0, seconds(1.0), 5.0), Verdict::Good);
}

proptest! {
    #[test]
    fn readings_in_step_pass_in_any_order_and_again(
        steps in vec((1..100_i64, -1.0..=1.0_f64), 1..=super::KEPT),
        order in vec(any::<prop::sample::Index>(), 8),
        rate in 0.001..1e6_f64,
    ) {
        let limits = Limits::new(&[LimitConfig {
            metric: "*".into(), tenant: None, min: None, max: None, max_per_s: Some(rate), mode: Mode::Strict,
        }]).unwrap();
        let (mut time, mut value) = (0, 0.0);
        let mut left: Vec<(i64, f64)> = steps.iter().map(|&(apart, change)| {
            (time, value) = (time + apart, value + change * rate * apart as f64);
            (time, value)
        }).collect();
        let mut validator = Validator::new();
        validator.bind(&limits, 0, "t", "m");
        let mut passed = Vec::new();
        while !left.is_empty() {
            let at = order[passed.len()].index(left.len());
            let (time, value) = left.swap_remove(at);
            passed.push((time, value));
            for &(time, value) in &passed {
                let verdict = validator.check(&limits, 0, Timestamp::from_nanos(time * 1_000_000_000), value);
                prop_assert_eq!(verdict, Verdict::Good);
            }
            // One that is off by more than the rate towards both sides does not.
            let wrong = value + 250.0 * rate + 1.0;
            let between = Timestamp::from_nanos(time * 1_000_000_000 + 1);
            let refused = matches!(validator.check(&limits, 0, between, wrong), Verdict::Rejected(_));
            prop_assert!(refused);
        }
    }
}
