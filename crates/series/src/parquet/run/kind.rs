//! How a column of values is stored in a file: chosen by what was seen.

use record::ValueRef;

use crate::parquet::Cells;
use crate::parquet::cells::{BOOL, EMPTY, FLOAT, INT, PLACE, TEXT};

/// How numbers are stored. An integer comes back from a float column as the float of the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Number {
    /// Integers of 32 bits.
    Int32,
    /// Integers of 64 bits.
    Int64,
    /// Floats that are exact with so many decimals, as integers below 10^9.
    Decimal32(u8),
    /// Floats that are exact with so many decimals, as integers below 10^15.
    Decimal64(u8),
    /// Floats that are within a few units in the last place of a number with so many decimals (computed ones:
    /// 0.1 + 0.2), as integers below 10^15, and the units in a column of their own.
    Nearly(u8),
    /// The same, but the units are counted from what a quick reader of text makes of the decimal (`read_in_steps`).
    Parsed(u8),
    /// Floats that 32 bits hold exactly.
    Float32,
    /// Any floats.
    Float64,
}

/// How a metric is stored. Values that do not fit into it go to the file's exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Numbers.
    Number(Number),
    /// Booleans.
    Bool,
    /// Text.
    Text,
    /// Latitude and longitude.
    Place(Number, Number),
}

/// Most decimals looked for: 10^15 and a value of a thousand would leave none to check by.
const MOST_DECIMALS: u8 = 12;
/// How many values of a column are looked at to guess how many decimals it has. The guess is checked on all.
const SAMPLE: usize = 1024;
/// Of a thousand values, how many may be exceptions before a column is stored as floats after all. An exception takes
/// some 12 bytes, a float about 6 more than a decimal.
const EXCEPTIONS_PER_MILLE: usize = 20;

pub(crate) const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

impl Number {
    /// Bounds of the scaled integers of a decimal, exclusive: what DECIMAL(9) and DECIMAL(15) hold. 10^15 is also below
    /// 2^51, up to where [`scaled`] rounds rightly.
    pub(crate) const fn decimal_bound(self) -> f64 {
        match self {
            Self::Decimal32(_) => 1e9,
            _ => 1e15,
        }
    }
}

/// The integer that is `value` · 10^decimals, if dividing it gives `value` back bit for bit.
#[inline]
pub(crate) fn scaled(value: f64, power: f64, bound: f64) -> Option<i64> {
    // Adding and taking away 1.5 · 2^52 rounds to the nearest integer; a call of `round` would take ten times as long.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let rounded = (value * power + ROUND) - ROUND;
    // A negated zero, NaN and infinities fail one or the other.
    ((rounded / power).to_bits() == value.to_bits() && rounded.abs() < bound).then_some(rounded as i64)
}

/// The integer nearest to `value` · 10^decimals, and how many units in the last place `value` is beyond what `decimal`
/// makes of it; if those are few.
#[inline]
pub(crate) fn nearly(value: f64, power: f64, decimal: impl Fn(i64) -> f64) -> Option<(i64, i32)> {
    let scaled = (value * power).round_ties_even();
    // So far the integers are exact, and that a number is near one by chance is unlikely.
    let in_range = scaled.abs() < NEARLY_BOUND; // not so for NaN
    // An integer has no negated zero.
    let zero = scaled == 0.0 && value.to_bits() != 0;
    if !in_range || zero {
        return None;
    }
    let units = value.to_bits().wrapping_sub(decimal(scaled as i64).to_bits()) as i64;
    (units.abs() <= MOST_UNITS).then_some((scaled as i64, units as i32))
}

/// What [`nearly`] took apart.
#[inline]
pub(crate) fn from_nearly(decimal: f64, units: i32) -> f64 {
    f64::from_bits(decimal.to_bits().wrapping_add(i64::from(units) as u64))
}

/// The float that quick readers of decimal text make: they gather the digits and then divide by 10, 100, 10^4, and so on,
/// as the number of decimals has bits, rounding each time. The csv reader of pandas does so, and long did so unasked;
/// what has been through it is off by a unit where the number of decimals is no power of two.
#[inline]
pub(crate) fn read_in_steps(scaled: i64, decimals: u8) -> f64 {
    let (mut digits, mut left) = (scaled, decimals);
    // Text has no zeros at its end.
    while left > 0 && digits % 10 == 0 {
        (digits, left) = (digits / 10, left - 1);
    }
    let mut value = digits as f64;
    for (bit, power) in [1e1, 1e2, 1e4, 1e8].into_iter().enumerate() {
        if left >> bit & 1 == 1 {
            value /= power;
        }
    }
    value
}

/// Decimals of numbers below this are more than 9000 units apart.
const NEARLY_BOUND: f64 = 1e12;
/// One and a half per mille of all numbers are so near to a decimal.
const MOST_UNITS: i64 = 7;

impl Kind {
    /// What suits these cells best; `None` when all are empty.
    #[must_use]
    pub fn of(cells: &Cells) -> Option<Self> {
        let mut counts = [0_usize; 6];
        for &kind in cells.kinds() {
            counts[kind as usize] += 1;
        }
        let [_, floats, ints, bools, texts, places] = counts;
        let most = (floats + ints).max(bools).max(texts).max(places);
        if most == 0 {
            return None;
        }
        Some(if most == floats + ints {
            Self::Number(if floats == 0 { of_ints(cells) } else { of_floats(floats_of(cells)) })
        } else if most == texts {
            Self::Text
        } else if most == bools {
            Self::Bool
        } else {
            let part = |pick: fn((f64, f64)) -> f64| match of_floats(places_of(cells).map(pick)) {
                // A place has no room for a third part.
                Number::Nearly(_) | Number::Parsed(_) => Number::Float64,
                number => number,
            };
            Self::Place(part(|place| place.0), part(|place| place.1))
        })
    }

    /// What holds what both hold, `self` having `mine` values and the other `theirs`; the ranges of their numbers
    /// decide on widths. Of things that do not go together the more frequent wins.
    pub(crate) fn union(self, mine: u64, other: Self, theirs: u64) -> Self {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Self::Number(a.union(b)),
            (Self::Place(a, b), Self::Place(c, d)) => Self::Place(a.union(c), b.union(d)),
            _ if theirs > mine => other,
            _ => self,
        }
    }

    /// The same, for numbers up to this size.
    pub(crate) fn for_range(self, largest: f64) -> Self {
        match self {
            Self::Number(number) => Self::Number(number.for_range(largest)),
            other => other,
        }
    }
}

impl Number {
    fn union(self, other: Self) -> Self {
        use Number::{Decimal32, Decimal64, Float64, Int32, Int64, Nearly, Parsed};
        match (self, other) {
            (a, b) if a == b => a,
            (Int32, Int64) | (Int64, Int32) => Int64,
            (Decimal32(a), Decimal32(b)) if a.abs_diff(b) <= 2 => Decimal32(a.max(b)),
            (Decimal32(a) | Decimal64(a), Decimal32(b) | Decimal64(b)) => Decimal64(a.max(b)),
            (Int32 | Int64, Decimal32(a)) | (Decimal32(a), Int32 | Int64) => Decimal32(a),
            (Int32 | Int64, Decimal64(a)) | (Decimal64(a), Int32 | Int64) => Decimal64(a),
            (Nearly(a), Nearly(b) | Decimal32(b) | Decimal64(b))
            | (Decimal32(b) | Decimal64(b), Nearly(a)) => Nearly(a.max(b)),
            (Nearly(a), Int32 | Int64) | (Int32 | Int64, Nearly(a)) => Nearly(a),
            (Parsed(a), Parsed(b) | Nearly(b) | Decimal32(b) | Decimal64(b))
            | (Nearly(b) | Decimal32(b) | Decimal64(b), Parsed(a)) => Parsed(a.max(b)),
            (Parsed(a), Int32 | Int64) | (Int32 | Int64, Parsed(a)) => Parsed(a),
            _ => Float64,
        }
    }

    /// A decimal that holds numbers up to this size, or floats where none does.
    pub(crate) fn for_range(self, largest: f64) -> Self {
        match self {
            Self::Decimal32(decimals) | Self::Decimal64(decimals) => {
                let largest = largest * POWERS[decimals as usize];
                // DECIMAL(9) has no room for more than nine decimals.
                if largest < 1e9 && decimals <= 9 {
                    Self::Decimal32(decimals)
                } else if largest < 1e15 {
                    Self::Decimal64(decimals)
                } else {
                    Self::Float64
                }
            }
            other => other,
        }
    }
}

fn of_ints(cells: &Cells) -> Number {
    let mut ints = cells.kinds().iter().zip(cells.words()).filter(|(kind, _)| **kind == INT);
    if ints.all(|(_, &word)| i32::try_from(word as i64).is_ok()) { Number::Int32 } else { Number::Int64 }
}

/// The floats of a column, and its integers as floats where that is the same number.
fn floats_of(cells: &Cells) -> impl Iterator<Item = f64> + Clone {
    cells.kinds().iter().zip(cells.words()).filter_map(|(&kind, &word)| match kind {
        FLOAT => Some(f64::from_bits(word)),
        INT => exact_float(word as i64),
        EMPTY | BOOL | TEXT | PLACE => None,
        _ => unreachable!("a cell has one of six kinds"),
    })
}

fn places_of(cells: &Cells) -> impl Iterator<Item = (f64, f64)> + Clone {
    (0..cells.len()).filter_map(|row| match cells.get(row) {
        Some(ValueRef::Location { lat, lng }) => Some((lat, lng)),
        _ => None,
    })
}

/// The float of the same size as an integer, if every integer of that size has one.
#[inline]
pub(crate) fn exact_float(int: i64) -> Option<f64> {
    const BOUND: u64 = 1 << 53;
    (int.unsigned_abs() <= BOUND).then_some(int as f64)
}

fn of_floats(values: impl Iterator<Item = f64> + Clone) -> Number {
    if let Some(decimal) = as_decimal(values.clone()) {
        return decimal;
    }
    let total = values.clone().count();
    let narrow =
        values.clone().all(|value| value.is_nan() || f64::from(value as f32).to_bits() == value.to_bits());
    if narrow {
        return Number::Float32;
    }
    let near = |decimals: u8| {
        let (most, power) = (tolerated(total), POWERS[decimals as usize]);
        let off =
            values.clone().filter(|&value| nearly(value, power, |scaled| scaled as f64 / power).is_none());
        off.take(most + 1).count() <= most
    };
    let Some(decimals) = (1..=MOST_DECIMALS).find(|&decimals| near(decimals)) else { return Number::Float64 };
    let power = POWERS[decimals as usize];
    // How many have units beside them, counted in one way and the other.
    let (mut divided, mut parsed, mut largest) = (0_usize, 0_usize, 0.0_f64);
    for value in values {
        let exact = |nearly: Option<(i64, i32)>| nearly.is_some_and(|(_, units)| units == 0);
        if exact(nearly(value, power, |scaled| scaled as f64 / power)) {
            largest = largest.max(value.abs());
        } else {
            divided += 1;
        }
        parsed += usize::from(!exact(nearly(value, power, |scaled| read_in_steps(scaled, decimals))));
    }
    if divided <= tolerated(total) {
        // The sample had too few decimals, as of every thirtieth of 0.1, 0.2, 0.3.
        return Number::Decimal64(decimals).for_range(largest);
    }
    if parsed < divided / 2 { Number::Parsed(decimals) } else { Number::Nearly(decimals) }
}

/// A float as a decimal with as few places as there can be, as division makes it and as reading in steps does, and
/// whether it is the latter.
pub(crate) fn shortest(value: f64) -> Option<(i64, u8, bool)> {
    (0..=MOST_DECIMALS).find_map(|decimals| {
        let power = POWERS[decimals as usize];
        let divided = scaled(value, power, 1e15).map(|scaled| (scaled, decimals, false));
        let near = || nearly(value, power, |scaled| read_in_steps(scaled, decimals));
        divided
            .or_else(|| near().filter(|&(_, units)| units == 0).map(|(scaled, _)| (scaled, decimals, true)))
    })
}

/// How many exceptions among so many values are fewer bytes than another kind of column.
fn tolerated(of: usize) -> usize {
    of * EXCEPTIONS_PER_MILLE / 1000 + 1
}

/// With how many decimals nearly all of these are exact, if with any.
fn as_decimal(values: impl Iterator<Item = f64> + Clone) -> Option<Number> {
    let total = values.clone().count();
    let sample = values.clone().step_by(total.div_ceil(SAMPLE).max(1));
    let mut by_decimals = [0_usize; MOST_DECIMALS as usize + 1];
    let mut sampled = 0;
    for value in sample {
        sampled += 1;
        if let Some(decimals) =
            (0..=MOST_DECIMALS).find(|&d| scaled(value, POWERS[d as usize], 1e15).is_some())
        {
            by_decimals[decimals as usize] += 1;
        }
    }
    let mut covered = 0;
    let decimals = by_decimals.iter().position(|&count| {
        covered += count;
        covered > 0 && covered + tolerated(sampled) > sampled
    })?;
    // The last few values that need more decimals may be worth having, if they are not a few only.
    let mut decimals = decimals as u8;
    loop {
        let (mut off, mut largest) = (0, 0.0_f64);
        for value in values.clone() {
            match scaled(value, POWERS[decimals as usize], 1e15) {
                Some(_) => largest = largest.max(value.abs()),
                None => off += 1,
            }
        }
        if off <= tolerated(total) {
            return Some(Number::Decimal64(decimals).for_range(largest));
        }
        decimals =
            by_decimals.iter().skip(decimals as usize + 1).position(|&count| count > 0)? as u8 + decimals + 1;
    }
}
