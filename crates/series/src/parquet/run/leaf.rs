//! From cells to what a Parquet column takes, and what does not fit aside.

use parquet::data_type::ByteArray;
use record::ValueRef;
use std::ops::Range;

use super::kind::{Kind, Number, POWERS, exact_float, nearly, read_in_steps, scaled};
use super::sidecar::Stats;
use crate::parquet::Cells;
use crate::parquet::cells::{BOOL, EMPTY, FLOAT, INT};

/// The values of a Parquet column that are not null.
#[derive(Debug)]
pub(super) enum Values {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Bool(Vec<bool>),
    Bytes(Vec<ByteArray>),
}

/// A Parquet column's part of a row group: for each row 1 or 0 (null), and the values.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) levels: Vec<i16>,
    pub(super) values: Values,
}

/// A metric's Parquet columns: one, or two for a location.
pub(super) fn leaves(
    cells: &Cells,
    rows: Range<usize>,
    kind: Kind,
    stats: &mut Stats,
    exception: &mut dyn FnMut(usize),
) -> Vec<Leaf> {
    match kind {
        Kind::Number(Number::Nearly(decimals)) => {
            let power = POWERS[decimals as usize];
            nearly_decimals(cells, rows, power, |scaled| scaled as f64 / power, stats, exception)
        }
        Kind::Number(Number::Parsed(decimals)) => {
            let decimal = |scaled| read_in_steps(scaled, decimals);
            nearly_decimals(cells, rows, POWERS[decimals as usize], decimal, stats, exception)
        }
        Kind::Number(number) => vec![numbers(cells, rows, number, stats, exception)],
        Kind::Bool => vec![bools(cells, rows, stats, exception)],
        Kind::Text => vec![texts(cells, rows, stats, exception)],
        Kind::Place(lat, lng) => places(cells, rows, (lat, lng), stats, exception),
    }
}

/// Runs `fit` over the cells: it takes a value or says that it does not fit.
#[inline]
fn each<T>(
    cells: &Cells,
    rows: Range<usize>,
    exception: &mut dyn FnMut(usize),
    mut fit: impl FnMut(u8, u64) -> Option<T>,
) -> (Vec<i16>, Vec<T>) {
    let mut levels = Vec::with_capacity(rows.len());
    let mut values = Vec::with_capacity(rows.len());
    let cells = cells.kinds()[rows.clone()].iter().zip(&cells.words()[rows]);
    for (row, (&kind, &word)) in cells.enumerate() {
        let value = if kind == EMPTY { None } else { fit(kind, word) };
        levels.push(i16::from(value.is_some()));
        match value {
            Some(value) => values.push(value),
            None if kind != EMPTY => exception(row),
            None => {}
        }
    }
    (levels, values)
}

fn numbers(
    cells: &Cells,
    rows: Range<usize>,
    number: Number,
    stats: &mut Stats,
    exception: &mut dyn FnMut(usize),
) -> Leaf {
    let (levels, values) = match number {
        Number::Int32 => {
            let fit = |kind, word| if kind == INT { i32::try_from(word as i64).ok() } else { None };
            let (levels, values) = each(cells, rows, exception, fit);
            stats.add_ints(values.iter().map(|&value| i64::from(value)));
            (levels, Values::Int32(values))
        }
        Number::Int64 => {
            let fit = |kind, word| (kind == INT).then_some(word as i64);
            let (levels, values) = each(cells, rows, exception, fit);
            stats.add_ints(values.iter().copied());
            (levels, Values::Int64(values))
        }
        Number::Decimal32(decimals) | Number::Decimal64(decimals) => {
            let (power, bound) = (POWERS[decimals as usize], number.decimal_bound());
            let fit = |kind, word| scaled(as_float(kind, word)?, power, bound);
            let (levels, values) = each(cells, rows, exception, fit);
            stats.add_scaled(&values, power);
            (levels, integers(values, matches!(number, Number::Decimal32(_))))
        }
        Number::Float32 => {
            let fit = |kind, word| {
                let value = as_float(kind, word)?;
                let narrow = value as f32;
                (value.is_nan() || f64::from(narrow).to_bits() == value.to_bits()).then_some(narrow)
            };
            let (levels, values) = each(cells, rows, exception, fit);
            stats.add_floats(values.iter().map(|&value| f64::from(value)));
            (levels, Values::Float32(values))
        }
        // A decimal's second column is `nearly_decimals`'s business.
        Number::Nearly(_) | Number::Parsed(_) | Number::Float64 => {
            let (levels, values) = each(cells, rows, exception, as_float);
            stats.add_floats(values.iter().copied());
            (levels, Values::Float64(values))
        }
    };
    Leaf { levels, values }
}

#[inline]
fn as_float(kind: u8, word: u64) -> Option<f64> {
    match kind {
        FLOAT => Some(f64::from_bits(word)),
        INT => exact_float(word as i64),
        _ => None,
    }
}

fn integers(values: Vec<i64>, narrow: bool) -> Values {
    if narrow {
        Values::Int32(values.into_iter().map(|value| value as i32).collect())
    } else {
        Values::Int64(values)
    }
}

/// Decimals, and the units in the last place where there are some.
fn nearly_decimals(
    cells: &Cells,
    rows: Range<usize>,
    power: f64,
    decimal: impl Fn(i64) -> f64,
    stats: &mut Stats,
    exception: &mut dyn FnMut(usize),
) -> Vec<Leaf> {
    let fit = |kind, word| nearly(as_float(kind, word)?, power, &decimal);
    let (levels, both) = each(cells, rows, exception, fit);
    let scaled: Vec<i64> = both.iter().map(|&(scaled, _)| scaled).collect();
    stats.add_scaled(&scaled, power);
    let mut units = Vec::new();
    let mut of_values = both.iter();
    let unit_levels = levels.iter().map(|&level| {
        let unit = if level == 1 { of_values.next().map_or(0, |&(_, unit)| unit) } else { 0 };
        units.extend((unit != 0).then_some(unit));
        i16::from(unit != 0)
    });
    let unit_levels = unit_levels.collect();
    vec![
        Leaf { levels, values: Values::Int64(scaled) },
        Leaf { levels: unit_levels, values: Values::Int32(units) },
    ]
}

fn bools(cells: &Cells, rows: Range<usize>, stats: &mut Stats, exception: &mut dyn FnMut(usize)) -> Leaf {
    let fit = |kind, word| (kind == BOOL).then_some(word != 0);
    let (levels, values) = each(cells, rows, exception, fit);
    stats.add_ints(values.iter().map(|&value| i64::from(value)));
    Leaf { levels, values: Values::Bool(values) }
}

fn texts(cells: &Cells, rows: Range<usize>, stats: &mut Stats, exception: &mut dyn FnMut(usize)) -> Leaf {
    let from = rows.start;
    let mut arena = Vec::new();
    let mut ends = Vec::new();
    let mut levels = Vec::with_capacity(rows.len());
    for row in rows {
        match cells.get(row) {
            Some(ValueRef::Text(text)) => {
                arena.extend_from_slice(text.as_bytes());
                ends.push(arena.len());
                levels.push(1);
                continue;
            }
            Some(_) => exception(row - from),
            None => {}
        }
        levels.push(0);
    }
    stats.count += ends.len() as u64;
    let arena = bytes::Bytes::from(arena);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let values = starts.zip(&ends).map(|(start, &end)| ByteArray::from(arena.slice(start..end)));
    Leaf { levels, values: Values::Bytes(values.collect()) }
}

fn places(
    cells: &Cells,
    rows: Range<usize>,
    kinds: (Number, Number),
    stats: &mut Stats,
    exception: &mut dyn FnMut(usize),
) -> Vec<Leaf> {
    // Both parts fit or the whole place is an exception.
    let (mut lats, mut lngs) = (Cells::default(), Cells::default());
    let from = rows.start;
    for row in rows.clone() {
        let place = match cells.get(row) {
            Some(ValueRef::Location { lat, lng }) if fits(lat, kinds.0) && fits(lng, kinds.1) => {
                Some((lat, lng))
            }
            Some(_) => {
                exception(row - from);
                None
            }
            None => None,
        };
        lats.push(place.map(|place| ValueRef::Float(place.0)));
        lngs.push(place.map(|place| ValueRef::Float(place.1)));
    }
    let part =
        |cells: &Cells, number| numbers(cells, 0..cells.len(), number, &mut Stats::default(), &mut |_| {});
    let both = vec![part(&lats, kinds.0), part(&lngs, kinds.1)];
    stats.count += both[0].levels.iter().filter(|&&level| level == 1).count() as u64;
    both
}

fn fits(value: f64, number: Number) -> bool {
    match number {
        Number::Decimal32(decimals) | Number::Decimal64(decimals) => {
            scaled(value, POWERS[decimals as usize], number.decimal_bound()).is_some()
        }
        Number::Float32 => value.is_nan() || f64::from(value as f32).to_bits() == value.to_bits(),
        Number::Float64 => true,
        Number::Int32 | Number::Int64 | Number::Nearly(_) | Number::Parsed(_) => false,
    }
}
