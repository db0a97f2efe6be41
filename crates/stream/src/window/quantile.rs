//! The 95th percentile: exact for few values, a sketch for many.
//!
//! The p95 of n values is the one of rank ceil(0.95 n) by rising value (nearest rank): of fewer than 20 values the
//! largest. Up to [`EXACT_UP_TO`] values it is that value. Beyond, a DDSketch (C. Masson, J. E. Rim, H. K. Lee 2019)
//! gives one that differs from it by at most [`P95_RELATIVE_ERROR`] of it. A sketch counts values by the logarithm
//! of their size, so it does not depend on their order either.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};
use smallvec::SmallVec;

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

static CONFIG: LazyLock<Config> = LazyLock::new(|| Config::new(P95_RELATIVE_ERROR, BINS, f64::MIN_POSITIVE));

/// Values of which none is so many times as far from zero as another lie in few bins.
const NARROW: f64 = 1.25;
/// Nearer to zero they are counted one by one: the bounds of a bin would not be exact enough.
const SMALLEST_GROUPED: f64 = 1e-300;

/// Values that fall into one bin of a sketch, though perhaps not all that do.
struct Bin {
    value: f64,
    count: u64,
    /// Sizes of values that surely fall into it: from this one on, below that one.
    from: f64,
    to: f64,
}

impl Bin {
    /// The bin of a value.
    fn around(value: f64) -> Self {
        // How much of the bin, whose bounds are powers of gamma, lies below it. With e^y >= 1 + y the bounds found are within the
        // bin's, by more than what the logarithm is off by.
        let at = CONFIG.log_gamma(value.abs());
        let (below, width) = (at - at.floor(), CONFIG.gamma.ln());
        let margin = 1e-9;
        let from = value.abs() / (1.0 + below * width) * (1.0 + margin);
        let to = value.abs() * (1.0 + (1.0 - below) * width) * (1.0 - margin);
        Self { value, count: 1, from, to }
    }

    #[inline]
    fn holds(&self, value: f64) -> bool {
        value == self.value || self.from <= value.abs() && value.abs() < self.to
    }
}

/// How many values there are of which size.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Sketch(DDSketch);

impl Sketch {
    pub(super) fn new() -> Self {
        Self(DDSketch::new(*CONFIG))
    }

    /// Counts finite values, of which the smallest and the largest are given. Where they lie close together, as those of most
    /// sensors do, those that fall into one bin are counted there together: a logarithm a bin, not one a value.
    pub(super) fn add_all(&mut self, values: &[f64], min: f64, max: f64) {
        let (near, far) = if min > 0.0 { (min, max) } else { (-max, -min) };
        // Not so where zero lies between them.
        if near < SMALLEST_GROUPED || far > near * NARROW {
            values.iter().for_each(|&value| self.0.add(value));
            return;
        }
        let mut bins: SmallVec<[Bin; 16]> = SmallVec::new();
        for &value in values {
            match bins.iter_mut().find(|bin| bin.holds(value)) {
                Some(bin) => bin.count += 1,
                None => bins.push(Bin::around(value)),
            }
        }
        bins.iter().for_each(|bin| self.0.add_with_count(bin.value, bin.count));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values of one sensor: close together, or not, on one side of zero, or not; some on the bounds of bins.
    fn values() -> impl Strategy<Value = Vec<f64>> {
        let bound =
            (-40_000..40_000).prop_map(|key| CONFIG.pow_gamma(key)).prop_filter("finite", |x| x.is_finite());
        let middle = prop_oneof![4 => -1e4..1e4, 1 => prop::num::f64::NORMAL, 2 => bound];
        let of_middle = (middle, prop_oneof![Just(1e-12), Just(0.01), Just(0.1), Just(3.0)]);
        of_middle.prop_flat_map(|(middle, width)| {
            let value = (-1.0..1.0).prop_map(move |share| middle + middle * width * share);
            prop::collection::vec(value.prop_filter("finite", |value: &f64| value.is_finite()), 1..130)
        })
    }

    proptest! {
        #[test]
        fn counted_together_or_one_by_one_values_fall_into_the_same_bins(values in values()) {
            let (min, max) =
                values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), &x| (x.min(min), x.max(max)));
            let (mut together, mut each) = (Sketch::new(), Sketch::new());
            together.add_all(&values, min, max);
            values.iter().for_each(|&value| each.0.add(value));
            for rank in 1..=40 {
                let q = f64::from(rank) / 41.0;
                prop_assert_eq!(together.0.quantile(q).unwrap(), each.0.quantile(q).unwrap(), "of {}", q);
            }
            prop_assert_eq!(together.0.count(), each.0.count());
        }
    }
}
