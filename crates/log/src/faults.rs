//! A log that a test has in its hand: commits that wait, appends that fail, places that are damaged. What it does not
//! spoil goes to a [`MemoryLog`].

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::{
    Batch, BoxFuture, Chunk, Completion, Error, Extent, Log, Lost, MemoryLog, Offset, PartitionId, Pending,
    Position, Reader, Result, Topic, pending,
};

/// What becomes of a batch.
#[derive(Debug)]
enum Appends {
    Pass,
    Wait(Vec<(Batch, Completion)>),
    Fail(Error),
}

/// See the module.
pub struct FaultyLog {
    inner: Arc<MemoryLog>,
    appends: Mutex<Appends>,
    damaged: Mutex<Vec<Lost>>,
}

impl FaultyLog {
    /// A log without a fault so far.
    pub fn over(inner: impl Into<Arc<MemoryLog>>) -> Self {
        Self { inner: inner.into(), appends: Mutex::new(Appends::Pass), damaged: Mutex::default() }
    }

    /// From now on nothing becomes durable.
    pub fn hold(&self) {
        *self.appends.lock() = Appends::Wait(Vec::new());
    }

    /// From now on every append fails.
    pub fn fail(&self, error: Error) {
        *self.appends.lock() = Appends::Fail(error);
    }

    /// What waits, with the promises to keep or break; what comes later waits too.
    #[must_use]
    pub fn take_held(&self) -> Vec<(Batch, Completion)> {
        match &mut *self.appends.lock() {
            Appends::Wait(held) => std::mem::take(held),
            Appends::Pass | Appends::Fail(_) => Vec::new(),
        }
    }

    /// How many batches wait.
    #[must_use]
    pub fn held(&self) -> usize {
        match &*self.appends.lock() {
            Appends::Wait(held) => held.len(),
            Appends::Pass | Appends::Fail(_) => 0,
        }
    }

    /// What waits becomes durable, and so does all that follows.
    ///
    /// # Panics
    /// When the memory log does not answer at once.
    pub fn release(&self) {
        // Held until all of it is through: what comes meanwhile comes after it.
        let mut appends = self.appends.lock();
        if let Appends::Wait(held) = std::mem::replace(&mut *appends, Appends::Pass) {
            for (batch, completion) in held {
                let mut appended = Box::pin(self.inner.append(batch));
                match appended.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(outcome) => completion.complete(outcome),
                    Poll::Pending => panic!("the memory log is durable at once"),
                }
            }
        }
    }

    /// From now on whoever reads one of these offsets is told that it and those behind it are damaged.
    pub fn damage(&self, lost: Lost) {
        self.damaged.lock().push(lost);
    }
}

impl Log for FaultyLog {
    fn append(&self, batch: Batch) -> Pending {
        match &mut *self.appends.lock() {
            Appends::Pass => self.inner.append(batch),
            Appends::Wait(held) => {
                let (completion, promise) = pending();
                held.push((batch, completion));
                promise
            }
            Appends::Fail(error) => Pending::settled(Err(error.clone())),
        }
    }

    fn read(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        let inner = self.inner.read(from)?;
        let damaged = self.damaged.lock().clone();
        if damaged.is_empty() {
            return Ok(inner);
        }
        Ok(Box::new(FaultyReader { inner, damaged }))
    }

    fn extent(&self, partition: PartitionId) -> Result<Extent> {
        self.inner.extent(partition)
    }

    fn offset_at(&self, partition: PartitionId, time_ms: i64) -> BoxFuture<'_, Result<Offset>> {
        self.inner.offset_at(partition, time_ms)
    }

    fn commit(&self, reader: &str, positions: &[Position]) -> BoxFuture<'_, Result<()>> {
        self.inner.commit(reader, positions)
    }

    fn committed(&self, reader: &str) -> Result<Vec<Position>> {
        self.inner.committed(reader)
    }

    fn partitions(&self, topic: Topic) -> u16 {
        self.inner.partitions(topic)
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.close()
    }
}

struct FaultyReader {
    inner: Box<dyn Reader>,
    damaged: Vec<Lost>,
}

impl FaultyReader {
    /// What is damaged where the reader stands, from there on.
    fn meets(&self) -> Option<Lost> {
        self.inner.positions().iter().find_map(|at| {
            let here = |l: &&Lost| l.partition == at.partition && (l.from..l.to).contains(&at.offset);
            self.damaged.iter().find(here).map(|lost| Lost { from: at.offset, ..*lost })
        })
    }
}

impl Reader for FaultyReader {
    fn next(&mut self, max_bytes: usize) -> BoxFuture<'_, Result<Chunk>> {
        if let Some(lost) = self.meets() {
            let (place, reason) = ("a segment".to_owned(), "checksum".to_owned());
            let error = Error::Damaged { place, at: 0, reason, lost: Some(lost) };
            return Box::pin(async move { Err(error) });
        }
        self.inner.next(max_bytes.min(1)) // record by record, up to the damage
    }

    fn positions(&self) -> Vec<Position> {
        self.inner.positions()
    }
}
