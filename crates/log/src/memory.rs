//! A log in memory: durable at once, and gone with the process. For tests and simulations only.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;

use crate::partitions::{Slot, SlotSet};
use crate::wait::{ReaderId, Waiters};
use crate::{
    Batch, BoxFuture, Chunk, Clock, Error, Extent, Log, Offset, PartitionId, Partitions, Pending, Position,
    Reader, Record, Result, Run, SystemClock, Topic,
};

/// See the module.
pub struct MemoryLog(Arc<Shared>);

struct Shared {
    partitions: Partitions,
    clock: Box<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By slot.
    held: Vec<Held>,
    positions: BTreeMap<String, BTreeMap<PartitionId, Offset>>,
    waiters: Waiters,
    last_ms: i64,
    closed: bool,
}

#[derive(Clone, Default)]
struct Held {
    start: Offset,
    records: std::collections::VecDeque<Record>,
}

impl Held {
    fn end(&self) -> Offset {
        self.start + self.records.len() as u64
    }
}

impl MemoryLog {
    /// An empty log on this machine's clock.
    #[must_use]
    pub fn new(partitions: Partitions) -> Self {
        Self::with_clock(partitions, SystemClock)
    }

    /// An empty log on a clock of the caller's.
    #[must_use]
    pub fn with_clock(partitions: Partitions, clock: impl Clock) -> Self {
        let held = vec![Held::default(); partitions.count()];
        let state = Mutex::new(State { held, ..State::default() });
        Self(Arc::new(Shared { partitions, clock: Box::new(clock), state }))
    }

    /// Drops what lies before `start`, as retention would.
    ///
    /// # Errors
    /// [`Error::Refused`] for a partition that does not exist.
    pub fn expire(&self, partition: PartitionId, start: Offset) -> Result<()> {
        let slot = self.0.partitions.require(partition)?;
        let mut state = self.0.state.lock();
        let held = &mut state.held[slot.at()];
        while held.start < start && held.records.pop_front().is_some() {
            held.start += 1;
        }
        Ok(())
    }

    fn take(&self, batch: &Batch) -> Result<Vec<Position>> {
        let slots: Vec<Slot> = batch
            .records()
            .map(|record| self.0.partitions.require(record.partition))
            .collect::<Result<_>>()?;
        let mut wakers = Vec::new();
        let mut state = self.0.state.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        state.last_ms = state.last_ms.max(self.0.clock.now_ms());
        let appended_ms = state.last_ms;
        let mut fresh = SlotSet::default();
        let mut positions = Vec::with_capacity(batch.len());
        for (record, slot) in batch.records().zip(slots) {
            let held = &mut state.held[slot.at()];
            positions.push(Position { partition: record.partition, offset: held.end() });
            let value = bytes::Bytes::copy_from_slice(record.value);
            held.records.push_back(Record { appended_ms, value });
            fresh.insert(slot);
        }
        state.waiters.concerned(&fresh, &mut wakers);
        drop(state);
        wakers.into_iter().for_each(std::task::Waker::wake);
        Ok(positions)
    }
}

impl Log for MemoryLog {
    fn append(&self, batch: Batch) -> Pending {
        Pending::settled(self.take(&batch))
    }

    fn read(&self, from: &[Position]) -> Result<Box<dyn Reader>> {
        let mut state = self.0.state.lock();
        let mut wants = SlotSet::default();
        let mut at = Vec::with_capacity(from.len());
        for &position in from {
            let slot = self.0.partitions.require(position.partition)?;
            let end = state.held[slot.at()].end();
            if position.offset > end {
                return Err(crate::beyond(position, end));
            }
            if !wants.insert(slot) {
                return Err(crate::twice(position.partition));
            }
            at.push((slot, position));
        }
        let id = state.waiters.enter();
        Ok(Box::new(MemoryReader { log: Arc::clone(&self.0), id, wants, at, turn: 0 }))
    }

    fn extent(&self, partition: PartitionId) -> Result<Extent> {
        let slot = self.0.partitions.require(partition)?;
        let state = self.0.state.lock();
        let held = &state.held[slot.at()];
        Ok(Extent { start: held.start, end: held.end() })
    }

    fn offset_at(&self, partition: PartitionId, time_ms: i64) -> BoxFuture<'_, Result<Offset>> {
        Box::pin(async move {
            let slot = self.0.partitions.require(partition)?;
            let state = self.0.state.lock();
            let held = &state.held[slot.at()];
            let earlier = held.records.partition_point(|record| record.appended_ms < time_ms);
            Ok(held.start + earlier as u64)
        })
    }

    fn commit(&self, reader: &str, positions: &[Position]) -> BoxFuture<'_, Result<()>> {
        let outcome = positions.iter().try_for_each(|at| self.0.partitions.require(at.partition).map(drop));
        if outcome.is_ok() {
            let mut state = self.0.state.lock();
            let kept = state.positions.entry(reader.to_owned()).or_default();
            kept.extend(positions.iter().map(|at| (at.partition, at.offset)));
        }
        Box::pin(std::future::ready(outcome))
    }

    fn committed(&self, reader: &str) -> Result<Vec<Position>> {
        let state = self.0.state.lock();
        let kept = state.positions.get(reader).into_iter().flatten();
        Ok(kept.map(|(&partition, &offset)| Position { partition, offset }).collect())
    }

    fn partitions(&self, topic: Topic) -> u16 {
        self.0.partitions.of(topic)
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        let mut wakers = Vec::new();
        let mut state = self.0.state.lock();
        state.closed = true;
        state.waiters.everyone(&mut wakers);
        drop(state);
        wakers.into_iter().for_each(std::task::Waker::wake);
        Box::pin(std::future::ready(Ok(())))
    }
}

struct MemoryReader {
    log: Arc<Shared>,
    id: ReaderId,
    wants: SlotSet,
    at: Vec<(Slot, Position)>,
    /// Which partition is first in the next chunk, so that a busy one does not starve the others.
    turn: usize,
}

impl MemoryReader {
    fn poll_next(&mut self, cx: &mut Context<'_>, max_bytes: usize) -> Poll<Result<Chunk>> {
        let mut state = self.log.state.lock();
        let mut chunk = Chunk::default();
        let mut left = max_bytes.max(1);
        let count = self.at.len();
        for place in (0..count).map(|i| (self.turn + i) % count) {
            let (slot, position) = &mut self.at[place];
            let held = &state.held[slot.at()];
            if position.offset < held.start {
                let Position { partition, offset: wanted } = *position;
                return Poll::Ready(Err(Error::Expired { partition, wanted, start: held.start }));
            }
            let skip =
                usize::try_from(position.offset - held.start).expect("records in memory are countable");
            let mut records = Vec::new();
            for record in held.records.iter().skip(skip) {
                if left == 0 {
                    break;
                }
                left = left.saturating_sub(record.value.len().max(1));
                records.push(record.clone());
            }
            if !records.is_empty() {
                let base = position.offset;
                position.offset += records.len() as u64;
                chunk.runs.push(Run { partition: position.partition, base, records });
            }
        }
        if !chunk.runs.is_empty() {
            self.turn = (self.turn + 1) % count;
            return Poll::Ready(Ok(chunk));
        }
        if state.closed {
            return Poll::Ready(Err(Error::Closed));
        }
        state.waiters.park(self.id, &self.wants, cx.waker());
        Poll::Pending
    }
}

impl Reader for MemoryReader {
    fn next(&mut self, max_bytes: usize) -> BoxFuture<'_, Result<Chunk>> {
        Box::pin(poll_fn(move |cx| self.poll_next(cx, max_bytes)))
    }

    fn positions(&self) -> Vec<Position> {
        self.at.iter().map(|&(_, position)| position).collect()
    }
}

impl Drop for MemoryReader {
    fn drop(&mut self) {
        self.log.state.lock().waiters.leave(self.id);
    }
}
