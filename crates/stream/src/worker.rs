//! The stream's task: reads both lanes, live first, takes turns through the engine, commits, and knows what to do
//! when one of them fails.

mod commit;
mod pending;
mod rounds;
mod saving;
mod trial;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{Chunk, Lane, Lost, PartitionId, Position, Reader, Topic};
use record::Timestamp;
use series::{Completeness, DeadLetter, DeadMessage};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use crate::bite::{Bite, Bites};
use crate::checkpoint::Checkpoints;
use crate::clean::Owed;
use crate::counts::Shared;
use crate::engine::Engine;
use crate::stretch::Purpose;
use crate::{Error, Parts, READER, partitions, recover, source_of};

use pending::{Errand, Pending};
use rounds::Rounds;
use saving::Saving;

/// After so many live turns in a row history gets one, so that it moves on even where live data fills every turn.
const LIVE_TURNS_IN_A_ROW: u32 = 8;

/// Live data that came so lately is expected to go on.
const LIVE_COMES: Duration = Duration::from_secs(1);

/// How long turns of history may take while no live data comes.
const ALONE: Duration = Duration::from_millis(20);

/// History rests as long as its turns took, once that is as much as a timer can keep, and never for longer.
const SHORTEST_REST: Duration = Duration::from_millis(3);
const LONGEST_REST: Duration = Duration::from_millis(20);

/// The shortest and the longest wait before a failed write is tried again. A store that is down for a minute
/// is asked some twenty times, one that is down for a day every ten seconds.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));

/// How often the log is told where the stream stands: it is only advice, for lag and retention.
const TELL_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Worker {
    parts: Parts,
    purpose: Purpose,
    /// Away while a turn is computed; absent once it gave up.
    engine: Option<Box<Engine>>,
    /// How long the turn that is being committed has waited for the log.
    synced_in: Duration,
    /// The turn that was computed last and is not in the store yet.
    pending: Option<Pending>,
    checkpoints: Option<Checkpoints>,
    live: Box<dyn Reader>,
    backfill: Bites,
    live_bite: Bite,
    backfill_bite: Bite,
    revisions_bite: Bite,
    live_turns: u32,
    /// Whether history's next turn is for windows that wait to be computed again, not for its records.
    revisions_next: bool,
    /// When a turn of live data was last done, and how long it took.
    live_read: Option<(Instant, Duration)>,
    rest: Rest,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    stopping: Arc<AtomicBool>,
    /// When time next passes for partitions that have nothing to read.
    tick_at: Instant,
    told: Instant,
    /// Positions the log may know, not yet told.
    untold: HashMap<PartitionId, u64>,
    rounds: Rounds,
    /// A checkpoint on its way to the disk.
    saving: Option<Saving>,
    /// What a turn before the start had written to the clean topic and not committed.
    owed: Owed,
    /// Whether all readings go to the clean topic: readers of unknown kinds rely on it.
    writes_clean: bool,
    end: End,
}

/// When history rests.
struct Rest {
    /// How long it has been at work since it rested last.
    owed: Duration,
    until: Instant,
}

/// Why the task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to, or the log was closed.
    Stopped,
    /// A trial has done everything.
    Complete,
    /// A trial cannot go on.
    Failed(String),
}

/// Whether the task goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Stop,
    /// The state in memory does not stand where the store stands: build it again.
    Rebuild,
}

enum Next {
    /// Nothing was there at once, and the turn in hand was committed.
    Settled(Flow),
    Stop,
    Quiet,
    /// Windows wait to be computed again.
    Revise,
    Read(Lane, log::Result<Chunk>),
}

impl Worker {
    /// Recovers the state and opens both readers. Blocks.
    pub(crate) fn open(
        parts: Parts,
        purpose: Purpose,
        shared: Arc<Shared>,
        stop: watch::Receiver<bool>,
        stopping: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let checkpoints = match &parts.checkpoints {
            Some(directory) => Some(Checkpoints::open(directory)?),
            None => None,
        };
        let engine = Box::new(recover::engine(
            &parts,
            &purpose,
            checkpoints.as_ref(),
            Arc::clone(&stopping),
            &shared,
        )?);
        let live = open_reader(&parts, &purpose, Lane::Live, &shared)?;
        let backfill = Bites::of(open_reader(&parts, &purpose, Lane::Backfill, &shared)?);
        let (writes_clean, may_write_clean) = engine.writes_clean();
        let owed = match may_write_clean {
            true => Owed::of(&*parts.log)?,
            false => Owed::default(),
        };
        let (now, tick_every) = (Instant::now(), parts.settings.tick_every);
        let (live_bite, backfill_bite) = match purpose {
            Purpose::Live => (Bite::LIVE, Bite::BACKFILL),
            Purpose::Trial { .. } => (Bite::TRIAL, Bite::TRIAL),
        };
        let replayed =
            engine.partitions.iter().map(|(&index, partition)| (index, partition.since_checkpoint));
        Ok(Self {
            rounds: Rounds::new(replayed, engine.settings().checkpoint_every, now),
            parts,
            purpose,
            engine: Some(engine),
            synced_in: Duration::ZERO,
            pending: None,
            checkpoints,
            live,
            backfill,
            live_bite,
            backfill_bite,
            revisions_bite: Bite::REVISIONS,
            live_turns: 0,
            revisions_next: false,
            live_read: None,
            rest: Rest { owed: Duration::ZERO, until: now },
            shared,
            stop,
            stopping,
            tick_at: now + tick_every,
            told: now,
            untold: HashMap::new(),
            saving: None,
            owed,
            writes_clean,
            end: End::Stopped,
        })
    }

    pub(crate) async fn run(mut self) -> End {
        loop {
            match self.step().await {
                Flow::On => {}
                Flow::Stop => break,
                Flow::Rebuild => match self.rebuild().await {
                    Flow::On => {}
                    _ => break,
                },
            }
        }
        self.settle().await;
        self.checkpoint_all().await;
        self.tell_log().await;
        self.flush_trial().await;
        // Who waits for the stream must see that it has gone.
        self.shared.stands_at([]);
        std::mem::replace(&mut self.end, End::Stopped)
    }

    async fn step(&mut self) -> Flow {
        if Instant::now() >= self.tick_at {
            let flow = self.tick().await;
            if flow != Flow::On {
                return flow;
            }
        }
        if self.is_over(Lane::Live) && self.is_over(Lane::Backfill) {
            return self.finish().await;
        }
        self.give_way().await;
        match self.next_or_settle().await {
            Next::Settled(flow) => flow,
            Next::Stop => Flow::Stop,
            Next::Quiet => Flow::On,
            Next::Revise => self.revise().await,
            Next::Read(lane, Ok(chunk)) => self.chunk(lane, chunk).await,
            Next::Read(_, Err(log::Error::Closed)) => Flow::Stop,
            Next::Read(_, Err(log::Error::Expired { partition, wanted, start })) => {
                let lost = Lost { partition, from: wanted, to: start };
                self.account_for(lost, "retention dropped them before they were stored").await
            }
            Next::Read(_, Err(log::Error::Damaged { lost: Some(lost), reason, .. })) => {
                self.account_for(lost, &reason).await
            }
            Next::Read(lane, Err(error)) => {
                tracing::error!(?lane, %error, "the log cannot be read; trying again");
                self.reopen().await
            }
        }
    }

    /// What is there, live before history, unless live data has had all turns for a while. History is records of its own
    /// lane and windows that they touched, in turn.
    async fn next(&mut self) -> Next {
        let mut stop = self.stop.clone();
        let first = self.first_lane();
        let live_waits = first == Some(Lane::Backfill);
        let history_waits =
            first == Some(Lane::Live) || !self.purpose.writes_to_log() && !self.is_over(Lane::Live);
        // A replay stands in history, and must not come before the live message that it mends.
        if history_waits {
            self.live_turns = 0;
        }
        let now = self.parts.clock.as_ref()();
        let revisions = self.engine.as_ref().is_some_and(|engine| engine.has_revisions_due(now));
        let revisions_first = revisions && self.revisions_next;
        let (live, backfill) = (&mut self.live, &mut self.backfill);
        let (live_bytes, backfill_bytes) = (self.live_bite.size(), self.backfill_bite.size());
        let (rests_until, tick_at) = (self.rest.until, self.tick_at);
        let history = async {
            if rests_until > Instant::now() {
                sleep_until(rests_until.into()).await;
            }
            tokio::select! {
                biased;
                () = std::future::ready(()), if revisions_first => Next::Revise,
                read = backfill.next(backfill_bytes), if !history_waits => Next::Read(Lane::Backfill, read),
                () = std::future::ready(()), if revisions => Next::Revise,
                () = sleep_until(tick_at.into()) => Next::Quiet,
            }
        };
        let live = async {
            match live_waits {
                true => std::future::pending().await,
                false => Next::Read(Lane::Live, live.next(live_bytes).await),
            }
        };
        let history_first = self.live_turns >= LIVE_TURNS_IN_A_ROW;
        if history_first {
            self.live_turns = 0;
        }
        let both =
            async { if history_first { either(history, live).await } else { either(live, history).await } };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Next::Stop,
            next = both => next,
        }
    }

    /// The lane that goes on where a turn was broken off, until it has done so again and that is stored: a state that is built again
    /// before stands where it stood.
    fn first_lane(&mut self) -> Option<Lane> {
        let engine = self.engine.as_ref()?;
        let first = self.owed.lane(|index, lane| Some(engine.partitions.get(&index)?.next[lane as usize]));
        if first.is_none() && self.pending.is_none() {
            self.owed = Owed::default();
        }
        first
    }

    async fn chunk(&mut self, lane: Lane, chunk: Chunk) -> Flow {
        let now = self.parts.clock.as_ref()();
        let bytes = bytes_of(&chunk);
        let errand = match lane {
            Lane::Live => {
                self.live_turns += 1;
                Errand::Live { bytes, arrived_ms: arrivals(&chunk) }
            }
            Lane::Backfill => {
                (self.live_turns, self.revisions_next) = (0, true);
                Errand::History { bytes }
            }
        };
        let flow = self.turn(errand, move |engine| engine.records(lane, &chunk, now).map(Some)).await;
        if flow == Flow::On { self.checkpoint_one().await } else { flow }
    }

    /// How long a turn of history may take at least: where no live data comes nobody waits for it, and beside long turns of
    /// live data short ones would not be felt.
    fn history_may_take(&self) -> Duration {
        match self.live_read {
            Some((at, took)) if at.elapsed() < LIVE_COMES => took / LIVE_TURNS_IN_A_ROW,
            _ => ALONE,
        }
    }

    /// Where live data comes, history has half of the time at most.
    fn rest(&mut self, took: Duration) {
        let now = Instant::now();
        if !self.purpose.writes_to_log() || self.live_read.is_none_or(|(at, _)| now - at >= LIVE_COMES) {
            self.rest.owed = Duration::ZERO;
            return;
        }
        self.rest.owed += took;
        if self.rest.owed >= SHORTEST_REST {
            self.rest.until = now + std::mem::take(&mut self.rest.owed).min(LONGEST_REST);
        }
    }

    /// Computes some windows again that readings came for after they were published.
    async fn revise(&mut self) -> Flow {
        (self.live_turns, self.revisions_next) = (0, false);
        let now = self.parts.clock.as_ref()();
        let most = self.revisions_bite.size() as u32;
        let errand = Errand::Revisions { most: most as usize };
        let flow = self.turn(errand, move |engine| engine.revise(now, most)).await;
        if flow == Flow::On { self.checkpoint_one().await } else { flow }
    }

    async fn tick(&mut self) -> Flow {
        let began = Instant::now();
        self.tick_at = began + self.parts.settings.tick_every;
        let now = self.parts.clock.as_ref()();
        let ends: Arc<[u64]> = match self.live_ends() {
            Ok(ends) => ends.into(),
            Err(error) => {
                tracing::warn!(%error, "the log does not say where it ends; windows wait");
                return Flow::On;
            }
        };
        let of_turn = Arc::clone(&ends);
        let flow = self.turn(Errand::Other(Lane::Live), move |engine| engine.tick(now, &of_turn)).await;
        if self.engine.as_ref().is_some_and(|engine| engine.wants_time(now, &ends)) {
            // More windows are over than one turn had room for.
            self.tick_at = self.tick_at.min(Instant::now() + began.elapsed().max(SHORTEST_REST));
        }
        if self.told.elapsed() >= TELL_EVERY {
            self.tell_log().await;
        }
        if flow == Flow::On { self.checkpoint_one().await } else { flow }
    }

    /// Records that the log no longer has are a dead letter of their own: a hole is never passed in silence.
    async fn account_for(&mut self, lost: Lost, why: &str) -> Flow {
        let Lost { partition, from, to } = lost;
        // What lies beyond the end of a trial does not concern it; opened anew it does not come across it again.
        let to = self.purpose.end(partition).map_or(to, |end| to.min(end));
        if from >= to {
            return self.reopen().await;
        }
        let records = to.saturating_sub(from);
        tracing::error!(%partition, from, to, why, "records of the log are lost before they were stored");
        self.shared.lost(records);
        let reason = format!("{records} records, offsets {from} to {to}, cannot be read: {why}");
        let hole = DeadMessage {
            source: source_of(partition),
            offset: from,
            tenant: String::new(),
            device: String::new(),
            topic: String::new(),
            stage: "log",
            arrived_at: Timestamp::default(),
            attempts: 1,
            last_at: Timestamp::default(),
            completeness: Completeness::Whole,
            letters: vec![DeadLetter { index: None, reason }],
            record: Vec::new(),
        };
        let errand = Errand::Other(partition.lane);
        let flow = self.turn(errand, move |engine| engine.hole(partition, from, to, hole).map(Some)).await;
        if flow == Flow::On { self.reopen().await } else { flow }
    }

    /// Opens the readers where the store stands now.
    async fn reopen(&mut self) -> Flow {
        let flow = self.settle().await;
        if flow != Flow::On {
            return flow;
        }
        let mut wait = RETRY.0;
        loop {
            let readers =
                open_reader(&self.parts, &self.purpose, Lane::Live, &self.shared).and_then(|live| {
                    let backfill = open_reader(&self.parts, &self.purpose, Lane::Backfill, &self.shared)?;
                    Ok((live, Bites::of(backfill)))
                });
            match readers {
                Ok((live, backfill)) => {
                    (self.live, self.backfill) = (live, backfill);
                    return Flow::On;
                }
                Err(Error::Log(log::Error::Closed)) => return Flow::Stop,
                Err(error) => {
                    self.shared.retried();
                    tracing::error!(%error, "the stream cannot go on; trying again");
                }
            }
            if self.pause(&mut wait).await == Flow::Stop {
                return Flow::Stop;
            }
        }
    }

    /// Builds the state again from checkpoints and notes.
    async fn rebuild(&mut self) -> Flow {
        let mut wait = RETRY.0;
        // They are of the state that is thrown away.
        self.pending = None;
        self.saved().await;
        loop {
            let (parts, purpose, checkpoints) =
                (self.parts.clone(), self.purpose.clone(), self.checkpoints.clone());
            let (stopping, shared) = (Arc::clone(&self.stopping), Arc::clone(&self.shared));
            let job = tokio::task::spawn_blocking(move || {
                recover::engine(&parts, &purpose, checkpoints.as_ref(), stopping, &shared)
            });
            let Some(built) = outcome_of(job).await else { return Flow::Stop };
            match built {
                Ok(engine) => {
                    self.engine = Some(Box::new(engine));
                    return self.reopen().await;
                }
                Err(Error::Log(log::Error::Closed)) => return Flow::Stop,
                Err(error) => {
                    self.shared.retried();
                    tracing::error!(%error, "the stream's state cannot be built; trying again");
                }
            }
            if self.pause(&mut wait).await == Flow::Stop {
                return Flow::Stop;
            }
        }
    }

    async fn pause(&mut self, wait: &mut Duration) -> Flow {
        let stopped = timeout(*wait, self.stop.wait_for(|stop| *stop)).await;
        *wait = (*wait * 2).min(RETRY.1);
        if stopped.is_ok() { Flow::Stop } else { Flow::On }
    }

    async fn tell_log(&mut self) {
        self.told = Instant::now();
        if self.untold.is_empty() || !self.purpose.writes_to_log() {
            return;
        }
        // Without checkpoints these are positions of the store, and the log may forget what is before them.
        if self.checkpoints.is_none() && !self.flush().await {
            return;
        }
        let positions: Vec<Position> =
            self.untold.drain().map(|(partition, offset)| Position { partition, offset }).collect();
        if let Err(error) = self.parts.log.commit(READER, &positions).await {
            tracing::warn!(%error, "the log did not note how far the store is; only retention and lag suffer");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// When the newest record of each partition arrived, by the log's clock.
fn arrivals(chunk: &Chunk) -> Vec<(u16, i64)> {
    let newest = |run: &log::Run| Some((run.partition.index, run.records.last()?.appended_ms));
    chunk.runs.iter().filter_map(newest).collect()
}

/// What its records take.
fn bytes_of(chunk: &Chunk) -> usize {
    chunk.runs.iter().flat_map(|run| &run.records).map(|record| record.value.len()).sum()
}

/// What is ready of two; of both, the first.
async fn either(first: impl Future<Output = Next>, second: impl Future<Output = Next>) -> Next {
    tokio::select! {
        biased;
        next = first => next,
        next = second => next,
    }
}

/// What a blocking job returned; `None` when the runtime is going down and did not start it.
async fn outcome_of<T>(job: tokio::task::JoinHandle<T>) -> Option<T> {
    match job.await {
        Ok(outcome) => Some(outcome),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => None,
        },
    }
}

/// A reader of the lane from where the store stands; partitions it has never seen, from their beginning.
fn open_reader(
    parts: &Parts,
    purpose: &Purpose,
    lane: Lane,
    shared: &Shared,
) -> Result<Box<dyn Reader>, Error> {
    let held: HashMap<_, _> = parts.store.positions()?.into_iter().map(|at| (at.source, at.offset)).collect();
    let mut from = Vec::new();
    for partition in partitions(&*parts.log, Topic::Raw, lane) {
        let extent = parts.log.extent(partition)?;
        let offset = held.get(&source_of(partition)).copied();
        let offset = offset.unwrap_or_else(|| purpose.begin(partition, extent));
        if offset > extent.end {
            return Err(Error::Ahead { partition, held: offset, end: extent.end });
        }
        from.push(Position { partition, offset });
    }
    let reader = purpose.read(&*parts.log, &from)?;
    shared.stands_at(from.into_iter().map(|at| (at.partition, at.offset)));
    Ok(reader)
}
