//! Taking up frames that were read as if they had just been published.

use crate::Offset;
use crate::embedded::format::{Frame, Index, Kind, RawFrame, ReaderPositions, State, decode_positions};
use crate::embedded::shared::Held;
use crate::partitions::{Partitions, Slot};

/// A frame behind the certain ones.
pub(crate) struct Adopted {
    pub(crate) raw: RawFrame,
    pub(crate) content: Content,
}

/// What a frame means.
pub(crate) enum Content {
    Records(Frame),
    State(State),
    Positions(ReaderPositions),
    /// The next offsets at the end of a sealed segment.
    Ends(Vec<(Slot, Offset)>),
    Nothing,
}

impl Adopted {
    pub(super) fn new(raw: RawFrame, partitions: &Partitions) -> Self {
        let content = match raw.head.kind {
            Kind::Records => Frame::decode(&raw, partitions).map(Content::Records),
            Kind::State => raw.body().and_then(|body| State::decode(&body)).map(Content::State),
            Kind::Positions => raw.body().and_then(|body| decode_positions(&body)).map(Content::Positions),
            Kind::Index => {
                let index = raw.body().and_then(|body| Index::decode(partitions, &body));
                index.map(|(_, ends)| Content::Ends(ends))
            }
        };
        Self { raw, content: content.unwrap_or(Content::Nothing) }
    }

    /// It now stands elsewhere.
    pub(crate) fn moved(&mut self, segment: u64, position: u64) {
        (self.raw.head.segment, self.raw.head.position) = (segment, position);
        if let Content::Records(frame) = &mut self.content {
            (frame.segment, frame.position, frame.end) = (segment, position, self.raw.head.end());
        }
    }
}

impl Held {
    /// Takes up frames in order, as if they had just been published; the tail stays as it is.
    pub(crate) fn adopt(&mut self, frames: &[Adopted], index_interval_bytes: u64) {
        for frame in frames {
            self.last_ms = self.last_ms.max(frame.raw.head.time_ms);
            match &frame.content {
                Content::Records(frame) => {
                    for run in &frame.runs {
                        self.ends[run.slot.at()] = run.end();
                    }
                    self.index.note(frame, index_interval_bytes);
                }
                Content::State(state) => self.positions.clone_from(&state.positions),
                Content::Positions(positions) => {
                    for (reader, offsets) in positions {
                        self.positions.entry(reader.clone()).or_default().extend(offsets);
                    }
                }
                Content::Ends(ends) => {
                    for &(slot, end) in ends {
                        self.ends[slot.at()] = self.ends[slot.at()].max(end);
                    }
                }
                Content::Nothing => {}
            }
        }
    }
}
