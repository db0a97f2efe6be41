//! Reads, evaluates, has the book take what comes of it, and knows what to do when one of them fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use log::{Chunk, Lane, Lost, PartitionId, Position, Reader, Topic};
use rule::{OpenCause, Output, Priors, RuleSet, Transition};
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::checkpoint::Checkpoints;
use super::fill::{Ask, Filler};
use super::fleet::{Fleet, Succession};
use super::partition::Partition;
use super::{Counts, Parts, READER};
use crate::{Error, Result};

/// What is taken from the log at once, bytes: a few thousand messages, some milliseconds of work.
const CHUNK_BYTES: usize = 1 << 20;
/// Transitions that the book takes in one commit.
const TAKEN: usize = 1000;
/// The shortest and the longest wait before something that failed is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));
/// How often the book is told how far the reader is, where nothing else is to be told.
const TELL_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Worker {
    parts: Parts,
    counts: Arc<Counts>,
    checkpoints: Checkpoints,
    fleet: Fleet,
    partitions: BTreeMap<u16, Partition>,
    live: Box<dyn Reader>,
    backfill: Box<dyn Reader>,
    changed: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    tick_at: Instant,
    checkpoint_at: Instant,
    told: Instant,
    filling: Filler,
    out: Output,
    /// Whether all that came of what was evaluated has been taken.
    is_settled: bool,
}

enum Next {
    Stop,
    Rules,
    Tick,
    Fill(Ask),
    Read(Lane, log::Result<Chunk>),
}

/// Whether it goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Stop,
}

impl Worker {
    pub(super) fn open(parts: Parts, counts: Arc<Counts>, stop: watch::Receiver<bool>) -> Result<Self> {
        let checkpoints = Checkpoints::open(&parts.folder)?;
        let changed = parts.rules.changed();
        let mut out = Output::default();
        let fleet = Fleet::open(&parts.folder)?;
        let mut partitions = open_partitions(&parts, &checkpoints, &fleet, &parts.rules.compile(), &mut out)?;
        // From where it begins the first time is kept at once: a start after a crash must not begin at another end.
        parts.alerts.take(&[], &told(&partitions), parts.clock.as_ref()())?;
        let live = read(&parts, &partitions, Lane::Live)?;
        let backfill = read(&parts, &partitions, Lane::Backfill)?;
        let now = Instant::now();
        let (tick_at, checkpoint_at) = (now + parts.tick_every, now + parts.checkpoint_every);
        let told = now;
        let mut filling = Filler::new(parts.clock.as_ref()());
        filling.begin(&parts, &mut partitions);
        Ok(Self {
            parts,
            counts,
            checkpoints,
            fleet,
            partitions,
            live,
            backfill,
            changed,
            stop,
            tick_at,
            checkpoint_at,
            told,
            filling,
            out,
            is_settled: true,
        })
    }

    pub(super) async fn run(mut self) {
        // What the start itself found: rules that are gone.
        let mut flow = self.take().await;
        while flow == Flow::On {
            flow = self.step().await;
        }
        if self.is_settled {
            self.checkpoint();
        }
        self.filling.end().await;
    }

    async fn step(&mut self) -> Flow {
        let flow = match self.next().await {
            Next::Stop => return Flow::Stop,
            Next::Rules => self.adopt().await,
            Next::Tick => self.tick().await,
            Next::Fill(ask) => self.fill(ask).await,
            Next::Read(lane, Ok(chunk)) => self.chunk(lane, &chunk).await,
            Next::Read(_, Err(log::Error::Closed)) => return Flow::Stop,
            Next::Read(_, Err(log::Error::Expired { partition, wanted, start })) => {
                self.pass_over(Lost { partition, from: wanted, to: start }).await
            }
            Next::Read(_, Err(log::Error::Damaged { lost: Some(lost), .. })) => self.pass_over(lost).await,
            Next::Read(lane, Err(error)) => {
                tracing::error!(?lane, %error, "clean readings cannot be read; trying again");
                self.reopen().await
            }
        };
        if flow == Flow::On && Instant::now() >= self.checkpoint_at {
            self.checkpoint();
        }
        flow
    }

    /// Live before history; rules and time before both.
    async fn next(&mut self) -> Next {
        let mut stop = self.stop.clone();
        let tick_at = self.tick_at;
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Next::Stop,
            changed = self.changed.changed() => if changed.is_ok() { Next::Rules } else { Next::Stop },
            () = sleep_until(tick_at.into()) => Next::Tick,
            Some(ask) = self.filling.ask() => Next::Fill(ask),
            read = self.live.next(CHUNK_BYTES) => Next::Read(Lane::Live, read),
            read = self.backfill.next(CHUNK_BYTES) => Next::Read(Lane::Backfill, read),
        }
    }

    /// Goes on with other rules.
    async fn adopt(&mut self) -> Flow {
        let set = self.parts.rules.compile();
        for partition in self.partitions.values_mut() {
            partition.evaluator.replace(Arc::clone(&set), &mut self.out);
        }
        self.filling.begin(&self.parts, &mut self.partitions);
        self.take().await
    }

    /// Brings in what was stored before the rules came.
    async fn fill(&mut self, ask: Ask) -> Flow {
        self.filling.answer(ask, &self.parts, &mut self.partitions, &self.counts, &mut self.out);
        self.take().await
    }

    async fn chunk(&mut self, lane: Lane, chunk: &Chunk) -> Flow {
        let began = Instant::now();
        for run in &chunk.runs {
            let partition = self.partitions.get_mut(&run.partition.index);
            let partition = partition.expect("only partitions that there are were asked for");
            partition.records((lane, run.base), &run.records, &self.counts, &mut self.out);
        }
        self.filling.apply(&mut self.partitions, &self.counts, &mut self.out);
        let took = began.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
        self.counts.evaluated_nanos.fetch_add(took, Ordering::Relaxed);
        self.take().await
    }

    async fn tick(&mut self) -> Flow {
        self.tick_at = Instant::now() + self.parts.tick_every;
        *self.counts.positions.lock() = self.positions();
        let now = self.parts.clock.as_ref()();
        for partition in self.partitions.values_mut() {
            // In this order: what went through the stream by then is in the topic.
            let settled = self.parts.settled.as_ref()(partition.index, now);
            let of = PartitionId { topic: Topic::Clean, lane: Lane::Live, index: partition.index };
            let end = self.parts.log.extent(of).map(|extent| extent.end);
            let is_at_end = end.is_ok_and(|end| partition.next[Lane::Live as usize] >= end);
            partition.tick(settled, is_at_end, &mut self.out);
        }
        self.take().await
    }

    fn positions(&self) -> Vec<Position> {
        let of = self.partitions.values();
        let positions = of.flat_map(|of| {
            [Lane::Live, Lane::Backfill].map(|lane| Position {
                partition: PartitionId { topic: Topic::Clean, lane, index: of.index },
                offset: of.next[lane as usize],
            })
        });
        positions.collect()
    }

    /// Has the book and the routes take what came, until they have.
    async fn take(&mut self) -> Flow {
        let Output { transitions, routed } = std::mem::take(&mut self.out);
        if transitions.is_empty() && routed.is_empty() {
            return self.tell().await;
        }
        let mut wait = RETRY.0;
        while !routed.is_empty() {
            match self.parts.routes.pass_on(&routed).await {
                Ok(()) => break,
                Err(error) => tracing::error!(error, "readings cannot be passed on; trying again"),
            }
            if self.pause(&mut wait).await == Flow::Stop {
                self.is_settled = false;
                return Flow::Stop;
            }
        }
        self.counts.routed.fetch_add(routed.len() as u64, Ordering::Relaxed);
        for part in transitions.chunks(TAKEN) {
            if self.insist(part, &[]).await == Flow::Stop {
                self.is_settled = false;
                return Flow::Stop;
            }
        }
        self.counts.transitions.fetch_add(transitions.len() as u64, Ordering::Relaxed);
        self.tell().await
    }

    /// Tells the book where the reader stands, now and then: a start without a checkpoint begins there.
    async fn tell(&mut self) -> Flow {
        if self.told.elapsed() < TELL_EVERY {
            return Flow::On;
        }
        self.told = Instant::now();
        let positions = told(&self.partitions);
        let moved = self.partitions.values().any(|of| of.has_moved);
        if moved { self.insist(&[], &positions).await } else { Flow::On }
    }

    async fn insist(&mut self, transitions: &[Transition], positions: &[(String, u64)]) -> Flow {
        let mut wait = RETRY.0;
        loop {
            let now = self.parts.clock.as_ref()();
            match self.parts.alerts.take(transitions, positions, now) {
                Ok(_) => return Flow::On,
                Err(error) => {
                    self.counts.retries.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%error, "alerts cannot be kept; trying again");
                }
            }
            if self.pause(&mut wait).await == Flow::Stop {
                return Flow::Stop;
            }
        }
    }

    /// Makes the state of all partitions durable, and lets the log forget what is before it.
    fn checkpoint(&mut self) {
        self.checkpoint_at = Instant::now() + self.parts.checkpoint_every;
        let (mut told, mut devices, mut is_kept) = (Vec::new(), 0, true);
        for partition in self.partitions.values_mut() {
            devices += partition.evaluator.devices() as u64;
            if !partition.has_moved {
                continue;
            }
            if let Err(error) = self.checkpoints.write(&partition.checkpoint()) {
                tracing::error!(%error, "the state of rules is not kept; a start would begin with what was kept before");
                is_kept = false;
                continue;
            }
            partition.has_moved = false;
            told.extend([Lane::Live, Lane::Backfill].map(|lane| Position {
                partition: PartitionId { topic: Topic::Clean, lane, index: partition.index },
                offset: partition.next[lane as usize],
            }));
        }
        self.counts.devices.store(devices, Ordering::Relaxed);
        if is_kept {
            self.learn();
        }
        if told.is_empty() {
            return;
        }
        let log = Arc::clone(&self.parts.log);
        // It is only advice, for lag and retention; nobody waits for it.
        tokio::spawn(async move {
            if let Err(error) = log.commit(READER, &told).await {
                tracing::warn!(%error, "the log did not note how far rules are; only retention and lag suffer");
            }
        });
    }

    /// Learns what fleets have in common, when it is time. The state of all partitions was kept just now: what was used before the last
    /// time is needed no more, once none goes through records of then again.
    fn learn(&mut self) {
        let now = self.parts.clock.as_ref()();
        if !self.fleet.is_due(now) || self.partitions.values().any(Partition::is_behind_fleet) {
            return;
        }
        let (began, mut priors) = (Instant::now(), Priors::default());
        self.partitions.values().for_each(|of| of.evaluator.teach(&mut priors));
        priors.settle();
        let kinds = priors.len();
        let since = self.partitions.values().map(|of| (of.index, of.next[Lane::Live as usize])).collect();
        if let Err(error) = self.fleet.note(now, since, priors) {
            tracing::error!(%error, "what fleets have in common is not kept; new devices begin with what was known before");
            return;
        }
        for partition in self.partitions.values_mut() {
            partition.follow(self.fleet.of(partition.index));
        }
        tracing::info!(kinds, took = ?began.elapsed(), "learned what fleets have in common");
    }

    /// Goes on behind records that the log no longer has.
    async fn pass_over(&mut self, lost: Lost) -> Flow {
        let Lost { partition, from, to } = lost;
        tracing::error!(%partition, from, to, "clean readings are lost before rules saw them");
        self.counts.lost.fetch_add(to.saturating_sub(from), Ordering::Relaxed);
        if let Some(of) = self.partitions.get_mut(&partition.index) {
            of.next[partition.lane as usize] = to;
            of.has_moved = true;
        }
        self.reopen().await
    }

    async fn reopen(&mut self) -> Flow {
        let mut wait = RETRY.0;
        loop {
            let live = read(&self.parts, &self.partitions, Lane::Live);
            let backfill = read(&self.parts, &self.partitions, Lane::Backfill);
            match (live, backfill) {
                (Ok(live), Ok(backfill)) => {
                    (self.live, self.backfill) = (live, backfill);
                    return Flow::On;
                }
                (Err(Error::Log(log::Error::Closed)), _) | (_, Err(Error::Log(log::Error::Closed))) => {
                    return Flow::Stop;
                }
                (Err(error), _) | (_, Err(error)) => {
                    tracing::error!(%error, "clean readings cannot be read; trying again");
                }
            }
            if self.pause(&mut wait).await == Flow::Stop {
                return Flow::Stop;
            }
        }
    }

    async fn pause(&mut self, wait: &mut Duration) -> Flow {
        let mut stop = self.stop.clone();
        let paused = tokio::time::timeout(*wait, stop.wait_for(|stop| *stop)).await;
        *wait = (*wait * 2).min(RETRY.1);
        if paused.is_ok() { Flow::Stop } else { Flow::On }
    }
}

/// Every partition, from its checkpoint; without one from where the book has the reader; the first time from the end.
fn open_partitions(
    parts: &Parts,
    checkpoints: &Checkpoints,
    fleet: &Fleet,
    set: &Arc<RuleSet>,
    out: &mut Output,
) -> Result<BTreeMap<u16, Partition>> {
    let held = parts.alerts.positions()?;
    let (count, of_raw) = (parts.log.partitions(Topic::Clean), parts.log.partitions(Topic::Raw));
    let mut partitions = BTreeMap::new();
    for index in 0..count {
        let settings = rule::Settings { fills: true, ..parts.settings.clone() };
        let (mut ends, mut next) = ([0, 0], [0, 0]);
        for lane in [Lane::Live, Lane::Backfill] {
            let end = parts.log.extent(PartitionId { topic: Topic::Clean, lane, index })?.end;
            ends[lane as usize] = end;
            next[lane as usize] = held.get(&name(lane, index)).copied().unwrap_or(end).min(end);
        }
        let mut partition = match checkpoints.read(index)? {
            // A log that ends before where the reader stood is another one.
            Some(found) if found.next.iter().zip(&ends).all(|(at, end)| at <= end) => {
                Partition::restore(found, Arc::clone(set), settings, out)
            }
            _ => Partition::new(index, next, Arc::clone(set), settings),
        };
        let open = parts.alerts.open_causes(&|tenant, device| {
            // As the stream writes them: by the partition of the message.
            record::partition_of(tenant.as_str(), device.as_str(), of_raw) % count == index
        })?;
        let open: Vec<OpenCause> = open.into_iter().map(open_cause).collect();
        let succession = fleet.of(index);
        // Of another log the places say nothing.
        let since = succession.since.min(ends[Lane::Live as usize]);
        partition.follow(Succession { since, ..succession });
        partition.reconcile(&open, out);
        partition.was_away(parts.clock.as_ref()());
        partitions.insert(index, partition);
    }
    Ok(partitions)
}

fn open_cause(of: crate::OpenCause) -> OpenCause {
    let crate::OpenCause { tenant, device, rule, version, cause } = of;
    OpenCause { tenant, device, rule, version, cause }
}

fn read(parts: &Parts, partitions: &BTreeMap<u16, Partition>, lane: Lane) -> Result<Box<dyn Reader>> {
    let from: Vec<Position> = partitions
        .values()
        .map(|of| Position {
            partition: PartitionId { topic: Topic::Clean, lane, index: of.index },
            offset: of.next[lane as usize],
        })
        .collect();
    Ok(parts.log.read(&from)?)
}

/// Where partitions stand, as the book is told.
fn told(partitions: &BTreeMap<u16, Partition>) -> Vec<(String, u64)> {
    let lanes = [Lane::Live, Lane::Backfill];
    let of = |of: &Partition| lanes.map(|lane| (name(lane, of.index), of.next[lane as usize]));
    partitions.values().flat_map(of).collect()
}

/// The name of a reader's position in the book.
fn name(lane: Lane, index: u16) -> String {
    format!("clean/{}/{index}", if lane == Lane::Live { "live" } else { "backfill" })
}
