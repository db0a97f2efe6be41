//! What who measures and who delivers share: the buffer, and how they wake each other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::buffer::{self, Books, Buffer, Waiting};

pub(super) struct Shared {
    buffer: Mutex<Buffer>,
    changed: Condvar,
    reconnects: AtomicU64,
}

/// Messages sent before waiting for their acknowledgements: at a minute's interval an hour of history.
const BATCH_MESSAGES: u32 = 64;

impl Shared {
    pub(super) fn new(buffer: Buffer) -> Self {
        Self { buffer: Mutex::new(buffer), changed: Condvar::new(), reconnects: AtomicU64::new(0) }
    }

    /// A buffer whose thread died in a transaction is whole: the transaction was rolled back.
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(
        &self,
        topic: &str,
        lost: u64,
        missed: u64,
        message: impl FnOnce(&Books) -> Vec<u8>,
    ) -> Result<(), buffer::Error> {
        let outcome = self.buffer().append(topic, lost, missed, message);
        self.changed.notify_all();
        outcome
    }

    /// The oldest messages, marked as on their way. Waits for `patience` until there is one.
    pub(super) fn take(&self, most: u32, patience: Duration) -> Result<Vec<Waiting>, buffer::Error> {
        let most = most.min(BATCH_MESSAGES);
        let mut buffer = self.buffer();
        let first = buffer.oldest(most)?;
        if !first.is_empty() {
            return Ok(first);
        }
        buffer = self
            .changed
            .wait_timeout(buffer, patience)
            .map_or_else(|poisoned| poisoned.into_inner().0, |(buffer, _)| buffer);
        buffer.oldest(most)
    }

    pub(super) fn settle(&self, acknowledged: &[i64], refused: &[i64]) -> Result<(), buffer::Error> {
        let outcome = self.buffer().settle(acknowledged, refused);
        self.changed.notify_all();
        outcome
    }

    pub(super) fn wait_until_empty(&self) {
        let mut buffer = self.buffer();
        while buffer.waiting() > 0 {
            buffer = self.changed.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn reconnected(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }
}
