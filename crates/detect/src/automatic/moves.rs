//! How a series moves from value to value.

use serde::{Deserialize, Serialize};

use super::signs::share;
use crate::clock::{Clock, Step};
use crate::limits;
use crate::profile::Residual;

/// The memory of how much a series usually moves, in spans of what is of late. A series moves more at some hours than at others, so
/// what is usual is that of the hours around.
const USUAL_SPANS: f32 = 2.0;

/// At least so many values of it are remembered; and so many moves are seen before one is taken to be larger than usual.
const FEW: u16 = 50;

/// What a move adds to the means is at most so many usual ones.
const MOST: f64 = 8.0;

/// A σ is never taken to be smaller than this share of the resolution, or of the value itself: a series that was constant, or in
/// steps, must be able to round.
const OF_RESOLUTION: f64 = 0.3;
const OF_VALUE: f64 = 1e-9;

/// A gap of so many intervals ends what a move is measured from.
const GAP: f64 = 3.0;

/// A series that repeats this share of its values is not said to stand still: it often does.
const REPEATS: f32 = 0.5;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Moves {
    last: f64,
    last_residual: f64,
    /// The smallest difference of two values that follow one another and are not the same; 0 before there is one.
    resolution: f32,
    /// Moves seen, up to 2¹⁶.
    seen: u16,
    /// The mean move of late, without its sign.
    late: f32,
    /// The usual mean move.
    usual: f32,
    /// The share of values that are the one before.
    repeats: f32,
    /// How many values in a row were the same.
    same: u32,
}

/// What was measured of a move.
#[derive(Default)]
pub(super) struct Moved {
    /// The move in usual ones.
    pub step: f64,
    /// The logarithm of how much more than usual it moves of late; 0 where it is less.
    pub restless: f64,
    /// How many values in a row were the same, for a series that usually moves.
    pub still: f64,
}

impl Moves {
    /// The usual mean move, and the share of values that are the one before.
    pub(super) fn usual(&self) -> [f64; 2] {
        [f64::from(self.usual), f64::from(self.repeats)]
    }

    /// Of a series whose kind usually moves so.
    pub(super) fn of_kind([usual, repeats]: [f64; 2]) -> Self {
        let (usual, repeats) = (usual as f32, repeats as f32);
        Self { seen: FEW, late: usual, usual, repeats, ..Self::default() }
    }

    pub(super) fn last(&self) -> f64 {
        self.last
    }

    pub(super) fn same(&self) -> u32 {
        self.same
    }

    /// The least that a σ about `usual` can be.
    #[inline]
    pub(super) fn least_spread(&self, usual: f64) -> f64 {
        (OF_VALUE * usual.abs()).max(OF_RESOLUTION * f64::from(self.resolution)).max(1e-30)
    }

    #[inline]
    pub(super) fn observe(
        &mut self,
        step: Step,
        clock: &Clock,
        value: f64,
        residual: Residual,
        late_hours: f32,
    ) -> Moved {
        let (last, last_residual) = (self.last, self.last_residual);
        self.last = value;
        self.last_residual = residual.residual;
        let Step::After(seconds) = step else {
            self.same = 1;
            return Moved::default();
        };
        let slow = share(USUAL_SPANS * late_hours, seconds, clock).min(1.0 / f64::from(FEW));
        self.repeat(value, last, slow);
        if seconds > GAP * clock.interval() {
            return Moved { still: self.still(), ..Moved::default() };
        }
        let moved = (residual.residual - last_residual).abs();
        let least = self.least_spread(residual.usual);
        let step = (moved / f64::from(self.usual).max(least)).min(limits::SIGMAS);
        self.learn(moved, share(late_hours, seconds, clock), slow, least);
        Moved { step, restless: self.restless(least), still: self.still() }
    }

    fn repeat(&mut self, value: f64, last: f64, slow: f64) {
        let apart = (value - last).abs() as f32;
        self.same = if apart > 0.0 { 1 } else { self.same.saturating_add(1) };
        self.repeats += slow.max(1.0 / (f64::from(self.seen) + 1.0)) as f32
            * (f32::from(u8::from(apart == 0.0)) - self.repeats);
        if apart > 0.0 && (self.resolution == 0.0 || apart < self.resolution) {
            self.resolution = apart;
        }
    }

    fn learn(&mut self, moved: f64, late: f64, slow: f64, least: f64) {
        let most = if self.seen < FEW { f64::INFINITY } else { MOST * f64::from(self.usual).max(least) };
        let moved = moved.min(most);
        self.seen = self.seen.saturating_add(1);
        // Until enough was seen, all of it counts alike.
        let slow = slow.max(1.0 / f64::from(self.seen));
        self.late += (late * (moved - f64::from(self.late))) as f32;
        self.usual += (slow * (moved - f64::from(self.usual))) as f32;
    }

    fn restless(&self, least: f64) -> f64 {
        let usual = f64::from(self.usual).max(least);
        (f64::from(self.late) / usual).max(1.0).ln()
    }

    fn still(&self) -> f64 {
        if self.repeats > REPEATS { 0.0 } else { f64::from(self.same) }
    }

    pub(super) fn is_sound(&self) -> bool {
        let sizes = [self.resolution, self.late, self.usual, self.repeats];
        self.last.is_finite()
            && self.last_residual.is_finite()
            && sizes.iter().all(|size| size.is_finite() && *size >= 0.0)
    }
}
