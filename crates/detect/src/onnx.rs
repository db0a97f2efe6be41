//! A user's ONNX model as a detector (feature `onnx`).
//!
//! The contract is fixed. **Input**: one tensor of 32-bit floats, `[1, N]` (or `[N]`): the last N values of a series, oldest first
//! ([`ModelState::observe`]), or a device's N metrics at one moment ([`ModelState::observe_moment`]). They are as they were measured; a
//! model that needs them scaled scales them itself. **Output**: one number, the larger the more of an anomaly; below zero counts
//! as zero, and what is no number says nothing. It needs no scale: how rare an output is is learned from the series itself, so
//! the score and a budget mean the same as for every other detector.

mod model;

use record::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Step};
use crate::format::{self, Of};
use crate::hourly::Hourly;
use crate::{Reason, Result, Score, Tuning, Unit, limits};
pub use model::Model;

/// What is kept of a series, or of a device, that a model scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelState {
    clock: Clock,
    /// The last values, oldest first; empty for a device's metrics.
    last: Vec<f32>,
    outputs: Hourly,
}

impl Default for ModelState {
    fn default() -> Self {
        Self { clock: Clock::default(), last: Vec::new(), outputs: Hourly::new(&Tuning::default()) }
    }
}

impl ModelState {
    /// Scores a series' next value by the model's last values, this one the newest.
    ///
    /// Values that are not finite are not given to the model: not a number scores 0, infinite 1. A value at the time of the last one or
    /// before it is scored as if it were the newest, and forgotten.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) when the model fails.
    pub fn observe(&mut self, model: &Model, at: Timestamp, value: f64) -> Result<Score> {
        if let Some(score) = crate::unusable(value) {
            return Ok(score);
        }
        let step = self.clock.step(at);
        let mut last = std::mem::take(&mut self.last);
        let kept = last.clone();
        last.push(value as f32);
        last.drain(..last.len().saturating_sub(model.inputs()));
        let needed = model.inputs();
        let score = if last.len() < needed {
            let (seen, needed) = (last.len() as u32, needed as u32);
            Ok(Score::nothing(Reason::Learning { seen, needed, unit: Unit::Values }))
        } else {
            self.score(model, at, step, &last)
        };
        self.last = if step == Step::Behind { kept } else { last };
        score
    }

    /// Scores what a device measured at one moment: a value for each of the model's inputs. Where one is missing or not a number,
    /// nothing is said.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) when the model fails.
    pub fn observe_moment(&mut self, model: &Model, at: Timestamp, values: &[f64]) -> Result<Score> {
        if values.iter().any(|value| value.abs() > limits::SIZE) {
            return Ok(Score { score: 1.0, raw: limits::SIGMAS, why: Reason::Infinite });
        }
        if values.len() != model.inputs() || values.iter().any(|value| value.is_nan()) {
            return Ok(Score::nothing(Reason::NotANumber));
        }
        let step = self.clock.step(at);
        let input: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        self.score(model, at, step, &input)
    }

    /// As bytes (docs/formats/detector-state.md).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        format::write(Of::Model, self)
    }

    /// What [`ModelState::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::State`](crate::Error::State) for another version, and for bytes that are damaged so that it shows.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        format::read(Of::Model, bytes, |state: &Self| {
            state.clock.is_sound()
                && state.outputs.is_sound()
                && state.last.len() <= usize::from(limits::WINDOW)
                && state.last.iter().all(|value| value.is_finite())
        })
    }

    fn score(&mut self, model: &Model, at: Timestamp, step: Step, input: &[f32]) -> Result<Score> {
        let output = model.run(input)?;
        if output.is_nan() {
            return Ok(Score::nothing(Reason::NotANumber));
        }
        let measure = output.clamp(0.0, limits::SIGMAS);
        let chance = self.outputs.tail().chance(measure);
        if step != Step::Behind {
            let hour = at.nanos().div_euclid(3_600_000_000_000);
            self.outputs.take(hour, measure, &Tuning::default());
        }
        Ok(Score { score: crate::likelihood(chance), raw: measure, why: Reason::Model { output } })
    }
}
