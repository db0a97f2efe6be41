//! Budgets of false alarms.

use detect::{Automatic, Budget, Detector, Robust, Seasonal, Watch, ZScore};
use record::{Timestamp, Value};

use super::{INTERVAL, PER_DAY, given, healthy, noise, send, value};
use crate::given::{SECOND, START, set, when};

#[test]
fn a_budget_is_that_of_a_watch() {
    let mut above = Vec::new();
    for (text, days, detector) in [
        ("anomalous(t, '7 days')", 7.0, Detector::Automatic(Automatic::default())),
        ("anomalous(t, '1 year')", 365.0, Detector::Automatic(Automatic::default())),
        ("anomalous(t, '30 days', 'seasonal', '+01:00')", 30.0, seasonal(60)),
        ("anomalous(t, '1 day', 'robust', 20)", 1.0, Detector::Robust(Robust { last: 20 })),
        ("anomalous(t, '36 hours', 'zscore')", 1.5, Detector::ZScore(ZScore { last: 100 })),
    ] {
        let text = text.replace("1 year", "365 days");
        let mut given = given(&text);
        let mut watch = Watch::new(&detector, Budget { days, ..Budget::default() }).unwrap();
        let mut count = 0;
        for n in 0..10 * PER_DAY {
            let fault = if n > 9 * PER_DAY { 15.0 } else { 0.0 };
            let value_of = healthy(n) + fault;
            send(&mut given, n, &[("t", value_of)]);
            let expected = watch.observe(Timestamp::from_nanos(START + n * INTERVAL * SECOND), value_of);
            assert_eq!(value(&given), Some(Value::Bool(expected.above)), "{text}, value {n}");
            count += usize::from(expected.above);
        }
        above.push(count);
    }
    assert!(above.iter().all(|count| (1..2 * PER_DAY as usize).contains(count)), "{above:?}");
    assert!(above[0] >= above[1], "the rarer a false alarm may be, the less is above: {above:?}");
}

fn seasonal(utc_offset_minutes: i16) -> Detector {
    Detector::Seasonal(Seasonal { utc_offset_minutes })
}

/// The score of a formula is wrong often where values are not normal; held back it is not.
#[test]
fn a_budget_holds_back_what_is_usual_for_the_series() {
    let (mut score, mut held) =
        (given("anomaly(t, 'robust') > 0.5"), given("anomalous(t, '60 days', 'robust')"));
    for n in 0..20 * PER_DAY {
        // Heavy tails: a cube.
        let value = noise(n).powi(3);
        send(&mut score, n, &[("t", value)]);
        send(&mut held, n, &[("t", value)]);
    }
    let (score, held) = (score.told().len(), held.told().len());
    assert!(score > 100 && held < 6, "{score} of the score, {held} within the budget");
}

#[test]
fn budgets_share_a_detector_and_say_why() {
    let mut given = given("anomalous(t, '30 days')");
    let both = [when("anomalous(t, '30 days') OR anomalous(t, '90 days') OR anomaly(t) > 0.9")];
    let mut shared = super::given(&both[0].document.when);
    for n in 0..3 * PER_DAY {
        send(&mut given, n, &[("t", healthy(n))]);
        send(&mut shared, n, &[("t", healthy(n))]);
    }
    // The rule with three questions keeps one detector: both take the same, but for what was crossed.
    let (one, three) = (given.evaluator.bytes(), shared.evaluator.bytes());
    assert!(three < one + 500, "{one} bytes for one question, {three} for three");
    assert_eq!((given.told(), set(&both).len()), (Vec::<String>::new(), 1));
    send(&mut given, 3 * PER_DAY, &[("t", 500.0)]);
    let why = &given.out.transitions[0].why;
    assert!(why.starts_with("anomalous(t, '30 days') = true ("), "{why}");
    assert!(why.contains('σ') || why.contains("a step of"), "{why}");
}
