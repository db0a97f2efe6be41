//! The signs that something is not as usual: each a measure that is never negative, and large where the sign shows.

use serde::{Deserialize, Serialize};

use super::moves::Moves;
use crate::clock::{Clock, Step};
use crate::profile::Residual;
use crate::{Basis, Reason, Tuning, limits};

/// How many signs there are.
pub(super) const SIGNS: usize = 6;

/// Their places.
const AWAY: usize = 0;
const STEPPED: usize = 1;
const SHIFTED: usize = 2;
const STRAYED: usize = 3;
const RESTLESS: usize = 4;
const STILL: usize = 5;

/// What a single value adds to a mean over time is at most so many σ: a spike is not a shift.
const MOST: f64 = 8.0;

/// A mean over time is one of at least so many values.
pub(super) const LEAST_VALUES: f64 = 4.0;

/// What the signs are measured from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Signs {
    /// How far away it was on average over the shorter span, in σ.
    short: f32,
    /// Over the longer one.
    long: f32,
    moves: Moves,
}

/// What was measured of a value.
pub(super) struct Measured {
    pub measures: [f64; SIGNS],
    from: f64,
    value: f64,
    sigmas: f64,
    residual: Residual,
    readings: u32,
}

impl Signs {
    /// Measures the signs at a value.
    #[inline]
    pub(super) fn measure(
        &mut self,
        step: Step,
        clock: &Clock,
        value: f64,
        residual: Residual,
        tuning: &Tuning,
    ) -> Measured {
        let spread = residual.spread.max(self.moves.least_spread(residual.usual));
        let residual = Residual { spread, ..residual };
        let sigmas = (residual.residual / spread).clamp(-limits::SIGMAS, limits::SIGMAS);
        let from = self.moves.last();
        let moved = self.moves.observe(step, clock, value, residual, tuning.short_hours);
        if let Step::After(seconds) = step {
            let clipped = sigmas.clamp(-MOST, MOST);
            self.short +=
                (share(tuning.short_hours, seconds, clock) * (clipped - f64::from(self.short))) as f32;
            self.long += (share(tuning.long_hours, seconds, clock) * (clipped - f64::from(self.long))) as f32;
        }
        let mut measures = [0.0; SIGNS];
        measures[AWAY] = sigmas.abs();
        measures[STEPPED] = moved.step;
        measures[SHIFTED] = f64::from(self.short).abs();
        measures[STRAYED] = f64::from(self.long).abs();
        measures[RESTLESS] = moved.restless;
        measures[STILL] = moved.still;
        Measured { measures, from, value, sigmas, residual, readings: self.moves.same() }
    }

    /// The reason that the sign at `place` gives.
    pub(super) fn reason(&self, place: usize, measured: &Measured, basis: Basis, tuning: &Tuning) -> Reason {
        let Measured { value, residual, .. } = *measured;
        let usual = residual.usual;
        let shifted = |mean: f32, hours: f32| {
            let (sigmas, hours) = (f64::from(mean), f64::from(hours));
            Reason::Shifted { sigmas, hours, value, usual, basis }
        };
        match place {
            STEPPED => Reason::Stepped { from: measured.from, to: value, times: measured.measures[STEPPED] },
            SHIFTED => shifted(self.short, tuning.short_hours),
            STRAYED => shifted(self.long, tuning.long_hours),
            RESTLESS => Reason::Restless {
                times: measured.measures[RESTLESS].exp(),
                hours: f64::from(tuning.short_hours),
            },
            STILL => Reason::Still { value, readings: measured.readings },
            _ => Reason::Far { sigmas: measured.sigmas.abs(), value, usual, spread: residual.spread, basis },
        }
    }

    /// Adds how it usually moves to the sums of its kind.
    pub(super) fn teach(&self, sums: &mut [f64; 2]) {
        sums.iter_mut().zip(self.moves.usual()).for_each(|(sum, usual)| *sum += usual);
    }

    /// Of a series whose kind usually moves so.
    pub(super) fn of_kind(means: [f64; 2]) -> Self {
        Self { moves: Moves::of_kind(means), ..Self::default() }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.short.is_finite() && self.long.is_finite() && self.moves.is_sound()
    }
}

/// How much a value counts in an exponential mean over `hours` that stands `seconds` after the one before.
#[inline]
pub(super) fn share(hours: f32, seconds: f64, clock: &Clock) -> f64 {
    let span = (f64::from(hours) * 3600.0).max(LEAST_VALUES * clock.interval());
    -(-seconds / span).exp_m1()
}
