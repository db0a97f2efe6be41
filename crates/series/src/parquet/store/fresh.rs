//! The buffer's blocks in the manifest: what a batch put into the buffer, as it is kept until it stands in a run
//! (`docs/formats/manifest.md`).
//!
//! ```text
//! version u8 = 1, then for each reading a head, its column (LEB128) and its value as in a run's exceptions
//!   head 0: of the same row as the one before
//!   head 1: entity LEB128 · claimed i64 · time less claimed, arrival less time: signed LEB128 · seq LEB128 · origin u8
//! and at the end CRC32C u32 of all that
//! ```

use std::path::Path;

use record::{TimeOrigin, Timestamp, ValueRef, When};

use crate::Error;
use crate::parquet::run::{read_value, varint, write_value};
use crate::parquet::{ColumnNo, Entity};

const VERSION: u8 = 1;

/// Gathers what a batch puts into the buffer.
#[derive(Debug, Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    last: Option<(Entity, When)>,
}

impl Block {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.last = None;
    }

    pub(super) fn put(&mut self, entity: Entity, column: ColumnNo, when: When, value: ValueRef<'_>) {
        let to = &mut self.bytes;
        if to.is_empty() {
            to.push(VERSION);
        }
        if self.last == Some((entity, when)) {
            to.push(0);
        } else {
            to.push(1);
            varint::put(to, entity.0);
            to.extend_from_slice(&when.claimed.nanos().to_le_bytes());
            varint::put_signed(to, when.time.nanos().wrapping_sub(when.claimed.nanos()));
            varint::put_signed(to, when.arrived_at.nanos().wrapping_sub(when.time.nanos()));
            varint::put(to, when.seq);
            to.push(when.origin as u8);
            self.last = Some((entity, when));
        }
        varint::put(to, u64::from(column.0));
        write_value(to, value);
    }

    /// The block's bytes; `None` when nothing was put in.
    pub(super) fn seal(&mut self) -> Option<&[u8]> {
        if self.bytes.is_empty() {
            return None;
        }
        let checksum = crc32c::crc32c(&self.bytes);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        Some(&self.bytes)
    }
}

/// A block that cannot be read.
pub(super) fn damaged(manifest: &Path, no: i64, reason: &str) -> Error {
    Error::Damaged {
        place: manifest.display().to_string(),
        at: format!("block {no} of fresh readings"),
        reason: reason.to_owned(),
    }
}

/// Visits what is in a block; the error says why it cannot be read.
pub(super) fn read(
    bytes: &[u8],
    visit: &mut dyn FnMut(Entity, ColumnNo, When, ValueRef<'_>),
) -> Result<(), &'static str> {
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or("it is cut off")?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
        return Err("its checksum is wrong");
    }
    let mut from = varint::Bytes(body);
    match from.byte() {
        Some(VERSION) => {}
        _ => return Err("it has a version this build does not know"),
    }
    let mut row = None;
    while !from.0.is_empty() {
        let (of, column, value) = next(&mut from, row).ok_or("it makes no sense")?;
        visit(of.0, column, of.1, value);
        row = Some(of);
    }
    Ok(())
}

type Row = (Entity, When);

fn next<'b>(from: &mut varint::Bytes<'b>, row: Option<Row>) -> Option<(Row, ColumnNo, ValueRef<'b>)> {
    let row = match from.byte()? {
        0 => row?,
        1 => {
            let entity = Entity(from.get()?);
            let claimed = i64::from_le_bytes(from.array()?);
            let time = claimed.wrapping_add(from.signed()?);
            let arrived_at = time.wrapping_add(from.signed()?);
            let seq = from.get()?;
            let origin = TimeOrigin::from_number(from.byte()?)?;
            let [time, claimed, arrived_at] = [time, claimed, arrived_at].map(Timestamp::from_nanos);
            (entity, When { time, origin, arrived_at, claimed, seq })
        }
        _ => return None,
    };
    let column = ColumnNo(u32::try_from(from.get()?).ok()?);
    Some((row, column, read_value(from)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_as_it_was_and_a_damaged_one_is_refused() {
        let at = |nanos| Timestamp::from_nanos(nanos);
        let first = When::by_device(at(i64::MAX), at(i64::MIN));
        let second = When::by_device(at(7), at(9)).corrected_to(at(-3)).with_seq(u64::MAX);
        let put = [
            (Entity::new(1, 2), ColumnNo(0), first, ValueRef::Int(i64::MIN)),
            (Entity::new(1, 2), ColumnNo(300), first, ValueRef::Text("größe")),
            (Entity::new(u32::MAX, u32::MAX), ColumnNo(1), second, ValueRef::Float(-0.0)),
            (Entity::new(0, 0), ColumnNo(1), second, ValueRef::Location { lat: 1.5, lng: -2.0 }),
        ];
        let mut block = Block::default();
        assert_eq!(block.seal(), None);
        put.iter().for_each(|&(entity, column, when, value)| block.put(entity, column, when, value));
        let bytes = block.seal().unwrap().to_vec();
        let told = |bytes: &[u8]| {
            let mut found = Vec::new();
            read(bytes, &mut |entity, column, when, value| {
                found.push(format!("{entity:?} {column:?} {when:?} {value:?}"));
            })
            .map(|()| found)
        };
        let expected: Vec<String> = put
            .iter()
            .map(|(entity, column, when, value)| format!("{entity:?} {column:?} {when:?} {value:?}"))
            .collect();
        assert_eq!(told(&bytes).unwrap(), expected);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(told(&damaged).is_err(), "byte {at}");
            assert!(told(&bytes[..at]).is_err(), "cut at {at}");
        }
        block.clear();
        assert_eq!(block.seal(), None);
    }

    /// What version 1 is, byte by byte: never edited.
    #[test]
    fn version_1_is_written_and_read_as_ever() {
        let at = |nanos| Timestamp::from_nanos(nanos);
        let when = When::by_device(at(5), at(9)).with_seq(2);
        let mut block = Block::default();
        block.put(Entity::new(0, 3), ColumnNo(7), when, ValueRef::Bool(true));
        block.put(Entity::new(0, 3), ColumnNo(130), when, ValueRef::Int(-2));
        let body = [
            1, 1, 3, 5, 0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 7, 2, 1, // a row, metric 7
            0, 0x82, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // the same row, metric 130
        ];
        let written = block.seal().unwrap();
        let (found, checksum) = written.split_last_chunk::<4>().unwrap();
        assert_eq!(found, body);
        assert_eq!(u32::from_le_bytes(*checksum), crc32c::crc32c(&body));
    }
}
