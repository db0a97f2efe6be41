//! The sparse index of a segment: the last frame of a sealed one, in memory for the one being written.
//!
//! ```text
//! u32  number of marks, each: position u64 · time i64
//! u32  number of partitions, each: partition 4 · u32 number, each: base offset u64 · position u64
//! u32  number of partitions with records, each: partition 4 · next offset u64 at the end of the segment
//! u64  position of this frame's head: the last eight bytes of a sealed segment lead to its index
//! ```
//!
//! A mark stands every so many bytes; behind a mark, the first run of each partition is noted. Whoever looks for
//! an offset starts at the last noted run that is not beyond it. The body is never compressed.

use std::collections::BTreeMap;

use super::{Frame, Take, put_partition};
use crate::partitions::{Partitions, Slot, SlotSet};
use crate::{Offset, PartitionId};

#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    marks: Vec<(u64, i64)>,
    runs: BTreeMap<Slot, Vec<(Offset, u64)>>,
    noted: SlotSet,
}

impl Index {
    /// Notes a frame; frames come in order.
    pub(crate) fn note(&mut self, frame: &Frame, interval_bytes: u64) {
        if self.marks.last().is_none_or(|&(position, _)| frame.position >= position + interval_bytes) {
            self.marks.push((frame.position, frame.time_ms));
            self.noted = SlotSet::default();
        }
        for run in &frame.runs {
            if self.noted.insert(run.slot) {
                self.runs.entry(run.slot).or_default().push((run.base, frame.position));
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Where to start looking for an offset; `None`: at the first frame.
    pub(crate) fn find_offset(&self, slot: Slot, offset: Offset) -> Option<u64> {
        let runs = self.runs.get(&slot)?;
        let after = runs.partition_point(|&(base, _)| base <= offset);
        runs.get(after.checked_sub(1)?).map(|&(_, position)| position)
    }

    /// Where to start looking for records of `time_ms` or later; `None`: at the first frame.
    pub(crate) fn find_time(&self, time_ms: i64) -> Option<u64> {
        let after = self.marks.partition_point(|&(_, time)| time < time_ms);
        self.marks.get(after.checked_sub(1)?).map(|&(position, _)| position)
    }

    /// The body of the index frame whose head stands at `position`; `ends` are the next offsets by slot.
    pub(crate) fn encode(&self, partitions: &Partitions, ends: &[Offset], position: u64, out: &mut Vec<u8>) {
        put_count(out, self.marks.len());
        for &(position, time_ms) in &self.marks {
            out.extend_from_slice(&position.to_le_bytes());
            out.extend_from_slice(&time_ms.to_le_bytes());
        }
        put_count(out, self.runs.len());
        for (&slot, runs) in &self.runs {
            put_partition(out, partitions.at(slot));
            put_count(out, runs.len());
            for &(base, position) in runs {
                out.extend_from_slice(&base.to_le_bytes());
                out.extend_from_slice(&position.to_le_bytes());
            }
        }
        put_count(out, ends.iter().filter(|&&end| end > 0).count());
        for (partition, &end) in partitions.all().zip(ends).filter(|&(_, &end)| end > 0) {
            put_partition(out, partition);
            out.extend_from_slice(&end.to_le_bytes());
        }
        out.extend_from_slice(&position.to_le_bytes());
    }

    /// The index, and the next offsets at the end of its segment.
    pub(crate) fn decode(partitions: &Partitions, body: &[u8]) -> Option<(Self, Vec<(Slot, Offset)>)> {
        let mut take = Take(body);
        let mut index = Self::default();
        for _ in 0..take.u32()? {
            index.marks.push((take.u64()?, take.i64()?));
        }
        for _ in 0..take.u32()? {
            let partition: PartitionId = take.partition()?;
            let slot = partitions.slot(partition)?;
            let mut runs = Vec::new();
            for _ in 0..take.u32()? {
                runs.push((take.u64()?, take.u64()?));
            }
            index.runs.insert(slot, runs);
        }
        let count = take.u32()?;
        let ends = (0..count).map(|_| Some((partitions.slot(take.partition()?)?, take.u64()?)));
        let ends = ends.collect::<Option<_>>()?;
        take.u64()?;
        take.0.is_empty().then_some((index, ends))
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).expect("counts are bounded by the segment").to_le_bytes());
}
