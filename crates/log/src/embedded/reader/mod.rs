//! Readers: one pass over the physical sequence for all partitions they want, from memory where possible.

mod ahead;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

use self::ahead::{Ahead, Job, ReadAhead, disk_job, read_ahead};
use crate::embedded::format::Frame;
use crate::embedded::locate::Found;
use crate::embedded::shared::{Held, Place, Shared};
use crate::embedded::stats::add;
use crate::partitions::{Slot, SlotSet};
use crate::wait::ReaderId;
use crate::{BoxFuture, Chunk, Error, Lost, Offset, PartitionId, Position, Reader, Result, Run};

pub(crate) struct EmbeddedReader {
    shared: Arc<Shared>,
    id: ReaderId,
    wants: SlotSet,
    /// Sorted by slot.
    next: Vec<(Slot, Offset)>,
    /// Where it was asked to read, in the caller's order.
    order: Vec<(Slot, PartitionId)>,
    /// Everything wanted before this place has been returned or lies in `ahead`.
    place: Option<Place>,
    /// Read from the disk, not yet returned.
    ahead: VecDeque<Ahead>,
    /// Being read from the disk. Who stops waiting for [`Reader::next`] finds it done when asking again.
    reading: Option<JoinHandle<Result<Option<ReadAhead>>>>,
    /// The last damage that was read over; whether it concerns this reader shows in the offsets behind it.
    damage: Option<Error>,
}

/// What a look at the log told.
enum Look {
    Chunk(Chunk),
    Disk(Job),
}

impl EmbeddedReader {
    pub(crate) fn new(shared: Arc<Shared>, from: &[Position]) -> Result<Self> {
        let mut wants = SlotSet::default();
        let mut next = Vec::with_capacity(from.len());
        let mut order = Vec::with_capacity(from.len());
        let mut held = shared.held.lock();
        for &position in from {
            let slot = shared.partitions.require(position.partition)?;
            let end = held.ends[slot.at()];
            if position.offset > end {
                return Err(crate::beyond(position, end));
            }
            if !wants.insert(slot) {
                return Err(crate::twice(position.partition));
            }
            next.push((slot, position.offset));
            order.push((slot, position.partition));
        }
        let id = held.waiters.enter();
        drop(held);
        next.sort_unstable();
        Ok(Self {
            shared,
            id,
            wants,
            next,
            order,
            place: None,
            ahead: VecDeque::new(),
            reading: None,
            damage: None,
        })
    }

    fn poll_look(&mut self, cx: &Context<'_>, max_bytes: usize) -> Poll<Result<Look>> {
        let shared = Arc::clone(&self.shared);
        loop {
            let held = shared.held.lock();
            self.check_expired(&held)?;
            if !self.ahead.is_empty() {
                drop(held); // records are taken out of frames without the lock
                let chunk = self.take_ahead(max_bytes)?;
                if chunk.runs.is_empty() {
                    continue;
                }
                return Poll::Ready(Ok(Look::Chunk(chunk)));
            }
            let place = match self.place {
                Some(place) => place,
                None => match shared.find(&held, &self.next) {
                    Found::At(place) => *self.place.insert(place),
                    Found::NeedsIndex(segment) => return Poll::Ready(Ok(Look::Disk(Job::Index(segment)))),
                },
            };
            if held.tail_from.is_none_or(|from| place < from) && place < held.end_place() {
                let job =
                    disk_job(&held, place).expect("a place before the end lies in a segment or before one");
                return Poll::Ready(Ok(Look::Disk(job)));
            }
            if self.look_at_tail(&held, place, max_bytes) {
                add(&shared.counters.tail_reads, 1);
                continue;
            }
            self.check_reached(&held.ends)?;
            if held.closed {
                return Poll::Ready(Err(Error::Closed));
            }
            let mut held = held;
            held.waiters.park(self.id, &self.wants, cx.waker());
            return Poll::Pending;
        }
    }

    /// Takes over what is wanted of the tail; whether there was anything.
    fn look_at_tail(&mut self, held: &Held, place: Place, max_bytes: usize) -> bool {
        let is_before =
            |frame: &Arc<Frame>| Place { segment: frame.segment, position: frame.position } < place;
        let first = held.tail.partition_point(is_before);
        let mut bytes = 0;
        for frame in held.tail.range(first..) {
            self.place = Some(Place { segment: frame.segment, position: frame.end });
            if frame.runs.iter().any(|run| self.wants.contains(run.slot)) {
                self.ahead.push_back(Ahead::Frame(Arc::clone(frame)));
                bytes += frame.weight();
                if bytes >= max_bytes {
                    break;
                }
            }
        }
        !self.ahead.is_empty()
    }

    fn check_expired(&self, held: &Held) -> Result<()> {
        for &(slot, wanted) in &self.next {
            let start = held.start(slot);
            if wanted < start {
                let partition = self.shared.partitions.at(slot);
                return Err(Error::Expired { partition, wanted, start });
            }
        }
        Ok(())
    }

    /// Every wanted partition has been read up to here; otherwise records are missing.
    fn check_reached(&self, ends: &[Offset]) -> Result<()> {
        match self.next.iter().find(|&&(slot, next)| next < ends[slot.at()]) {
            Some(&(slot, from)) => Err(self.missing(slot, from, ends[slot.at()])),
            None => Ok(()),
        }
    }

    /// What is said when offsets jump.
    fn missing(&self, slot: Slot, from: Offset, to: Offset) -> Error {
        add(&self.shared.counters.damage_met, 1);
        let partition = self.shared.partitions.at(slot);
        let mut error = self.damage.clone().unwrap_or_else(|| Error::Damaged {
            place: self.shared.disk.place(),
            at: 0,
            reason: "a segment is missing".to_owned(),
            lost: None,
        });
        if let Error::Damaged { lost, .. } = &mut error {
            *lost = Some(Lost { partition, from, to });
        }
        error
    }

    fn take_ahead(&mut self, max_bytes: usize) -> Result<Chunk> {
        let mut chunk = Chunk::default();
        let mut left = max_bytes.max(1);
        while let Some(ahead) = self.ahead.front() {
            let done = match ahead {
                Ahead::Frame(frame) => {
                    let frame = Arc::clone(frame);
                    self.take(&frame, &mut chunk, &mut left)
                }
                Ahead::Boundary(starts) => {
                    let starts = Arc::clone(starts);
                    self.check_reached(&starts).map(|()| true)
                }
                Ahead::Damage(error) => {
                    self.damage = Some(error.clone());
                    Ok(true)
                }
            };
            match done {
                Ok(true) => drop(self.ahead.pop_front()),
                Ok(false) => break,
                // What was taken before is good; the error comes again with the next call.
                Err(_) if !chunk.runs.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(chunk)
    }

    /// Takes what is wanted from a frame; `false` when something wanted stays behind.
    fn take(&mut self, frame: &Frame, chunk: &mut Chunk, left: &mut usize) -> Result<bool> {
        for run in &frame.runs {
            let Ok(i) = self.next.binary_search_by_key(&run.slot, |&(slot, _)| slot) else { continue };
            let next = self.next[i].1;
            if next >= run.end() {
                continue;
            }
            if next < run.base {
                return Err(self.missing(run.slot, next, run.base));
            }
            if *left == 0 {
                return Ok(false);
            }
            let records = frame.records(run, next, left);
            self.next[i].1 = next + records.len() as u64;
            let whole = self.next[i].1 == run.end();
            chunk.runs.push(Run { partition: run.partition, base: next, records });
            if !whole {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads from the disk: on a runtime beside the tasks, without one (a simulation) in place.
    async fn run(&mut self, job: Job) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let wants = self.wants.clone();
        let work = move || -> Result<Option<ReadAhead>> {
            match job {
                Job::Index(segment) => shared.load_index(&segment).map(|_| None),
                Job::Frames { segment, from, after } => {
                    add(&shared.counters.disk_reads, 1);
                    read_ahead(&shared, &segment, from, after, &wants).map(Some)
                }
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                self.reading = Some(runtime.spawn_blocking(work));
                self.finish_reading().await
            }
            Err(_) => self.take_over(work()),
        }
    }

    /// Waits for what is being read.
    async fn finish_reading(&mut self) -> Result<()> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        let outcome = reading.await;
        self.reading = None;
        self.take_over(outcome.unwrap_or_else(|stopped| {
            Err(Error::Io {
                operation: "reading",
                place: self.shared.disk.place(),
                reason: stopped.to_string(),
            })
        }))
    }

    fn take_over(&mut self, outcome: Result<Option<ReadAhead>>) -> Result<()> {
        match outcome {
            Ok(Some(read)) => {
                self.ahead.extend(read.ahead);
                self.place = Some(read.place);
            }
            Ok(None) => {}
            // Retention may have taken the file away meanwhile; then the reader's next look says `Expired`.
            Err(error) => self.check_expired(&self.shared.held.lock()).and(Err(error))?,
        }
        Ok(())
    }
}

impl Reader for EmbeddedReader {
    fn next(&mut self, max_bytes: usize) -> BoxFuture<'_, Result<Chunk>> {
        Box::pin(async move {
            self.finish_reading().await?;
            loop {
                match poll_fn(|cx| self.poll_look(cx, max_bytes)).await? {
                    Look::Chunk(chunk) => return Ok(chunk),
                    Look::Disk(job) => self.run(job).await?,
                }
            }
        })
    }

    fn positions(&self) -> Vec<Position> {
        let place =
            |slot: Slot| self.next.binary_search_by_key(&slot, |&(slot, _)| slot).expect("every slot is in");
        let positions = self.order.iter();
        positions.map(|&(slot, partition)| Position { partition, offset: self.next[place(slot)].1 }).collect()
    }
}

impl Drop for EmbeddedReader {
    fn drop(&mut self) {
        self.shared.held.lock().waiters.leave(self.id);
    }
}
