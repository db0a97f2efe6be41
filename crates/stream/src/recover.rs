//! The state of every partition after a start: from its checkpoint, the notes after it, and the log.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use log::{Lane, Log, PartitionId, Position, Reader, Record, Topic};
use record::Timestamp;
use tokio::runtime::Handle;
use wire::payload::Scratch;

use crate::answers::{Noted, Unanswered};
use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::counts::Shared;
use crate::engine::{Engine, Partition};
use crate::note::{Note, NoteError, Step};
use crate::output::Output;
use crate::pipeline::{Ending, Pipeline, RestoreError, Work};
use crate::stretch::Purpose;
use crate::{Error, Parts, partitions, source_of};

/// What one read takes from the log while notes are replayed, bytes.
const READ_BYTES: usize = 1 << 20;

/// Why a partition's state could not be built from a checkpoint.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Answers(#[from] Unanswered),
    #[error("the notes begin at {found}, the checkpoint wants {wanted}")]
    Gap { wanted: u64, found: u64 },
    #[error("the note {number} was given answers that nobody asked for")]
    Unasked { number: u64 },
    #[error("the state stands at {state:?}, the store at {store:?}")]
    Elsewhere { state: [u64; 2], store: [u64; 2] },
}

/// Builds all partitions. Blocks; must be called from a thread of a tokio runtime that may block.
///
/// # Errors
/// [`Error`] when log or store cannot be read, or do not belong together.
pub(crate) fn engine(
    parts: &Parts,
    purpose: &Purpose,
    checkpoints: Option<&Checkpoints>,
    stopping: Arc<AtomicBool>,
    shared: &Shared,
) -> Result<Engine, Error> {
    let held: HashMap<_, _> = parts.store.positions()?.into_iter().map(|at| (at.source, at.offset)).collect();
    let mut notes: BTreeMap<u16, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
    for note in parts.store.notes()? {
        notes.entry(note.partition).or_default().push((note.number, note.bytes));
    }
    let mut places = Vec::new();
    for live in partitions(&*parts.log, Topic::Raw, Lane::Live) {
        let mut next = [0, 0];
        for lane in [Lane::Live, Lane::Backfill] {
            let partition = PartitionId { lane, ..live };
            let extent = parts.log.extent(partition)?;
            let offset = held.get(&source_of(partition)).copied();
            if let Some(held) = offset.filter(|&held| held > extent.end) {
                return Err(Error::Ahead { partition, held, end: extent.end });
            }
            next[lane as usize] = offset.unwrap_or_else(|| purpose.begin(partition, extent));
        }
        let notes = notes.remove(&live.index).unwrap_or_default();
        places.push(Place { parts, index: live.index, next, notes });
    }
    let built = build(&places, checkpoints, shared)?;
    let (settings, templates) = (Arc::clone(&parts.settings), Arc::clone(&parts.templates));
    let facts = parts.facts.clone().filter(|_| purpose.writes_to_log());
    Ok(Engine::new(settings, templates, Arc::clone(&parts.reader), facts, stopping, built))
}

/// Builds partitions, side by side: who waits for the start waits for this.
fn build(
    places: &[Place<'_>],
    checkpoints: Option<&Checkpoints>,
    shared: &Shared,
) -> Result<BTreeMap<u16, Partition>, Error> {
    let (next, runtime) = (AtomicUsize::new(0), Handle::current());
    let some = || {
        let _runtime = runtime.enter();
        let mut built = Vec::new();
        while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
            built.push((place.index, place.build(checkpoints, shared)?));
        }
        Ok(built)
    };
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, NonZero::get).min(places.len());
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(some)).collect();
        let built =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|cause| resume_unwind(cause)));
        let built: Result<Vec<Vec<_>>, Error> = built.collect();
        Ok(built?.into_iter().flatten().collect())
    })
}

/// A partition to be built: where the store stands, and the notes it has.
struct Place<'a> {
    parts: &'a Parts,
    index: u16,
    next: [u64; 2],
    notes: Vec<(u64, Vec<u8>)>,
}

impl Place<'_> {
    fn build(&self, checkpoints: Option<&Checkpoints>, shared: &Shared) -> Result<Partition, Error> {
        let partition = self.index;
        let found = checkpoints.map(|folder| folder.read(partition)).transpose()?.unwrap_or_default();
        for checkpoint in &found {
            match self.from(Some(checkpoint)) {
                Ok(mut built) => {
                    built.checkpointed = Some((checkpoint.note, checkpoint.next));
                    return Ok(built);
                }
                Err(Broken::Log(error @ log::Error::Closed)) => return Err(error.into()),
                Err(error) => {
                    tracing::error!(partition, %error, "a checkpoint cannot be used; the one before it is tried");
                }
            }
        }
        let untouched =
            self.notes.is_empty() && !self.store_holds_any()? && !self.parts.reader.is_restored()?;
        if untouched || self.notes.first().is_some_and(|&(number, _)| number == 0) {
            match self.from(None) {
                Ok(built) => return Ok(built),
                Err(Broken::Log(error @ log::Error::Closed)) => return Err(error.into()),
                Err(error) => tracing::error!(partition, %error, "the notes cannot be replayed"),
            }
        }
        shared.started_cold();
        tracing::warn!(
            partition,
            "no state of the stream can be used: it begins anew and asks the store for what it has forgotten; \
             windows that were open are computed from the stored readings"
        );
        // Notes from 0 on are those of a state that began with an empty store.
        let note = self.notes.last().map_or(1, |&(number, _)| number + 1);
        let pipeline = Pipeline::cold(Arc::clone(&self.parts.settings));
        Ok(Partition {
            pipeline,
            note,
            next: self.next,
            since_checkpoint: 0,
            forgettable: note,
            checkpointed: None,
        })
    }

    fn store_holds_any(&self) -> Result<bool, Error> {
        let mine = |at: &series::Position| {
            at.source.topic == Topic::Raw as u8 && at.source.partition == self.index && at.offset > 0
        };
        Ok(self.parts.store.positions()?.iter().any(mine))
    }

    /// The state after the notes that follow `checkpoint`.
    fn from(&self, checkpoint: Option<&Checkpoint>) -> Result<Partition, Broken> {
        let settings = Arc::clone(&self.parts.settings);
        let (mut pipeline, first) = match checkpoint {
            Some(checkpoint) => (Pipeline::restore(settings, &checkpoint.state)?, checkpoint.note),
            None => (Pipeline::new(settings), 0),
        };
        let starts = match checkpoint {
            Some(checkpoint) => checkpoint.next,
            None => self.starts()?,
        };
        let mut lanes =
            [Lane::Live, Lane::Backfill].map(|lane| Replay::new(self, lane, starts[lane as usize]));
        let (mut wanted, mut reached, mut records) = (first, starts, 0);
        let mut scratch = Scratch::new();
        for (number, bytes) in self.notes.iter().filter(|(number, _)| *number >= first) {
            if *number != wanted {
                return Err(Broken::Gap { wanted, found: *number });
            }
            wanted += 1;
            let note = Note::decode(bytes)?;
            let mut output = Output::default();
            let mut answers = Noted::new(note.answers);
            match note.step {
                Step::Tick { now } => {
                    let now = Timestamp::from_nanos(now);
                    pipeline.tick(now);
                    pipeline.settle(now, Ending::Tick, &mut output);
                }
                Step::Revise { now, most } => {
                    pipeline.revise(Timestamp::from_nanos(now), most, &mut output);
                }
                Step::Hole { .. } => {}
                Step::Records { backfill, from, to, now } => {
                    let replay = &mut lanes[usize::from(backfill)];
                    records += to - from;
                    let now = Timestamp::from_nanos(now);
                    replay.each((from, to), now, |work| {
                        let templates = &self.parts.templates;
                        pipeline.records(work, templates, &mut scratch, &mut answers, &mut output)
                    })?;
                    pipeline.settle(now, Ending::Records, &mut output);
                }
            }
            if !answers.is_used_up() {
                return Err(Broken::Unasked { number: *number });
            }
            if let Some((lane, _, to)) = note.step.span() {
                reached[lane as usize] = to;
            }
        }
        if reached != self.next {
            return Err(Broken::Elsewhere { state: reached, store: self.next });
        }
        Ok(Partition {
            pipeline,
            note: wanted,
            next: reached,
            since_checkpoint: records,
            forgettable: 0,
            checkpointed: None,
        })
    }

    /// Where the first notes began, or, without any, where the store stands.
    fn starts(&self) -> Result<[u64; 2], Broken> {
        let mut starts = self.next;
        let mut seen = [false, false];
        for (_, bytes) in &self.notes {
            if let Some((lane, from, _)) = Note::decode(bytes)?.step.span()
                && !std::mem::replace(&mut seen[lane as usize], true)
            {
                starts[lane as usize] = from;
            }
            if seen == [true, true] {
                break;
            }
        }
        Ok(starts)
    }
}

/// A lane of a partition, read again in the pieces that the notes name.
struct Replay<'a> {
    log: &'a dyn Log,
    partition: PartitionId,
    reader: Option<Box<dyn Reader>>,
    /// Read and not yet replayed; the first has offset `next`.
    waiting: VecDeque<Record>,
    next: u64,
}

impl<'a> Replay<'a> {
    fn new(place: &Place<'a>, lane: Lane, next: u64) -> Self {
        let partition = PartitionId { topic: Topic::Raw, lane, index: place.index };
        Self { log: &*place.parts.log, partition, reader: None, waiting: VecDeque::new(), next }
    }

    /// Hands on the records `from..to`, in pieces, at `now` by the clock of then.
    fn each(
        &mut self,
        (from, to): (u64, u64),
        now: Timestamp,
        mut hand_on: impl FnMut(&Work<'_>) -> Result<(), Unanswered>,
    ) -> Result<(), Broken> {
        if from != self.next {
            // A hole lies between: what was read ahead does not count.
            (self.reader, self.next) = (None, from);
            self.waiting.clear();
        }
        while self.next < to {
            if self.waiting.is_empty() {
                self.read()?;
            }
            let wanted = usize::try_from(to - self.next).unwrap_or(usize::MAX).min(self.waiting.len());
            let records: Vec<Record> = self.waiting.drain(..wanted).collect();
            hand_on(&Work { partition: self.partition, base: self.next, records: &records, now })?;
            self.next += wanted as u64;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Broken> {
        let at = Position { partition: self.partition, offset: self.next };
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => self.reader.insert(self.log.read(&[at])?),
        };
        let chunk = Handle::current().block_on(reader.next(READ_BYTES))?;
        for run in chunk.runs {
            self.waiting.extend(run.records);
        }
        Ok(())
    }
}
