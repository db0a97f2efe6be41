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
    match (sum(values), deviation(values)) {
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

/// The exact sum, rounded; `None` when this way cannot tell.
fn sum(values: &[f64]) -> Option<f64> {
    // The sum is exactly sum + lost + what the additions to `lost` lost, of which `rest` tells whether it is zero.
    let (mut sum, mut lost, mut rest) = (0.0, 0.0, 0.0);
    for &value in values {
        let error;
        (sum, error) = two_sum(sum, value);
        let error_again;
        (lost, error_again) = two_sum(lost, error);
        rest += error_again.abs();
    }
    // A sum of zero has no sign; a rest that is not a number is one of an overflow.
    (rest == 0.0).then_some(sum + lost + 0.0).filter(|sum| sum.is_finite())
}

/// The standard deviation from the exact count^2 * variance, rounded; `None` when this way cannot tell.
///
/// With d = v - c for any c, n * sum(d^2) - sum(d)^2 does not depend on c. A c among the values makes the two terms
/// about as small as their difference; it may be used where every v - c is exact.
fn deviation(values: &[f64]) -> Option<f64> {
    let first = values[0];
    let inexact: f64 = values.iter().map(|&value| two_sum(value, -first).1.abs()).sum();
    let center = if inexact == 0.0 { first } else { 0.0 };
    let (mut sum, mut sum_low, mut squares, mut squares_low) = (0.0, 0.0, 0.0, 0.0);
    for &value in values {
        let d = value - center;
        let error;
        (sum, error) = two_sum(sum, d);
        sum_low += error;
        let (square, square_low) = square_of(d);
        let error;
        (squares, error) = two_sum(squares, square);
        squares_low += error + square_low;
    }
    // Bounds within which no product over- or underflows as far as it matters; they refuse NaN, too.
    if !(2e-270..=1e290).contains(&squares) {
        return None;
    }
    let count = values.len() as f64;
    let (left, left_low) = product(count, squares);
    let (right, right_low) = square_of(sum);
    let (high, low) = two_sum(left, -right);
    let low = low + ((left_low + count * squares_low) - (right_low + 2.0 * sum * sum_low));
    // With u = 2^-53 and n <= 64, each of the two sums is off by at most (n u)^2 = 2^-94 of its sum of absolutes
    // (Ogita, Rump and Oishi, propositions 4.5 and 5.5), and sum(|d|)^2 <= n sum(d^2): together less than 2^-92
    // of `left`; the operations after them add less than 2^-96 of it.
    let bound = left * (1.0 / (1_u128 << 90) as f64);
    let (below, above) = (high + (low - bound), high + (low + bound));
    (below == above && above > 0.0).then_some(above.sqrt() / count)
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
fn square_of(a: f64) -> (f64, f64) {
    let square = a * a;
    let (high, low) = halves(a);
    (square, low * low - ((square - high * high) - 2.0 * (high * low)))
}

const _: () = assert!(FEW <= 64, "the bound of `deviation` holds for so many values");
