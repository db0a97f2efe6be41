//! What detectors say through rules: the same as they say by themselves.

mod budgets;
mod index;
mod language;
#[cfg(feature = "onnx")]
mod models;
mod priors;
mod restarts;
mod settings;
mod together;

use std::sync::Arc;

use record::{Value, ValueRef};
use rule::{Evaluator, RuleId, Settings, Standard};

use crate::given::{Given, set, when};

/// Five minutes, in seconds: how often the devices here send.
const INTERVAL: i64 = 300;
const PER_DAY: i64 = 86_400 / INTERVAL;

fn settings() -> Settings {
    Settings { detectors: Arc::new(Standard::default()), ..Settings::default() }
}

/// An evaluator with detectors, of a rule called `r`.
fn given(condition: &str) -> Given {
    let mut given = Given::new(&[]);
    given.evaluator = Evaluator::new(set(&[when(condition)]), settings());
    given
}

/// What the first part of the rule's condition is now.
fn value(given: &Given) -> Option<Value> {
    let explained = given.evaluator.explain("default", &RuleId("r".into()), given.device).unwrap();
    explained.parts[0].value.clone()
}

/// As a number; not a number where it is NULL.
fn number(given: &Given) -> f64 {
    match value(given) {
        Some(Value::Float(value)) => value,
        None => f64::NAN,
        other => panic!("{other:?} is no number"),
    }
}

/// A healthy series with the shape of a day, and noise that is the same each time.
fn healthy(n: i64) -> f64 {
    let hour = (n * INTERVAL) as f64 / 3600.0;
    50.0 + 10.0 * (hour / 24.0 * std::f64::consts::TAU).sin() + noise(n)
}

/// About normal, of σ 1: a sum of twelve.
fn noise(n: i64) -> f64 {
    let mut dice = n.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut roll = || {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..12).map(|_| roll()).sum::<f64>() - 6.0
}

/// Sends a number as the n-th of a device.
fn send(given: &mut Given, n: i64, metrics: &[(&str, f64)]) {
    let values: Vec<_> = metrics.iter().map(|(metric, value)| (*metric, ValueRef::Float(*value))).collect();
    given.send(n * INTERVAL, &values);
}
