//! From Parquet columns back to rows.

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::{ParquetError, Result};
use record::ValueRef;

use super::exceptions;
use super::kind::{Kind, Number, POWERS, from_nearly, read_in_steps};
use super::plan::Plan;
use super::schema::Hidden;
use super::source::damage;
use crate::parquet::cells::{BOOL, EMPTY, FLOAT, INT};
use crate::parquet::{Cells, Entity, Rows};

/// A column's next rows: 1 or 0 for each (nothing when no row can be null), and the values.
type Column<T> = (Vec<i16>, Vec<T>);

/// Exceptions by row, counted from the first that was read.
pub(super) type Exceptions = Vec<(usize, ByteArray)>;

pub(super) fn skip(reader: &mut ColumnReader, rows: usize) -> Result<()> {
    let skipped = match reader {
        ColumnReader::BoolColumnReader(reader) => reader.skip_records(rows),
        ColumnReader::Int32ColumnReader(reader) => reader.skip_records(rows),
        ColumnReader::Int64ColumnReader(reader) => reader.skip_records(rows),
        ColumnReader::FloatColumnReader(reader) => reader.skip_records(rows),
        ColumnReader::DoubleColumnReader(reader) => reader.skip_records(rows),
        ColumnReader::ByteArrayColumnReader(reader) => reader.skip_records(rows),
        _ => Err(unexpected()),
    }?;
    if skipped == rows { Ok(()) } else { Err(short(skipped, rows)) }
}

fn next<T: DataType>(reader: &mut ColumnReaderImpl<T>, rows: usize) -> Result<Column<T::T>> {
    let (mut levels, mut values) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let (read, _, _) = reader.read_records(rows, Some(&mut levels), None, &mut values)?;
    if read != rows || !(levels.is_empty() && values.len() == rows || levels.len() == rows) {
        return Err(short(read, rows));
    }
    Ok((levels, values))
}

fn short(found: usize, wanted: usize) -> ParquetError {
    damage(0, format!("a column ends after {found} of {wanted} rows"))
}

fn unexpected() -> ParquetError {
    damage(0, "a column is of another type than expected")
}

fn int32s(reader: &mut ColumnReader, rows: usize) -> Result<Column<i32>> {
    let ColumnReader::Int32ColumnReader(reader) = reader else { return Err(unexpected()) };
    next(reader, rows)
}

fn int64s(reader: &mut ColumnReader, rows: usize) -> Result<Column<i64>> {
    let ColumnReader::Int64ColumnReader(reader) = reader else { return Err(unexpected()) };
    next(reader, rows)
}

fn byte_arrays(reader: &mut ColumnReader, rows: usize) -> Result<Column<ByteArray>> {
    let ColumnReader::ByteArrayColumnReader(reader) = reader else { return Err(unexpected()) };
    next(reader, rows)
}

/// Adds keys and times of the next rows. What none of the readers has stands there already, or is what it is without one.
pub(super) fn keys(
    readers: &mut [(Hidden, ColumnReader)],
    rows: usize,
    plan: &Plan,
    entity: Option<Entity>,
    into: &mut Rows,
) -> Result<Exceptions> {
    let from = into.len();
    let (time_unit, delay_unit) = (plan.time_unit.nanos(), plan.delay_unit.nanos());
    let mut exceptions = Vec::new();
    // Groups come before devices, times before what is measured from them.
    into.entity.resize(from + rows, entity.map_or(0, |entity| entity.0));
    for (column, reader) in readers {
        match column {
            Hidden::Group => {
                for (entity, group) in into.entity[from..].iter_mut().zip(int32s(reader, rows)?.1) {
                    *entity = u64::from(group.cast_unsigned()) << 32;
                }
            }
            Hidden::Device => {
                for (entity, device) in into.entity[from..].iter_mut().zip(int32s(reader, rows)?.1) {
                    *entity |= u64::from(device.cast_unsigned());
                }
            }
            Hidden::Time => {
                let times = int64s(reader, rows)?.1;
                into.time.extend(times.iter().map(|time| time.wrapping_mul(time_unit)));
                into.claimed.extend_from_slice(&into.time[from..]);
            }
            Hidden::Shift => {
                let (levels, shifts) = int64s(reader, rows)?;
                let shifted = into.claimed[from..].iter_mut().zip(levels).filter(|(_, level)| *level == 1);
                for ((claimed, _), shift) in shifted.zip(shifts) {
                    *claimed = claimed.wrapping_add(shift.wrapping_mul(time_unit));
                }
            }
            Hidden::Seq => {
                let seqs = int64s(reader, rows)?.1;
                into.seq.extend(seqs.into_iter().map(i64::cast_unsigned));
            }
            Hidden::Delay => {
                let delays = int64s(reader, rows)?.1.into_iter();
                let times = into.time[from..].iter().zip(delays);
                into.arrived_at
                    .extend(times.map(|(time, delay)| time.wrapping_add(delay.wrapping_mul(delay_unit))));
            }
            Hidden::Origin => {
                into.origin.extend(int32s(reader, rows)?.1.into_iter().map(|origin| origin as u8));
            }
            Hidden::Exceptions => exceptions = sparse(byte_arrays(reader, rows)?),
        }
    }
    into.seq.resize(from + rows, 0);
    let no_arrival = into.arrived_at.len();
    into.arrived_at.extend_from_slice(&into.time[no_arrival..]);
    into.origin.resize(from + rows, 0);
    Ok(exceptions)
}

fn sparse((levels, values): Column<ByteArray>) -> Exceptions {
    let rows = levels.iter().enumerate().filter(|(_, level)| **level == 1).map(|(row, _)| row);
    rows.zip(values).collect()
}

/// Puts the exceptions of the last `rows` rows in their places.
pub(super) fn exceptions(found: &Exceptions, into: &mut Rows, rows: usize) -> Result<()> {
    let from = into.len() - rows;
    for (row, bytes) in found {
        let mut put = |no, value| {
            if let Ok(at) = into.columns.binary_search_by_key(&no, |column| column.no) {
                into.columns[at].cells.set(from + row, Some(value));
            }
        };
        exceptions::read(bytes.data(), &mut put).ok_or_else(|| damage(0, "an exception cannot be read"))?;
    }
    Ok(())
}

/// Adds the next rows of a metric.
pub(super) fn metric(readers: &mut [ColumnReader], rows: usize, kind: Kind, into: &mut Cells) -> Result<()> {
    match (kind, readers) {
        (Kind::Number(Number::Nearly(decimals)), [reader, units]) => {
            let power = POWERS[decimals as usize];
            nearly_decimals(reader, units, rows, |scaled| scaled as f64 / power, into)
        }
        (Kind::Number(Number::Parsed(decimals)), [reader, units]) => {
            nearly_decimals(reader, units, rows, |scaled| read_in_steps(scaled, decimals), into)
        }
        (Kind::Number(number), [reader]) => numbers(reader, rows, number, into),
        (Kind::Bool, [ColumnReader::BoolColumnReader(reader)]) => {
            let (levels, values) = next(reader, rows)?;
            fill(into, &levels, values.into_iter().map(u64::from), BOOL);
            Ok(())
        }
        (Kind::Text, [reader]) => {
            let (levels, values) = byte_arrays(reader, rows)?;
            let mut values = values.iter();
            for level in levels {
                let value = if level == 1 { values.next() } else { None };
                let text = value.map(|value| std::str::from_utf8(value.data())).transpose();
                let text = text.map_err(|_| damage(0, "a text is not UTF-8"))?;
                into.push(text.map(ValueRef::Text));
            }
            Ok(())
        }
        (Kind::Place(lat, lng), [first, second]) => {
            let (mut lats, mut lngs) = (Cells::default(), Cells::default());
            numbers(first, rows, lat, &mut lats)?;
            numbers(second, rows, lng, &mut lngs)?;
            for row in 0..rows {
                into.push(match (lats.get(row), lngs.get(row)) {
                    (Some(ValueRef::Float(lat)), Some(ValueRef::Float(lng))) => {
                        Some(ValueRef::Location { lat, lng })
                    }
                    _ => None,
                });
            }
            Ok(())
        }
        _ => Err(unexpected()),
    }
}

/// Decimals, and the units in the last place where there are some.
fn nearly_decimals(
    reader: &mut ColumnReader,
    units: &mut ColumnReader,
    rows: usize,
    decimal: impl Fn(i64) -> f64,
    into: &mut Cells,
) -> Result<()> {
    let (levels, values) = int64s(reader, rows)?;
    let (unit_levels, units) = int32s(units, rows)?;
    let (mut values, mut units) = (values.into_iter(), units.into_iter());
    for (level, unit_level) in levels.into_iter().zip(unit_levels) {
        let units = if unit_level == 1 { units.next().unwrap_or(0) } else { 0 };
        let value = if level == 1 { values.next() } else { None };
        into.push(value.map(|value| ValueRef::Float(from_nearly(decimal(value), units))));
    }
    Ok(())
}

fn numbers(reader: &mut ColumnReader, rows: usize, number: Number, into: &mut Cells) -> Result<()> {
    match number {
        Number::Int32 => {
            let (levels, values) = int32s(reader, rows)?;
            fill(into, &levels, values.into_iter().map(|value| i64::from(value) as u64), INT);
        }
        Number::Int64 => {
            let (levels, values) = int64s(reader, rows)?;
            fill(into, &levels, values.into_iter().map(i64::cast_unsigned), INT);
        }
        Number::Decimal32(decimals) => {
            let power = POWERS[decimals as usize];
            let (levels, values) = int32s(reader, rows)?;
            fill(into, &levels, values.into_iter().map(|value| (f64::from(value) / power).to_bits()), FLOAT);
        }
        Number::Decimal64(decimals) => {
            let power = POWERS[decimals as usize];
            let (levels, values) = int64s(reader, rows)?;
            fill(into, &levels, values.into_iter().map(|value| (value as f64 / power).to_bits()), FLOAT);
        }
        Number::Float32 => {
            let ColumnReader::FloatColumnReader(reader) = reader else { return Err(unexpected()) };
            let (levels, values) = next(reader, rows)?;
            fill(into, &levels, values.into_iter().map(|value| f64::from(value).to_bits()), FLOAT);
        }
        Number::Nearly(_) | Number::Parsed(_) | Number::Float64 => {
            let ColumnReader::DoubleColumnReader(reader) = reader else { return Err(unexpected()) };
            let (levels, values) = next(reader, rows)?;
            fill(into, &levels, values.into_iter().map(f64::to_bits), FLOAT);
        }
    }
    Ok(())
}

/// Adds a cell for each level; without levels, for each value.
fn fill(into: &mut Cells, levels: &[i16], mut words: impl Iterator<Item = u64>, kind: u8) {
    if levels.is_empty() {
        words.for_each(|word| into.push_raw(kind, word));
        return;
    }
    for &level in levels {
        match (level == 1).then(|| words.next()).flatten() {
            Some(word) => into.push_raw(kind, word),
            None => into.push_raw(EMPTY, 0),
        }
    }
}
