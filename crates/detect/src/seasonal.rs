//! How far a value is from what is usual at its hour.

use record::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Step};
use crate::hourly::Hourly;
use crate::profile::{Calendar, Profile};
use crate::{Reason, Result, Score, Tuning, Unit, limits};

/// How far a value is from what is usual at its hour of the day and of the week, in the σ of that hour.
///
/// How much the seasons count is learned; a series without one is held against its level. Level and seasons follow slowly what
/// changes for good. How rare a distance is is learned from the series itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seasonal {
    /// Minutes that the clock of the people around the device is ahead of UTC, −1 080 to 1 080: their days and weeks are its
    /// seasons.
    pub utc_offset_minutes: i16,
}

/// Hours of which nothing is said: there is nothing to compare the first day with.
pub(crate) const LEARNING_HOURS: u16 = 24;

impl Seasonal {
    pub(crate) fn validate(&self) -> Result<()> {
        Calendar::check(self.utc_offset_minutes)
    }

    pub(crate) fn start(&self) -> Seasoned {
        Seasoned {
            calendar: Calendar { offset_minutes: self.utc_offset_minutes },
            clock: Clock::default(),
            profile: Profile::new(),
            distances: Hourly::new(&Tuning::default()),
        }
    }
}

/// The state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seasoned {
    calendar: Calendar,
    clock: Clock,
    profile: Profile,
    distances: Hourly,
}

/// A σ is never smaller than this share of the value: a series that was constant must be able to round.
const ROUNDING: f64 = 1e-9;

impl Seasoned {
    pub(crate) fn observe(&mut self, at: Timestamp, value: f64) -> Score {
        if let Some(score) = crate::unusable(value) {
            return score;
        }
        let place = self.calendar.place(at);
        let residual = self.profile.residual(&place, value);
        let spread = residual.spread.max(residual.usual.abs() * ROUNDING).max(f64::MIN_POSITIVE);
        let sigmas = (residual.residual / spread).abs().min(limits::SIGMAS);
        let seen = self.profile.hours();
        let basis = self.profile.basis(&place);
        if self.clock.step(at) != Step::Behind {
            if seen >= f32::from(LEARNING_HOURS) {
                self.distances.take(place.hour, sigmas, &Tuning::default());
            }
            self.profile.learn(&place, value, &Tuning::default());
        }
        if seen < f32::from(LEARNING_HOURS) {
            let (seen, needed) = (seen as u32, u32::from(LEARNING_HOURS));
            return Score::nothing(Reason::Learning { seen, needed, unit: Unit::Hours });
        }
        let why = Reason::Far { sigmas, value, usual: residual.usual, spread, basis };
        Score { score: crate::likelihood(self.distances.tail().chance(sigmas)), raw: sigmas, why }
    }

    pub(crate) fn heap(&self) -> usize {
        self.profile.heap()
    }

    pub(crate) fn is_sound(&self) -> bool {
        Calendar::check(self.calendar.offset_minutes).is_ok()
            && self.clock.is_sound()
            && self.profile.is_sound()
            && self.distances.is_sound()
    }
}
