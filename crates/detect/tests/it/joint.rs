//! A device's metrics together.

use detect::{Joint, JointState};
use proptest::prelude::*;
use record::Timestamp;

fn at(n: i64) -> Timestamp {
    Timestamp::from_nanos(1_735_516_800_000_000_000 + n * 300_000_000_000)
}

/// Speed follows a load, current follows speed, temperature is its own.
fn motor(n: i64, rng: &mut fastrand::Rng) -> [f64; 3] {
    let load = (n as f64 / 40.0).sin() + 0.3 * (n as f64 / 7.0).cos();
    let mut noise = || rng.f64() + rng.f64() - 1.0;
    [1500.0 + 100.0 * load + noise(), 10.0 + 3.0 * load + 0.05 * noise(), 60.0 + 5.0 * noise()]
}

fn learned() -> (JointState, fastrand::Rng) {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut state = Joint { metrics: 3 }.start().unwrap();
    for n in 0..10 * 288 {
        state.observe(at(n), &motor(n, &mut rng));
    }
    (state, rng)
}

#[test]
fn what_no_metric_shows_by_itself_is_found() {
    let (mut state, mut rng) = learned();
    let usual = state.observe(at(2880), &motor(2880, &mut rng));
    assert!(usual.score < 0.01, "{usual:?}");
    // The current has values like this every day, but not at this speed.
    let [speed, _, temperature] = motor(2881, &mut rng);
    let current = 10.0 + 3.0 * (speed - 1500.0) / 100.0;
    let odd = state.observe(at(2881), &[speed, current - 2.0, temperature]);
    assert!(odd.score > 0.9, "{odd:?}");
    let why = odd.why.to_string();
    assert!(why.starts_with("the metrics are ") && why.contains("most of all the 2nd: "), "{why}");
}

#[test]
fn a_metric_that_is_missing_is_left_out() {
    let (state, mut rng) = learned();
    let [speed, current, temperature] = motor(2880, &mut rng);
    for values in [&[speed, f64::NAN, temperature][..], &[speed], &[f64::NAN, current]] {
        let score = state.clone().observe(at(2880), values);
        assert!(score.score < 0.01, "{values:?}: {score:?}");
    }
    let odd = state.clone().observe(at(2880), &[speed, current - 2.0]);
    assert!(odd.score > 0.9, "{odd:?}");
    assert_eq!(state.clone().observe(at(2880), &[]).score, 0.0);
    assert_eq!(state.clone().observe(at(2880), &[f64::NAN; 3]).why.to_string(), "not a number");
    assert_eq!(state.clone().observe(at(2880), &[speed, f64::INFINITY, 1.0]).score, 1.0);
}

#[test]
fn it_goes_on_where_it_was_written() {
    let (mut state, mut rng) = learned();
    let mut read = JointState::from_bytes(&state.to_bytes()).unwrap();
    assert_eq!(state, read);
    let values = motor(2880, &mut rng);
    assert_eq!(state.observe(at(2880), &values), read.observe(at(2880), &values));
    assert!(JointState::from_bytes(&state.to_bytes()[..40]).is_err());
    assert!(Joint { metrics: 1 }.start().is_err());
    assert_eq!(Joint { metrics: 17 }.start().unwrap_err().to_string(), "metrics is 17: give 2 to 16 metrics");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_scores_are_numbers(
        moments in prop::collection::vec(
            (0i64..7_200_000_000_000, prop::collection::vec(prop_oneof![4 => -10.0..10.0f64, 1 => Just(0.0), 1 => any::<f64>()], 0..6)),
            0..600,
        ),
    ) {
        let mut state = Joint { metrics: 4 }.start().unwrap();
        let mut now = 1_700_000_000_000_000_000;
        for (step, values) in &moments {
            now += step;
            let score = state.observe(Timestamp::from_nanos(now), values);
            prop_assert!((0.0..=1.0).contains(&score.score), "{score:?}");
            prop_assert!(score.raw >= 0.0 && !score.why.to_string().is_empty());
        }
        prop_assert_eq!(JointState::from_bytes(&state.to_bytes()), Ok(state));
    }
}
