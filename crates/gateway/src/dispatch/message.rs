//! A message on its way to subscribers.

use bytes::Bytes;
use log::Position;
use record::{Envelope, EnvelopeError};

/// A message: its envelope as it lies in the log, shared by all who wait for it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    record: Bytes,
    /// Where it lies in the log; `None`: QoS 0 that was not logged.
    pub(crate) position: Option<Position>,
}

impl Message {
    /// Takes a record.
    ///
    /// # Errors
    /// When it is no envelope.
    pub(crate) fn new(record: Bytes, position: Option<Position>) -> Result<Self, EnvelopeError> {
        Envelope::decode(&record)?;
        Ok(Self { record, position })
    }

    /// The envelope's bytes.
    pub(crate) fn record(&self) -> &[u8] {
        &self.record
    }

    /// Its parts.
    pub(crate) fn envelope(&self) -> Envelope<'_> {
        Envelope::decode(&self.record).expect("checked in `new`")
    }

    /// What it holds in memory, bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.record.len()
    }
}
