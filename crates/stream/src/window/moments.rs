//! Sum and standard deviation of a few values, correctly rounded, quickly.
//!
//! Error-free transformations (T. J. Dekker 1971; D. E. Knuth, The Art of Computer Programming 2, 4.2.2;
//! T. Ogita, S. M. Rump, S. Oishi 2005, "Accurate sum and dot product") give the sum of values and of squares as
//! pairs of doubles with a bound on what is missing. Where the bound leaves only one way to round, that is the
//! result; otherwise [`Exact`] decides. Both ways round the same exact number, so which one was taken cannot be
//! seen.

use super::cell::FEW;
use super::exact::{Exact, SUM_UNIT, spread};

/// What is rounded from the exact sum and the exact sum of squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moments {
    pub(super) sum: f64,
    pub(super) avg: f64,
    pub(super) stddev: f64,
}

/// The moments of one to [`FEW`] finite values, of which the smallest and the largest are given.
pub(super) fn few(values: &[f64], min: f64, max: f64) -> Moments {
    let count = values.len() as u64;
    if min == max {
        // n * v has one rounding, that of the exact sum.
        return Moments { sum: count as f64 * min, avg: min, stddev: 0.0 };
    }
    let (sums, exact) = Sums::of(values, values[0]);
    // A centre among the values makes the squares small; it serves if all distances to it are exact.
    let centred = if exact { sums } else { Sums::of(values, 0.0).0 };
    match (sums.sum(), centred.deviation(count as f64)) {
        (Some(sum), Some(stddev)) => Moments { sum, avg: (sum / count as f64).clamp(min, max), stddev },
        _ => few_exactly(values, min, max),
    }
}

/// The moments of `count` finite values, from their exact sum and sum of squares.
pub(super) fn many(count: u64, sum: &Exact, squares: &Exact, min: f64, max: f64) -> Moments {
    let rounded = sum.rounded(SUM_UNIT);
    Moments {
        sum: rounded.to_f64(),
        // The mean lies between the extremes; the quotient of roundings may miss them by a bit.
        avg: rounded.over(count).to_f64().clamp(min, max),
        stddev: spread(count, sum, squares).sqrt().over(count).to_f64(),
    }
}

#[cold]
fn few_exactly(values: &[f64], min: f64, max: f64) -> Moments {
    let (mut sum, mut squares) = (Exact::default(), Exact::default());
    for &value in values {
        sum.add(value);
        squares.add_square(value);
    }
    many(values.len() as u64, &sum, &squares, min, max)
}

/// As many sums side by side as the processor can add at once, or twice as many.
const LANES: usize = 4;

type Lanes = [f64; LANES];

/// The sums over the values v, and over their distances d = v - centre to one of them or to zero. What an addition loses is
/// added up in another one.
#[derive(Clone, Copy, Default)]
struct Sums {
    sum: f64,
    sum_lost: f64,
    /// Zero if nothing was lost by `sum_lost`.
    rest: f64,
    distances: f64,
    distances_lost: f64,
    squares: f64,
    squares_lost: f64,
}

impl Sums {
    /// The sums, and whether all distances are exact.
    fn of(values: &[f64], centre: f64) -> (Self, bool) {
        let mut lanes = SumLanes::default();
        let (chunks, rest) = values.as_chunks();
        for chunk in chunks {
            lanes.add(*chunk, *chunk, centre);
        }
        if !rest.is_empty() {
            // What fills up the lanes adds nothing: zeros, and values without distance.
            let (mut values, mut placed) = ([0.0; LANES], [centre; LANES]);
            values[..rest.len()].copy_from_slice(rest);
            placed[..rest.len()].copy_from_slice(rest);
            lanes.add(values, placed, centre);
        }
        (lanes.joined(), lanes.inexact == [0.0; LANES])
    }

    /// The exact sum, rounded; `None` when this way cannot tell.
    fn sum(&self) -> Option<f64> {
        // A sum of zero has no sign; a rest that is not a number is one of an overflow.
        (self.rest == 0.0).then_some(self.sum + self.sum_lost + 0.0).filter(|sum| sum.is_finite())
    }

    /// The standard deviation from the exact count^2 * variance, rounded; `None` when this way cannot tell.
    fn deviation(&self, count: f64) -> Option<f64> {
        // Bounds within which no product over- or underflows as far as it matters; they refuse NaN, too.
        if !(2e-270..=1e290).contains(&self.squares) {
            return None;
        }
        // n sum(d^2) - sum(d)^2, which is the same for any centre.
        let (left, left_lost) = product(count, self.squares);
        let (right, right_lost) = square(self.distances);
        let (high, low) = two_sum(left, -right);
        let left_lost = left_lost + count * self.squares_lost;
        let right_lost = right_lost + 2.0 * self.distances * self.distances_lost;
        let low = low + (left_lost - right_lost);
        // With u = 2^-53, 64 values make at most 68 errors of at most u times the sum of absolutes each, or twice as many
        // of half the size, which are added up with at most 40 roundings each: the two sums are off by less than 2^-94 of
        // the sums of absolutes (after Ogita, Rump and Oishi, propositions 4.5 and 5.5), and sum(|d|)^2 <= n sum(d^2):
        // together less than 2^-92 of `left`. The operations here add less than 2^-96 of it.
        let bound = left * (1.0 / (1_u128 << 90) as f64);
        let (below, above) = (high + (low - bound), high + (low + bound));
        (below == above && above > 0.0).then_some(above.sqrt() / count)
    }
}

#[derive(Default)]
struct SumLanes {
    sum: Lanes,
    sum_lost: Lanes,
    rest: Lanes,
    inexact: Lanes,
    distances: Lanes,
    distances_lost: Lanes,
    squares: Lanes,
    squares_lost: Lanes,
}

impl SumLanes {
    /// Adds a value to each lane; `placed` is what its distance is taken of.
    #[inline]
    fn add(&mut self, values: Lanes, placed: Lanes, centre: f64) {
        let lost;
        (self.sum, lost) = two_sums(self.sum, values);
        let lost_again;
        (self.sum_lost, lost_again) = two_sums(self.sum_lost, lost);
        let (distances, inexact) = two_sums(placed, [-centre; LANES]);
        let lost;
        (self.distances, lost) = two_sums(self.distances, distances);
        let (squares, squares_rest) = squares(distances);
        let squares_lost;
        (self.squares, squares_lost) = two_sums(self.squares, squares);
        for lane in 0..LANES {
            self.rest[lane] += lost_again[lane].abs();
            self.inexact[lane] += inexact[lane].abs();
            self.distances_lost[lane] += lost[lane];
            self.squares_lost[lane] += squares_lost[lane] + squares_rest[lane];
        }
    }

    /// The lanes' sums together.
    fn joined(&self) -> Sums {
        let mut all = Sums::default();
        for lane in 0..LANES {
            let lost;
            (all.sum, lost) = two_sum(all.sum, self.sum[lane]);
            let (more, rest) = two_sum(all.sum_lost, lost);
            let rest_again;
            (all.sum_lost, rest_again) = two_sum(more, self.sum_lost[lane]);
            all.rest += self.rest[lane] + rest.abs() + rest_again.abs();
            let lost;
            (all.distances, lost) = two_sum(all.distances, self.distances[lane]);
            all.distances_lost += lost + self.distances_lost[lane];
            let lost;
            (all.squares, lost) = two_sum(all.squares, self.squares[lane]);
            all.squares_lost += lost + self.squares_lost[lane];
        }
        all
    }
}

/// [`two_sum`] in each lane.
#[inline]
fn two_sums(a: Lanes, b: Lanes) -> (Lanes, Lanes) {
    let mut lost = [0.0; LANES];
    let mut sums = [0.0; LANES];
    for lane in 0..LANES {
        (sums[lane], lost[lane]) = two_sum(a[lane], b[lane]);
    }
    (sums, lost)
}

/// [`square`] in each lane.
#[inline]
fn squares(a: Lanes) -> (Lanes, Lanes) {
    let mut lost = [0.0; LANES];
    let mut squares = [0.0; LANES];
    for lane in 0..LANES {
        (squares[lane], lost[lane]) = square(a[lane]);
    }
    (squares, lost)
}

/// Rounded sum and exact rest of any two numbers (Knuth).
#[inline]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_there = sum - a;
    (sum, (a - (sum - b_there)) + (b - b_there))
}

/// Two halves of a number of at most 26 bits each (Dekker, Veltkamp).
#[inline]
fn halves(a: f64) -> (f64, f64) {
    let scaled = a * 134_217_729.0; // 2^27 + 1
    let high = scaled - (scaled - a);
    (high, a - high)
}

/// Rounded product and exact rest (Dekker). Not a fused multiply-add: the base of x86-64 has none, and a call of
/// the library's costs more.
#[inline]
fn product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    let ((a_high, a_low), (b_high, b_low)) = (halves(a), halves(b));
    (product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low))
}

#[inline]
fn square(a: f64) -> (f64, f64) {
    let square = a * a;
    let (high, low) = halves(a);
    (square, low * low - ((square - high * high) - 2.0 * (high * low)))
}

const _: () = assert!(FEW <= 64, "the bound of `Sums::deviation` holds for so many values");
