//! States as bytes: what was written by an earlier build is read, what is damaged is refused.

use std::path::Path;

use detect::{Automatic, Budget, Detector, Robust, Seasonal, State, Watch, ZScore};

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
    vec![
        ("z-score", state(Detector::ZScore(ZScore { last: 8 })).to_bytes()),
        ("robust", state(Detector::Robust(Robust { last: 8 })).to_bytes()),
        ("seasonal", state(Detector::Seasonal(Seasonal::default())).to_bytes()),
        ("automatic", automatic.to_bytes()),
        ("watch", Watch::over(automatic, Budget::default()).unwrap().to_bytes()),
    ]
}

/// The fixtures are never edited. Where one is missing it is written, and the test fails once.
#[test]
fn states_of_version_1_are_read() {
    for (name, bytes) in states() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/states/{name}.v1"));
        let Ok(fixture) = std::fs::read(&path) else {
            std::fs::write(&path, bytes).unwrap();
            panic!("{} was missing and is written: look at it, then keep it", path.display());
        };
        let again = match name {
            "watch" => Watch::from_bytes(&fixture).unwrap().to_bytes(),
            _ => State::from_bytes(&fixture).unwrap().to_bytes(),
        };
        assert_eq!(again, fixture, "{name}");
        assert_eq!(fixture.len(), bytes.len(), "{name}: the layout is that of today");
    }
}

#[test]
fn what_is_damaged_is_refused() {
    for (name, bytes) in states() {
        let read = |bytes: &[u8]| match name {
            "watch" => Watch::from_bytes(bytes).map(drop),
            _ => State::from_bytes(bytes).map(drop),
        };
        read(&bytes).unwrap();
        let refused = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert!(refused(&[]).contains("version is not known"));
        assert!(refused(&[2, 1]).contains("version is not known"));
        assert!(refused(&[1, 9]).contains("something else"));
        assert!(refused(&bytes[..bytes.len() - 1]).contains("damaged"));
        assert!(refused(&[&bytes[..], &[0]].concat()).contains("damaged"));
        // A flipped byte is refused, or makes a state that goes on without a panic.
        for place in 2..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 0xa5;
            if let Ok(mut state) = State::from_bytes(&other) {
                for n in 4 * PER_DAY..4 * PER_DAY + 30 {
                    assert!((0.0..=1.0).contains(&state.observe(Device::at(n), 50.0).score));
                }
            }
        }
    }
}
