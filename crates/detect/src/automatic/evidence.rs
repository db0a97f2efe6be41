//! What the signs say together.

use serde::{Deserialize, Serialize};

use super::signs::{LEAST_VALUES, SIGNS};
use crate::Tuning;
use crate::tail::Tail;

/// The tails of the signs, and the greatest measures of the hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Evidence {
    tails: [Tail; SIGNS],
    greatest: [f32; SIGNS],
    hour: Option<i64>,
}

/// What was found.
pub(super) struct Found {
    /// The signs' surprises together: the square root of the sum of their squares.
    pub surprise: f64,
    /// In which share of its hours a healthy series shows this much.
    pub chance: f64,
    /// The sign that says most.
    pub sign: usize,
}

impl Evidence {
    pub(super) fn new(tuning: &Tuning) -> Self {
        Self { tails: [Tail::new(tuning); SIGNS], greatest: [0.0; SIGNS], hour: None }
    }

    /// With tails that begin with what others of the kind know.
    pub(super) fn of_kind(tails: [Tail; SIGNS]) -> Self {
        Self { tails, greatest: [0.0; SIGNS], hour: None }
    }

    pub(super) fn tails(&self) -> &[Tail; SIGNS] {
        &self.tails
    }

    /// When an hour is over, the tails learn its greatest measures.
    #[inline]
    pub(super) fn turn(&mut self, hour: i64, tuning: &Tuning) {
        if self.hour == Some(hour) {
            return;
        }
        if self.hour.is_some() {
            for (tail, greatest) in self.tails.iter_mut().zip(self.greatest) {
                tail.learn(f64::from(greatest), tuning);
            }
        }
        self.greatest = [0.0; SIGNS];
        self.hour = Some(hour);
    }

    /// Puts the signs together. A sign's surprise is −ln of the share of healthy hours that show as much of it. Their Euclidean
    /// length lies between the largest alone, which is blind to three signs that are each almost sure, and Fisher's sum, which
    /// takes six views of one thing for six things. That a healthy series exceeds a length of c in about `SIGNS · e^(−c)` of its
    /// hours was measured, not derived (docs/decisions/detectors.md). Where values are rarer than [`LEAST_VALUES`] an hour, a mean
    /// over time is one of fewer of them, one odd value shows in more signs at once, and a length is as much more frequent.
    #[inline]
    pub(super) fn weigh(&mut self, measures: &[f64; SIGNS], per_hour: f64) -> Found {
        let (mut squares, mut most, mut sign) = (0.0, 0.0, 0);
        for (place, measure) in measures.iter().enumerate() {
            self.greatest[place] = self.greatest[place].max(*measure as f32);
            let surprise = -self.tails[place].chance(*measure).max(f64::MIN_POSITIVE).ln();
            squares += surprise * surprise;
            if surprise > most {
                (most, sign) = (surprise, place);
            }
        }
        let surprise = f64::sqrt(squares);
        let coincide = (LEAST_VALUES / per_hour).max(1.0);
        Found { surprise, chance: (SIGNS as f64 * coincide * (-surprise).exp()).min(1.0), sign }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.tails.iter().all(Tail::is_sound) && self.greatest.iter().all(|greatest| greatest.is_finite())
    }
}
