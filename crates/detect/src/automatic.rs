//! The detector that needs no settings.

mod evidence;
mod moves;
mod signs;

use record::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Step};
use crate::profile::{Calendar, Place, Profile};
use crate::{Reason, Result, Score, Tuning, Unit};
use evidence::Evidence;
use signs::Signs;

/// The detector that needs no settings. It learns what is usual at each hour of the day and the week, and watches for six signs
/// that something is not: a value far from it, a large step, being away for hours, being away for half a day, moving more than
/// usual, standing still. Each is held against the series' own history, and what they say together is the score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Automatic {
    /// Minutes that the clock of the people around the device is ahead of UTC, −1 080 to 1 080: their days and weeks are its
    /// seasons.
    pub utc_offset_minutes: i16,
    /// Not to be set.
    #[doc(hidden)]
    pub tuning: Tuning,
}

/// Hours of which nothing is said: there is nothing to compare the first day with.
const LEARNING_HOURS: u16 = 24;

impl Automatic {
    pub(crate) fn validate(&self) -> Result<()> {
        Calendar::check(self.utc_offset_minutes)?;
        self.tuning.check()
    }

    pub(crate) fn start(&self) -> Automated {
        Automated {
            calendar: Calendar { offset_minutes: self.utc_offset_minutes },
            tuning: self.tuning,
            clock: Clock::default(),
            profile: Profile::new(),
            signs: Signs::default(),
            evidence: Evidence::new(&self.tuning),
        }
    }
}

/// The state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Automated {
    calendar: Calendar,
    tuning: Tuning,
    clock: Clock,
    profile: Profile,
    signs: Signs,
    evidence: Evidence,
}

impl Automated {
    pub(crate) fn observe(&mut self, at: Timestamp, value: f64) -> Score {
        if let Some(score) = crate::unusable(value) {
            return score;
        }
        let place = self.calendar.place(at);
        let step = self.clock.step(at);
        if step == Step::Behind {
            // Scored as if it were next, by copies that are thrown away.
            let (mut signs, mut evidence) = (self.signs.clone(), self.evidence.clone());
            return self.score(&mut signs, &mut evidence, step, &place, value);
        }
        let mut signs = std::mem::take(&mut self.signs);
        if self.knows_enough() {
            self.evidence.turn(place.hour, &self.tuning);
        }
        let mut evidence = self.evidence.clone();
        let score = self.score(&mut signs, &mut evidence, step, &place, value);
        (self.signs, self.evidence) = (signs, evidence);
        self.profile.learn(&place, value, &self.tuning);
        score
    }

    fn score(
        &self,
        signs: &mut Signs,
        evidence: &mut Evidence,
        step: Step,
        place: &Place,
        value: f64,
    ) -> Score {
        let residual = self.profile.residual(place, value);
        let measured = signs.measure(step, &self.clock, value, residual, &self.tuning);
        if !self.knows_enough() {
            let seen = self.profile.hours() as u32;
            let needed = u32::from(LEARNING_HOURS);
            return Score::nothing(Reason::Learning { seen, needed, unit: Unit::Hours });
        }
        let found = evidence.weigh(&measured.measures);
        if found.surprise <= 0.0 {
            return Score::nothing(Reason::Usual);
        }
        let why = signs.reason(found.sign, &measured, self.profile.basis(place), &self.tuning);
        Score { score: crate::likelihood(found.chance), raw: found.surprise, why }
    }

    fn knows_enough(&self) -> bool {
        self.profile.hours() >= f32::from(LEARNING_HOURS)
    }

    pub(crate) fn heap(&self) -> usize {
        self.profile.heap()
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.tuning.check().is_ok()
            && Calendar::check(self.calendar.offset_minutes).is_ok()
            && self.clock.is_sound()
            && self.profile.is_sound()
            && self.signs.is_sound()
            && self.evidence.is_sound()
    }
}
