//! The constants of the detectors that learn seasons, in one place.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The constants of the detectors that learn seasons. They are chosen from principle and not meant to be set; that they can be is
/// for the benchmark that halves and doubles each (docs/decisions/detectors.md).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// The shorter span over which something is seen to last, hours: about the patience of who is on duty.
    pub short_hours: f32,
    /// The longer one, hours: half a day.
    pub long_hours: f32,
    /// The memory of the level, hours: a week, the longest season, which the level must not follow.
    pub level_hours: f32,
    /// The memory of the shape of the day, days.
    pub shape_days: f32,
    /// The share of hours that count as the tail of a measure: less is learned from too slowly, more is no tail.
    pub tail_share: f32,
    /// The memory of a tail, hours: a month.
    pub tail_hours: f32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            short_hours: 2.0,
            long_hours: 12.0,
            level_hours: 168.0,
            shape_days: 10.0,
            tail_share: 0.2,
            tail_hours: 720.0,
        }
    }
}

impl Tuning {
    /// Nobody writes what is not to be set.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn check(&self) -> Result<()> {
        let hours =
            [self.short_hours, self.long_hours, self.level_hours, self.shape_days * 24.0, self.tail_hours];
        if let Some(found) = hours.iter().find(|span| !(0.1..=100_000.0).contains(*span)) {
            let (setting, wanted) = ("a span of the tuning", "0.1 to 100000 hours");
            return Err(Error::Setting { setting, found: f64::from(*found), wanted });
        }
        if !(0.01..=0.5).contains(&self.tail_share) {
            let (found, wanted) = (f64::from(self.tail_share), "0.01 to 0.5");
            return Err(Error::Setting { setting: "tail_share", found, wanted });
        }
        Ok(())
    }
}
