//! What the stream notes with each commit, so that a crash can be repaired by doing the same again.
//!
//! A partition's state is a function of a checkpoint, the notes after it, and the log. A note says what was
//! processed and everything the pipeline was told from outside meanwhile; it becomes durable in the same commit
//! as the outcome. Format (version 2, documented in `docs/formats/stream-state.md`): a byte for the version,
//! then [`Note`] in the postcard wire format.

use record::{Lane, Timestamp};
use serde::{Deserialize, Serialize};

use crate::answers::Answer;

/// In 1 windows were computed again with records and ticks, not in steps of their own.
const VERSION: u8 = 2;

/// What one commit did to a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// What was processed.
    pub(crate) step: Step,
    /// The answers it got, in the order in which it asked.
    pub(crate) answers: Vec<Answer>,
}

/// A step of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// The records `from..to` of a lane, at `now` by the clock (nanoseconds since the epoch).
    Records { backfill: bool, from: u64, to: u64, now: i64 },
    /// The records `from..to` of a lane are lost: passed over.
    Hole { backfill: bool, from: u64, to: u64 },
    /// Nothing came; the clock moved on.
    Tick { now: i64 },
    /// Windows that waited were computed again, `most` of them at most.
    Revise { now: i64, most: u32 },
}

impl Step {
    /// The lane and offsets it covers.
    pub(crate) fn span(&self) -> Option<(Lane, u64, u64)> {
        let (backfill, from, to) = match *self {
            Self::Records { backfill, from, to, .. } | Self::Hole { backfill, from, to } => {
                (backfill, from, to)
            }
            Self::Tick { .. } | Self::Revise { .. } => return None,
        };
        Some((if backfill { Lane::Backfill } else { Lane::Live }, from, to))
    }

    pub(crate) fn records(lane: Lane, from: u64, to: u64, now: Timestamp) -> Self {
        Self::Records { backfill: lane == Lane::Backfill, from, to, now: now.nanos() }
    }

    pub(crate) fn hole(lane: Lane, from: u64, to: u64) -> Self {
        Self::Hole { backfill: lane == Lane::Backfill, from, to }
    }

    pub(crate) fn tick(now: Timestamp) -> Self {
        Self::Tick { now: now.nanos() }
    }

    pub(crate) fn revise(now: Timestamp, most: u32) -> Self {
        Self::Revise { now: now.nanos(), most }
    }
}

/// Why a note cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Another version wrote it.
    #[error("the stream's note has version {0}, this build reads version {VERSION}")]
    Version(u8),
    /// It is no note.
    #[error("the stream's note cannot be read: {0}")]
    Damaged(String),
}

impl Note {
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("a note has no part that postcard cannot hold")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NoteError> {
        match bytes.split_first() {
            None => Err(NoteError::Damaged("it is empty".into())),
            Some((&VERSION, rest)) => {
                postcard::from_bytes(rest).map_err(|error| NoteError::Damaged(error.to_string()))
            }
            Some((&other, _)) => Err(NoteError::Version(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::Held;

    #[test]
    fn a_note_keeps_its_bytes() {
        let answers = vec![
            Answer::Device { newest: Some(-1), metrics: vec!["t".into()] },
            Answer::Held(Held::Other),
            Answer::Dead(None),
            Answer::Admitted(true),
        ];
        let note = Note { step: Step::records(Lane::Backfill, 7, 300, Timestamp::from_nanos(-3)), answers };
        let bytes = note.encode();
        // Fixed for ever: stores out there hold it.
        let fixture = [2, 0, 1, 7, 172, 2, 5, 4, 0, 1, 1, 1, 1, b't', 1, 2, 2, 0, 3, 1];
        assert_eq!(bytes, fixture);
        assert_eq!(Note::decode(&bytes), Ok(note));
        assert_eq!(Note::decode(&[9]), Err(NoteError::Version(9)));
        assert!(matches!(Note::decode(&bytes[..8]), Err(NoteError::Damaged(_))));
        let before = [&[1], &fixture[1..]].concat();
        assert_eq!(Note::decode(&before), Err(NoteError::Version(1)));
        let revise = Note { step: Step::revise(Timestamp::from_nanos(-3), 300), answers: Vec::new() };
        let bytes = revise.encode();
        assert_eq!(bytes, [2, 3, 5, 172, 2, 0]);
        assert_eq!(Note::decode(&bytes), Ok(revise));
    }
}
