//! Detectors of anomalies: what is unusual in a series of values, said while it comes in.
//!
//! [`Detector`] is a configuration, [`Detector::start`] makes the [`State`] of one series, and [`State::observe`] scores its next
//! value by what was seen before it, and learns from it. A [`Score`] is between 0 and 1 and says why when somebody asks
//! ([`Reason`]).
//!
//! [`Watch`] makes alarms of scores, within a [`Budget`] of false ones. [`Prior`] is what the series of a kind have in common, for
//! new ones ([`Detector::start_with`]). [`Joint`] looks at a device's metrics together. With the feature `onnx` a user's model is a
//! detector too (module `onnx`); [`Gate`] makes alarms of the scores of these two.
//!
//! Nothing here does I/O or reads a clock: the same values at the same times give the same scores.

mod automatic;
mod clock;
mod detector;
mod error;
mod format;
mod hourly;
mod joint;
mod normal;
#[cfg(feature = "onnx")]
pub mod onnx;
mod prior;
mod profile;
mod reason;
mod recent;
mod score;
mod seasonal;
mod tail;
mod threshold;
mod tuning;
mod watch;

pub use automatic::Automatic;
pub use detector::{Detector, State};
pub use error::{Error, Result};
pub use joint::{Joint, JointState};
pub use prior::Prior;
pub use reason::{Basis, Reason, Unit};
pub use recent::{Robust, ZScore};
pub use score::{BASE_RATE, DEFAULT_THRESHOLD, Score, chance, likelihood};
pub use seasonal::Seasonal;
pub use threshold::Threshold;
pub use watch::{Budget, Gate, Verdict, Watch};

#[doc(hidden)]
pub use tuning::Tuning;

/// Every limit, each with its reason.
pub mod limits {
    /// Most of the last values that a detector looks at: 8 KiB of each series, 16 where they are sorted too.
    pub const WINDOW: u16 = 1024;
    /// Most metrics of a device that are looked at together: the work grows with the cube.
    pub const METRICS: u16 = 16;
    /// Largest file of a user's model, bytes: a network of 250 000 weights, far more than a series has structure.
    pub const MODEL_BYTES: usize = 1 << 20;
    /// Most nodes of a user's model.
    pub const MODEL_NODES: usize = 500;
    /// Most numbers in any of its tensors: 4 MiB.
    pub const MODEL_ELEMENTS: i64 = 1 << 20;
    /// Most steps of a run of it, such as multiplications: about a millisecond.
    pub const MODEL_STEPS: i64 = 1_000_000;
    /// Values of a greater size count as infinite: shapes are kept as 32-bit numbers, and squares of it can still be added up.
    pub const SIZE: f64 = 1e30;
    /// Most σ that are said. A series that was constant would have infinitely many.
    pub const SIGMAS: f64 = 1e6;
}

/// What is said of values that nothing can be learned from: not a number scores 0, infinite 1.
#[inline]
fn unusable(value: f64) -> Option<Score> {
    if value.is_nan() {
        return Some(Score::nothing(Reason::NotANumber));
    }
    (value.abs() > limits::SIZE).then_some(Score { score: 1.0, raw: limits::SIGMAS, why: Reason::Infinite })
}
