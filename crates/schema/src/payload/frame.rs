//! The wire format of schema registries: a zero byte, the schema's id as u32, big-endian, then the payload. Before a
//! Protobuf payload stand message indexes: which message of the file, and which inside it; Avro-style varints, their
//! number first; a single 0 for the first message.

use crate::model::SchemaId;
use crate::text::{Bytes, Unreadable};

/// Deepest nesting of a message within messages.
const INDEXES: u64 = 32;

#[derive(Debug)]
pub(super) struct Frame<'p> {
    pub(super) id: SchemaId,
    /// What stands behind the id.
    pub(super) rest: &'p [u8],
}

impl<'p> Frame<'p> {
    /// `None` when the payload does not begin like one. No JSON, and no line of text, begins with a zero byte.
    pub(super) fn read(payload: &'p [u8]) -> Option<Self> {
        let (head, rest) = payload.split_first_chunk::<5>()?;
        let [0, id @ ..] = *head else { return None };
        Some(Self { id: SchemaId(u32::from_be_bytes(id)), rest })
    }

    /// Message indexes, and what stands behind them.
    pub(super) fn indexed(&self) -> Result<(Vec<usize>, &'p [u8]), Unreadable> {
        let mut bytes = Bytes::new(self.rest, 5);
        let wrong = |at, number: i64| Unreadable::new(at, format!("{number} is no message index"));
        let count = bytes.zigzag()?;
        let count =
            u64::try_from(count).ok().filter(|count| *count <= INDEXES).ok_or_else(|| wrong(5, count))?;
        let mut indexes = Vec::new();
        for _ in 0..count {
            let at = bytes.at();
            let index = bytes.zigzag()?;
            indexes.push(usize::try_from(index).map_err(|_| wrong(at, index))?);
        }
        Ok((indexes, bytes.rest()))
    }
}
