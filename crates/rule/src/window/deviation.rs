//! How far a value is from those before it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::limits::ZSCORE_VALUES;

/// The last so many values, and the z-score of the newest among those before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deviation {
    values: VecDeque<f64>,
    score: Option<f64>,
}

/// A spread, or a distance, of less than this part of the mean is rounding.
const ROUNDING: f64 = 1e-9;

impl Deviation {
    pub(crate) const fn new() -> Self {
        Self { values: VecDeque::new(), score: None }
    }

    /// Takes the next value, in the order of time. It is compared with up to `count` before it.
    pub(crate) fn add(&mut self, value: f64, count: u32) {
        self.score = self.z(value);
        while self.values.len() >= count as usize {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    /// Of the newest value. None before ten others were seen.
    pub(crate) const fn score(&self) -> Option<f64> {
        self.score
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.values.len() * size_of::<f64>()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<f64>()
    }

    /// Computed anew each time: what is added up and taken off again drifts.
    fn z(&self, value: f64) -> Option<f64> {
        if self.values.len() < *ZSCORE_VALUES.start() {
            return None;
        }
        let count = self.values.len() as f64;
        let mean = self.values.iter().sum::<f64>() / count;
        let squares: f64 = self.values.iter().map(|value| (value - mean).powi(2)).sum();
        let spread = (squares / (count - 1.0)).sqrt();
        let apart = value - mean;
        let rounding = mean.abs() * ROUNDING;
        if apart.abs() <= rounding {
            return Some(0.0);
        }
        // Of values that never differed, any other is infinitely far.
        Some(if spread <= rounding { f64::INFINITY.copysign(apart) } else { apart / spread })
    }
}
