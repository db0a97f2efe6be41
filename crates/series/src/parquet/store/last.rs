//! The last reading of each metric of a device, as it is kept in the manifest: by metric's number, its times and value.
//! Version u8 = 2, then the readings by rising number, all of one device ([`super::packed`]; `docs/formats/manifest.md`).
//!
//! Version 1, which is still read, has for each: number LEB128 · origin u8 · seq LEB128 · time, claimed, arrival i64 · kind u8 ·
//! value as in a run's exceptions.

use std::collections::BTreeMap;
use std::path::Path;

use record::{TimeOrigin, Timestamp, Value, ValueRef, When};

use super::packed::{Of, Packer, Unpacker};
use crate::Error;
use crate::parquet::run::{read_value, varint};
use crate::parquet::{ColumnNo, Entity};

const VERSION: u8 = 2;

/// The last readings of a device.
pub(super) type LastRow = BTreeMap<ColumnNo, (When, Value)>;

/// What the later of two readings of a series is decided by.
pub(super) fn order(when: &When) -> (Timestamp, u64, Timestamp) {
    (when.time, when.seq, when.claimed)
}

/// A last row that cannot be read.
pub(super) fn damaged(manifest: &Path, device: u32) -> Error {
    Error::Damaged {
        place: manifest.display().to_string(),
        at: format!("the last row of device {device}"),
        reason: "it cannot be read".to_owned(),
    }
}

pub(super) fn encode(row: &LastRow) -> Vec<u8> {
    let (mut to, mut packer) = (vec![VERSION], Packer::new(Of::One));
    for (&no, (when, value)) in row {
        packer.put(&mut to, Entity(0), no, *when, value.as_ref());
    }
    to
}

/// `None` where the bytes make no sense.
pub(super) fn decode(bytes: &[u8]) -> Option<LastRow> {
    decode_of(bytes, |_| true)
}

/// The readings of some metrics.
pub(super) fn decode_of(bytes: &[u8], wants: impl Fn(ColumnNo) -> bool) -> Option<LastRow> {
    let mut row = LastRow::new();
    let mut take = |no, when: When, value: ValueRef<'_>| {
        if wants(no) {
            row.insert(no, (when, value.to_value()));
        }
    };
    match bytes.split_first()? {
        (1, readings) => read_version_1(varint::Bytes(readings), &mut take)?,
        (&VERSION, readings) => {
            let mut readings = Unpacker::new(Of::One, readings);
            while !readings.is_at_end() {
                let ((_, when), no, value) = readings.next()?;
                take(no, when, value);
            }
        }
        _ => return None,
    }
    Some(row)
}

fn read_version_1(
    mut from: varint::Bytes<'_>,
    take: &mut dyn FnMut(ColumnNo, When, ValueRef<'_>),
) -> Option<()> {
    while !from.0.is_empty() {
        let no = ColumnNo(u32::try_from(from.get()?).ok()?);
        let origin = TimeOrigin::from_number(from.byte()?)?;
        let seq = from.get()?;
        let mut time = || from.array().map(|bytes| Timestamp::from_nanos(i64::from_le_bytes(bytes)));
        let (time, claimed, arrived_at) = (time()?, time()?, time()?);
        take(no, When { time, origin, arrived_at, claimed, seq }, read_value(&mut from)?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    /// What version 1 was, byte by byte: never edited.
    #[test]
    fn version_1_is_read_as_ever() {
        let mut bytes = vec![1, 0x82, 1, 0, 2];
        [5_i64, 5, 9].iter().for_each(|time| bytes.extend(time.to_le_bytes()));
        bytes.extend([1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        let when = When::by_device(at(5), at(9)).with_seq(2);
        assert_eq!(decode(&bytes), Some(LastRow::from([(ColumnNo(130), (when, Value::Int(-2)))])));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
    }

    /// What version 2 is, byte by byte: never edited.
    #[test]
    fn version_2_is_written_and_read_as_ever() {
        let when = When::by_device(at(5), at(9)).with_seq(2);
        let row = LastRow::from([
            (ColumnNo(7), (when, Value::Float(1.5))),
            (ColumnNo(8), (when, Value::Bool(true))),
            (ColumnNo(130), (When::by_server(at(6)), Value::Int(-2))),
        ]);
        let bytes = [
            2, 0b11_1011, 10, 0, 8, 2, 0, 7, 30,     // metric 7: 15 with one decimal
            0b1100, // metric 8, at the same time: true
            0b111, 2, 0, 0, 0, 1, 0x82, 1, 3, // metric 130, one later, by the server's clock: -2
        ];
        assert_eq!(encode(&row), bytes);
        assert_eq!(decode(&bytes), Some(row));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(&[3]), None);
    }
}
