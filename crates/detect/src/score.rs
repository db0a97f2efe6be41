//! What a detector says of one value.

use crate::Reason;

/// What a detector says of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// How likely this is an anomaly, from 0 to 1; see [`likelihood`].
    pub score: f64,
    /// How far out the value is, in the detector's own unit, never negative: for most of them σ, for the automatic one the surprise:
    /// the natural logarithm of how rare it is.
    pub raw: f64,
    /// Why, as numbers. Words are made only when it is displayed.
    pub why: Reason,
}

/// How many anomalies are expected of a series before anything is known of it, per hour: one in 60 days. With it healthy fleets
/// stay below one false alarm in 1 000 hours with some room, whatever their noise and however often they send
/// (docs/decisions/detectors.md).
pub const BASE_RATE: f64 = 1.0 / 1440.0;

/// The score from which on a value is reported where no budget says otherwise: an anomaly is as likely as chance.
pub const DEFAULT_THRESHOLD: f64 = 0.5;

/// The likelihood of an anomaly, from 0 to 1, given `chance`: in which share of its hours a healthy series shows a value this far
/// out.
///
/// By Bayes' rule with the prior [`BASE_RATE`]: 0.5 where chance makes as many such values as anomalies do, 0.99 where it makes
/// one of a hundred. What every hour shows is no anomaly: 0.
#[must_use]
pub fn likelihood(chance: f64) -> f64 {
    if chance >= 1.0 { 0.0 } else { BASE_RATE / (BASE_RATE + chance.max(0.0)) }
}

/// The chance that [`likelihood`] makes `score` of: the share of its hours in which a healthy series shows one as high.
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
