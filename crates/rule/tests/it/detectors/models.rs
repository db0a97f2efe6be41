//! Users' models (feature `onnx`). What each computes is said in the tests of `penstock-detect`.

use std::sync::Arc;

use detect::onnx::{Model, ModelState};
use record::Timestamp;
use rule::{Evaluator, Models, ModelsError, Output, Settings, Standard};

use super::{INTERVAL, PER_DAY, noise, number};
use crate::given::{Given, SECOND, START, set, when};

/// `[1, 8]`: the greatest distance of a value from the mean of all.
const FARTHEST: &[u8] = include_bytes!("../../../../detect/tests/it/models/farthest.onnx");
/// `[batch, 3]`: |2·x₀ − x₁| + 0·x₂.
const APART: &[u8] = include_bytes!("../../../../detect/tests/it/models/apart.onnx");

fn settings(files: &[(&str, &[u8])]) -> Settings {
    let mut models = Models::default();
    files.iter().for_each(|(name, bytes)| models.add(name, bytes).unwrap());
    Settings { detectors: Arc::new(Standard { models }), ..Settings::default() }
}

fn given(condition: &str, settings: Settings) -> Given {
    let mut given = Given::new(&[]);
    given.evaluator = Evaluator::new(set(&[when(condition)]), settings);
    given
}

fn at(n: i64) -> Timestamp {
    Timestamp::from_nanos(START + n * INTERVAL * SECOND)
}

#[test]
fn a_model_of_the_last_values_is_asked_by_its_name() {
    let settings = settings(&[("farthest", FARTHEST), ("apart", APART)]);
    let mut given = given("anomaly(t, 'model:farthest') > 0.9", settings.clone());
    let (model, mut state) = (Model::load(FARTHEST).unwrap(), ModelState::default());
    for n in 0..5 * PER_DAY {
        given.number(n * INTERVAL, "t", noise(n));
        assert_eq!(number(&given), state.observe(&model, at(n), noise(n)).unwrap().score, "value {n}");
        if n == PER_DAY {
            let (rules, bytes) = (given.evaluator.rules().clone(), given.evaluator.encode());
            given.evaluator =
                Evaluator::restore(rules, settings.clone(), &bytes, &mut Output::default()).unwrap();
        }
    }
    given.told();
    given.number(5 * PER_DAY * INTERVAL, "t", 90.0);
    let why = &given.out.transitions[0].why;
    assert!(why.contains("anomaly(t, 'model:farthest') = ") && why.contains("the model says"), "{why}");
}

#[test]
fn a_model_of_a_moment_gets_the_metrics_in_the_order_of_the_rule() {
    let mut given = given("anomalous(a, b, c, '7 days', 'model:apart')", settings(&[("apart", APART)]));
    let mut send = |n: i64, a: f64, b: f64| {
        for (metric, value) in [("c", 1.0), ("b", b), ("a", a)] {
            given.number(n * INTERVAL, metric, value);
        }
        given.told()
    };
    for n in 0..9 * PER_DAY {
        let a = noise(n);
        assert!(send(n, a, 2.0 * a + 0.1 * noise(n * 3)).is_empty() || n < 8 * PER_DAY, "value {n}");
    }
    assert!(send(9 * PER_DAY, 1.0, 2.0).is_empty());
    assert_eq!(send(9 * PER_DAY + 1, 2.0, 1.0).len(), 1);
}

#[test]
fn a_model_that_is_not_there_says_so_and_what_was_learned_waits_for_it() {
    let with = settings(&[("farthest", FARTHEST)]);
    let condition = "anomaly(t, 'model:farthest') > 0.9";
    let mut given = given(condition, with.clone());
    for n in 0..100 {
        given.number(n * INTERVAL, "t", noise(n));
    }
    let (rules, bytes) = (given.evaluator.rules().clone(), given.evaluator.encode());
    let restore = |settings: &Settings, bytes: &[u8]| {
        Evaluator::restore(rules.clone(), settings.clone(), bytes, &mut Output::default()).unwrap()
    };
    given.evaluator = restore(&settings(&[]), &bytes);
    given.number(100 * INTERVAL, "t", 5.0);
    let explained = given.evaluator.explain("default", &rule::RuleId("r".into()), "d1").unwrap();
    assert!(
        explained.parts[0].why.as_deref().unwrap().contains("there is no model farthest"),
        "{explained:?}"
    );
    let kept = given.evaluator.encode();
    given.evaluator = restore(&with, &kept);
    given.number(101 * INTERVAL, "t", 5.0);
    assert!(number(&given) >= 0.0);
}

#[test]
fn what_is_no_model_or_does_not_fit_is_said() {
    let mut models = Models::default();
    assert!(matches!(models.add("bad", b"nothing"), Err(ModelsError::Refused { .. })));
    for n in 0..rule::limits::MODELS {
        models.add(&format!("m{n}"), APART).unwrap();
    }
    assert!(matches!(models.add("more", APART), Err(ModelsError::TooMany { .. })));
    models.add("m0", FARTHEST).unwrap();
    assert_eq!(models.names().count(), rule::limits::MODELS);
    let detectors = Arc::new(Standard { models });
    let settings = Settings { detectors: Arc::clone(&detectors) as _, ..Settings::default() };
    let mut given = given("anomaly(a, b, 'model:m0') > 0.5", settings);
    let refused = |when: &str| {
        let document = rule::Document { name: "r".into(), when: when.into(), ..rule::Document::default() };
        document.compile_for(&*detectors).unwrap_err().to_string()
    };
    let told = refused("t > 1 OR\n anomaly(t, 'model:other') > 0.5");
    assert!(told.starts_with("when at line 2, column 13: there is no model other: put"), "{told}");
    assert!(refused("anomalous(a, b, '7d', 'model:m0')").contains("takes 8 values"));
    given.number(0, "a", 1.0);
    let explained = given.evaluator.explain("default", &rule::RuleId("r".into()), "d1").unwrap();
    let why = explained.parts[0].why.as_deref().unwrap();
    assert_eq!(why, "the model m0 takes 8 values, the rule gives 2 metrics");
}
