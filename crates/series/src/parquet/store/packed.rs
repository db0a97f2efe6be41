//! Readings one after the other in few bytes, as the manifest holds them: those that are in the buffer ([`super::fresh`]) and the last
//! of each device ([`super::last`]). The format is in `docs/formats/manifest.md`.
//!
//! ```text
//! head u8: bit 0 of another row than the one before · bit 1 of another column than the next · bits 2-4 what it is
//!          · bits 5-7 decimals
//! its row: device LEB128 · group LEB128, if readings of many devices stand together · claimed less that of the row before,
//!          time less claimed, arrival less time: signed LEB128 · seq LEB128 · origin u8
//! its column: LEB128
//! its value: 0 float, eight bytes · 1 integer, signed LEB128 · 2 false · 3 true · 4 text, length LEB128 and bytes
//!          · 5 location, twice eight bytes · 6 a float that is a decimal, the integer signed LEB128
//! ```
//!
//! Before the first stand a row of claimed time 0 and column -1.

use record::{TimeOrigin, Timestamp, ValueRef, When};

use crate::parquet::run::{POWERS, scaled, varint};
use crate::parquet::{ColumnNo, Entity};

const ROW: u8 = 1;
const COLUMN: u8 = 1 << 1;
const WHAT: u8 = 0b111;
const WHAT_AT: u32 = 2;
const DECIMALS_AT: u32 = 5;

const FLOAT: u8 = 0;
const INT: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const TEXT: u8 = 4;
const LOCATION: u8 = 5;
const DECIMAL: u8 = 6;

/// Integers of a decimal are below: so many take seven bytes, and a float eight.
const MOST_SCALED: f64 = 281_474_976_710_656.0;

/// Whose readings stand together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Of {
    /// Of many: each row says whose it is.
    #[default]
    Many,
    /// All of one, which is known from elsewhere.
    One,
}

pub(super) type Row = (Entity, When);

/// Puts readings one after the other.
#[derive(Debug, Default)]
pub(super) struct Packer {
    of: Of,
    row: Option<Row>,
    /// The column of the next reading, if it is the next one.
    next: u32,
    decimals: Decimals,
}

impl Packer {
    pub(super) fn new(of: Of) -> Self {
        Self { of, ..Self::default() }
    }

    /// The next reading is the first.
    pub(super) fn begin(&mut self) {
        (self.row, self.next) = (None, 0);
    }

    pub(super) fn put(
        &mut self,
        to: &mut Vec<u8>,
        entity: Entity,
        column: ColumnNo,
        when: When,
        value: ValueRef<'_>,
    ) {
        let mut head = 0;
        let place = to.len();
        to.push(head);
        if self.row != Some((entity, when)) {
            head |= ROW;
            if self.of == Of::Many {
                varint::put(to, u64::from(entity.device()));
                varint::put(to, u64::from(entity.group()));
            }
            put_when(to, &when, self.row.map_or(0, |(_, before)| before.claimed.nanos()));
            self.row = Some((entity, when));
        }
        if self.next != column.0 {
            head |= COLUMN;
            varint::put(to, u64::from(column.0));
        }
        self.next = column.0.wrapping_add(1);
        let (what, decimals) = self.put_value(to, column, value);
        to[place] = head | what << WHAT_AT | decimals << DECIMALS_AT;
    }

    /// What the value is, and its decimals.
    #[inline]
    fn put_value(&mut self, to: &mut Vec<u8>, column: ColumnNo, value: ValueRef<'_>) -> (u8, u8) {
        let what = match value {
            ValueRef::Float(float) => match self.decimals.of(column, float) {
                Some((decimals, scaled)) => {
                    varint::put_signed(to, scaled);
                    return (DECIMAL, decimals);
                }
                None => {
                    to.extend_from_slice(&float.to_le_bytes());
                    FLOAT
                }
            },
            ValueRef::Int(int) => {
                varint::put_signed(to, int);
                INT
            }
            ValueRef::Bool(false) => FALSE,
            ValueRef::Bool(true) => TRUE,
            ValueRef::Text(text) => {
                varint::put_text(to, text);
                TEXT
            }
            ValueRef::Location { lat, lng } => {
                to.extend_from_slice(&lat.to_le_bytes());
                to.extend_from_slice(&lng.to_le_bytes());
                LOCATION
            }
        };
        (what, 0)
    }
}

fn put_when(to: &mut Vec<u8>, when: &When, claimed_before: i64) {
    let (time, claimed, arrived_at) = (when.time.nanos(), when.claimed.nanos(), when.arrived_at.nanos());
    varint::put_signed(to, claimed.wrapping_sub(claimed_before));
    varint::put_signed(to, time.wrapping_sub(claimed));
    varint::put_signed(to, arrived_at.wrapping_sub(time));
    varint::put(to, when.seq);
    to.push(when.origin as u8);
}

/// How many decimals the floats of a column had the last time: mostly it is a sensor's resolution, and stays.
#[derive(Debug)]
struct Decimals([u8; COLUMNS]);

/// So many columns have a place of their own.
const COLUMNS: usize = 64;
/// Most decimals looked for, as three bits hold.
const MOST_DECIMALS: u8 = 7;

impl Default for Decimals {
    fn default() -> Self {
        Self([0; COLUMNS])
    }
}

impl Decimals {
    /// How many decimals a float has, and the integer that it is then.
    #[inline]
    fn of(&mut self, column: ColumnNo, float: f64) -> Option<(u8, i64)> {
        let guess = &mut self.0[column.0 as usize % COLUMNS];
        let scaled = |decimals: u8| scaled(float, POWERS[usize::from(decimals)], MOST_SCALED);
        if *guess > MOST_DECIMALS {
            // It had too many; now and then all are tried again.
            *guess = guess.checked_add(1).unwrap_or(0);
            return None;
        }
        if let Some(scaled) = scaled(*guess) {
            return Some((*guess, scaled));
        }
        let found = (0..=MOST_DECIMALS).find_map(|decimals| Some((decimals, scaled(decimals)?)));
        *guess = found.map_or(MOST_DECIMALS + 1, |(decimals, _)| decimals);
        found
    }
}

/// Reads what a [`Packer`] has put, without trust.
pub(super) struct Unpacker<'b> {
    of: Of,
    from: varint::Bytes<'b>,
    last: Option<(Row, ColumnNo)>,
}

impl<'b> Unpacker<'b> {
    pub(super) fn new(of: Of, bytes: &'b [u8]) -> Self {
        Self { of, from: varint::Bytes(bytes), last: None }
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.from.0.is_empty()
    }

    /// The next reading, with entity 0 if all are of one; `None` where the bytes make no sense.
    pub(super) fn next(&mut self) -> Option<(Row, ColumnNo, ValueRef<'b>)> {
        let Self { of, from, last } = self;
        let head = from.byte()?;
        let row = match head & ROW {
            0 => last.as_ref()?.0,
            _ => {
                let entity = match of {
                    Of::Many => {
                        let device = u32::try_from(from.get()?).ok()?;
                        Entity::new(u32::try_from(from.get()?).ok()?, device)
                    }
                    Of::One => Entity(0),
                };
                let before = last.map_or(0, |((_, when), _)| when.claimed.nanos());
                (entity, read_when(from, |from| Some(before.wrapping_add(from.signed()?)))?)
            }
        };
        let column = match head & COLUMN {
            0 => last.map_or(0, |(_, column)| column.0.wrapping_add(1)),
            _ => u32::try_from(from.get()?).ok()?,
        };
        let value = read_value(from, head)?;
        *last = Some((row, ColumnNo(column)));
        Some((row, ColumnNo(column), value))
    }
}

fn read_value<'b>(from: &mut varint::Bytes<'b>, head: u8) -> Option<ValueRef<'b>> {
    Some(match head >> WHAT_AT & WHAT {
        FLOAT => ValueRef::Float(f64::from_le_bytes(from.array()?)),
        INT => ValueRef::Int(from.signed()?),
        FALSE => ValueRef::Bool(false),
        TRUE => ValueRef::Bool(true),
        TEXT => ValueRef::Text(from.text()?),
        LOCATION => {
            let lat = f64::from_le_bytes(from.array()?);
            ValueRef::Location { lat, lng: f64::from_le_bytes(from.array()?) }
        }
        DECIMAL => ValueRef::Float(from.signed()? as f64 / POWERS[usize::from(head >> DECIMALS_AT)]),
        _ => return None,
    })
}

/// The times of a row, of which `claimed` reads the first.
pub(super) fn read_when<'b>(
    from: &mut varint::Bytes<'b>,
    claimed: impl FnOnce(&mut varint::Bytes<'b>) -> Option<i64>,
) -> Option<When> {
    let claimed = claimed(from)?;
    let time = claimed.wrapping_add(from.signed()?);
    let arrived_at = time.wrapping_add(from.signed()?);
    let seq = from.get()?;
    let origin = TimeOrigin::from_number(from.byte()?)?;
    let [time, claimed, arrived_at] = [time, claimed, arrived_at].map(Timestamp::from_nanos);
    Some(When { time, origin, arrived_at, claimed, seq })
}
