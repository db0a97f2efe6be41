//! Reading a log's files without opening it: what [`crate::inspect`] reports on.

use std::io;

use super::format::{
    FRAMES_START, Frame, HeadFound, Kind, Meta, ReaderPositions, Scan, SegmentHead, State, Step,
    decode_positions, segment_name, segment_number,
};
use super::recover::SCAN_BYTES;
use super::shared::fault;
use crate::disk::{Disk, read_full};
use crate::inspect::{Damage, SegmentReport};
use crate::{Error, Offset, PartitionId, Partitions, Result};

pub(crate) use super::format::META_FILE;

/// One segment, read from beginning to end.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) segment: SegmentReport,
    /// Where partitions start in it, if its state is legible.
    pub(crate) starts: Option<Vec<(PartitionId, Offset)>>,
    pub(crate) runs: Vec<FoundRun>,
    pub(crate) positions: ReaderPositions,
    pub(crate) damage: Vec<Damage>,
}

pub(crate) struct FoundRun {
    pub(crate) partition: PartitionId,
    pub(crate) base: Offset,
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// The log's id and its segments, oldest first.
pub(crate) fn look(disk: &dyn Disk, meta: &[u8]) -> Result<(u128, Vec<Found>)> {
    let meta = Meta::decode(meta).map_err(|reason| Error::Open { place: disk.place(), reason })?;
    let names = disk.list().map_err(|error| fault(disk, "listing", "", &error))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut found = Vec::new();
    let mut next: Option<SegmentHead> = None;
    for &number in numbers.iter().rev() {
        // What the next segment passes over was never part of the log.
        if next.as_ref().is_some_and(|next| number > next.previous) {
            continue;
        }
        let end = next.as_ref().filter(|next| next.previous == number).map(|next| next.previous_end);
        match look_at(disk, &meta, number, end) {
            Ok((head, segment)) => {
                next = head;
                found.push(segment);
            }
            // Retention may have been quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(fault(disk, "reading", &segment_name(number), &error)),
        }
    }
    found.reverse();
    Ok((meta.id, found))
}

fn look_at(
    disk: &dyn Disk,
    meta: &Meta,
    number: u64,
    known_end: Option<u64>,
) -> io::Result<(Option<SegmentHead>, Found)> {
    let name = segment_name(number);
    let file = disk.open(&name)?;
    let size = file.size()?;
    let mut bytes = vec![0; usize::try_from(FRAMES_START).expect("small")];
    let have = read_full(&*file, 0, &mut bytes)?;
    let mut found = Found::default();
    found.segment.file.clone_from(&name);
    found.segment.file_bytes = size;
    let head = match SegmentHead::find(&bytes[..have]) {
        HeadFound::Whole(head) => Some(head),
        HeadFound::OneCopy(head) => {
            found.bad(0, 128, "one copy of the segment's head is damaged; the other one is used");
            Some(head)
        }
        HeadFound::Later(version) => {
            found.bad(0, FRAMES_START, &format!("a later version ({version}) wrote it"));
            None
        }
        HeadFound::None => {
            found.bad(0, FRAMES_START, "the segment's head is damaged, or was never finished");
            None
        }
    };
    let end = known_end.unwrap_or(size).min(size);
    if known_end.is_some_and(|end| end > size) {
        found.bad(size, known_end.unwrap_or(size) - size, "the file is shorter than it was");
    }
    let mut scan = Scan::new(&*file, meta.seed(), number, FRAMES_START..end, SCAN_BYTES);
    let mut is_sealed = false;
    // As in recovery: bad bytes are damage if something written later follows, else what is being written now,
    // or was when a crash came.
    let mut doubts: Vec<(u64, u64, &str)> = Vec::new();
    loop {
        match scan.step()? {
            Step::End => break,
            Step::Bad { from, to, reason } => doubts.push((from, to, reason)),
            Step::Frame(raw) => {
                for (from, to, reason) in doubts.extract_if(.., |doubt| doubt.0 < raw.head.group_start) {
                    found.bad(from, to - from, reason);
                }
                if doubts.is_empty() {
                    found.segment.valid_bytes = raw.head.end();
                    found.segment.frames += 1;
                    found.take(&raw, &meta.partitions);
                    is_sealed = raw.head.kind == Kind::Index;
                }
            }
        }
    }
    if known_end.is_some() || found.segment.frames == 0 {
        for (from, to, reason) in doubts {
            found.bad(from, to - from, reason);
        }
    }
    found.segment.sealed = is_sealed;
    Ok((head, found))
}

impl Found {
    fn bad(&mut self, at: u64, bytes: u64, reason: &str) {
        let file = self.segment.file.clone();
        self.damage.push(Damage { file, at, bytes, reason: reason.to_owned() });
    }

    fn take(&mut self, raw: &super::format::RawFrame, partitions: &Partitions) {
        let legible = match raw.head.kind {
            Kind::Records => match Frame::decode(raw, partitions) {
                Some(frame) => {
                    self.take_records(&frame, u64::from(raw.head.stored_bytes));
                    true
                }
                None => false,
            },
            Kind::State => match raw.body().and_then(|body| State::decode(&body)) {
                Some(state) => {
                    self.starts = Some(state.next);
                    self.positions = state.positions;
                    true
                }
                None => false,
            },
            Kind::Positions => match raw.body().and_then(|body| decode_positions(&body)) {
                Some(positions) => {
                    for (reader, offsets) in positions {
                        self.positions.entry(reader).or_default().extend(offsets);
                    }
                    true
                }
                None => false,
            },
            Kind::Index => true,
        };
        if !legible {
            let at = raw.head.position;
            self.bad(at, raw.head.end() - at, "the frame's content contradicts its checksum");
        }
    }

    fn take_records(&mut self, frame: &Frame, stored_bytes: u64) {
        let segment = &mut self.segment;
        segment.first_ms.get_or_insert(frame.time_ms);
        segment.last_ms = Some(frame.time_ms);
        segment.stored_bytes += stored_bytes;
        for run in &frame.runs {
            let bytes = frame.value_bytes(run);
            segment.records += u64::from(run.count);
            segment.record_bytes += bytes;
            let (partition, base, count) = (run.partition, run.base, u64::from(run.count));
            self.runs.push(FoundRun { partition, base, count, bytes });
        }
    }
}
