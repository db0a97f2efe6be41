//! A dead message as it stands in `Topic::Dlq`.
//!
//! Format (version 1, documented in `docs/formats/dead-letter.md`; integers little-endian):
//!
//! ```text
//! u8  version = 1
//! u8  topic           of the log, where the message stood
//! u8  lane            0 live, 1 backfill
//! u16 partition
//! u64 offset          topic, lane, partition and offset name the message: a replay writes the same again
//! u8  completeness    0 nothing of it was stored, 1 its good readings were
//! u8  length of stage, UTF-8
//! u32 count           of letters, each:
//!     u32 index       of the reading in the message; 0xffff_ffff: the message as a whole
//!     u16 length of reason, UTF-8
//!     record          the rest: the record as it stood in the log
//! ```

use record::Lane;
use series::{Completeness, DeadMessage};

const VERSION: u8 = 1;
const WHOLE_MESSAGE: u32 = u32::MAX;

/// Why bytes are no dead message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeadRecordError {
    /// The bytes end inside a field.
    #[error("the dead letter ends inside its {0}")]
    Truncated(&'static str),
    /// A later version wrote it.
    #[error("the dead letter has version {0}, this build reads version 1: upgrade before reading this log")]
    Version(u8),
    /// A field holds what means nothing.
    #[error("the dead letter's {0} means nothing in version 1")]
    Unknown(&'static str),
}

/// A dead message of `Topic::Dlq`, borrowed from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadRecord<'a> {
    /// Where the message stood.
    pub source: series::Source,
    /// Its offset there.
    pub offset: u64,
    /// Whether its good readings were stored.
    pub completeness: Completeness,
    /// The stage that refused it.
    pub stage: &'a str,
    /// What was wrong: which reading of the message (`None`: all of it), and why.
    pub letters: Vec<(Option<u32>, &'a str)>,
    /// The record as it stood in the log.
    pub record: &'a [u8],
}

/// Appends `message` as a record of `Topic::Dlq`. Reasons above 64 KiB are cut.
pub(crate) fn encode(message: &DeadMessage, out: &mut Vec<u8>) {
    let source = message.source;
    out.extend_from_slice(&[VERSION, source.topic, source.lane as u8]);
    out.extend_from_slice(&source.partition.to_le_bytes());
    out.extend_from_slice(&message.offset.to_le_bytes());
    out.push(u8::from(message.completeness == Completeness::Part));
    out.push(u8::try_from(message.stage.len()).expect("stages are short words of ours"));
    out.extend_from_slice(message.stage.as_bytes());
    let count = u32::try_from(message.letters.len()).expect("a message has fewer readings than 2^32");
    out.extend_from_slice(&count.to_le_bytes());
    for letter in &message.letters {
        out.extend_from_slice(&letter.index.unwrap_or(WHOLE_MESSAGE).to_le_bytes());
        let reason = &letter.reason[..letter.reason.floor_char_boundary(usize::from(u16::MAX))];
        out.extend_from_slice(&(reason.len() as u16).to_le_bytes());
        out.extend_from_slice(reason.as_bytes());
    }
    out.extend_from_slice(&message.record);
}

impl<'a> DeadRecord<'a> {
    /// Reads a record of `Topic::Dlq`.
    ///
    /// # Errors
    /// [`DeadRecordError`] when the bytes are no dead message of a known version.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DeadRecordError> {
        let mut rest = bytes;
        let [version] = take(&mut rest, "version")?;
        if version != VERSION {
            return Err(DeadRecordError::Version(version));
        }
        let [topic] = take(&mut rest, "topic")?;
        let lane = match take(&mut rest, "lane")? {
            [0] => Lane::Live,
            [1] => Lane::Backfill,
            _ => return Err(DeadRecordError::Unknown("lane")),
        };
        let partition = u16::from_le_bytes(take(&mut rest, "partition")?);
        let offset = u64::from_le_bytes(take(&mut rest, "offset")?);
        let completeness = match take(&mut rest, "completeness")? {
            [0] => Completeness::Whole,
            [1] => Completeness::Part,
            _ => return Err(DeadRecordError::Unknown("completeness")),
        };
        let [length] = take(&mut rest, "stage")?;
        let stage = text(&mut rest, usize::from(length), "stage")?;
        let count = u32::from_le_bytes(take(&mut rest, "count")?);
        let mut letters = Vec::new();
        for _ in 0..count {
            let index = u32::from_le_bytes(take(&mut rest, "index")?);
            let length = u16::from_le_bytes(take(&mut rest, "reason")?);
            let reason = text(&mut rest, usize::from(length), "reason")?;
            letters.push(((index != WHOLE_MESSAGE).then_some(index), reason));
        }
        let source = series::Source { topic, lane, partition };
        Ok(Self { source, offset, completeness, stage, letters, record: rest })
    }
}

fn take<const N: usize>(rest: &mut &[u8], field: &'static str) -> Result<[u8; N], DeadRecordError> {
    let (head, tail) = rest.split_first_chunk().ok_or(DeadRecordError::Truncated(field))?;
    *rest = tail;
    Ok(*head)
}

fn text<'a>(rest: &mut &'a [u8], length: usize, field: &'static str) -> Result<&'a str, DeadRecordError> {
    let (head, tail) = rest.split_at_checked(length).ok_or(DeadRecordError::Truncated(field))?;
    *rest = tail;
    std::str::from_utf8(head).map_err(|_| DeadRecordError::Unknown(field))
}
