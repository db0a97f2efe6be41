//! Values and times that no device should send, and some do: nothing panics, and nothing is spoilt.

use detect::{Automatic, Detector, Robust, Seasonal, State, Threshold, ZScore};
use proptest::prelude::*;
use record::Timestamp;

use crate::simulated::{Device, Noise, PER_DAY};

fn detectors() -> [Detector; 5] {
    [
        Detector::Threshold(Threshold { min: Some(-1.0), max: Some(1.0) }),
        Detector::ZScore(ZScore { last: 16 }),
        Detector::Robust(Robust { last: 16 }),
        Detector::Seasonal(Seasonal::default()),
        Detector::Automatic(Automatic::default()),
    ]
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -100.0..100.0f64,
        2 => Just(0.0),
        1 => any::<f64>(),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-0.0), Just(1e30), Just(-9e29), Just(1e-310)],
    ]
}

/// Nanoseconds from one value to the next: mostly minutes, sometimes nothing, back, or years.
fn any_step() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => 1_000_000_000..3_600_000_000_000i64,
        1 => Just(0i64),
        1 => -3_600_000_000_000..0i64,
        1 => any::<i64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_scores_are_numbers_and_states_can_be_read(
        values in prop::collection::vec((any_step(), any_value()), 0..400),
    ) {
        for detector in detectors() {
            let mut state = detector.start().unwrap();
            let mut at = 1_700_000_000_000_000_000i64;
            for (step, value) in &values {
                at = at.wrapping_add(*step);
                let score = state.observe(Timestamp::from_nanos(at), *value);
                prop_assert!((0.0..=1.0).contains(&score.score), "{score:?}");
                prop_assert!(score.raw >= 0.0, "{score:?}");
                prop_assert!(!score.why.to_string().is_empty());
            }
            let read = State::from_bytes(&state.to_bytes());
            prop_assert_eq!(read.as_ref(), Ok(&state));
        }
    }

    /// After whatever came, a month of healthy values makes the state as good as new.
    #[test]
    fn nothing_spoils_a_state_for_good(
        values in prop::collection::vec((any_step(), any_value()), 1..100),
    ) {
        for detector in [Detector::Seasonal(Seasonal::default()), Detector::Automatic(Automatic::default())] {
            let mut state = detector.start().unwrap();
            let mut at = 1_600_000_000_000_000_000i64;
            for (step, value) in &values {
                at = at.wrapping_add(*step);
                state.observe(Timestamp::from_nanos(at), *value);
            }
            let mut device = Device::new(Noise::White, 11);
            for n in 0..42 * PER_DAY {
                state.observe(Device::at(n), device.read(n, None));
            }
            let (mut usual, next) = (0, 42 * PER_DAY);
            for n in next..next + PER_DAY {
                usual += u32::from(state.observe(Device::at(n), device.read(n, None)).score < 0.5);
            }
            prop_assert!(usual > PER_DAY as u32 * 9 / 10, "{detector:?}: {usual} usual");
        }
    }
}

#[test]
fn a_constant_series_is_usual_and_its_first_change_is_not() {
    for detector in &detectors()[1..] {
        let mut state = detector.start().unwrap();
        for n in 0..10 * PER_DAY {
            let score = state.observe(Device::at(n), 20.25);
            assert_eq!(score.score, 0.0, "{detector:?}, value {n}: {}", score.why);
        }
        let score = state.observe(Device::at(10 * PER_DAY), 21.0);
        assert!(score.score > 0.5, "{detector:?}: {score:?}");
    }
}

#[test]
fn values_that_are_late_or_doubled_change_nothing() {
    for detector in &detectors()[1..] {
        let mut state = detector.start().unwrap();
        let mut device = Device::new(Noise::White, 2);
        for n in 0..3 * PER_DAY {
            state.observe(Device::at(n), device.read(n, None));
        }
        let mut other = state.clone();
        let (doubled, late) = (Device::at(3 * PER_DAY - 1), Device::at(2 * PER_DAY));
        assert_eq!(other.observe(doubled, f64::NAN).score, 0.0);
        assert_eq!(other.observe(late, f64::INFINITY).score, 1.0);
        other.observe(doubled, 1e6);
        other.observe(late, 1e6);
        for n in 3 * PER_DAY..4 * PER_DAY {
            let value = device.read(n, None);
            assert_eq!(state.observe(Device::at(n), value), other.observe(Device::at(n), value));
        }
    }
}

#[test]
fn a_clock_that_was_years_ahead_does_not_make_a_series_deaf() {
    let mut state = Detector::ZScore(ZScore { last: 16 }).start().unwrap();
    let ahead = 20 * 365 * PER_DAY;
    for n in 0..20 {
        state.observe(Device::at(ahead + n), 1000.0);
    }
    for n in 0..100 {
        state.observe(Device::at(n), f64::from((n % 5) as i32));
    }
    assert!(state.observe(Device::at(100), 2.0).raw < 1.0);
    assert!(state.observe(Device::at(101), 1000.0).raw > 100.0);
}
