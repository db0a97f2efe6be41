//! A commit group: from requests to frames.

use super::Writer;
use crate::embedded::format::{
    Codec, FRAME_HEAD_BYTES, Frame, FrameHead, Kind, ReaderPositions, Whereabouts, encode_positions,
};
use crate::embedded::queue::Request;
use crate::{Batch, Completion, Position};

/// A commit group on its way.
#[derive(Default)]
pub(super) struct Group {
    pub(super) frames: Vec<bytes::Bytes>,
    pub(super) fresh: Vec<Frame>,
    pub(super) committed: ReaderPositions,
    pub(super) outcomes: Vec<(Completion, Vec<Position>)>,
    pub(super) size: u64,
    pub(super) batches: u64,
    pub(super) records: u64,
    pub(super) value_bytes: u64,
    pub(super) commits: u64,
}

impl Writer {
    /// Turns requests into frames, one for all batches unless they are large, and one for all commits.
    pub(super) fn assemble(&mut self, requests: Vec<Request>) -> Group {
        let now_ms = self.clock.now_ms();
        let time_ms = now_ms.max(self.shared.held.lock().last_ms);
        let mut group = Group::default();
        let mut batches: Vec<(Batch, Completion)> = Vec::with_capacity(requests.len());
        let mut commits = Vec::new();
        let mut size = 0;
        for request in requests {
            match request {
                Request::Append { batch, completion } => {
                    if size > 0 && size + batch.size_bytes() > self.shared.options.frame_bytes {
                        self.build(&mut group, &mut batches, time_ms);
                        size = 0;
                    }
                    size += batch.size_bytes();
                    batches.push((batch, completion));
                }
                Request::Commit { positions, completion } => {
                    for (reader, offsets) in positions {
                        group.committed.entry(reader).or_default().extend(offsets);
                    }
                    commits.push((completion, Vec::new()));
                }
            }
        }
        self.build(&mut group, &mut batches, time_ms);
        if !commits.is_empty() {
            let mut frame = vec![0; FRAME_HEAD_BYTES];
            encode_positions(&group.committed, &mut frame);
            let at = self.whereabouts(&group, time_ms);
            group.commits = commits.len() as u64;
            group.outcomes.extend(commits);
            group.add(plain_frame(Kind::Positions, at, frame));
        }
        group
    }

    fn build(&mut self, group: &mut Group, batches: &mut Vec<(Batch, Completion)>, time_ms: i64) {
        if batches.is_empty() {
            return;
        }
        let at = self.whereabouts(group, time_ms);
        let mut told = Vec::with_capacity(batches.len());
        let compression = self.shared.options.compression;
        let all = batches.iter().map(|(batch, _)| batch);
        let built =
            self.builder.build(all, &mut self.next, compression, at, |positions| told.push(positions));
        group.batches += batches.len() as u64;
        for ((batch, completion), positions) in batches.drain(..).zip(told) {
            group.records += batch.len() as u64;
            group.value_bytes += batch.size_bytes() as u64;
            group.outcomes.push((completion, positions));
        }
        group.fresh.push(built.frame);
        group.add(built.bytes);
    }

    pub(super) fn whereabouts(&self, group: &Group, time_ms: i64) -> Whereabouts {
        let active = self.active.as_ref().expect("frames are built for a segment that is ready");
        let (segment, group_start) = (active.number, active.end);
        Whereabouts {
            segment,
            position: group_start + group.size,
            group_start,
            time_ms,
            seed: self.shared.seed,
        }
    }
}

impl Group {
    fn add(&mut self, frame: bytes::Bytes) {
        self.size += frame.len() as u64;
        self.frames.push(frame);
    }
}

/// A frame that is not compressed, around a body that stands behind room for the head.
pub(super) fn plain_frame(kind: Kind, at: Whereabouts, mut frame: Vec<u8>) -> bytes::Bytes {
    let size = u32::try_from(frame.len() - FRAME_HEAD_BYTES).expect("such frames are small");
    let head = FrameHead {
        kind,
        codec: Codec::AsIs,
        segment: at.segment,
        position: at.position,
        group_start: at.group_start,
        time_ms: at.time_ms,
        stored_bytes: size,
        body_bytes: size,
        body_checksum: crc32c::crc32c_append(at.seed, &frame[FRAME_HEAD_BYTES..]),
    };
    head.write(at.seed, &mut frame);
    frame.into()
}
