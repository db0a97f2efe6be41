//! Values that do not fit into their column, in one column of their own: so that one bad value does not break a column.
//!
//! A row's exceptions, one after the other: `metric's number · kind u8 · value`. Kinds: 0 float and 1 integer (eight
//! bytes, little-endian), 2 boolean (a byte), 3 text (its length, its bytes), 4 location (twice eight bytes); and a float
//! that is a decimal 5 or, if it was read in steps, 6 (decimals u8, the integer signed LEB128). Metric's number and length
//! are LEB128.

use parquet::data_type::ByteArray;
use record::ValueRef;

use super::kind::{POWERS, read_in_steps, shortest};
use super::leaf::{Leaf, Values};
use super::varint::{Bytes, put, put_signed, put_text};
use crate::parquet::ColumnNo;

const DECIMAL: u8 = 5;
const PARSED: u8 = 6;

/// Gathers the exceptions of a row group.
#[derive(Debug)]
pub(super) struct Collector {
    rows: usize,
    /// Row, and its exceptions. Columns come one after the other, so that rows do not come in order.
    found: Vec<(u32, Vec<u8>)>,
}

impl Collector {
    pub(super) fn new(rows: usize) -> Self {
        Self { rows, found: Vec::new() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn add(&mut self, row: usize, column: ColumnNo, value: Option<ValueRef<'_>>) {
        let Some(value) = value else { return };
        let mut bytes = Vec::new();
        put(&mut bytes, u64::from(column.0));
        match value {
            ValueRef::Float(float) if let Some((scaled, decimals, in_steps)) = shortest(float) => {
                bytes.extend_from_slice(&[if in_steps { PARSED } else { DECIMAL }, decimals]);
                put_signed(&mut bytes, scaled);
            }
            other => write_value(&mut bytes, other),
        }
        self.found.push((row as u32, bytes));
    }

    pub(super) fn into_leaf(mut self) -> Leaf {
        self.found.sort_by_key(|(row, _)| *row);
        let mut levels = vec![0; self.rows];
        let mut values: Vec<Vec<u8>> = Vec::new();
        let mut last = None;
        for (row, bytes) in self.found {
            levels[row as usize] = 1;
            match values.last_mut() {
                Some(value) if last == Some(row) => value.extend_from_slice(&bytes),
                _ => values.push(bytes),
            }
            last = Some(row);
        }
        Leaf { levels, values: Values::Bytes(values.into_iter().map(ByteArray::from).collect()) }
    }
}

/// The exceptions of a row; `None` where the bytes make no sense.
pub(super) fn read<'b>(bytes: &'b [u8], visit: &mut dyn FnMut(ColumnNo, ValueRef<'b>)) -> Option<()> {
    let mut from = Bytes(bytes);
    while !from.0.is_empty() {
        let column = ColumnNo(u32::try_from(from.get()?).ok()?);
        let value = match from.0.first()? {
            &kind @ (DECIMAL | PARSED) => ValueRef::Float(read_decimal(&mut from, kind == PARSED)?),
            _ => read_value(&mut from)?,
        };
        visit(column, value);
    }
    Some(())
}

fn read_decimal(from: &mut Bytes<'_>, in_steps: bool) -> Option<f64> {
    let [_, decimals] = from.array()?;
    let scaled = from.signed()?;
    let power = POWERS.get(usize::from(decimals))?;
    Some(if in_steps { read_in_steps(scaled, decimals) } else { scaled as f64 / power })
}

/// A value on its own: its kind and its bytes.
fn write_value(to: &mut Vec<u8>, value: ValueRef<'_>) {
    to.push(value.kind() as u8);
    match value {
        ValueRef::Float(float) => to.extend_from_slice(&float.to_le_bytes()),
        ValueRef::Int(int) => to.extend_from_slice(&int.to_le_bytes()),
        ValueRef::Bool(bool) => to.push(u8::from(bool)),
        ValueRef::Text(text) => put_text(to, text),
        ValueRef::Location { lat, lng } => {
            to.extend_from_slice(&lat.to_le_bytes());
            to.extend_from_slice(&lng.to_le_bytes());
        }
    }
}

/// What [`write_value`] wrote; `None` where the bytes make no sense.
pub(crate) fn read_value<'b>(from: &mut Bytes<'b>) -> Option<ValueRef<'b>> {
    Some(match from.byte()? {
        0 => ValueRef::Float(f64::from_le_bytes(from.array()?)),
        1 => ValueRef::Int(i64::from_le_bytes(from.array()?)),
        2 => ValueRef::Bool(from.byte()? != 0),
        3 => ValueRef::Text(from.text()?),
        4 => {
            let lat = f64::from_le_bytes(from.array()?);
            ValueRef::Location { lat, lng: f64::from_le_bytes(from.array()?) }
        }
        _ => return None,
    })
}
