//! Fixed limits.

use serde::{Deserialize, Serialize};

use crate::{Error, Reason, Result, Score};

/// Fixed limits: a value above `max` or below `min` is an anomaly, any other is none. The score is 1 or 0, `raw` is how far
/// outside the value is, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The least value that is right; without it, any.
    #[serde(default)]
    pub min: Option<f64>,
    /// The greatest value that is right; without it, any.
    #[serde(default)]
    pub max: Option<f64>,
}

impl Threshold {
    pub(crate) fn validate(&self) -> Result<()> {
        for (setting, limit) in [("min", self.min), ("max", self.max)] {
            if let Some(found) = limit.filter(|limit| !limit.is_finite()) {
                return Err(Error::Setting { setting, found, wanted: "a finite number" });
            }
        }
        match (self.min, self.max) {
            (Some(min), Some(max)) if min > max => {
                Err(Error::Setting { setting: "min", found: min, wanted: "no more than max" })
            }
            _ => Ok(()),
        }
    }

    /// Infinite values are compared like any other.
    #[inline]
    pub(crate) fn observe(&self, value: f64) -> Score {
        let outside = |limit: f64, above: bool| Score {
            score: 1.0,
            raw: (value - limit).abs().min(f64::MAX),
            why: Reason::Limit { value, limit, above },
        };
        match (self.min, self.max) {
            _ if value.is_nan() => Score::nothing(Reason::NotANumber),
            (_, Some(max)) if value > max => outside(max, true),
            (Some(min), _) if value < min => outside(min, false),
            _ => Score::nothing(Reason::Usual),
        }
    }
}
