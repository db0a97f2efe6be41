//! How a segment comes into being.

use std::sync::Arc;

use super::group::plain_frame;
use super::{Active, Writer};
use crate::disk::{DiskFile, write_all};
use crate::embedded::format::{
    FRAME_HEAD_BYTES, FRAMES_START, FrameHead, Kind, SegmentHead, State, Whereabouts, segment_name,
};
use crate::embedded::recover::Adopted;
use crate::embedded::shared::{Held, Place, Segment};
use crate::embedded::stats::add;
use crate::{Offset, Result};

/// A new segment begins only if this much can be set aside: a log that resumes on a disk with a few free blocks
/// would fail again at once, leaving a tiny segment behind each time. Less for small segments.
const ROOM_BYTES: u64 = 4 << 20;

struct Birth {
    bytes: Vec<u8>,
    starts: Arc<[Offset]>,
    born_ms: i64,
    copied_at: Vec<u64>,
}

impl Writer {
    /// Starts the segment after the last one. `copied` are frames that the last one holds behind the end it is
    /// now given, their fate uncertain; they are written again.
    pub(crate) fn start_segment(&mut self, copied: &mut [Adopted]) -> Result<()> {
        self.last_number += 1;
        let number = self.last_number;
        let name = segment_name(number);
        let born = self.birth(number, copied);
        let started = self.create(&name, &born.bytes);
        let file = match started {
            Ok(file) => file,
            Err(error) => {
                add(&self.shared.counters.disk_errors, 1);
                let _ = self.shared.disk.remove(&name);
                return Err(error);
            }
        };
        let end = born.bytes.len() as u64;
        let mut held = self.shared.held.lock();
        let previous = std::mem::take(&mut held.index);
        if let Some(last) = held.segments.back().filter(|_| !previous.is_empty()) {
            self.shared.cache_index(last.number, Arc::new(previous));
        }
        held.segments.push_back(Segment { number, starts: born.starts, born_ms: born.born_ms, end });
        for (frame, position) in copied.iter_mut().zip(born.copied_at) {
            frame.moved(number, position);
        }
        held.adopt(copied, self.shared.options.index_interval_bytes);
        if held.tail.is_empty() {
            held.tail_from = Some(Place { segment: number, position: end });
            held.tail_base = held.ends.clone();
        }
        self.next.clone_from(&held.ends);
        drop(held);
        self.active = Some(Active { number, name, file, end });
        self.retention_waits = false;
        Ok(())
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Arc<dyn DiskFile>> {
        let fault = |operation| move |error| self.shared.fault(operation, name, &error);
        let disk = &self.shared.disk;
        let file = disk.create(name).map_err(fault("creating"))?;
        let room = ROOM_BYTES.min(self.shared.options.segment_bytes / 4).max(bytes.len() as u64);
        file.reserve(room).map_err(fault("reserving space"))?;
        write_all(&*file, 0, bytes).map_err(fault("writing"))?;
        if !self.sabotage.no_fsync() {
            file.sync().map_err(fault("fsync"))?;
        }
        if !self.sabotage.no_dir_sync() {
            disk.sync_dir().map_err(fault("fsync of the directory after creating"))?;
        }
        Ok(file)
    }

    /// The first bytes of a segment: head, state, copied frames.
    fn birth(&self, number: u64, copied: &[Adopted]) -> Birth {
        let held = self.shared.held.lock();
        let (previous, previous_end) = held.segments.back().map_or((0, 0), |last| (last.number, last.end));
        let born_ms = held.last_ms;
        let starts: Arc<[Offset]> = held.ends.as_slice().into();
        let state = state_of(&held, &self.shared.partitions, number);
        drop(held);
        let mut at = Whereabouts {
            segment: number,
            position: FRAMES_START,
            group_start: FRAMES_START,
            time_ms: born_ms,
            seed: self.shared.seed,
        };
        let mut frames = vec![0; FRAME_HEAD_BYTES];
        state.encode(&mut frames);
        let mut frames = plain_frame(Kind::State, at, frames).to_vec();
        let mut copied_at = Vec::with_capacity(copied.len());
        for Adopted { raw: frame, .. } in copied {
            at.position = FRAMES_START + frames.len() as u64;
            copied_at.push(at.position);
            let start = frames.len();
            frames.resize(start + FRAME_HEAD_BYTES, 0);
            frames.extend_from_slice(&frame.stored);
            let head = FrameHead {
                segment: number,
                position: at.position,
                group_start: FRAMES_START,
                ..frame.head.clone()
            };
            head.write(at.seed, &mut frames[start..]);
        }
        let birth_end = FRAMES_START + frames.len() as u64;
        let head = SegmentHead { log_id: self.log_id, number, previous, previous_end, birth_end, born_ms };
        let mut bytes = Vec::with_capacity(birth_end as usize);
        head.encode(&mut bytes);
        bytes.extend_from_slice(&frames);
        Birth { bytes, starts, born_ms, copied_at }
    }
}

fn state_of(held: &Held, partitions: &crate::Partitions, number: u64) -> State {
    let oldest = held.segments.front().map_or(number, |oldest| oldest.number);
    let next = partitions.all().zip(&held.ends).filter(|&(_, &end)| end > 0);
    let next = next.map(|(partition, &end)| (partition, end)).collect();
    State { last_ms: held.last_ms, oldest, next, positions: held.positions.clone() }
}
