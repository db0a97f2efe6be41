//! States as bytes: what was written by an earlier build is read, what is damaged is refused.

use std::path::{Path, PathBuf};

use detect::{
    Automatic, Budget, Detector, Joint, JointState, Prior, Result, Robust, Seasonal, State, Watch, ZScore,
};

use crate::newcomers::{prior, start};
use crate::simulated::{Device, Noise, PER_DAY};

/// States after three days, by the name of their fixture.
fn states() -> Vec<(&'static str, Vec<u8>)> {
    let state = |detector: Detector| {
        let mut state = detector.start().unwrap();
        let mut device = Device::new(Noise::White, 4);
        for n in 0..3 * PER_DAY {
            state.observe(Device::at(n), device.read(n, None));
        }
        state
    };
    let automatic = state(Detector::Automatic(Automatic::default()));
    let mut states = vec![
        ("z-score", state(Detector::ZScore(ZScore { last: 8 })).to_bytes()),
        ("robust", state(Detector::Robust(Robust { last: 8 })).to_bytes()),
        ("seasonal", state(Detector::Seasonal(Seasonal::default())).to_bytes()),
        ("automatic", automatic.to_bytes()),
        ("watch", Watch::over(automatic, Budget::default()).unwrap().to_bytes()),
        ("joint", joint().to_bytes()),
        ("prior", prior(Noise::White, 2).to_bytes()),
    ];
    if let Some(model) = model() {
        states.push(("model", model));
    }
    states
}

#[cfg(feature = "onnx")]
fn model() -> Option<Vec<u8>> {
    let model = detect::onnx::Model::load(include_bytes!("models/farthest.onnx")).unwrap();
    let mut state = detect::onnx::ModelState::default();
    let mut device = Device::new(Noise::White, 4);
    for n in 0..3 * PER_DAY {
        state.observe(&model, Device::at(n), device.read(n, None)).unwrap();
    }
    Some(state.to_bytes())
}

#[cfg(not(feature = "onnx"))]
fn model() -> Option<Vec<u8>> {
    None
}

fn joint() -> JointState {
    let mut state = Joint { metrics: 3 }.start().unwrap();
    let mut device = Device::new(Noise::White, 4);
    for n in 0..3 * PER_DAY {
        let value = device.read(n, None);
        state.observe(Device::at(n), &[value, 2.0 * value, device.read(n, None)]);
    }
    state
}

/// What is written of what is read.
fn again(name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    Ok(match name {
        "watch" => Watch::from_bytes(bytes)?.to_bytes(),
        "joint" => JointState::from_bytes(bytes)?.to_bytes(),
        "prior" => Prior::from_bytes(bytes)?.to_bytes(),
        #[cfg(feature = "onnx")]
        "model" => detect::onnx::ModelState::from_bytes(bytes)?.to_bytes(),
        _ => State::from_bytes(bytes)?.to_bytes(),
    })
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/states/{name}.v1"))
}

/// What is read and written again is the same: nothing is lost, nothing is read wrongly.
#[test]
fn states_of_version_1_are_read() {
    for (name, bytes) in states() {
        let written = std::fs::read(fixture(name)).unwrap();
        assert_eq!(again(name, &written).unwrap(), written, "{name}");
        assert_eq!(written.len(), bytes.len(), "{name}: the layout is that of today");
    }
}

/// `cargo test -p penstock-detect -- --ignored` writes the fixtures that are not there. Those that are, are never edited.
#[test]
#[ignore = "writes fixtures"]
fn fixtures_that_are_missing_are_written() {
    for (name, bytes) in states() {
        if !fixture(name).exists() {
            std::fs::write(fixture(name), bytes).unwrap();
        }
    }
}

#[test]
fn what_is_damaged_is_refused() {
    for (name, bytes) in states() {
        assert_eq!(again(name, &bytes).unwrap(), bytes, "{name}");
        let refused = |bytes: &[u8]| again(name, bytes).unwrap_err().to_string();
        assert!(refused(&[]).contains("version is not known"));
        assert!(refused(&[2, 1]).contains("version is not known"));
        assert!(refused(&[1, 9]).contains("something else"));
        assert!(refused(&bytes[..bytes.len() - 1]).contains("damaged"));
        assert!(refused(&[&bytes[..], &[0]].concat()).contains("damaged"));
        // A flipped byte is refused, or makes a state that goes on without a panic.
        for place in 2..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 0xa5;
            if name == "joint"
                && let Ok(mut state) = JointState::from_bytes(&other)
            {
                let score = state.observe(Device::at(4 * PER_DAY), &[1.0, 2.0, 3.0]).score;
                assert!((0.0..=1.0).contains(&score), "{name}, byte {place}");
            }
            let read = match name {
                "prior" => Prior::from_bytes(&other).map(|prior| start(Some(&prior))),
                _ => State::from_bytes(&other),
            };
            if let Ok(mut state) = read {
                for n in 4 * PER_DAY..4 * PER_DAY + 30 {
                    assert!((0.0..=1.0).contains(&state.observe(Device::at(n), 50.0).score));
                }
            }
        }
    }
}
