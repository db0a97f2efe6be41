//! Detectors over the last N values: their mean and σ, or their median and the median distance from it.

mod ring;
mod sorted;

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Step};
use crate::{Basis, Error, Reason, Result, Score, Unit, limits, normal};
use record::Timestamp;
pub(crate) use ring::Ring;
pub(crate) use sorted::Sorted;

/// How far a value is from the mean of the last ones, in their standard deviations.
///
/// Cheap, and right where values scatter about a mean without seasons. An anomaly among the last values makes σ larger and hides
/// the next one; [`Robust`] does not have this weakness.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ZScore {
    /// Over how many of the last values: 8 to [`limits::WINDOW`].
    pub last: u16,
}

/// How far a value is from the median of the last ones, in the σ that a normal distribution with their median absolute
/// deviation has. Up to half of the last values may be anomalies without moving it much.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Robust {
    /// Over how many of the last values: 8 to [`limits::WINDOW`].
    pub last: u16,
}

/// Values a detector over the last ones must have seen before it says anything.
const NEEDED: u16 = 8;

/// A σ is never taken to be smaller than this share of the usual value: a constant series must be able to round.
const ROUNDING: f64 = 1e-9;

/// The σ of a normal distribution, in its median absolute deviations.
const SIGMA_PER_MAD: f64 = 1.482_602_218_505_602;

impl Default for ZScore {
    fn default() -> Self {
        Self { last: 100 }
    }
}

impl Default for Robust {
    fn default() -> Self {
        Self { last: 100 }
    }
}

impl ZScore {
    pub(crate) fn validate(&self) -> Result<()> {
        check_last(self.last)
    }

    pub(crate) fn start(&self) -> Recent<Ring> {
        Recent { clock: Clock::default(), window: Ring::new(self.last) }
    }
}

impl Robust {
    pub(crate) fn validate(&self) -> Result<()> {
        check_last(self.last)
    }

    pub(crate) fn start(&self) -> Recent<Sorted> {
        Recent { clock: Clock::default(), window: Sorted::new(self.last) }
    }
}

fn check_last(last: u16) -> Result<()> {
    if (NEEDED..=limits::WINDOW).contains(&last) {
        return Ok(());
    }
    Err(Error::Setting { setting: "last", found: f64::from(last), wanted: "8 to 1024 values" })
}

/// The state: the last values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recent<W> {
    clock: Clock,
    window: W,
}

/// The last values, and what is usual among them.
pub(crate) trait Window {
    /// How many there are.
    fn seen(&self) -> u16;
    /// Their middle and σ.
    fn usual(&self) -> (f64, f64);
    /// Takes one more; the oldest goes.
    fn push(&mut self, value: f64);
    /// Bytes on the heap.
    fn heap(&self) -> usize;
    /// Whether the invariants hold: of a state that was read.
    fn is_sound(&self) -> bool;
}

impl<W: Window> Recent<W> {
    #[inline]
    pub(crate) fn observe(&mut self, at: Timestamp, value: f64) -> Score {
        if let Some(score) = crate::unusable(value) {
            return score;
        }
        let step = self.clock.step(at);
        let score = self.score(value);
        if step != Step::Behind {
            self.window.push(value);
        }
        score
    }

    pub(crate) fn heap(&self) -> usize {
        self.window.heap()
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.window.is_sound() && self.clock.is_sound()
    }

    #[inline]
    fn score(&self, value: f64) -> Score {
        let seen = self.window.seen();
        if seen < NEEDED {
            let (seen, needed) = (u32::from(seen), u32::from(NEEDED));
            return Score::nothing(Reason::Learning { seen, needed, unit: Unit::Values });
        }
        let (usual, spread) = self.window.usual();
        let spread = spread.max(usual.abs() * ROUNDING).max(f64::MIN_POSITIVE);
        let sigmas = ((value - usual) / spread).abs().min(limits::SIGMAS);
        // Of the values of an hour, any one.
        let chance = (normal::two_sided(sigmas) * self.clock.per_hour()).min(1.0);
        let why = Reason::Far { sigmas, value, usual, spread, basis: Basis::Last(seen) };
        Score { score: crate::likelihood(chance), raw: sigmas, why }
    }
}
