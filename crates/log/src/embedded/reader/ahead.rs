//! Reading from the disk what is no longer in memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::embedded::format::{FRAMES_START, Frame, Kind, Scan, Step, segment_name};
use crate::embedded::locate::damaged;
use crate::embedded::shared::{Held, Place, Segment, Shared};
use crate::partitions::SlotSet;
use crate::{Error, Offset, Result};

/// How much is read from the disk at a time, bytes: large enough that the hop to another thread and the system
/// call cost nothing beside it.
const READ_BYTES: u64 = 1 << 20;

/// What was read and is not yet returned.
pub(super) enum Ahead {
    Frame(Arc<Frame>),
    /// A segment ended: by slot, where the next one starts.
    Boundary(Arc<[Offset]>),
    Damage(Error),
}

/// Work that reads the disk.
pub(super) enum Job {
    Index(Segment),
    Frames { segment: Segment, from: u64, after: After },
}

/// What follows a segment.
#[derive(Clone)]
pub(super) enum After {
    /// Nothing yet: it is being written.
    Growing,
    Segment {
        number: u64,
        starts: Arc<[Offset]>,
    },
}

pub(super) struct ReadAhead {
    pub(super) ahead: VecDeque<Ahead>,
    pub(super) place: Place,
}

/// What to read for a place that is not in the tail.
pub(super) fn disk_job(held: &Held, place: Place) -> Option<Job> {
    let mut at = held.segments.partition_point(|segment| segment.number < place.segment);
    let mut segment = held.segments.get(at)?;
    let mut from = if segment.number == place.segment { place.position } else { FRAMES_START };
    if from >= segment.end {
        at += 1;
        segment = held.segments.get(at)?;
        from = FRAMES_START;
    }
    let after = held.segments.get(at + 1).map_or(After::Growing, |next| After::Segment {
        number: next.number,
        starts: Arc::clone(&next.starts),
    });
    Some(Job::Frames { segment: segment.clone(), from, after })
}

pub(super) fn read_ahead(
    shared: &Shared,
    segment: &Segment,
    from: u64,
    after: After,
    wants: &SlotSet,
) -> Result<ReadAhead> {
    let name = segment_name(segment.number);
    let read = || -> io::Result<ReadAhead> {
        let file = shared.disk.open(&name)?;
        let range = from..segment.end;
        let window = usize::try_from(READ_BYTES).expect("small");
        let mut scan = Scan::new(&*file, shared.seed, segment.number, range, window);
        let mut ahead = VecDeque::new();
        while scan.position() < from + READ_BYTES {
            match scan.step()? {
                Step::Frame(raw) if raw.head.kind == Kind::Records => {
                    match Frame::decode(&raw, &shared.partitions) {
                        Some(frame) if frame.runs.iter().any(|run| wants.contains(run.slot)) => {
                            ahead.push_back(Ahead::Frame(Arc::new(frame)));
                        }
                        Some(_) => {}
                        None => {
                            let reason = "a frame's content contradicts its checksum";
                            ahead.push_back(Ahead::Damage(damaged(
                                shared,
                                segment.number,
                                raw.head.position,
                                reason,
                            )));
                        }
                    }
                }
                Step::Frame(_) => {}
                Step::Bad { from, to, reason } => {
                    let reason = format!("{reason}; the next good frame is {} bytes on", to - from);
                    ahead.push_back(Ahead::Damage(damaged(shared, segment.number, from, &reason)));
                }
                Step::End => break,
            }
        }
        let mut place = Place { segment: segment.number, position: scan.position() };
        if scan.position() >= segment.end
            && let After::Segment { number, starts } = after
        {
            ahead.push_back(Ahead::Boundary(starts));
            place = Place { segment: number, position: FRAMES_START };
        }
        Ok(ReadAhead { ahead, place })
    };
    read().map_err(|error| shared.fault("reading", &name, &error))
}
