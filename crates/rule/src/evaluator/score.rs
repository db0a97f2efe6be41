//! What `anomaly` asks: detectors, which are made elsewhere.

use std::fmt;

use record::Timestamp;

/// How unusual a value is.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// What `anomaly(metric)` is: as a rule 0, usual, to 1, unusual. NaN is none.
    pub score: f64,
}

/// Makes the detectors of series. Shared by all partitions.
pub trait Detectors: fmt::Debug + Send + Sync {
    /// A detector for a new series; `None` where there is none of this name, whose score is NULL then.
    fn start(&self, name: &str) -> Option<Box<dyn Detector>>;

    /// A detector from what [`Detector::save`] gave; `None` where that cannot be read: it starts anew.
    fn restore(&self, name: &str, saved: &[u8]) -> Option<Box<dyn Detector>>;
}

/// The detector of one series. Causal: the same values give the same scores.
pub trait Detector: fmt::Debug + Send {
    /// Scores the next value by those before it, and learns from it. Values come in the order of their times.
    fn next(&mut self, at: Timestamp, value: f64) -> Score;

    /// Why the last score is what it is, in words: "4.2 σ above its usual at this hour".
    fn why(&self) -> String;

    /// What it knows, in bytes.
    fn save(&self) -> Vec<u8>;

    /// About how much memory it takes, bytes.
    fn bytes(&self) -> usize;
}

/// None: `anomaly` is NULL.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDetectors;

impl Detectors for NoDetectors {
    fn start(&self, _: &str) -> Option<Box<dyn Detector>> {
        None
    }

    fn restore(&self, _: &str, _: &[u8]) -> Option<Box<dyn Detector>> {
        None
    }
}
