//! The buffer's blocks in the manifest: what a batch put into the buffer, as it is kept until it stands in a run
//! (`docs/formats/manifest.md`): version u8 = 2, the readings ([`super::packed`]), and CRC32C u32 of all that.
//!
//! Version 1, which is still read, has for each reading: head u8, 0 of the same row as the one before, or 1 and then entity
//! LEB128 · claimed i64 · time less claimed, arrival less time: signed LEB128 · seq LEB128 · origin u8; its column LEB128;
//! its value as in a run's exceptions.

use std::path::Path;

use record::{ValueRef, When};

use super::packed::{Of, Packer, Row, Unpacker, read_when};
use crate::Error;
use crate::parquet::run::{read_value, varint};
use crate::parquet::{ColumnNo, Entity};

const VERSION: u8 = 2;

/// Gathers what a batch puts into the buffer.
#[derive(Debug, Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    packer: Packer,
}

impl Block {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.packer.begin();
    }

    #[inline]
    pub(super) fn put(&mut self, entity: Entity, column: ColumnNo, when: When, value: ValueRef<'_>) {
        if self.bytes.is_empty() {
            self.bytes.push(VERSION);
        }
        self.packer.put(&mut self.bytes, entity, column, when, value);
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
    match body.split_first() {
        Some((1, readings)) => read_version_1(varint::Bytes(readings), visit).ok_or("it makes no sense"),
        Some((&VERSION, readings)) => {
            let mut readings = Unpacker::new(Of::Many, readings);
            while !readings.is_at_end() {
                let (row, column, value) = readings.next().ok_or("it makes no sense")?;
                visit(row.0, column, row.1, value);
            }
            Ok(())
        }
        _ => Err("it has a version this build does not know"),
    }
}

fn read_version_1(
    mut from: varint::Bytes<'_>,
    visit: &mut dyn FnMut(Entity, ColumnNo, When, ValueRef<'_>),
) -> Option<()> {
    let mut last: Option<Row> = None;
    while !from.0.is_empty() {
        let row = match from.byte()? {
            0 => last?,
            1 => {
                let entity = Entity(from.get()?);
                (entity, read_when(&mut from, |from| Some(i64::from_le_bytes(from.array()?)))?)
            }
            _ => return None,
        };
        let column = ColumnNo(u32::try_from(from.get()?).ok()?);
        visit(row.0, column, row.1, read_value(&mut from)?);
        last = Some(row);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use record::Timestamp;

    use super::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    /// What stands in a block, as text: floats by their bits.
    fn told(bytes: &[u8]) -> Result<Vec<String>, &'static str> {
        let mut found = Vec::new();
        read(bytes, &mut |entity, column, when, value| found.push(tell(entity, column, when, value)))
            .map(|()| found)
    }

    fn tell(entity: Entity, column: ColumnNo, when: When, value: ValueRef<'_>) -> String {
        match value {
            ValueRef::Float(float) => format!("{entity:?} {column:?} {when:?} float {:x}", float.to_bits()),
            value => format!("{entity:?} {column:?} {when:?} {value:?}"),
        }
    }

    #[test]
    fn a_block_comes_back_as_it_was_and_a_damaged_one_is_refused() {
        let first = When::by_device(at(i64::MAX), at(i64::MIN));
        let second = When::by_device(at(7), at(9)).corrected_to(at(-3)).with_seq(u64::MAX);
        let put = [
            (Entity::new(1, 2), ColumnNo(0), first, ValueRef::Int(i64::MIN)),
            (Entity::new(1, 2), ColumnNo(300), first, ValueRef::Text("größe")),
            (Entity::new(1, 2), ColumnNo(301), first, ValueRef::Bool(false)),
            (Entity::new(u32::MAX, u32::MAX), ColumnNo(u32::MAX), second, ValueRef::Float(-0.0)),
            (Entity::new(u32::MAX, u32::MAX), ColumnNo(0), second, ValueRef::Float(23.47)),
            (Entity::new(0, 0), ColumnNo(1), second, ValueRef::Location { lat: 1.5, lng: -2.0 }),
        ];
        let mut block = Block::default();
        assert_eq!(block.seal(), None);
        put.iter().for_each(|&(entity, column, when, value)| block.put(entity, column, when, value));
        let bytes = block.seal().unwrap().to_vec();
        let expected: Vec<String> =
            put.iter().map(|&(entity, column, when, value)| tell(entity, column, when, value)).collect();
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

    #[test]
    fn a_message_of_twenty_decimals_takes_less_than_four_bytes_a_reading() {
        let mut block = Block::default();
        let (minute, messages) = (60_000_000_000, 100);
        for message in 0..messages {
            let when = When::by_device(at(message * minute / 7), at(message * minute / 7 + 40_000_000));
            for column in 0..20 {
                let value = f64::from(2_000 + column * 17) / 100.0;
                block.put(
                    Entity::new(0, message as u32),
                    ColumnNo(column as u32),
                    when,
                    ValueRef::Float(value),
                );
            }
        }
        let bytes = block.seal().unwrap().len() as i64;
        assert!(bytes < 4 * 20 * messages, "{bytes} bytes");
    }

    /// What version 1 was, byte by byte: never edited.
    #[test]
    fn version_1_is_read_as_ever() {
        let when = When::by_device(at(5), at(9)).with_seq(2);
        let mut block = vec![
            1, 1, 3, 5, 0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 7, 2, 1, // a row, metric 7
            0, 0x82, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // the same row, metric 130
        ];
        block.extend(crc32c::crc32c(&block).to_le_bytes());
        let expected = [
            tell(Entity::new(0, 3), ColumnNo(7), when, ValueRef::Bool(true)),
            tell(Entity::new(0, 3), ColumnNo(130), when, ValueRef::Int(-2)),
        ];
        assert_eq!(told(&block).unwrap(), expected);
    }

    /// What version 2 is, byte by byte: never edited.
    #[test]
    fn version_2_is_written_and_read_as_ever() {
        let when = When::by_device(at(5), at(9)).with_seq(2);
        let later = When::by_device(at(300), at(300));
        let mut block = Block::default();
        block.put(Entity::new(1, 3), ColumnNo(7), when, ValueRef::Bool(true));
        block.put(Entity::new(1, 3), ColumnNo(8), when, ValueRef::Int(-2));
        block.put(Entity::new(1, 3), ColumnNo(130), when, ValueRef::Float(1.25));
        block.put(Entity::new(1, 3), ColumnNo(131), later, ValueRef::Float(0.1 + 0.2));
        block.put(Entity::new(1, 3), ColumnNo(132), later, ValueRef::Text("a"));
        let body = [
            2,
            0b1111,
            3,
            1,
            10,
            0,
            8,
            2,
            0,
            7, // a row, metric 7: true
            0b100,
            3, // the next: -2
            0b0101_1010,
            0x82,
            1,
            0xfa,
            1, // metric 130: 125 with 2 decimals
            1,
            3,
            1,
            0xce,
            4,
            0,
            0,
            0,
            0,
            0x34,
            0x33,
            0x33,
            0x33,
            0x33,
            0x33,
            0xd3,
            0x3f, // a row, a float
            0b1_0000,
            1,
            b'a', // a text
        ];
        let written = block.seal().unwrap().to_vec();
        let (found, checksum) = written.split_last_chunk::<4>().unwrap();
        assert_eq!(found, body);
        assert_eq!(u32::from_le_bytes(*checksum), crc32c::crc32c(&body));
        assert_eq!(told(&written).unwrap().len(), 5);
    }

    fn floats() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>(),
            (any::<i32>(), 0..10_i32)
                .prop_map(|(digits, decimals)| f64::from(digits) / 10_f64.powi(decimals)),
            any::<i64>().prop_map(|digits| digits as f64 / 100.0),
        ]
    }

    proptest! {
        #[test]
        fn every_float_comes_back_to_the_bit(floats in prop::collection::vec((0..70_u32, floats()), 1..600)) {
            let when = When::by_device(at(5), at(9));
            let mut block = Block::default();
            let put = |&(column, float): &(u32, f64)| (ColumnNo(column), ValueRef::Float(float));
            floats.iter().map(put).for_each(|(column, value)| block.put(Entity::new(0, 1), column, when, value));
            let expected: Vec<String> =
                floats.iter().map(put).map(|(column, value)| tell(Entity::new(0, 1), column, when, value)).collect();
            prop_assert_eq!(told(block.seal().unwrap()).unwrap(), expected);
        }

        #[test]
        fn no_bytes_make_a_block_panic(version in 1..3_u8, body in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut block = vec![version];
            block.extend(body);
            block.extend(crc32c::crc32c(&block).to_le_bytes());
            let _ = told(&block);
        }
    }
}
