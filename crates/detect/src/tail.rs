//! How often a healthy series shows a measure this large: learned from the series itself, in a few numbers.

use serde::{Deserialize, Serialize};

use crate::Tuning;

/// What one value adds to the tail's mean is at most so many of it: an anomaly must not make the next one look usual.
const MOST: f32 = 8.0;

/// The heaviest tail that is believed: with a larger shape a distribution has no variance.
const HEAVIEST: f32 = 0.45;

/// What others know counts as so many hours of its own.
const KIND_HOURS: f32 = 48.0;

/// Excesses before which none is taken to be an anomaly: their mean is not known.
const FEW: f32 = 5.0;

/// The upper tail of a measure that is never negative, of which one value an hour is learned from, its greatest: a generalised
/// Pareto distribution over a threshold that a fixed share of the values exceeds ("peaks over threshold": Pickands 1975; on
/// streams: Siffer et al. 2017), fitted by the moments of the excesses (Hosking and Wallis 1987). All of it are exponentially
/// weighted means, so the size does not grow.
///
/// Few excesses say little of a tail, so its shape is never lighter than their number allows: with k of them, the predictive
/// distribution of an exponential tail is a Pareto one of shape 1/k.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tail {
    /// Values seen, up to the memory.
    seen: f32,
    threshold: f32,
    /// Which share of the values was above the threshold.
    share: f32,
    /// Excesses seen, up to that share of the memory.
    excesses: f32,
    mean: f32,
    square: f32,
}

impl Tail {
    /// Nothing seen: the tail of a measure whose σ is about 1.
    pub(crate) fn new(tuning: &Tuning) -> Self {
        Self { seen: 0.0, threshold: 1.0, share: tuning.tail_share, excesses: 2.0, mean: 1.0, square: 2.0 }
    }

    /// In which share of its hours a healthy series shows `measure` or more; 1 below the tail.
    #[inline]
    pub(crate) fn chance(&self, measure: f64) -> f64 {
        let excess = measure - f64::from(self.threshold);
        if excess <= 0.0 {
            return 1.0;
        }
        let (shape, scale) = self.shape_and_scale();
        f64::from(self.share) * (-(shape * excess / scale).ln_1p() / shape).exp()
    }

    /// Learns from an hour's greatest measure.
    pub(crate) fn learn(&mut self, measure: f64, tuning: &Tuning) {
        let value = measure as f32; // measures are capped far below what an f32 holds
        self.seen = (self.seen + 1.0).min(tuning.tail_hours);
        if self.seen == 1.0 {
            self.threshold = value;
        }
        let excess = value - self.threshold;
        let above = excess > 0.0;
        self.share += (f32::from(u8::from(above)) - self.share) / (self.seen + 10.0);
        if above {
            self.excesses = (self.excesses + 1.0).min((tuning.tail_hours * tuning.tail_share).max(FEW));
            let excess = if self.excesses > FEW { excess.min(MOST * self.mean) } else { excess };
            self.mean += (excess - self.mean) / self.excesses;
            self.square += (excess * excess - self.square) / self.excesses;
        }
        // Robbins and Monro: the threshold walks to where the shares balance, in steps of the tail's own size.
        let size = (self.mean + 0.05 * self.threshold).max(1e-6);
        let step = size * (4.0 / (self.seen + 4.0)).max(0.05);
        let share = tuning.tail_share;
        self.threshold = (self.threshold + step * if above { 1.0 - share } else { -share }).max(0.0);
    }

    /// By the moments of the excesses.
    #[inline]
    fn shape_and_scale(&self) -> (f64, f64) {
        let mean = self.mean.max(1e-6);
        let variance = (self.square - mean * mean).max(1e-12);
        let shape = 0.5 * (1.0 - mean * mean / variance);
        let shape = shape.min(HEAVIEST).max(1.0 / self.excesses);
        (f64::from(shape), f64::from(mean * (1.0 - shape)))
    }

    /// The sums of what it knows, for [`Tail::of_kind`].
    pub(crate) fn sums(&self) -> [f64; 4] {
        [self.threshold, self.share, self.mean, self.square].map(f64::from)
    }

    /// A tail that begins with the means of others' [`Tail::sums`], which count as if it had seen them in two days.
    pub(crate) fn of_kind(means: [f64; 4]) -> Self {
        let [threshold, share, mean, square] = means.map(|mean| mean as f32);
        Self { seen: KIND_HOURS, threshold, share, excesses: (KIND_HOURS * share).max(2.0), mean, square }
    }

    pub(crate) fn is_sound(&self) -> bool {
        let all = [self.seen, self.threshold, self.share, self.excesses, self.mean, self.square];
        all.iter().all(|number| number.is_finite() && *number >= 0.0)
            && self.excesses >= 2.0
            && self.share <= 1.0
    }
}
