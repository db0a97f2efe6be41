//! A user's model. The files were made by hand with the Python package `onnx`; what each computes is said beside it.

use detect::limits;
use detect::onnx::{Model, ModelState};
use record::Timestamp;

/// `[1, 8]` to `[1, 1]`: the greatest distance of a value from the mean of all.
const FARTHEST: &[u8] = include_bytes!("models/farthest.onnx");
/// `[batch, 3]` to `[batch, 1]`: |2·x₀ − x₁| + 0·x₂, by two layers.
const APART: &[u8] = include_bytes!("models/apart.onnx");
/// `[1, 8]` to `[1, 8]`: the values themselves.
const WIDE: &[u8] = include_bytes!("models/wide.onnx");
/// Multiplies by a random number.
const RANDOM: &[u8] = include_bytes!("models/random.onnx");
/// `[1, 1024]` to `[1, 1]`: the greatest exponential of the products of all pairs.
const HEAVY: &[u8] = include_bytes!("models/heavy.onnx");

fn at(n: i64) -> Timestamp {
    Timestamp::from_nanos(1_735_516_800_000_000_000 + n * 300_000_000_000)
}

#[test]
fn a_model_of_the_last_values_scores_a_series() {
    let model = Model::load(FARTHEST).unwrap();
    assert_eq!(model.inputs(), 8);
    let mut state = ModelState::default();
    for n in 0..7 {
        let score = state.observe(&model, at(n), n as f64).unwrap();
        assert_eq!(score.why.to_string(), format!("still learning: {} of 8 values seen", n + 1));
    }
    // 0 to 7: their mean is 3.5, and 0 and 7 are 3.5 from it.
    assert_eq!(state.observe(&model, at(7), 7.0).unwrap().raw, 3.5);
    let mut rng = fastrand::Rng::with_seed(1);
    for n in 8..2000 {
        state.observe(&model, at(n), rng.f64()).unwrap();
    }
    let mut state = ModelState::from_bytes(&state.to_bytes()).unwrap();
    assert!(state.clone().observe(&model, at(2000), 0.5).unwrap().score < 0.1);
    let odd = state.observe(&model, at(2000), 50.0).unwrap();
    assert!(odd.score > 0.9, "{odd:?}");
    assert!(odd.why.to_string().starts_with("the model says 43."), "{}", odd.why);
    assert_eq!(state.observe(&model, at(2001), f64::NAN).unwrap().score, 0.0);
    assert_eq!(state.observe(&model, at(2001), f64::INFINITY).unwrap().score, 1.0);
}

#[test]
fn a_model_of_metrics_scores_a_device() {
    let model = Model::load(APART).unwrap();
    let mut state = ModelState::default();
    let score = state.observe_moment(&model, at(0), &[3.0, 1.0, 7.0]).unwrap();
    assert_eq!(score.raw, 5.0);
    assert_eq!(state.observe_moment(&model, at(1), &[3.0, f64::NAN, 7.0]).unwrap().score, 0.0);
    assert_eq!(state.observe_moment(&model, at(1), &[3.0, 1.0]).unwrap().score, 0.0);
}

#[test]
fn a_value_that_is_late_is_forgotten() {
    let model = Model::load(FARTHEST).unwrap();
    let mut state = ModelState::default();
    for n in 0..10 {
        state.observe(&model, at(n), n as f64).unwrap();
    }
    let mut other = state.clone();
    other.observe(&model, at(3), 1000.0).unwrap();
    assert_eq!(state.observe(&model, at(10), 3.0).unwrap(), other.observe(&model, at(10), 3.0).unwrap());
}

#[test]
fn models_that_break_the_contract_are_refused_with_words() {
    let check = |bytes: &[u8], words: &str| {
        let refused = Model::load(bytes).map(drop).unwrap_err().to_string();
        assert!(refused.starts_with("model cannot be used: ") && refused.contains(words), "{refused}");
    };
    check(WIDE, "must put out one number");
    check(RANDOM, "uses the operator \"RandomUniformLike\", which is not among those allowed");
    check(HEAVY, "steps, 1000000 are allowed");
    check(&vec![0; limits::MODEL_BYTES + 1], "bytes, 1048576 are allowed");
    check(b"no model", "cannot be used");
    check(&FARTHEST[..FARTHEST.len() / 2], "cannot be used");
}
