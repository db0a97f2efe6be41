//! What a detector says of one value.

use crate::Reason;

/// What a detector says of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// How likely this is an anomaly, from 0 to 1; see [`likelihood`].
    pub score: f64,
    /// How far out the value is, in the detector's own unit, never negative: for most of them in σ.
    pub raw: f64,
    /// Why, as numbers. Words are made only when it is displayed.
    pub why: Reason,
}

/// How many readings of a healthy fleet are taken to be anomalous before anything is known: one in 100 000. With a
/// reading every five minutes that is one a year.
pub const BASE_RATE: f64 = 1e-5;

/// The score from which on a value is reported where no budget says otherwise: an anomaly is as likely as chance.
pub const DEFAULT_THRESHOLD: f64 = 0.5;

/// The likelihood of an anomaly, from 0 to 1, given `chance`: how often a healthy series shows a value this far out.
///
/// By Bayes' rule with the prior [`BASE_RATE`], and anomalies taken to be anywhere: 0.5 where chance makes as many such values
/// as anomalies do.
#[must_use]
pub fn likelihood(chance: f64) -> f64 {
    BASE_RATE / (BASE_RATE + chance.clamp(0.0, 1.0))
}

/// The chance that [`likelihood`] makes `score` of: how often a healthy series shows a value scored as high.
#[must_use]
pub fn chance(score: f64) -> f64 {
    if score <= 0.0 { 1.0 } else { (BASE_RATE * (1.0 - score) / score).clamp(0.0, 1.0) }
}

impl Score {
    /// Of a value that nothing can be said about.
    pub(crate) fn nothing(why: Reason) -> Self {
        Self { score: 0.0, raw: 0.0, why }
    }
}
