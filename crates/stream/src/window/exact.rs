//! Sums without rounding: a fixed-point number wide enough for every `f64` and every square of one.
//!
//! After U. Kulisch's long accumulator; only the limbs in use are kept (sums of one metric's values use four
//! or five). Adding is exact, so the order does not matter; rounding happens once, at the end.

use serde::{Deserialize, Serialize};

/// Bit 0 of an [`Exact`] sum is 2^-1088, of a sum of squares 2^-2176: both below the smallest term, both
/// whole limbs, and the square of a sum has the unit of a sum of squares.
pub(super) const SUM_UNIT: i32 = -1088;
pub(super) const SQUARES_UNIT: i32 = 2 * SUM_UNIT;

const LIMB: u32 = 64;

/// So many values are added to each other: mantissas of 53 bits, moved by up to [`APART`], have squares of 120 bits, and so many
/// of these 127.
const TOGETHER: usize = 128;
/// How far their exponents may lie apart.
const APART: i32 = 7;
/// The exponent of the smallest `f64`.
const SMALLEST: i32 = -1074;

/// A whole number of units in two's complement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exact {
    /// Which limb `limbs[0]` is.
    low: u16,
    limbs: Vec<u64>,
}

/// A number rounded to 53 bits and otherwise without bounds: `mantissa * 2^exponent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rounded {
    pub(super) mantissa: f64,
    pub(super) exponent: i32,
}

impl Exact {
    /// Adds a value, which must be finite. For a number of unit [`SUM_UNIT`].
    pub(super) fn add(&mut self, value: f64) {
        let (negative, mantissa, exponent) = parts(value);
        self.add_term(negative, u128::from(mantissa), exponent - SUM_UNIT);
    }

    /// Adds a value's square. For a number of unit [`SQUARES_UNIT`].
    pub(super) fn add_square(&mut self, value: f64) {
        let (_, mantissa, exponent) = parts(value);
        self.add_term(false, u128::from(mantissa) * u128::from(mantissa), 2 * exponent - SQUARES_UNIT);
    }

    /// Adds values, which must be finite, to a sum of unit [`SUM_UNIT`], and their squares to one of unit [`SQUARES_UNIT`]. Where
    /// they are of about one size, as those of a metric are, they are added to each other first.
    pub(super) fn add_all(sum: &mut Self, squares: &mut Self, values: &[f64]) {
        for values in values.chunks(TOGETHER) {
            let exponents =
                values.iter().map(|&value| parts(value)).filter(|&(_, mantissa, _)| mantissa != 0);
            let Some(most) = exponents.map(|(.., exponent)| exponent).max() else { continue };
            let least = (most - APART).max(SMALLEST);
            let (mut total, mut of_squares) = (0_i128, 0_u128);
            for &value in values {
                let (negative, mantissa, exponent) = parts(value);
                if exponent < least {
                    sum.add(value);
                    squares.add_square(value);
                    continue;
                }
                let term = i128::from(mantissa << (exponent - least));
                total += if negative { -term } else { term };
                of_squares += term.unsigned_abs() * term.unsigned_abs();
            }
            sum.add_term(total < 0, total.unsigned_abs(), least - SUM_UNIT);
            squares.add_term(false, of_squares, 2 * least - SQUARES_UNIT);
        }
    }

    /// Adds another number of the same unit.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.limbs.is_empty() {
            return;
        }
        self.reach(other.low, other.low + other.limbs.len() as u16);
        let at = usize::from(other.low - self.low);
        let sign = other.sign();
        let mut carry = false;
        for (n, limb) in self.limbs[at..].iter_mut().enumerate() {
            let term = other.limbs.get(n).copied().unwrap_or(sign);
            (*limb, carry) = add_carry(*limb, term, carry);
        }
    }

    /// Rounded to nearest, ties to even.
    pub(super) fn rounded(&self, unit: i32) -> Rounded {
        let negative = self.sign() != 0;
        let rounded = Magnitude::of(self).rounded(unit);
        Rounded { mantissa: if negative { -rounded.mantissa } else { rounded.mantissa }, ..rounded }
    }

    /// Bytes it takes on the heap.
    pub(super) fn bytes(&self) -> usize {
        8 * self.limbs.len()
    }

    fn add_term(&mut self, negative: bool, mantissa: u128, bit: i32) {
        if mantissa == 0 {
            return;
        }
        let bit = u32::try_from(bit).expect("the unit is below every term");
        let (limb, shift) = ((bit / LIMB) as u16, bit % LIMB);
        // The term takes at most three limbs; a fourth leaves room for 2^63 such terms and the sign.
        self.reach(limb, limb + 4);
        let low = mantissa << shift;
        let high = if shift == 0 { 0 } else { (mantissa >> (128 - shift)) as u64 };
        let term = [low as u64, (low >> LIMB) as u64, high];
        let at = usize::from(limb - self.low);
        let mut carry = negative; // -x = !x + 1
        for (n, limb) in self.limbs[at..].iter_mut().enumerate() {
            let term = term.get(n).copied().unwrap_or(0);
            (*limb, carry) = add_carry(*limb, if negative { !term } else { term }, carry);
            if n >= 2 && carry == negative {
                break; // what follows adds 0 with no carry, or all ones with one: nothing
            }
        }
    }

    /// Makes room for the limbs `from..to`.
    fn reach(&mut self, from: u16, to: u16) {
        if self.limbs.is_empty() {
            self.low = from;
        }
        if from < self.low {
            let missing = usize::from(self.low - from);
            self.limbs.splice(0..0, std::iter::repeat_n(0, missing));
            self.low = from;
        }
        let len = usize::from(to - self.low);
        if len > self.limbs.len() {
            let sign = self.sign();
            self.limbs.reserve_exact(len - self.limbs.len());
            self.limbs.resize(len, sign);
        }
    }

    /// The limb that all above the last are.
    fn sign(&self) -> u64 {
        if self.limbs.last().is_some_and(|&top| top >> 63 == 1) { u64::MAX } else { 0 }
    }
}

/// `count * squares - sum^2`, rounded: `count^2` times the variance. Never negative (Cauchy and Schwarz).
pub(super) fn spread(count: u64, sum: &Exact, squares: &Exact) -> Rounded {
    let mut spread = Magnitude::of(squares).times(count);
    spread.subtract(&Magnitude::of(sum).squared());
    spread.rounded(SQUARES_UNIT)
}

impl Rounded {
    /// As an `f64`; infinite when it is too large.
    pub(super) fn to_f64(self) -> f64 {
        scaled(self.mantissa, self.exponent)
    }

    /// Divided by a count.
    pub(super) fn over(self, count: u64) -> Self {
        Self { mantissa: self.mantissa / count as f64, ..self }
    }

    /// Its square root. Scaling by a power of four commutes with it, so this is what `f64::sqrt` gives where the
    /// number has an `f64`.
    pub(super) fn sqrt(self) -> Self {
        let odd = self.exponent.rem_euclid(2);
        let mantissa = if odd == 1 { 2.0 * self.mantissa } else { self.mantissa };
        Self { mantissa: mantissa.sqrt(), exponent: (self.exponent - odd) / 2 }
    }
}

/// A number without sign, in limbs.
struct Magnitude {
    low: i32,
    limbs: Vec<u64>,
}

impl Magnitude {
    fn of(number: &Exact) -> Self {
        let mut limbs = number.limbs.clone();
        if number.sign() != 0 {
            let mut carry = true;
            for limb in &mut limbs {
                (*limb, carry) = add_carry(!*limb, 0, carry);
            }
        }
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        Self { low: i32::from(number.low), limbs }
    }

    fn times(mut self, factor: u64) -> Self {
        let mut carry = 0;
        for limb in &mut self.limbs {
            let product = u128::from(*limb) * u128::from(factor) + carry;
            *limb = product as u64;
            carry = product >> LIMB;
        }
        self.limbs.push(carry as u64);
        self
    }

    fn squared(&self) -> Self {
        let mut limbs = vec![0_u64; 2 * self.limbs.len()];
        for (i, &a) in self.limbs.iter().enumerate() {
            let mut carry = 0;
            for (j, &b) in self.limbs.iter().enumerate() {
                let sum = u128::from(a) * u128::from(b) + u128::from(limbs[i + j]) + carry;
                limbs[i + j] = sum as u64;
                carry = sum >> LIMB;
            }
            limbs[i + self.limbs.len()] = carry as u64;
        }
        Self { low: 2 * self.low, limbs }
    }

    /// Takes away a number that is not larger.
    fn subtract(&mut self, other: &Self) {
        if other.limbs.is_empty() {
            return;
        }
        if other.low < self.low {
            let missing = usize::try_from(self.low - other.low).expect("it is lower");
            self.limbs.splice(0..0, std::iter::repeat_n(0, missing));
            self.low = other.low;
        }
        let at = usize::try_from(other.low - self.low).expect("it is not lower now");
        let mut carry = true;
        for (n, limb) in self.limbs[at..].iter_mut().enumerate() {
            let term = other.limbs.get(n).copied().unwrap_or(0);
            (*limb, carry) = add_carry(*limb, !term, carry);
        }
    }

    fn rounded(&self, unit: i32) -> Rounded {
        let Some(top) = self.limbs.iter().rposition(|&limb| limb != 0) else {
            return Rounded { mantissa: 0.0, exponent: 0 };
        };
        let zeros = self.limbs[top].leading_zeros();
        let below = if top > 0 { self.limbs[top - 1] } else { 0 };
        let wide = (u128::from(self.limbs[top]) << LIMB | u128::from(below)) << zeros;
        let lost = self.limbs[..top.saturating_sub(1)].iter().any(|&limb| limb != 0);
        let kept = (wide >> (128 - 53)) as u64;
        let (rest, half) = (wide << 53, 1_u128 << 127);
        let up = rest > half || rest == half && (lost || kept & 1 == 1);
        let exponent = unit + 64 * (self.low + top as i32) + 63 - zeros as i32 - 52;
        Rounded { mantissa: (kept + u64::from(up)) as f64, exponent }
    }
}

/// `a + b + carry`.
fn add_carry(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, over) = a.overflowing_add(b);
    let (sum, over_again) = sum.overflowing_add(u64::from(carry));
    (sum, over | over_again)
}

/// Sign, mantissa and exponent of a finite value: `±mantissa * 2^exponent`.
fn parts(value: f64) -> (bool, u64, i32) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let biased = (bits >> 52 & 0x7ff) as i32;
    let (mantissa, exponent) =
        if biased == 0 { (fraction, SMALLEST) } else { (fraction | 1 << 52, biased - 1075) };
    (value.is_sign_negative(), mantissa, exponent)
}

/// `mantissa * 2^exponent`, in steps that do not overflow before the result does.
fn scaled(mut mantissa: f64, mut exponent: i32) -> f64 {
    while exponent > 1000 && mantissa.is_finite() && mantissa != 0.0 {
        mantissa *= f64::from_bits((1023 + 1000) << 52);
        exponent -= 1000;
    }
    while exponent < -1000 && mantissa != 0.0 {
        mantissa *= f64::from_bits((1023 - 1000) << 52);
        exponent += 1000;
    }
    mantissa * f64::from_bits(((1023 + exponent.clamp(-1000, 1000)) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let sensor = (-9_999_i32..9_999).prop_map(|digits| f64::from(digits) / 100.0);
        let value = prop_oneof![
            6 => sensor,
            1 => prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
            1 => prop_oneof![Just(f64::MAX), Just(f64::MIN), Just(5e-324), Just(-5e-324)],
        ];
        prop::collection::vec(value, 0..300)
    }

    proptest! {
        #[test]
        fn added_together_or_one_by_one_values_make_the_same_sums(values in values(), before in values()) {
            let (mut sum, mut squares) = (Exact::default(), Exact::default());
            Exact::add_all(&mut sum, &mut squares, &before);
            Exact::add_all(&mut sum, &mut squares, &values);
            let (mut sum_of_each, mut squares_of_each) = (Exact::default(), Exact::default());
            for &value in before.iter().chain(&values) {
                sum_of_each.add(value);
                squares_of_each.add_square(value);
            }
            prop_assert_eq!(sum.rounded(SUM_UNIT), sum_of_each.rounded(SUM_UNIT));
            prop_assert_eq!(squares.rounded(SQUARES_UNIT), squares_of_each.rounded(SQUARES_UNIT));
            // What is left is nothing, to the last bit.
            for value in before.iter().chain(&values) {
                sum.add(-value);
            }
            prop_assert_eq!(sum.rounded(SUM_UNIT).mantissa, 0.0);
        }
    }
}
