//! One lane's task: read, decode, write, and what to do when one of them fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Batch, Chunk, Lane, Log, Lost, PartitionId, Position, Reader, Topic};
use record::{Timestamp, partition_of};
use series::{Completeness, DeadLetter, DeadMessage, Span, WriteBatch};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::counts::Shared;
use crate::decode::Decoder;
use crate::{Error, Parts, READER, letter, partitions, source_of};

/// What one store commit takes from the log, bytes. A commit costs an fsync, so live data goes in large bites
/// when there is much; history goes in small ones, because a live commit may have to wait for one of them.
const fn bite_bytes(lane: Lane) -> usize {
    match lane {
        Lane::Live => 4 << 20,
        Lane::Backfill => 512 << 10,
    }
}

/// The shortest and the longest wait before a failed write is tried again. A store that is down for a minute
/// is asked some twenty times, one that is down for a day every ten seconds.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));

/// How often the log is told where the store stands: it is only advice, for lag and retention.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Task {
    parts: Parts,
    lane: Lane,
    reader: Box<dyn Reader>,
    decoder: Decoder,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    told: Instant,
    untold: HashMap<PartitionId, u64>,
}

/// Whether the task goes on.
enum Flow {
    On,
    Stop,
}

impl Task {
    pub(crate) fn open(
        parts: Parts,
        lane: Lane,
        shared: Arc<Shared>,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let reader = open_reader(&parts, lane, &shared)?;
        let decoder = Decoder::new(Arc::clone(&parts.templates));
        let (told, untold) = (Instant::now(), HashMap::new());
        Ok(Self { parts, lane, reader, decoder, shared, stop, told, untold })
    }

    pub(crate) async fn run(mut self) {
        while let Flow::On = self.step().await {}
        self.tell_log().await;
        // Who waits for this lane must see that it has gone.
        self.shared.stands_at([]);
    }

    async fn step(&mut self) -> Flow {
        let mut stop = self.stop.clone();
        let next = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return Flow::Stop,
            next = timeout(COMMIT_EVERY, self.reader.next(bite_bytes(self.lane))) => next,
        };
        match next {
            Err(_quiet) => {
                self.tell_log().await;
                Flow::On
            }
            Ok(Ok(chunk)) => self.chunk(&chunk).await,
            Ok(Err(log::Error::Closed)) => Flow::Stop,
            Ok(Err(log::Error::Expired { partition, wanted, start })) => {
                let lost = Lost { partition, from: wanted, to: start };
                self.account_for(lost, "retention dropped them before they were stored").await
            }
            Ok(Err(log::Error::Damaged { lost: Some(lost), reason, .. })) => {
                self.account_for(lost, &reason).await
            }
            Ok(Err(error)) => {
                tracing::error!(lane = ?self.lane, %error, "the log cannot be read; trying again");
                self.reopen().await
            }
        }
    }

    async fn chunk(&mut self, chunk: &Chunk) -> Flow {
        let batch = self.decoder.decode(chunk);
        self.write(batch).await
    }

    /// Records that the log no longer has are a dead letter of their own: a hole is never passed in silence.
    async fn account_for(&mut self, lost: Lost, why: &str) -> Flow {
        let Lost { partition, from, to } = lost;
        let records = to.saturating_sub(from);
        tracing::error!(%partition, from, to, why, "records of the log are lost before they were stored");
        self.shared.lost(records);
        let source = source_of(partition);
        let reason = format!("{records} records, offsets {from} to {to}, cannot be read: {why}");
        let hole = DeadMessage {
            source,
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
        let batch =
            WriteBatch { dead: vec![hole], spans: vec![Span { source, from, to }], ..Default::default() };
        match self.write(batch).await {
            Flow::On => self.reopen().await,
            Flow::Stop => Flow::Stop,
        }
    }

    /// Makes a batch durable: its dead letters in the log first, then everything in the store. Both are tried
    /// until they succeed, so that the store never says of a message that it is dead before its letter is safe.
    async fn write(&mut self, batch: WriteBatch) -> Flow {
        let batch = Arc::new(batch);
        let mut wait = RETRY.0;
        loop {
            let error = match self.attempt(&batch).await {
                Ok(()) => return Flow::On,
                // An earlier attempt went through although it reported an error: the store knows better.
                Err(Failure::Store(error @ series::Error::Conflict { .. })) => {
                    tracing::warn!(lane = ?self.lane, %error, "the store stands elsewhere; reading on from there");
                    return self.reopen().await;
                }
                Err(Failure::Log(log::Error::Closed)) => return Flow::Stop,
                Err(Failure::Store(error)) => error.to_string(),
                Err(Failure::Log(error)) => error.to_string(),
            };
            self.shared.retried();
            tracing::error!(lane = ?self.lane, error, "a batch cannot be written; trying again");
            if let Flow::Stop = self.pause(&mut wait).await {
                return Flow::Stop;
            }
        }
    }

    async fn attempt(&mut self, batch: &Arc<WriteBatch>) -> Result<(), Failure> {
        let letters = dead_letters(&*self.parts.log, self.lane, batch);
        if !letters.is_empty() {
            self.parts.log.append(letters).await.map_err(Failure::Log)?;
        }
        let (store, job) = (Arc::clone(&self.parts.store), Arc::clone(batch));
        let began = Instant::now();
        let written = tokio::task::spawn_blocking(move || store.write(&job)).await;
        let written =
            written.expect("the store does not panic, and is not cancelled").map_err(Failure::Store)?;
        let records = batch.spans.iter().map(|span| span.to - span.from).sum();
        self.shared.wrote(records, written, began.elapsed());
        let stands = batch.spans.iter().map(|span| {
            let index = span.source.partition;
            (PartitionId { topic: Topic::Raw, lane: self.lane, index }, span.to)
        });
        let stands: Vec<_> = stands.collect();
        self.untold.extend(stands.iter().copied());
        self.shared.stands_at(stands);
        if self.told.elapsed() >= COMMIT_EVERY {
            self.tell_log().await;
        }
        Ok(())
    }

    /// Opens a reader where the store stands now.
    async fn reopen(&mut self) -> Flow {
        let mut wait = RETRY.0;
        loop {
            match open_reader(&self.parts, self.lane, &self.shared) {
                Ok(reader) => {
                    self.reader = reader;
                    return Flow::On;
                }
                Err(Error::Log(log::Error::Closed)) => return Flow::Stop,
                Err(error) => {
                    self.shared.retried();
                    tracing::error!(lane = ?self.lane, %error, "the lane cannot go on; trying again");
                }
            }
            if let Flow::Stop = self.pause(&mut wait).await {
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
        if self.untold.is_empty() {
            return;
        }
        let positions: Vec<Position> =
            self.untold.drain().map(|(partition, offset)| Position { partition, offset }).collect();
        if let Err(error) = self.parts.log.commit(READER, &positions).await {
            tracing::warn!(%error, "the log did not note how far the store is; only its lag figures suffer");
        }
    }
}

enum Failure {
    Log(log::Error),
    Store(series::Error),
}

/// A reader of the lane from where the store stands; partitions it has never seen, from their beginning.
fn open_reader(parts: &Parts, lane: Lane, shared: &Shared) -> Result<Box<dyn Reader>, Error> {
    let held: HashMap<_, _> = parts.store.positions()?.into_iter().map(|at| (at.source, at.offset)).collect();
    let mut from = Vec::new();
    for partition in partitions(&*parts.log, Topic::Raw, lane) {
        let extent = parts.log.extent(partition)?;
        let offset = held.get(&source_of(partition)).copied().unwrap_or(extent.start);
        if offset > extent.end {
            return Err(Error::Ahead { partition, held: offset, end: extent.end });
        }
        from.push(Position { partition, offset });
    }
    let reader = parts.log.read(&from)?;
    shared.stands_at(from.into_iter().map(|at| (at.partition, at.offset)));
    Ok(reader)
}

fn dead_letters(log: &dyn Log, lane: Lane, batch: &WriteBatch) -> Batch {
    let mut letters = Batch::new();
    for message in &batch.dead {
        let index = partition_of(&message.tenant, &message.device, log.partitions(Topic::Dlq));
        let partition = PartitionId { topic: Topic::Dlq, lane, index };
        letters.push_with(partition, |out| letter::encode(message, out));
    }
    letters
}
