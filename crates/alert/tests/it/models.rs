//! Models from the folder of the configuration (feature `onnx`).

use penstock_alert::{Config, Error, ModelsConfig, detectors};
use record::Timestamp;
use rule::{Asked, Priors, Series};

/// `[batch, 3]`: |2·x₀ − x₁| + 0·x₂.
const APART: &[u8] = include_bytes!("../../../detect/tests/it/models/apart.onnx");

fn of(dir: &std::path::Path) -> Result<std::sync::Arc<dyn rule::Detectors>, Error> {
    let models = ModelsConfig { dir: Some(dir.to_owned()) };
    detectors(&Config { models, ..Config::default() }.validate().unwrap())
}

#[test]
fn what_is_in_the_folder_is_asked_by_its_name_and_what_is_no_model_hurts_no_other() {
    let folder = tempfile::tempdir().unwrap();
    for (file, bytes) in [("apart.onnx", APART), ("broken.onnx", b"x"), ("notes.txt", b"about them")] {
        std::fs::write(folder.path().join(file), bytes).unwrap();
    }
    let detectors = of(folder.path()).unwrap();
    let why = |name: &str| {
        let asked = Asked::Model { name: name.into(), with: vec!["b".into(), "c".into()] };
        let priors = Priors::default();
        let mut detector = detectors
            .start(&Series { asked: &asked, tenant: "acme", metric: "a", device_type: None, priors: &priors })
            .unwrap();
        for (place, value) in [2.0, 1.0, 7.0].into_iter().enumerate() {
            detector.next(Timestamp::from_nanos(0), place, value);
        }
        detector.why()
    };
    assert_eq!(why("apart"), "the model says 3");
    assert!(why("broken").starts_with("there is no model broken"), "{}", why("broken"));
    assert!(matches!(of(&folder.path().join("nowhere")), Err(Error::Models { .. })));
}
