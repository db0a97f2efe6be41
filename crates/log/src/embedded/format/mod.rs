//! What stands on the disk: `docs/formats/log-segment.md` is the whole of it in prose.
//!
//! ```text
//! log.meta                   text: version, id, partitions per topic, checksum
//! 00000000000000000001.seg   head · frames …                  sealed: the last frame is the index
//! 00000000000000000002.seg   head · frames …                  the last one is being written
//! ```
//!
//! Integers are little-endian. Every checksum of a frame starts from the log's id, so that neither a frame of
//! another log nor one that a client has forged inside a record passes for ours.

mod block;
mod frame;
mod head;
mod index;
mod meta;
mod state;

pub(crate) use block::{Frame, FrameBuilder, Whereabouts};
pub(crate) use frame::{Codec, FRAME_HEAD_BYTES, FrameHead, Kind, RawFrame, Scan, Step};
pub(crate) use head::{FRAMES_START, HeadFound, SegmentHead};
pub(crate) use index::Index;
pub(crate) use meta::{META_FILE, Meta};
pub(crate) use state::{ReaderPositions, State, decode_positions, encode_positions};

use crate::{Lane, PartitionId, Topic};

/// The format's version: in `log.meta` and in every segment head.
pub(crate) const VERSION: u32 = 1;

/// The name of a segment's file.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:020}.seg")
}

/// The number in the name of a segment's file.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Bytes of a partition's key.
pub(crate) const PARTITION_BYTES: usize = 4;

/// `topic u8 · lane u8 · index u16`.
pub(crate) fn put_partition(out: &mut Vec<u8>, partition: PartitionId) {
    out.push(partition.topic as u8);
    out.push(partition.lane as u8);
    out.extend_from_slice(&partition.index.to_le_bytes());
}

/// Takes values off the front of a slice; `None` where it ends too early or a byte means nothing.
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl<'a> Take<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn partition(&mut self) -> Option<PartitionId> {
        let topic = *Topic::ALL.get(usize::from(self.u8()?))?;
        let lane = match self.u8()? {
            0 => Lane::Live,
            1 => Lane::Backfill,
            _ => return None,
        };
        Some(PartitionId { topic, lane, index: self.u16()? })
    }
}
