//! Which scores are alarms.

use detect::{Automatic, Budget, Detector, Robust, Threshold, Verdict, Watch};
use record::Timestamp;

use crate::simulated::{Device, Noise, PER_DAY, PER_HOUR};

fn minute(n: i64) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000 + n * 60_000_000_000)
}

#[test]
fn only_what_is_new_or_worse_is_told() {
    let limit = Detector::Threshold(Threshold { min: None, max: Some(10.0) });
    let mut watch = Watch::new(&limit, Budget { quiet_hours: 1.0, ..Budget::default() }).unwrap();
    let mut check = |at: i64, value: f64, above: bool, alarm: bool| {
        let verdict = watch.observe(minute(at), value);
        assert_eq!((verdict.above, verdict.alarm), (above, alarm), "{value} after {at} minutes");
    };
    check(0, 9.0, false, false);
    check(1, 12.0, true, true); // new
    check(2, 12.0, true, false); // known
    check(3, 15.0, true, true); // worse
    check(4, 9.0, false, false);
    check(5, 12.0, true, false); // not worse than what was told within the hour
    check(64, 12.0, true, true); // an hour and a minute later it is new
}

/// A limit compares infinite values too, and a watch that told of one can be written and read.
#[test]
fn an_infinite_value_is_told_and_kept() {
    let limit = Detector::Threshold(Threshold { min: None, max: Some(10.0) });
    let mut watch = Watch::new(&limit, Budget::default()).unwrap();
    assert!(watch.observe(minute(0), f64::INFINITY).alarm);
    let mut watch = Watch::from_bytes(&watch.to_bytes()).unwrap();
    assert!(!watch.observe(minute(1), 12.0).alarm, "nothing is worse than that");
}

#[test]
fn the_budget_says_from_which_score_on() {
    assert!((Budget::default().threshold() - detect::DEFAULT_THRESHOLD).abs() < 1e-12);
    let strict = Budget { days: 600.0, ..Budget::default() };
    assert!((strict.threshold() - 10.0 / 11.0).abs() < 1e-12); // ten times as rare
}

/// A robust z-score assumes a normal distribution; a series with a season has none. The budget is kept all the same.
#[test]
fn a_detector_that_does_not_fit_is_held_back() {
    let robust = Detector::Robust(Robust::default());
    let mut watch = Watch::new(&robust, Budget { days: 30.0, ..Budget::default() }).unwrap();
    let (mut alarms, mut scored) = (0, 0);
    let mut device = Device::new(Noise::White, 3);
    for n in 0..60 * PER_DAY {
        let Verdict { score, alarm, .. } = watch.observe(Device::at(n), device.read(n, None));
        scored += u32::from(score.score >= 0.5);
        alarms += u32::from(alarm);
    }
    assert!(scored > 10 && alarms <= 2, "{scored} scored as anomalies, {alarms} alarms");
}

#[test]
fn a_watch_goes_on_where_it_was_written() {
    let detector = Detector::Automatic(Automatic::default());
    let mut watch = Watch::new(&detector, Budget::default()).unwrap();
    let mut device = Device::new(Noise::White, 1);
    let values: Vec<f64> = (0..10 * PER_DAY).map(|n| device.read(n, None)).collect();
    let mut other = watch.clone();
    for (n, value) in values.iter().enumerate() {
        let n = n as i64;
        if n % (7 * PER_HOUR) == 0 {
            other = Watch::from_bytes(&other.to_bytes()).unwrap();
        }
        let value = if n == 8 * PER_DAY { value + 1000.0 } else { *value };
        assert_eq!(watch.observe(Device::at(n), value), other.observe(Device::at(n), value));
    }
    assert_eq!(watch, other);
}
