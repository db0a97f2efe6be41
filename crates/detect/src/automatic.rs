//! The detector that needs no settings.

mod evidence;
mod moves;
mod signs;

use record::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Step};
use crate::profile::{Calendar, Kind, Place, Profile};
use crate::tail::Tail;
use crate::{Reason, Result, Score, Tuning, Unit};
use evidence::Evidence;
use signs::{SIGNS, Signs};

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
    #[serde(skip_serializing_if = "Tuning::is_default")]
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

/// Hours after which a series may stand for its kind: a week, so that a whole one is known.
const KNOWN_HOURS: f32 = 168.0;

/// A series with a prior has so many hours to find its level.
const PRIMED_HOURS: u16 = 2;

/// The sums of what the series of a kind know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AutomaticKind {
    profile: Kind,
    tails: [[f64; 4]; SIGNS],
    /// Of the usual moves, and of the shares of values that repeat the one before.
    moves: [f64; 2],
}

impl AutomaticKind {
    pub(crate) fn new() -> Self {
        Self { profile: Kind::new(), tails: [[0.0; 4]; SIGNS], moves: [0.0; 2] }
    }

    pub(crate) fn series(&self) -> f64 {
        self.profile.profiles
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.profile.merge(&other.profile);
        let sums = self.tails.iter_mut().flatten().chain(&mut self.moves);
        sums.zip(other.tails.iter().flatten().chain(&other.moves)).for_each(|(sum, other)| *sum += other);
    }

    /// The state of a series of the kind.
    pub(crate) fn start(&self, automatic: &Automatic) -> Automated {
        let mean = |sum: f64| sum / self.series().max(1.0);
        let tails = self.tails.map(|sums| Tail::of_kind(sums.map(mean)));
        Automated {
            profile: self.profile.start(f32::from(LEARNING_HOURS - PRIMED_HOURS)),
            signs: Signs::of_kind(self.moves.map(mean)),
            evidence: Evidence::of_kind(tails),
            ..automatic.start()
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        let sums = self.tails.iter().flatten().chain(&self.moves);
        self.profile.is_sound() && sums.into_iter().all(|sum| (0.0..1e30).contains(sum))
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
        let found = evidence.weigh(&measured.measures, self.clock.per_hour());
        if found.surprise <= 0.0 {
            return Score::nothing(Reason::Usual);
        }
        let why = signs.reason(found.sign, &measured, self.profile.basis(place), &self.tuning);
        Score { score: crate::likelihood(found.chance), raw: found.surprise, why }
    }

    fn knows_enough(&self) -> bool {
        self.profile.hours() >= f32::from(LEARNING_HOURS)
    }

    /// What it adds to its kind; nothing before it knows enough itself.
    pub(crate) fn teach(&self, kind: &mut AutomaticKind) -> bool {
        if self.profile.hours() < KNOWN_HOURS {
            return false;
        }
        kind.profile.learn(&self.profile);
        for (sums, tail) in kind.tails.iter_mut().zip(self.evidence.tails()) {
            sums.iter_mut().zip(tail.sums()).for_each(|(sum, other)| *sum += other);
        }
        self.signs.teach(&mut kind.moves);
        true
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
