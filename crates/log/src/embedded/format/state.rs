//! The bodies of two kinds of frame: state (first in every segment, so that a segment needs none before it)
//! and positions (what readers committed since).
//!
//! ```text
//! state      i64 time of the last record · u64 the oldest segment (retention has dropped those before it)
//!            · u32 number of partitions, each: partition 4 · next offset u64 (partitions that never had a record
//!            are left out) · then as positions, all readers
//! positions  u32 number of readers, each: u16 name length · name, UTF-8 · u32 number, each: partition 4 · offset u64
//! ```

use std::collections::BTreeMap;

use super::{Take, put_partition};
use crate::{Offset, PartitionId};

/// How far each named reader has come.
pub(crate) type ReaderPositions = BTreeMap<String, BTreeMap<PartitionId, Offset>>;

/// What a segment starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) last_ms: i64,
    pub(crate) oldest: u64,
    pub(crate) next: Vec<(PartitionId, Offset)>,
    pub(crate) positions: ReaderPositions,
}

impl State {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.last_ms.to_le_bytes());
        out.extend_from_slice(&self.oldest.to_le_bytes());
        put_count(out, self.next.len());
        for &(partition, next) in &self.next {
            put_partition(out, partition);
            out.extend_from_slice(&next.to_le_bytes());
        }
        encode_positions(&self.positions, out);
    }

    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let mut take = Take(body);
        let (last_ms, oldest) = (take.i64()?, take.u64()?);
        let count = take.u32()?;
        let next = (0..count).map(|_| Some((take.partition()?, take.u64()?))).collect::<Option<_>>()?;
        Some(Self { last_ms, oldest, next, positions: take_positions(take)? })
    }
}

pub(crate) fn encode_positions(positions: &ReaderPositions, out: &mut Vec<u8>) {
    put_count(out, positions.len());
    for (reader, offsets) in positions {
        let length = u16::try_from(reader.len()).expect("names are bounded when committed");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(reader.as_bytes());
        put_count(out, offsets.len());
        for (&partition, offset) in offsets {
            put_partition(out, partition);
            out.extend_from_slice(&offset.to_le_bytes());
        }
    }
}

pub(crate) fn decode_positions(body: &[u8]) -> Option<ReaderPositions> {
    take_positions(Take(body))
}

fn take_positions(mut take: Take<'_>) -> Option<ReaderPositions> {
    let mut positions = ReaderPositions::new();
    for _ in 0..take.u32()? {
        let length = usize::from(take.u16()?);
        let reader = std::str::from_utf8(take.bytes(length)?).ok()?.to_owned();
        let offsets: &mut BTreeMap<_, _> = positions.entry(reader).or_default();
        for _ in 0..take.u32()? {
            offsets.insert(take.partition()?, take.u64()?);
        }
    }
    take.0.is_empty().then_some(positions)
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).expect("counts are bounded").to_le_bytes());
}
