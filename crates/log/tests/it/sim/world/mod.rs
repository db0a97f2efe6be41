//! A log, its disk, its clock and its model, and what can happen to them.

mod looks;

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use log::disk::sim::{Fault, FaultPlan, SimDisk, SimRng};
use log::{
    Batch, BoxFuture, Clock, Compression, EmbeddedLog, Error, Lane, Log, Options, PartitionId, Partitions,
    Pending, Position, Reader, Retention, Sabotage, Stepper, Topic,
};

use super::model::{Model, Value};

/// A promise that was broken.
#[derive(Debug)]
pub(crate) struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Violation {
    fn from(text: String) -> Self {
        Self(text)
    }
}

pub(crate) type Outcome = Result<(), Violation>;

const PARTITIONS: [PartitionId; 3] = [
    PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 0 },
    PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 1 },
    PartitionId { topic: Topic::Late, lane: Lane::Backfill, index: 0 },
];

const READER: &str = "store";

struct SimClock(AtomicI64);

impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct World {
    rng: SimRng,
    pub(crate) disk: SimDisk,
    clock: Arc<SimClock>,
    options: Options,
    sabotage: Sabotage,
    running: Option<Running>,
    model: Model,
    /// Refused since the last success: may still show up after a crash, until the log has gone on without them.
    refused: Vec<Value>,
    counter: u64,
    /// A plan that holds until the end, across restarts.
    insisted: FaultPlan,
}

struct Running {
    // Readers and promises before the log they come from.
    tail: Option<Box<dyn Reader>>,
    pending: Vec<(Pending, Vec<(PartitionId, Value)>)>,
    commits: Vec<(BoxFuture<'static, log::Result<()>>, Vec<Position>)>,
    log: Arc<EmbeddedLog>,
    stepper: Stepper,
}

/// What a future says now.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl World {
    pub(crate) fn new(seed: u64, sabotage: Sabotage) -> Result<Self, Violation> {
        let mut rng = SimRng::new(seed);
        let compression = [Compression::None, Compression::Lz4, Compression::Zstd(1)][rng.below(3) as usize];
        let max_bytes = rng.one_in(3).then(|| 6_000 + rng.below(20_000));
        let max_age = rng.one_in(4).then(|| Duration::from_millis(500 + rng.below(2_000)));
        let options = Options {
            partitions: Partitions::uniform(2).unwrap(),
            segment_bytes: 1_500 + rng.below(6_000),
            index_interval_bytes: 200,
            tail_bytes: 1_500,
            frame_bytes: 60 + usize::try_from(rng.below(300)).unwrap(),
            group_bytes: 2_000,
            compression,
            retention: Retention { max_bytes, max_age, ..Retention::default() },
            ..Options::default()
        };
        let mut world = Self {
            disk: SimDisk::new(rng.draw()),
            clock: Arc::new(SimClock(AtomicI64::new(1_000_000))),
            options,
            sabotage,
            running: None,
            model: Model::default(),
            refused: Vec::new(),
            counter: 0,
            insisted: FaultPlan::None,
            rng,
        };
        world.open()?;
        Ok(world)
    }

    /// From now on, calls fail by this plan.
    pub(crate) fn insist(&mut self, plan: FaultPlan) {
        self.insisted = plan;
        self.disk.plan(plan);
    }

    /// Something happens, faults and crashes included.
    pub(crate) fn act(&mut self) -> Outcome {
        match self.rng.below(100) {
            0..4 => self.disk.plan(FaultPlan::NextSync),
            4..8 => {
                let fault = [Fault::Eio, Fault::Enospc, Fault::Torn][self.rng.below(3) as usize];
                self.disk.plan(FaultPlan::Once(1 + self.rng.below(8), fault));
            }
            8..10 => {
                let room = self.rng.below(1_500);
                self.disk.room(Some(room));
            }
            10..15 => self.disk.room(None),
            15..18 => self.disk.plan(FaultPlan::DeadAfter(self.rng.below(12))),
            18..22 => {
                if self.rng.one_in(2) && self.running.is_some() {
                    // In the middle of a large group.
                    (0..6).try_for_each(|_| self.append())?;
                    self.disk.plan(FaultPlan::DeadAfter(1 + self.rng.below(6)));
                    self.step()?;
                }
                return self.crash();
            }
            22..24 => return self.kill(),
            24..25 => return self.restart(),
            _ => return self.act_calmly(),
        }
        Ok(())
    }

    /// Something happens that is nobody's fault.
    pub(crate) fn act_calmly(&mut self) -> Outcome {
        if self.running.is_none() {
            return self.open();
        }
        match self.rng.below(10) {
            0..3 => self.append(),
            3 => (0..2 + self.rng.below(6)).try_for_each(|_| self.append()),
            4..7 => self.step(),
            7 => self.commit(),
            8 => self.follow(),
            _ => {
                self.clock.0.fetch_add(i64::try_from(self.rng.below(200)).unwrap(), Ordering::Relaxed);
                self.look_back()
            }
        }
    }

    fn append(&mut self) -> Outcome {
        let mut batch = Batch::new();
        let mut values = Vec::new();
        for _ in 0..1 + self.rng.below(5) {
            self.counter += 1;
            let partition = PARTITIONS[self.rng.below(3) as usize];
            let mut value = self.counter.to_be_bytes().to_vec();
            let size = if self.rng.one_in(20) { self.rng.below(1_500) } else { self.rng.below(60) };
            value.resize(8 + size as usize, self.counter as u8);
            batch.push(partition, &value);
            self.model.open.insert(value.clone());
            values.push((partition, value));
        }
        let running = self.running.as_mut().expect("asked only when it runs");
        running.pending.push((running.log.append(batch), values));
        Ok(())
    }

    fn commit(&mut self) -> Outcome {
        let partition = PARTITIONS[self.rng.below(3) as usize];
        let offset = self.rng.below(self.model.end(partition) + 1);
        let at = Position { partition, offset };
        let tried = self.model.committed.entry((READER.to_owned(), partition)).or_default();
        tried.maybe.push(offset);
        let running = self.running.as_mut().expect("asked only when it runs");
        let log = Arc::clone(&running.log);
        running.commits.push((Box::pin(async move { log.commit(READER, &[at]).await }), vec![at]));
        // Hand it over.
        let waiting = &mut running.commits.last_mut().expect("just pushed").0;
        let early = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if early.is_ready() {
            running.commits.pop();
        }
        Ok(())
    }

    /// Lets the writer do one thing, and takes note of what it says.
    fn step(&mut self) -> Outcome {
        let running = self.running.as_mut().expect("asked only when it runs");
        running.stepper.step();
        self.collect()
    }

    fn collect(&mut self) -> Outcome {
        let Some(running) = &mut self.running else { return Ok(()) };
        let mut failed = Vec::new();
        let mut succeeded = false;
        for (mut promise, values) in std::mem::take(&mut running.pending) {
            match now(&mut promise) {
                None => running.pending.push((promise, values)),
                Some(Ok(positions)) => {
                    succeeded = true;
                    for (position, (partition, value)) in positions.into_iter().zip(values) {
                        if position.partition != partition {
                            return Err(Violation(format!(
                                "{partition} was answered for {}",
                                position.partition
                            )));
                        }
                        self.model.acknowledged(partition, position.offset, value)?;
                    }
                }
                Some(Err(Error::Io { operation: "", .. })) => {
                    return Err(Violation("an error that names nothing".to_owned()));
                }
                Some(Err(Error::Io { .. } | Error::Full { .. } | Error::Closed)) => failed.push(values),
                Some(Err(error)) => return Err(Violation(format!("an append said: {error}"))),
            }
        }
        if succeeded {
            for value in self.refused.drain(..) {
                self.model.open.remove(&value);
            }
        }
        self.refused.extend(failed.into_iter().flatten().map(|(_, value)| value));
        self.collect_commits();
        Ok(())
    }

    fn collect_commits(&mut self) {
        let Some(running) = &mut self.running else { return };
        running.commits.retain_mut(|(waiting, at)| {
            match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => return true,
                Poll::Ready(Err(_)) => {}
                Poll::Ready(Ok(())) => {
                    for at in at {
                        let key = (READER.to_owned(), at.partition);
                        let tried = self.model.committed.entry(key).or_default();
                        tried.sure = Some(at.offset);
                        let done = tried.maybe.iter().position(|&offset| offset == at.offset);
                        tried.maybe.drain(..=done.unwrap_or(0).min(tried.maybe.len().saturating_sub(1)));
                    }
                }
            }
            false
        });
    }

    fn crash(&mut self) -> Outcome {
        self.running = None;
        self.disk.crash();
        self.open()
    }

    fn kill(&mut self) -> Outcome {
        self.running = None;
        self.disk.kill();
        self.open()
    }

    fn restart(&mut self) -> Outcome {
        if let Some(running) = &mut self.running {
            let log = Arc::clone(&running.log);
            let mut closing = log.close();
            while running.stepper.step() {}
            if now(closing.as_mut()).is_none() {
                return Err(Violation("closing does not end".to_owned()));
            }
            self.collect()?;
        }
        self.running = None;
        self.open()
    }

    fn open(&mut self) -> Outcome {
        let plan = self.insisted;
        let calm = self.disk.is_calm();
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::clone(&self.clock));
        match EmbeddedLog::open_stepped(disk, clock, self.options.clone(), 0xabcd, self.sabotage) {
            Ok((log, stepper)) => {
                let log = Arc::new(log);
                self.running = Some(Running { tail: None, pending: vec![], commits: vec![], log, stepper });
                // Looking does not fail, so that the look is complete.
                self.disk.plan(FaultPlan::None);
                let looked = self.recovered();
                self.disk.plan(plan);
                looked
            }
            Err(Error::Io { .. } | Error::Full { .. }) if !calm => {
                self.disk.plan(plan);
                Ok(())
            }
            Err(error) => Err(Violation(format!("opening: {error}"))),
        }
    }

    /// The faults end: the log must go on by itself, and hold everything through another crash.
    pub(crate) fn finish(mut self) -> Result<u64, Violation> {
        self.insisted = FaultPlan::None;
        self.disk.plan(FaultPlan::None);
        self.disk.room(None);
        if self.running.is_none() {
            self.open()?;
        }
        for _ in 0..200 {
            self.step()?;
        }
        self.append()?;
        let pending = self.running.as_ref().map_or(0, |running| running.pending.len());
        let counted: u64 = PARTITIONS.iter().map(|&p| self.model.end(p)).sum();
        self.step()?;
        let after: u64 = PARTITIONS.iter().map(|&p| self.model.end(p)).sum();
        if pending != 1 || after == counted {
            return Err(Violation("the log does not go on once the faults are over".to_owned()));
        }
        for _ in 0..20 {
            self.follow()?;
            self.look_back()?;
        }
        self.crash()?;
        self.kill()?;
        self.restart()?;
        let mut fingerprint = 0xcbf2_9ce4_8422_2325_u64;
        for (name, bytes) in self.disk.contents() {
            for byte in name.bytes().chain(bytes) {
                fingerprint = (fingerprint ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        Ok(fingerprint)
    }
}
