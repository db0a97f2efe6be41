//! What detectors know is gone on from.

use std::path::Path;

use rule::{Asked, Detectors as _, Evaluator, Output, Priors, Series, Standard};

use super::{INTERVAL, PER_DAY, given, healthy, noise, settings};
use crate::given::{SECOND, START};

const CONDITION: &str = "anomaly(a, b) + anomaly(a) + anomaly(a, 'seasonal', '+02:00') + anomaly(a, 'robust', 20) > 9 OR anomalous(b, '7 days', 'zscore') OR anomalous(b, '7 days')";

#[test]
fn a_restart_changes_nothing() {
    let (mut whole, mut broken) = (given(CONDITION), given(CONDITION));
    for n in 0..4 * PER_DAY {
        // Moments are broken off in the middle, too.
        for (metric, value) in [("a", healthy(n)), ("b", healthy(n) + noise(n + 1000))] {
            for given in [&mut whole, &mut broken] {
                given.number(n * INTERVAL, metric, value);
            }
            if n % 50 == 0 {
                let (rules, bytes) = (broken.evaluator.rules().clone(), broken.evaluator.encode());
                let mut out = Output::default();
                broken.evaluator = Evaluator::restore(rules, settings(), &bytes, &mut out).unwrap();
                assert_eq!(out, Output::default());
                assert_eq!(broken.evaluator.encode(), bytes);
            }
        }
    }
    assert!(whole.evaluator.encode() == broken.evaluator.encode());
    assert_eq!(whole.told(), broken.told());
}

#[test]
fn a_moment_of_version_1_is_gone_on_from() {
    let asked = Asked::Joint(vec!["b".into()]);
    let (standard, priors) = (Standard::default(), Priors::default());
    let series = Series { asked: &asked, tenant: "default", metric: "a", device_type: None, priors: &priors };
    let mut detector = standard.start(&series).unwrap();
    let at = |second: i64| record::Timestamp::from_nanos(START + second * SECOND);
    for (second, place, value) in [(0, 0, 1.0), (0, 1, 2.0), (60, 1, 2.5)] {
        detector.next(at(second), place, value);
    }
    let saved = detector.save();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/joint-v1.bin");
    assert_eq!(std::fs::read(&fixture).unwrap(), saved, "what is written is what version 1 is");
    assert_eq!(standard.restore(&asked, &saved).unwrap().save(), saved);
    for bad in [&saved[1..], &saved[..saved.len() - 1], &[], &[2]] {
        assert!(standard.restore(&asked, bad).is_none(), "{bad:?}");
    }
    let three = Asked::Joint(vec!["b".into(), "c".into()]);
    assert!(standard.restore(&three, &saved).is_none(), "it is of two metrics");
}

#[test]
fn detectors_stand_in_a_state_as_texts() {
    for text in [
        "usual",
        "usual -420",
        "seasonal",
        "seasonal 330",
        "robust",
        "robust 50",
        "robust 100 held",
        "zscore",
        "zscore 8 held",
        r#"joint ["b","line/3","x y\"z"]"#,
        "model bearing-7",
        r#"model bearing ["b"]"#,
    ] {
        let asked = Asked::parse(text).unwrap();
        assert_eq!(asked.to_string(), text);
    }
    for text in ["", "magic", "usual x", "robust 9 kept", "joint b", "model m [1]", "zscore 70000"] {
        assert_eq!(Asked::parse(text), None, "{text}");
    }
}
