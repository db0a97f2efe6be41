//! Opening: what is there, and where it ends.
//!
//! Only the last segment is scanned; of the others the heads are read. Of the last segment, everything before
//! its last commit group is known to be durable, because a group is written only after the one before it was
//! synced. The last group itself is uncertain: even if it can be read now, an earlier process may have seen its
//! fsync fail. So it is not trusted where it stands: the new segment, which every opening starts, repeats it.

mod adopt;
mod last;

use std::io;

use crate::embedded::format::{
    FRAMES_START, HeadFound, Kind, RawFrame, Scan, SegmentHead, State, Step, segment_name, segment_number,
};
use crate::embedded::sabotage::Sabotage;
use crate::embedded::shared::{Held, Segment, fault};

pub(crate) use self::adopt::{Adopted, Content};
use crate::disk::{Disk, read_full};
use crate::partitions::Partitions;
use crate::{Error, Offset, Result};

/// How much of a segment is read at once, bytes.
pub(crate) const SCAN_BYTES: usize = 1 << 20;
/// How much is read for a head and the state behind it; larger states take another read.
const HEAD_BYTES: usize = 16 << 10;

/// More records than a commit group can hold. See where it is used.
const SWALLOWED: Offset = 1 << 24;

/// What was found.
pub(crate) struct Recovered {
    /// All that is certain.
    pub(crate) held: Held,
    /// What follows, to be written again by the next segment.
    pub(crate) copied: Vec<Adopted>,
    /// The highest number that any file has.
    pub(crate) last_number: u64,
    /// Files that belong to no log: segments whose birth did not succeed, or that the next one replaces.
    pub(crate) obsolete: Vec<u64>,
    /// The last segment as it was found, should there be no room to write its last group again.
    pub(crate) as_found: Option<Segment>,
}

/// What the scans of a log need to know.
pub(crate) struct Recovery<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) partitions: &'a Partitions,
    pub(crate) seed: u32,
    pub(crate) log_id: u128,
    pub(crate) index_interval_bytes: u64,
    pub(crate) sabotage: Sabotage,
}

/// A file with the name of a segment.
struct Found {
    number: u64,
    head: Option<SegmentHead>,
    size: u64,
}

impl Recovery<'_> {
    pub(crate) fn run(&self) -> Result<Recovered> {
        let mut found = self.find()?;
        let last_number = found.last().map_or(0, |last| last.number);
        let mut obsolete = Vec::new();
        let scan = loop {
            let Some(last) = found.last() else { break None };
            let scan = self.scan_last(last)?;
            if scan.born_whole || scan.frames.iter().any(|f| f.raw.head.group_start > FRAMES_START) {
                break Some(scan);
            }
            tracing::info!(
                segment = last.number,
                "a segment that was never finished being created is removed"
            );
            obsolete.push(last.number);
            found.pop();
        };
        obsolete.extend(self.skipped(&mut found)?);
        if let Some(state) = found.last().map(|last| self.read_state(last)).transpose()?.flatten() {
            let dropped = found.partition_point(|segment| segment.number < state.oldest);
            obsolete.extend(found.drain(..dropped).map(|segment| segment.number));
        }
        let mut held = Held { ends: vec![0; self.partitions.count()], ..Held::default() };
        for place in 0..found.len() {
            let starts = self.starts(&found, place, &held)?;
            let end = self.end_of(&found, place);
            let born_ms = found[place].head.as_ref().map_or(held.last_ms, |head| head.born_ms);
            let number = found[place].number;
            held.segments.push_back(Segment { number, starts: starts.into(), born_ms, end });
        }
        let Some(mut scan) = scan else {
            held.tail_base.clone_from(&held.ends);
            return Ok(Recovered { held, copied: vec![], last_number, obsolete, as_found: None });
        };
        let last = held.segments.back_mut().expect("there is a scan, so there is a last segment");
        last.end = scan.end;
        held.ends = last.starts.to_vec();
        held.last_ms = last.born_ms;
        let as_found = Some(last.clone());
        let mut copied = scan.frames.split_off(scan.last_group);
        let told = copied.iter().any(|frame| matches!(frame.content, Content::Ends(_)));
        let vague = scan.damaged && !told;
        let sealed = copied.iter().all(|frame| frame.raw.head.kind == Kind::Index) && !copied.is_empty();
        let only_birth =
            scan.frames.iter().chain(&copied).all(|frame| {
                frame.raw.head.group_start == FRAMES_START || frame.raw.head.kind == Kind::Index
            });
        if only_birth {
            // Nothing was added to it: the next segment takes its place.
            copied = scan.frames.drain(..).chain(copied).collect();
            let replaced = held.segments.pop_back().expect("just looked at");
            obsolete.push(replaced.number);
            if let (Some(before), Some(head)) = (held.segments.back_mut(), &found[found.len() - 1].head)
                && before.number == head.previous
            {
                before.end = head.previous_end;
            }
        } else if !sealed {
            // The bytes stay where they are: the next segment's head says that they do not count.
            last.end = copied.first().map_or(scan.end, |frame| frame.raw.head.position);
        }
        held.adopt(&scan.frames, self.index_interval_bytes);
        if only_birth {
            // Its state is what the next segment starts from; only what followed the state is copied.
            let state = copied.iter().position(|frame| matches!(frame.content, Content::State(_)));
            if let Some(state) = state {
                let rest = copied.split_off(state + 1);
                held.adopt(&copied, self.index_interval_bytes);
                copied = rest;
            }
        }
        let ends = copied.iter().position(|frame| matches!(frame.content, Content::Ends(_)));
        if let Some(ends) = ends.filter(|_| !only_birth) {
            held.adopt(&copied[ends..=ends], self.index_interval_bytes);
        }
        if vague {
            // Which offsets the damage has swallowed cannot be known, and none may be given twice.
            held.ends.iter_mut().for_each(|end| *end += SWALLOWED);
        }
        copied.retain(|frame| matches!(frame.raw.head.kind, Kind::Records | Kind::Positions));
        held.tail_base.clone_from(&held.ends);
        Ok(Recovered { held, copied, last_number, obsolete, as_found })
    }

    fn find(&self) -> Result<Vec<Found>> {
        let names = self.disk.list().map_err(|e| fault(self.disk, "listing", "", &e))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|number| self.find_one(number)).collect()
    }

    fn find_one(&self, number: u64) -> Result<Found> {
        let name = segment_name(number);
        let look = || -> io::Result<(Vec<u8>, u64)> {
            let file = self.disk.open(&name)?;
            let mut bytes = vec![0; usize::try_from(FRAMES_START).expect("small")];
            let have = read_full(&*file, 0, &mut bytes)?;
            bytes.truncate(have);
            Ok((bytes, file.size()?))
        };
        let (bytes, size) = look().map_err(|e| fault(self.disk, "reading", &name, &e))?;
        let open = |reason| Error::Open { place: format!("{}/{name}", self.disk.place()), reason };
        let head = match SegmentHead::find(&bytes) {
            HeadFound::Later(version) => {
                let known = super::format::VERSION;
                return Err(open(format!("format version {version}, this build reads {known}: upgrade")));
            }
            HeadFound::Whole(head) => Some(head),
            HeadFound::OneCopy(head) => {
                tracing::warn!(segment = name, "one copy of the head is damaged, the other is used");
                Some(head)
            }
            HeadFound::None => None,
        };
        if head.as_ref().is_some_and(|head| head.log_id != self.log_id) {
            return Err(open("it belongs to another log: move it away".to_owned()));
        }
        let head = head.filter(|head| head.number == number);
        Ok(Found { number, head, size })
    }

    /// Where a segment ends: the next one's head says. Without one, at the end of its file.
    fn end_of(&self, found: &[Found], place: usize) -> u64 {
        let next = found.get(place + 1).and_then(|next| next.head.as_ref());
        next.filter(|head| head.previous == found[place].number)
            .map_or(found[place].size, |head| head.previous_end)
    }

    /// By slot, where a segment starts: its state says. If that is damaged, where the one before it ends.
    fn starts(&self, found: &[Found], place: usize, so_far: &Held) -> Result<Vec<Offset>> {
        let segment = &found[place];
        if let Some(state) = self.read_state(segment)? {
            return Ok(self.by_slot(&state));
        }
        tracing::error!(
            segment = segment.number,
            "the head of a segment is damaged; its neighbour is read instead"
        );
        let (number, starts, range) = match so_far.segments.back() {
            Some(before) => (before.number, before.starts.to_vec(), FRAMES_START..before.end),
            // The oldest: it starts where its first good records do.
            None => (segment.number, vec![Offset::MAX; self.partitions.count()], FRAMES_START..segment.size),
        };
        let first = so_far.segments.is_empty();
        let mut at = starts;
        self.walk(number, range, |frame| {
            if let Content::Records(frame) = &frame.content {
                for run in &frame.runs {
                    let slot = &mut at[run.slot.at()];
                    *slot = if first { run.base.min(*slot) } else { run.end() };
                }
            }
        })?;
        if first {
            let after = match found.get(place + 1) {
                Some(next) => self.read_state(next)?.map(|state| self.by_slot(&state)),
                None => None,
            };
            for (slot, start) in at.iter_mut().enumerate().filter(|(_, start)| **start == Offset::MAX) {
                *start = after.as_ref().map_or(0, |after| after[slot]);
            }
        }
        Ok(at)
    }

    fn by_slot(&self, state: &State) -> Vec<Offset> {
        let mut starts = vec![0; self.partitions.count()];
        for &(partition, next) in &state.next {
            if let Some(slot) = self.partitions.slot(partition) {
                starts[slot.at()] = next;
            }
        }
        starts
    }

    fn read_state(&self, segment: &Found) -> Result<Option<State>> {
        let name = segment_name(segment.number);
        let read = || -> io::Result<Option<RawFrame>> {
            let file = self.disk.open(&name)?;
            let range = FRAMES_START..segment.size;
            match Scan::new(&*file, self.seed, segment.number, range, HEAD_BYTES).step()? {
                Step::Frame(frame) => Ok(Some(frame)),
                Step::Bad { .. } | Step::End => Ok(None),
            }
        };
        let frame = read().map_err(|error| fault(self.disk, "reading", &name, &error))?;
        let frame = frame.filter(|frame| frame.head.kind == Kind::State);
        Ok(frame.and_then(|frame| State::decode(&frame.body()?)))
    }

    fn walk(&self, number: u64, range: std::ops::Range<u64>, mut visit: impl FnMut(&Adopted)) -> Result<()> {
        let name = segment_name(number);
        let mut run = || -> io::Result<()> {
            let file = self.disk.open(&name)?;
            let mut scan = Scan::new(&*file, self.seed, number, range.clone(), SCAN_BYTES);
            loop {
                match scan.step()? {
                    Step::Frame(raw) => visit(&Adopted::new(raw, self.partitions)),
                    Step::Bad { .. } => {}
                    Step::End => return Ok(()),
                }
            }
        };
        run().map_err(|error| fault(self.disk, "reading", &name, &error))
    }

    /// Takes out segments that are none: those which a later one's head passes over, and, where the one that a
    /// head names is gone (retention took it), those behind that hold nothing but a birth. Their creation did
    /// not succeed, and their removal was lost in a crash.
    fn skipped(&self, found: &mut Vec<Found>) -> Result<Vec<u64>> {
        let mut obsolete = Vec::new();
        let mut kept = Vec::new();
        let mut wanted: Option<u64> = None;
        while let Some(segment) = found.pop() {
            match wanted {
                Some(number) if segment.number > number => {
                    obsolete.push(segment.number);
                    continue;
                }
                Some(number) if segment.number < number => {
                    if !self.was_appended_to(&segment)? {
                        obsolete.push(segment.number);
                        continue;
                    }
                    tracing::error!(segment = number, "a segment is missing; readers that need it are told");
                }
                _ => {}
            }
            wanted = segment.head.as_ref().map(|head| head.previous);
            kept.push(segment);
        }
        kept.reverse();
        *found = kept;
        Ok(obsolete)
    }

    fn was_appended_to(&self, segment: &Found) -> Result<bool> {
        let scan = self.scan_last(segment)?;
        Ok(scan.frames.iter().any(|frame| frame.raw.head.group_start > FRAMES_START))
    }
}
