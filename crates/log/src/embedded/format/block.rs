//! The body of a frame of records: runs of consecutive records, one run per partition.
//!
//! ```text
//! u32  number of runs
//! per run: partition 4 (topic u8 · lane u8 · index u16) · base offset u64 · records u32 · value bytes u32
//! per run: the length of each record u32 … · the values …
//! ```

use bytes::Bytes;

use super::{Codec, FRAME_HEAD_BYTES, FrameHead, Kind, PARTITION_BYTES, RawFrame, Take, put_partition};
use crate::partitions::{Partitions, Slot};
use crate::{Batch, Offset, PartitionId, Position, Record};

const RUN_BYTES: usize = PARTITION_BYTES + 8 + 4 + 4;

/// A frame of records, as readers share it.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) segment: u64,
    pub(crate) position: u64,
    /// Where the frame after it begins.
    pub(crate) end: u64,
    pub(crate) time_ms: i64,
    pub(crate) runs: Vec<RunAt>,
    pub(crate) body: Bytes,
}

/// A run inside a frame's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunAt {
    pub(crate) slot: Slot,
    pub(crate) partition: PartitionId,
    pub(crate) base: Offset,
    pub(crate) count: u32,
    lengths_at: usize,
    values_at: usize,
}

impl RunAt {
    pub(crate) fn end(&self) -> Offset {
        self.base + u64::from(self.count)
    }
}

impl Frame {
    /// A frame as read; `None` if its body is not what the format says (which the checksum should have told).
    pub(crate) fn decode(raw: &RawFrame, partitions: &Partitions) -> Option<Self> {
        let body = raw.body()?;
        let mut take = Take(&body);
        let count = take.u32()? as usize;
        if count > take.0.len() / RUN_BYTES {
            return None;
        }
        let mut runs = Vec::with_capacity(count);
        let mut at = 4 + count * RUN_BYTES;
        for _ in 0..count {
            let partition = take.partition()?;
            let (base, count, value_bytes) = (take.u64()?, take.u32()?, take.u32()? as usize);
            let values_at = at + 4 * count as usize;
            let slot = partitions.slot(partition)?;
            base.checked_add(u64::from(count))?;
            let lengths = body.get(at..values_at)?.chunks_exact(4);
            let sum: u64 =
                lengths.map(|b| u64::from(u32::from_le_bytes(b.try_into().expect("chunks of four")))).sum();
            if sum != value_bytes as u64 {
                return None;
            }
            runs.push(RunAt { slot, partition, base, count, lengths_at: at, values_at });
            at = values_at + value_bytes;
        }
        (at == body.len()).then_some(Self {
            segment: raw.head.segment,
            position: raw.head.position,
            end: raw.head.end(),
            time_ms: raw.head.time_ms,
            runs,
            body,
        })
    }

    /// The records of a run from offset `from` on, until `left` bytes are used up (at least one).
    pub(crate) fn records(&self, run: &RunAt, from: Offset, left: &mut usize) -> Vec<Record> {
        let skip = usize::try_from(from - run.base).expect("an offset within the run");
        let length = |i: usize| {
            let at = run.lengths_at + 4 * i;
            u32::from_le_bytes(self.body[at..at + 4].try_into().expect("four bytes")) as usize
        };
        let mut at = run.values_at + (0..skip).map(length).sum::<usize>();
        let mut records = Vec::new();
        for i in skip..run.count as usize {
            if *left == 0 {
                break;
            }
            let end = at + length(i);
            *left = left.saturating_sub((end - at).max(1));
            records.push(Record { appended_ms: self.time_ms, value: self.body.slice(at..end) });
            at = end;
        }
        records
    }

    /// Bytes of a run's records.
    pub(crate) fn value_bytes(&self, run: &RunAt) -> u64 {
        let lengths = self.body[run.lengths_at..run.values_at].chunks_exact(4);
        lengths.map(|b| u64::from(u32::from_le_bytes(b.try_into().expect("chunks of four")))).sum()
    }

    /// What it takes in memory, about, bytes.
    pub(crate) fn weight(&self) -> usize {
        self.body.len() + self.runs.len() * size_of::<RunAt>() + size_of::<Self>()
    }
}

/// Builds frames of records. Its tables live on from frame to frame.
pub(crate) struct FrameBuilder {
    partitions: Partitions,
    /// By slot: how many records and bytes the frame has for it, then where the next of each goes.
    tally: Vec<Tally>,
    touched: Vec<Slot>,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    count: u32,
    bytes: usize,
    length_at: usize,
    value_at: usize,
}

/// A frame ready to be written, and what readers will be shown of it.
pub(crate) struct Built {
    pub(crate) bytes: Bytes,
    pub(crate) frame: Frame,
}

/// What the frame's head will say beside its sizes.
#[derive(Clone, Copy)]
pub(crate) struct Whereabouts {
    pub(crate) segment: u64,
    pub(crate) position: u64,
    pub(crate) group_start: u64,
    pub(crate) time_ms: i64,
    pub(crate) seed: u32,
}

impl FrameBuilder {
    pub(crate) fn new(partitions: Partitions) -> Self {
        let tally = vec![Tally::default(); partitions.count()];
        Self { partitions, tally, touched: Vec::new() }
    }

    /// One frame of all records of `batches`. `next` holds each slot's next offset and is moved on; `tell` is
    /// given the positions of each batch.
    pub(crate) fn build<'b>(
        &mut self,
        batches: impl Iterator<Item = &'b Batch> + Clone,
        next: &mut [Offset],
        compression: super::super::Compression,
        at: Whereabouts,
        mut tell: impl FnMut(Vec<Position>),
    ) -> Built {
        for record in batches.clone().flat_map(Batch::records) {
            let slot = self.slot(record.partition);
            let tally = &mut self.tally[slot.at()];
            if tally.count == 0 {
                self.touched.push(slot);
            }
            tally.count += 1;
            tally.bytes += record.value.len();
        }
        self.touched.sort_unstable();
        let (mut bytes, runs) = self.lay_out(next);
        for batch in batches {
            let mut positions = Vec::with_capacity(batch.len());
            for record in batch.records() {
                let slot = self.slot(record.partition).at();
                positions.push(Position { partition: record.partition, offset: next[slot] });
                next[slot] += 1;
                let length = u32::try_from(record.value.len()).expect("a batch is below 4 GiB");
                let tally = &mut self.tally[slot];
                bytes[tally.length_at..tally.length_at + 4].copy_from_slice(&length.to_le_bytes());
                let end = tally.value_at + record.value.len();
                bytes[tally.value_at..end].copy_from_slice(record.value);
                tally.length_at += 4;
                tally.value_at = end;
            }
            tell(positions);
        }
        for slot in self.touched.drain(..) {
            self.tally[slot.at()] = Tally::default();
        }
        finish(bytes, runs, compression, at)
    }

    fn slot(&self, partition: PartitionId) -> Slot {
        self.partitions.slot(partition).expect("checked when the batch was taken")
    }

    /// A buffer with room for the head, the table of runs written, and the place of each run.
    fn lay_out(&mut self, next: &[Offset]) -> (Vec<u8>, Vec<RunAt>) {
        let table = 4 + self.touched.len() * RUN_BYTES;
        let contents: usize =
            self.touched.iter().map(|s| &self.tally[s.at()]).map(|t| 4 * t.count as usize + t.bytes).sum();
        let mut bytes = Vec::with_capacity(FRAME_HEAD_BYTES + table + contents);
        bytes.resize(FRAME_HEAD_BYTES, 0);
        bytes.extend_from_slice(&u32::try_from(self.touched.len()).expect("few partitions").to_le_bytes());
        let mut runs = Vec::with_capacity(self.touched.len());
        let mut at = table;
        for &slot in &self.touched {
            let tally = &mut self.tally[slot.at()];
            let partition = self.partitions.at(slot);
            let base = next[slot.at()];
            put_partition(&mut bytes, partition);
            bytes.extend_from_slice(&base.to_le_bytes());
            bytes.extend_from_slice(&tally.count.to_le_bytes());
            bytes.extend_from_slice(&u32::try_from(tally.bytes).expect("below 4 GiB").to_le_bytes());
            let values_at = at + 4 * tally.count as usize;
            let (count, value_bytes) = (tally.count, tally.bytes);
            runs.push(RunAt { slot, partition, base, count, lengths_at: at, values_at });
            tally.length_at = FRAME_HEAD_BYTES + at;
            tally.value_at = FRAME_HEAD_BYTES + values_at;
            at = values_at + value_bytes;
        }
        bytes.resize(FRAME_HEAD_BYTES + at, 0);
        (bytes, runs)
    }
}

fn finish(
    bytes: Vec<u8>,
    runs: Vec<RunAt>,
    compression: super::super::Compression,
    at: Whereabouts,
) -> Built {
    let body = &bytes[FRAME_HEAD_BYTES..];
    let body_bytes = u32::try_from(body.len()).expect("a commit group is below 4 GiB");
    let packed = compression.pack(body);
    let (codec, stored_bytes, mut whole) = match packed {
        Some((codec, frame)) => {
            (codec, u32::try_from(frame.len() - FRAME_HEAD_BYTES).expect("smaller than the body"), frame)
        }
        None => (Codec::AsIs, body_bytes, Vec::new()),
    };
    let mut head = FrameHead {
        kind: Kind::Records,
        codec,
        segment: at.segment,
        position: at.position,
        group_start: at.group_start,
        time_ms: at.time_ms,
        stored_bytes,
        body_bytes,
        body_checksum: 0,
    };
    let end = head.end();
    let (bytes, body) = if whole.is_empty() {
        let mut bytes = bytes;
        head.body_checksum = crc32c::crc32c_append(at.seed, &bytes[FRAME_HEAD_BYTES..]);
        head.write(at.seed, &mut bytes);
        let bytes = Bytes::from(bytes);
        let body = bytes.slice(FRAME_HEAD_BYTES..);
        (bytes, body)
    } else {
        head.body_checksum = crc32c::crc32c_append(at.seed, &whole[FRAME_HEAD_BYTES..]);
        head.write(at.seed, &mut whole);
        (Bytes::from(whole), Bytes::from(bytes).slice(FRAME_HEAD_BYTES..))
    };
    let (segment, position, time_ms) = (at.segment, at.position, at.time_ms);
    Built { bytes, frame: Frame { segment, position, end, time_ms, runs, body } }
}
