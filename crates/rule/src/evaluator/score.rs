//! What `anomaly` asks: detectors, which are made elsewhere.

use std::fmt;

use record::Timestamp;

use crate::detectors::{Asked, Priors};

/// How unusual a value is.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// What `anomaly(metric)` is: as a rule 0, usual, to 1, unusual. NaN is none.
    pub score: f64,
}

/// The series, or the several of a device together, that a detector is for.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Which detector.
    pub asked: &'a Asked,
    /// Whose.
    pub tenant: &'a str,
    /// The metric, the first of several.
    pub metric: &'a str,
    /// What type the device is of, if that is known.
    pub device_type: Option<&'a str>,
    /// What is known of others.
    pub priors: &'a Priors,
}

/// Makes the detectors of series. Shared by all partitions.
pub trait Detectors: fmt::Debug + Send + Sync {
    /// A detector for a new series; `None` where there is none such, whose score is NULL then.
    fn start(&self, series: &Series<'_>) -> Option<Box<dyn Detector>>;

    /// Whether there is one such.
    ///
    /// # Errors
    /// Why not, and what to do, in words.
    fn offers(&self, _: &Asked) -> Result<(), String> {
        Ok(())
    }

    /// A detector from what [`Detector::save`] gave; `None` where that cannot be read: it starts anew with the next value.
    fn restore(&self, asked: &Asked, saved: &[u8]) -> Option<Box<dyn Detector>>;
}

/// The detector of one series, or of several of a device together. Causal: the same values give the same scores.
pub trait Detector: fmt::Debug + Send {
    /// Scores the next value by those before it, and learns from it. Values come in the order of their times; `place` says of which of the
    /// metrics it is, the first is 0. `None`: the last score stands.
    fn next(&mut self, at: Timestamp, place: usize, value: f64) -> Option<Score>;

    /// Why the last score is what it is, in words: "4.2 σ above its usual at this hour".
    fn why(&self) -> String;

    /// What it knows, in bytes.
    fn save(&self) -> Vec<u8>;

    /// About how much memory it takes, bytes.
    fn bytes(&self) -> usize;

    /// Adds what it knows of its series to what is known of the kind, if it is of those that learn from others and has seen enough.
    fn teach(&self, _: &mut Priors, _: &Series<'_>) {}
}

/// None: `anomaly` is NULL.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDetectors;

impl Detectors for NoDetectors {
    fn start(&self, _: &Series<'_>) -> Option<Box<dyn Detector>> {
        None
    }

    fn restore(&self, _: &Asked, _: &[u8]) -> Option<Box<dyn Detector>> {
        None
    }
}
