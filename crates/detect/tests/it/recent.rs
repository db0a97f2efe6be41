//! Limits, and detectors over the last values.

use detect::{Detector, Robust, State, Threshold, ZScore};
use record::Timestamp;

fn minute(n: i64) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000 + n * 60_000_000_000)
}

/// What the detector says of `value` after `before`: its raw measure and its words.
fn check(detector: Detector, before: &[f64], value: f64) -> (f64, String) {
    let mut state = detector.start().unwrap();
    for (n, before) in before.iter().enumerate() {
        state.observe(minute(n as i64), *before);
    }
    let mut state = State::from_bytes(&state.to_bytes()).unwrap();
    let score = state.observe(minute(before.len() as i64), value);
    ((score.raw * 1e6).round() / 1e6, score.why.to_string())
}

#[test]
fn limits_are_told_apart() {
    let detector = Detector::Threshold(Threshold { min: Some(-5.0), max: Some(80.0) });
    assert_eq!(check(detector, &[], 81.5), (1.5, "above the limit: 81.5 against 80".into()));
    assert_eq!(check(detector, &[], -7.0), (2.0, "below the limit: -7 against -5".into()));
    assert_eq!(check(detector, &[], 80.0), (0.0, "as usual".into()));
    assert_eq!(check(detector, &[], f64::NAN), (0.0, "not a number".into()));
}

#[test]
fn the_mean_and_sigma_of_the_last_values() {
    let detector = Detector::ZScore(ZScore { last: 8 });
    let last = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]; // mean 5, variance 32 ÷ 7
    let sigma = (32.0f64 / 7.0).sqrt();
    let (raw, why) = check(detector, &[&[1000.0; 8][..], &last].concat(), 15.0);
    assert_eq!(raw, (10.0 / sigma * 1e6).round() / 1e6);
    assert_eq!(why, "4.7 σ above the last 8 values: 15 against 5 ± 2.14");
    assert_eq!(check(detector, &last[..5], 15.0).1, "still learning: 5 of 8 values seen");
}
#[test]
fn the_median_and_the_median_distance_of_the_last_values() {
    let detector = Detector::Robust(Robust { last: 9 });
    // Median 5; distances 0 0 1 1 1 2 3 4 995: their median is 1, and the spike changes nothing.
    let last = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0, 1000.0];
    let (raw, why) = check(detector, &[&[7777.0; 9][..], &last].concat(), 1.0);
    assert_eq!((raw, why.as_str()), (2.697959, "2.7 σ below the last 9 values: 1 against 5 ± 1.48"));
}

/// Against the plain definition, over windows of even and odd length.
#[test]
fn the_median_distance_is_that_of_the_definition() {
    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        f64::midpoint(values[(n - 1) / 2], values[n / 2])
    }
    let mut rng = fastrand::Rng::with_seed(7);
    for last in [8u16, 9, 31, 64] {
        let mut state = Detector::Robust(Robust { last }).start().unwrap();
        let mut seen: Vec<f64> = Vec::new();
        for n in 0..500 {
            let value = f64::from(rng.i32(-20..20)) + rng.f64();
            let raw = state.observe(minute(n), value).raw;
            if seen.len() >= 8 {
                let window = seen[seen.len().saturating_sub(usize::from(last))..].to_vec();
                let middle = median(window.clone());
                let distance = median(window.iter().map(|value| (value - middle).abs()).collect());
                let expected = (value - middle).abs() / (distance * 1.482_602_218_505_602);
                assert!((raw - expected).abs() < 1e-6 * expected.max(1.0), "{raw} {expected}");
            }
            seen.push(value);
        }
    }
}
