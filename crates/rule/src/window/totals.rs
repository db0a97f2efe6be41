//! What is summed up of readings, and how sums are put together.

use std::ops::{BitOr, BitOrAssign};

use crate::language::Func;

/// Which sums are kept. Only those that some rule asks for are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Parts(u8);

impl Parts {
    pub(crate) const NONE: Self = Self(0);
    /// Count and sum.
    pub(crate) const SUM: Self = Self(1);
    pub(crate) const EXTREMES: Self = Self(2);
    /// Mean and squared deviations.
    pub(crate) const MOMENTS: Self = Self(4);
    /// First and last, and the increase between them.
    pub(crate) const ENDS: Self = Self(8);

    pub(crate) const fn has(self, parts: Self) -> bool {
        self.0 & parts.0 == parts.0
    }

    /// Words that a row of these takes: the pane's number, the count, and two or five for each of the parts.
    pub(super) const fn words(self) -> usize {
        let mut words = 2;
        if self.has(Self::SUM) {
            words += 1;
        }
        if self.has(Self::EXTREMES) {
            words += 2;
        }
        if self.has(Self::MOMENTS) {
            words += 2;
        }
        if self.has(Self::ENDS) {
            words += 5;
        }
        words
    }
}

impl BitOr for Parts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Parts {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Sums of readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Totals {
    pub(crate) count: u64,
    sum: f64,
    min: f64,
    max: f64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    squares: f64,
    first_at: i64,
    first: f64,
    last_at: i64,
    last: f64,
    /// How much a counter went up; a reset counts from 0.
    increase: f64,
}

impl Totals {
    pub(crate) const EMPTY: Self = Self {
        count: 0,
        sum: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        mean: 0.0,
        squares: 0.0,
        first_at: 0,
        first: 0.0,
        last_at: 0,
        last: 0.0,
        increase: 0.0,
    };

    /// Adds a reading to these parts. Of readings of one time the later to come is the last. What comes out of order is no step of a counter.
    pub(crate) fn add(&mut self, parts: Parts, at: i64, value: f64) {
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if parts.has(Parts::MOMENTS) {
            let from_mean = value - self.mean;
            self.mean += from_mean / self.count as f64;
            self.squares += from_mean * (value - self.mean);
        }
        if self.count == 1 {
            (self.first_at, self.first, self.last_at, self.last) = (at, value, at, value);
        } else if at >= self.last_at {
            self.increase += step(self.last, value);
            (self.last_at, self.last) = (at, value);
        } else if at < self.first_at {
            (self.first_at, self.first) = (at, value);
        }
    }

    /// Adds a later pane, as its row has it. Most windows are asked for sums and extremes alone: these are added as they stand there.
    pub(super) fn absorb(&mut self, parts: Parts, row: &[u64]) {
        if self.count == 0 || parts.has(Parts::MOMENTS) || parts.has(Parts::ENDS) {
            self.merge(parts, &Self::load(parts, row));
            return;
        }
        self.count += row[0];
        let mut words = &row[1..];
        if parts.has(Parts::SUM) {
            self.sum += f64::from_bits(words[0]);
            words = &words[1..];
        }
        if parts.has(Parts::EXTREMES) {
            self.min = self.min.min(f64::from_bits(words[0]));
            self.max = self.max.max(f64::from_bits(words[1]));
        }
    }

    /// These and those of a later pane (Chan, Golub and LeVeque 1983 for the squares), of which there are these parts.
    fn merge(&mut self, parts: Parts, later: &Self) {
        if later.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *later;
            return;
        }
        if parts.has(Parts::MOMENTS) {
            let (a, b) = (self.count as f64, later.count as f64);
            let apart = later.mean - self.mean;
            self.mean += apart * (b / (a + b));
            self.squares += later.squares + apart * apart * (a * b / (a + b));
        }
        self.count += later.count;
        self.sum += later.sum;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.increase += step(self.last, later.first) + later.increase;
        (self.last_at, self.last) = (later.last_at, later.last);
    }

    /// What a function says of them; NULL (none) of too few readings.
    pub(crate) fn ask(&self, func: Func) -> Option<f64> {
        if func == Func::Count {
            return Some(self.count as f64);
        }
        if self.count == 0 {
            return None;
        }
        let count = self.count as f64;
        Some(match func {
            Func::Avg => self.sum / count,
            Func::Sum => self.sum,
            Func::Min => self.min,
            Func::Max => self.max,
            Func::First => self.first,
            Func::Last => self.last,
            Func::Delta => self.last - self.first,
            Func::Increase => self.increase,
            Func::Stddev if self.count > 1 => (self.squares / (count - 1.0)).max(0.0).sqrt(),
            Func::Rate if self.last_at > self.first_at => {
                (self.last - self.first) / ((self.last_at - self.first_at) as f64 / 1e9)
            }
            _ => return None,
        })
    }

    /// From a row, without its pane's number.
    pub(super) fn load(parts: Parts, row: &[u64]) -> Self {
        let mut totals = Self { count: row[0], ..Self::EMPTY };
        let mut words = row[1..].iter().copied();
        let mut float = || f64::from_bits(words.next().unwrap_or_default());
        if parts.has(Parts::SUM) {
            totals.sum = float();
        }
        if parts.has(Parts::EXTREMES) {
            (totals.min, totals.max) = (float(), float());
        }
        if parts.has(Parts::MOMENTS) {
            (totals.mean, totals.squares) = (float(), float());
        }
        if parts.has(Parts::ENDS) {
            (totals.first, totals.last, totals.increase) = (float(), float(), float());
            let mut time = || float().to_bits().cast_signed();
            (totals.first_at, totals.last_at) = (time(), time());
        }
        totals
    }

    /// Into a row, without its pane's number.
    pub(super) fn store(&self, parts: Parts, row: &mut [u64]) {
        let mut at = 1;
        let mut put = |words: &[u64]| {
            row[at..at + words.len()].copy_from_slice(words);
            at += words.len();
        };
        if parts.has(Parts::SUM) {
            put(&[self.sum.to_bits()]);
        }
        if parts.has(Parts::EXTREMES) {
            put(&[self.min.to_bits(), self.max.to_bits()]);
        }
        if parts.has(Parts::MOMENTS) {
            put(&[self.mean.to_bits(), self.squares.to_bits()]);
        }
        if parts.has(Parts::ENDS) {
            put(&[self.first.to_bits(), self.last.to_bits(), self.increase.to_bits()]);
            put(&[self.first_at.cast_unsigned(), self.last_at.cast_unsigned()]);
        }
        row[0] = self.count;
    }
}

/// How much a counter went up from one reading to the next.
fn step(from: f64, to: f64) -> f64 {
    if to >= from { to - from } else { to }
}
