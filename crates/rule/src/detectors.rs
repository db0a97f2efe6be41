//! The detectors of `penstock-detect`, for `anomaly`.

use detect::{Automatic, Robust, Seasonal, State};
use record::Timestamp;

use crate::evaluator::{Detector, Detectors, Score};

/// What `anomaly(metric)` asks, and `anomaly(metric, 'robust')`, `anomaly(metric, 'seasonal')`, with their own settings: the same for
/// every series, because none of them needs to be tuned (docs/detectors.md).
#[derive(Clone, Copy, Debug, Default)]
pub struct Standard;

#[derive(Debug)]
struct Series {
    state: State,
    last: Option<detect::Score>,
}

impl Detectors for Standard {
    fn start(&self, name: &str) -> Option<Box<dyn Detector>> {
        let detector = match name {
            "usual" => detect::Detector::Automatic(Automatic::default()),
            "seasonal" => detect::Detector::Seasonal(Seasonal::default()),
            "robust" => detect::Detector::Robust(Robust::default()),
            _ => return None,
        };
        let state = detector.start().ok()?;
        Some(Box::new(Series { state, last: None }))
    }

    fn restore(&self, _: &str, saved: &[u8]) -> Option<Box<dyn Detector>> {
        let state = State::from_bytes(saved).ok()?;
        Some(Box::new(Series { state, last: None }))
    }
}

impl Detector for Series {
    fn next(&mut self, at: Timestamp, value: f64) -> Score {
        let score = self.state.observe(at, value);
        self.last = Some(score);
        Score { score: score.score }
    }

    fn why(&self) -> String {
        self.last.map(|score| score.why.to_string()).unwrap_or_default()
    }

    fn save(&self) -> Vec<u8> {
        self.state.to_bytes()
    }

    fn bytes(&self) -> usize {
        self.state.size_bytes()
    }
}
