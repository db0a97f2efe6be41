//! What is known of a fleet is worth to a device that is new.

use std::sync::Arc;

use rule::{Evaluator, Priors};

use super::{PER_DAY, given, healthy, number, send, settings};
use crate::given::{Given, set, when};

const NAMES: [&str; 12] = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11"];

/// So many motors, known for so many days.
fn fleet(motors: usize, days: i64) -> Given {
    let mut given = given("anomaly(t) > 0.5");
    given.facts.device_type = Some("motor".into());
    for n in 0..days * PER_DAY {
        for (number, name) in NAMES[..motors].iter().enumerate() {
            given.device = name;
            send(&mut given, n, &[("t", healthy(n + number as i64 * 100_000 * PER_DAY))]);
        }
    }
    given
}

fn learned(given: &Given) -> Priors {
    let mut priors = Priors::default();
    given.evaluator.teach(&mut priors);
    priors.settle();
    priors
}

/// The score of a step of 15 σ in the sixth hour of a new device.
fn score_of_a_fault(priors: &Priors, device_type: &str) -> f64 {
    let mut given = given("anomaly(t) > 0.5");
    given.facts.device_type = Some(device_type.into());
    given.evaluator.set_priors(Arc::new(priors.clone()));
    for n in 0..72 {
        send(&mut given, n, &[("t", healthy(n + 77 * PER_DAY))]);
        assert_eq!(given.told(), Vec::<String>::new());
    }
    send(&mut given, 72, &[("t", healthy(72) + 15.0)]);
    number(&given)
}

#[test]
fn a_new_device_begins_with_what_its_kind_has_in_common() {
    let mut known = fleet(12, 8);
    let priors = learned(&known);
    assert_eq!(priors.len(), 1);
    assert!(score_of_a_fault(&priors, "motor") > 0.9);
    assert_eq!(score_of_a_fault(&priors, "pump"), 0.0, "of another kind nothing is known");
    assert_eq!(score_of_a_fault(&Priors::default(), "motor"), 0.0);
    assert_eq!(Priors::decode(&priors.encode()).unwrap(), priors);
    // What devices know is part of the state.
    let (rules, bytes) = (known.evaluator.rules().clone(), known.evaluator.encode());
    known.evaluator = Evaluator::restore(rules, settings(), &bytes, &mut known.out).unwrap();
    assert_eq!(learned(&known), priors);
}

#[test]
fn a_few_devices_or_days_are_too_few() {
    assert!(learned(&fleet(9, 8)).is_empty(), "nine devices");
    assert!(learned(&fleet(10, 6)).is_empty(), "six days");
}

/// After a crash readings are given again from the state on: with the same priors the same comes of them.
#[test]
fn the_same_is_said_again_after_a_crash() {
    let priors = Arc::new(learned(&fleet(12, 8)));
    let mut before = Given::new(&[]);
    before.evaluator = Evaluator::new(set(&[when("anomaly(t) > 0.5")]), settings());
    before.facts.device_type = Some("motor".into());
    before.evaluator.set_priors(Arc::clone(&priors));
    let state = before.evaluator.encode();
    let mut after = Given::new(&[]);
    after.evaluator =
        Evaluator::restore(set(&[when("anomaly(t) > 0.5")]), settings(), &state, &mut after.out).unwrap();
    after.facts.device_type = Some("motor".into());
    after.evaluator.set_priors(priors);
    for n in 0..PER_DAY {
        for given in [&mut before, &mut after] {
            send(given, n, &[("t", healthy(n) + if n == 150 { 20.0 } else { 0.0 })]);
        }
    }
    let told = before.told();
    assert!(!told.is_empty());
    assert_eq!(told, after.told());
}

#[test]
fn what_is_damaged_is_refused() {
    let bytes = learned(&fleet(10, 8)).encode();
    for length in 0..bytes.len() {
        assert!(Priors::decode(&bytes[..length]).is_err(), "{length}");
    }
    assert_eq!(Priors::decode(&Priors::default().encode()), Ok(Priors::default()));
}
