//! The greatest measure of each hour, and the tail that is learned from them.

use serde::{Deserialize, Serialize};

use crate::Tuning;
use crate::tail::Tail;

/// A tail, and the greatest measure of the hour that is not over yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hourly {
    tail: Tail,
    greatest: f32,
    hour: Option<i64>,
}

impl Hourly {
    pub(crate) fn new(tuning: &Tuning) -> Self {
        Self { tail: Tail::new(tuning), greatest: 0.0, hour: None }
    }

    /// Takes a measure of an hour, counted from the epoch. When another hour was before, the tail learns its greatest.
    #[inline]
    pub(crate) fn take(&mut self, hour: i64, measure: f64, tuning: &Tuning) {
        if self.hour != Some(hour) {
            if self.hour.is_some() {
                self.tail.learn(f64::from(self.greatest), tuning);
            }
            self.greatest = 0.0;
            self.hour = Some(hour);
        }
        self.greatest = self.greatest.max(measure as f32);
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.tail.is_sound() && self.greatest.is_finite()
    }
}
