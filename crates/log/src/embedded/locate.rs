//! Finding a place in the physical sequence by offset or time.

use std::io;
use std::sync::Arc;

use super::format::{FRAME_HEAD_BYTES, FRAMES_START, Frame, Index, Kind, Scan, Step, segment_name};
use super::recover::SCAN_BYTES;
use super::shared::{Held, Place, Segment, Shared};
use crate::partitions::Slot;
use crate::{Error, Offset, Result};

/// Where to look for something.
pub(crate) enum Found {
    /// Start here.
    At(Place),
    /// The index of this segment must be at hand first.
    NeedsIndex(Segment),
}

impl Shared {
    /// Where a reader of several partitions starts: before the first record that any of them wants.
    pub(crate) fn find(&self, held: &Held, wants: &[(Slot, Offset)]) -> Found {
        let end = held.end_place();
        let mut earliest = end;
        for &(slot, offset) in wants {
            if offset >= held.ends[slot.at()] {
                continue;
            }
            if offset >= held.tail_base[slot.at()] {
                earliest = earliest.min(held.tail_from.unwrap_or(end));
                continue;
            }
            let after = held.segments.partition_point(|segment| segment.starts[slot.at()] <= offset);
            let Some(segment) = after.checked_sub(1).map(|place| &held.segments[place]) else {
                continue; // expired; the reader says so
            };
            let found = if segment.number == end.segment {
                held.index.find_offset(slot, offset)
            } else if segment.number > earliest.segment {
                continue;
            } else {
                match self.cached_index(segment.number) {
                    Some(index) => index.find_offset(slot, offset),
                    None => return Found::NeedsIndex(segment.clone()),
                }
            };
            let position = found.unwrap_or(FRAMES_START);
            earliest = earliest.min(Place { segment: segment.number, position });
        }
        Found::At(earliest)
    }

    /// Reads the index of a sealed segment, or makes it by reading the segment where there is none.
    pub(crate) fn load_index(&self, segment: &Segment) -> Result<Arc<Index>> {
        let name = segment_name(segment.number);
        let load = || -> io::Result<Index> {
            let file = self.disk.open(&name)?;
            let mut last = [0; 8];
            let have = crate::disk::read_full(&*file, segment.end.saturating_sub(8), &mut last)?;
            let position = u64::from_le_bytes(last);
            let plausible = have == 8
                && (FRAMES_START..segment.end.saturating_sub(FRAME_HEAD_BYTES as u64)).contains(&position);
            if plausible {
                let mut scan =
                    Scan::new(&*file, self.seed, segment.number, position..segment.end, FRAME_HEAD_BYTES);
                if let Some(frame) = scan.single()?.filter(|frame| frame.head.kind == Kind::Index)
                    && let Some((index, _)) =
                        frame.body().and_then(|body| Index::decode(&self.partitions, &body))
                {
                    return Ok(index);
                }
            }
            let mut index = Index::default();
            let range = FRAMES_START..segment.end;
            let mut scan = Scan::new(&*file, self.seed, segment.number, range, SCAN_BYTES);
            loop {
                match scan.step()? {
                    Step::Frame(raw) if raw.head.kind == Kind::Records => {
                        if let Some(frame) = Frame::decode(&raw, &self.partitions) {
                            index.note(&frame, self.options.index_interval_bytes);
                        }
                    }
                    Step::Frame(_) | Step::Bad { .. } => {}
                    Step::End => return Ok(index),
                }
            }
        };
        let index = Arc::new(load().map_err(|error| self.fault("reading", &name, &error))?);
        self.cache_index(segment.number, Arc::clone(&index));
        Ok(index)
    }

    /// The first offset whose record was appended at `time_ms` or later.
    pub(crate) fn offset_at(&self, slot: Slot, time_ms: i64) -> Result<Offset> {
        loop {
            let (segment, after, index, start) = {
                let held = self.held.lock();
                let start = held.start(slot);
                if held.last_ms < time_ms {
                    return Ok(held.ends[slot.at()]);
                }
                // Every record of a segment is as old as its birth or younger, and older than the next one's.
                let place =
                    held.segments.partition_point(|segment| segment.born_ms < time_ms).saturating_sub(1);
                let Some(segment) = held.segments.get(place) else { return Ok(start) };
                let after =
                    held.segments.get(place + 1).map_or(held.ends[slot.at()], |s| s.starts[slot.at()]);
                let active = segment.number == held.end_place().segment;
                let index = if active { held.index.find_time(time_ms) } else { None };
                (segment.clone(), after, if active { Some(index) } else { None }, start)
            };
            let from = match index {
                Some(from) => from,
                None => match self.cached_index(segment.number) {
                    Some(index) => index.find_time(time_ms),
                    None => match self.load_index(&segment) {
                        Ok(index) => index.find_time(time_ms),
                        Err(_) if self.is_dropped(segment.number) => continue,
                        Err(error) => return Err(error),
                    },
                },
            };
            return match self.first_since(&segment, from.unwrap_or(FRAMES_START), slot, time_ms) {
                Ok(found) => Ok(found.unwrap_or(after).max(start)),
                Err(_) if self.is_dropped(segment.number) => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Whether retention has dropped a segment.
    pub(crate) fn is_dropped(&self, segment: u64) -> bool {
        self.held.lock().segments.front().is_none_or(|oldest| oldest.number > segment)
    }

    fn first_since(&self, segment: &Segment, from: u64, slot: Slot, time_ms: i64) -> Result<Option<Offset>> {
        let name = segment_name(segment.number);
        let look = || -> io::Result<Option<Offset>> {
            let file = self.disk.open(&name)?;
            let range = from..segment.end;
            let mut scan = Scan::new(&*file, self.seed, segment.number, range, SCAN_BYTES);
            loop {
                match scan.step()? {
                    Step::Frame(raw) if raw.head.kind == Kind::Records && raw.head.time_ms >= time_ms => {
                        let frame = Frame::decode(&raw, &self.partitions);
                        let runs = frame.iter().flat_map(|frame| &frame.runs);
                        if let Some(run) = runs.into_iter().find(|run| run.slot == slot) {
                            return Ok(Some(run.base));
                        }
                    }
                    Step::Frame(_) | Step::Bad { .. } => {}
                    Step::End => return Ok(None),
                }
            }
        };
        look().map_err(|error| self.fault("reading", &name, &error))
    }
}

/// What a damaged place is called.
pub(crate) fn damaged(shared: &Shared, segment: u64, at: u64, reason: &str) -> Error {
    let place = format!("{}/{}", shared.disk.place(), segment_name(segment));
    Error::Damaged { place, at, reason: reason.to_owned(), lost: None }
}
