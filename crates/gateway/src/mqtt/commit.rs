//! One log append per turn of the worker, and the FIFO of answers that wait for commits.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use log::{Batch, Pending, Position};
use wire::mqtt::session::Due;

/// A place in the worker's slab and which use of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnKey {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// Something of a connection that waits for a commit.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) conn: ConnKey,
    /// Which record of the batch it is about; `u32::MAX`: none.
    record: u32,
    /// Bytes of the batch that are this connection's to answer for.
    pub(super) bytes: u32,
    pub(super) awaited: Awaited,
}

/// What waits.
#[derive(Debug)]
pub(super) enum Awaited {
    /// An answer.
    Answer(Due),
    /// Nothing: a QoS 0 publish only counts.
    Nothing,
    /// The end of the connection: its session can be given to another.
    Release,
}

/// A batch on its way.
#[derive(Debug)]
struct InFlight {
    /// None: nothing was to be logged, only the order counts.
    pending: Option<Pending>,
    waiting: Vec<Waiting>,
    bytes: usize,
    since: Instant,
}

/// A batch that has arrived, or not.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) outcome: Result<Vec<Position>, log::Error>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) bytes: usize,
    pub(super) since: Instant,
}

impl Waiting {
    /// The position of the record it is about.
    pub(super) fn position(&self, positions: &[Position]) -> Option<Position> {
        positions.get(self.record as usize).copied()
    }
}

/// The batch being filled and those on their way.
#[derive(Debug, Default)]
pub(super) struct Commits {
    batch: Batch,
    waiting: Vec<Waiting>,
    fifo: VecDeque<InFlight>,
    waker: Option<Waker>,
}

impl Commits {
    /// The batch, to add records to.
    pub(super) fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// Keeps an answer until everything handed over so far is durable. `record`: the number in the batch of the record
    /// it is about.
    pub(super) fn wait(&mut self, conn: ConnKey, awaited: Awaited, record: Option<usize>, bytes: usize) {
        let record = record.map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX));
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.waiting.push(Waiting { conn, record, bytes, awaited });
        self.wake();
    }

    /// Has the batch handed over at the end of this turn.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Hands the batch over. Returns its size in bytes.
    pub(super) fn flush(&mut self, log: &dyn log::Log, now: Instant) -> usize {
        if self.batch.is_empty() && self.waiting.is_empty() {
            return 0;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let bytes = self.batch.size_bytes();
        let pending = (!self.batch.is_empty()).then(|| log.append(std::mem::take(&mut self.batch)));
        self.fifo.push_back(InFlight { pending, waiting, bytes, since: now });
        bytes
    }

    /// The next batch in order that is settled; remembers whom to wake otherwise.
    pub(super) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<Settled> {
        let outcome = match self.fifo.front_mut() {
            None => None,
            Some(InFlight { pending: None, .. }) => Some(Ok(Vec::new())),
            Some(InFlight { pending: Some(pending), .. }) => match Pin::new(pending).poll(cx) {
                Poll::Ready(outcome) => Some(outcome),
                Poll::Pending => None,
            },
        };
        let Some(outcome) = outcome else {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let done = self.fifo.pop_front().expect("its front was just settled");
        Poll::Ready(Settled { outcome, waiting: done.waiting, bytes: done.bytes, since: done.since })
    }

    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.fifo.is_empty() && self.waiting.is_empty() && self.batch.is_empty()
    }
}
