//! The 95th percentile: exact for few values, a sketch for many.
//!
//! The p95 of n values is the one of rank ceil(0.95 n) by rising value (nearest rank): of fewer than 20 values the
//! largest. Up to [`EXACT_UP_TO`] values it is that value. Beyond, a DDSketch (C. Masson, J. E. Rim, H. K. Lee 2019)
//! gives one that differs from it by at most [`P95_RELATIVE_ERROR`] of it. A sketch counts values by the logarithm
//! of their size, so it does not depend on their order either.

use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

use super::cell::FEW;

/// Up to so many values, the 95th percentile is one of them.
pub const EXACT_UP_TO: u64 = FEW as u64;

/// By how much of it a percentile of more values may be off. Values below 2.3e-308 count as zero; where a window's
/// values of one sign span more than 17 orders of magnitude, the smallest are taken together.
pub const P95_RELATIVE_ERROR: f64 = 0.01;

/// Bins a sketch may have for each sign, 8 bytes each: 2048 bins of 2 % span 17 orders of magnitude.
const BINS: u32 = 2048;

/// The p95 of one to [`FEW`] values, of which the largest is given.
pub(super) fn p95_of_few(values: &[f64], max: f64) -> f64 {
    // The rank from above is at most the fourth of 64.
    match values.len() / 20 {
        0 => max,
        1 => nth_largest::<2>(values),
        2 => nth_largest::<3>(values),
        _ => nth_largest::<4>(values),
    }
}

/// The value of rank N from above, of at least N.
fn nth_largest<const N: usize>(values: &[f64]) -> f64 {
    let mut top = [f64::NEG_INFINITY; N];
    for &value in values {
        let mut value = value;
        for place in &mut top {
            // Not `f64::max`: its care for NaN costs more than all else here.
            (*place, value) = if value > *place { (value, *place) } else { (*place, value) };
        }
    }
    top[N - 1]
}

const _: () = assert!(FEW / 20 == 3, "`p95_of_few` knows the ranks up to so many values");

/// How many values there are of which size.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Sketch(DDSketch);

impl Sketch {
    pub(super) fn new() -> Self {
        Self(DDSketch::new(Config::new(P95_RELATIVE_ERROR, BINS, f64::MIN_POSITIVE)))
    }

    /// Counts a finite value.
    pub(super) fn add(&mut self, value: f64) {
        self.0.add(value);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0).expect("all sketches have one configuration");
    }

    /// The p95 of `count` values, more than [`FEW`], between the smallest and the largest.
    pub(super) fn p95(&self, count: u64, min: f64, max: f64) -> f64 {
        // The crate takes the value of rank floor(q (n - 1)), counted from 0: this q has the nearest rank there.
        let rank = count - count / 20 - 1;
        let q = (rank as f64 + 0.5) / (count as f64 - 1.0);
        let value = self.0.quantile(q.min(1.0)).expect("it is a quantile").expect("it has counted values");
        value.clamp(min, max)
    }

    /// Bytes it takes on the heap.
    pub(super) fn bytes(&self) -> usize {
        8 * self.0.length()
    }
}

impl std::fmt::Debug for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sketch({} bins)", self.0.length())
    }
}
