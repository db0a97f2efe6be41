//! What others of a kind know is worth to a new one.

use detect::{Automatic, Detector, Prior, Robust, State};

use crate::newcomers::{false_alarms, found, prior, start};
use crate::simulated::{Device, Fault, Noise, PER_DAY, PER_HOUR};

#[test]
fn a_new_device_is_watched_from_its_first_hours_on() {
    let prior = prior(Noise::White, 8);
    assert_eq!(prior.series(), 8);
    assert!(found(Noise::White, Fault::Shift, Some(&prior), 12) > 0.8);
    assert_eq!(found(Noise::White, Fault::Spike, None, 12), 0.0);
    assert!(false_alarms(Noise::White, Some(&prior), 12, 7) < 0.002);
    // It says so in the words of an hour it has not seen itself.
    let mut state = start(Some(&prior));
    let mut device = Device::alike(Noise::White, 77);
    for n in 0..4 * PER_HOUR {
        state.observe(Device::at(n), device.read(n, None));
    }
    let usual = device.read(4 * PER_HOUR, None);
    let why = state.observe(Device::at(4 * PER_HOUR), usual + 1000.0).why.to_string();
    assert!(why.contains("04:00") || why.contains("a step of"), "{why}");
}

#[test]
fn priors_add_up_in_any_order() {
    let (one, other) = (prior(Noise::White, 3), prior(Noise::Wandering, 2));
    let (mut a, mut b) = (one.clone(), other.clone());
    a.merge(&other);
    b.merge(&one);
    assert_eq!((a.series(), b.series()), (5, 5));
    assert_eq!(Prior::from_bytes(&a.to_bytes()).unwrap(), a);
    let scores = |prior: &Prior| {
        let mut state = start(Some(prior));
        let mut device = Device::alike(Noise::White, 5);
        let scores = (0..PER_DAY).map(|n| state.observe(Device::at(n), device.read(n, None)).raw);
        scores.collect::<Vec<f64>>()
    };
    // Sums of floating point in another order: the same but for the last digits.
    let (a, b) = (scores(&a), scores(&b));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-3 * a.max(1.0)));
}

#[test]
fn only_what_is_known_is_learned_and_used() {
    let mut prior = Prior::default();
    let short = Detector::Automatic(Automatic::default()).start().unwrap();
    assert!(!prior.learn(&short), "nothing was seen");
    let robust = Detector::Robust(Robust::default());
    assert!(!prior.learn(&robust.start().unwrap()), "nothing of others is in it");
    assert_eq!(prior.series(), 0);
    // An empty prior is none.
    let detector = Detector::Automatic(Automatic::default());
    assert_eq!(detector.start_with(&prior).unwrap(), detector.start().unwrap());
    assert_eq!(robust.start_with(&prior).unwrap(), robust.start().unwrap());
}

/// Where the devices of a kind are not alike, much is usual for a new one, and little is said.
#[test]
fn a_kind_without_anything_in_common_does_no_harm() {
    let mut prior = Prior::default();
    for number in 0..10 {
        let mut device = Device::new(Noise::White, number);
        let mut state = Detector::Automatic(Automatic::default()).start().unwrap();
        for n in 0..14 * PER_DAY {
            state.observe(Device::at(n), device.read(n, None));
        }
        prior.learn(&state);
    }
    let (mut anomalous, mut hours) = (0, 0);
    for number in 100..120 {
        let mut device = Device::new(Noise::White, number);
        let mut state: State = start(Some(&prior));
        for n in 0..7 * PER_DAY {
            anomalous += u32::from(state.observe(Device::at(n), device.read(n, None)).score >= 0.5);
            hours += u32::from(n % PER_HOUR == 0);
        }
    }
    assert!(f64::from(anomalous) < 0.005 * f64::from(hours), "{anomalous} values in {hours} hours");
}
