//! A turn becomes visible: what it says in the log first, then what it brings for the store.

use std::sync::Arc;
use std::time::Instant;

use log::{Batch, Lane, Log, PartitionId, Topic};
use record::partition_of;
use series::{WriteBatch, Written};

use super::{End, Flow, RETRY, TELL_EVERY, Worker, outcome_of};
use crate::engine::Turn;
use crate::{clean, late, letter};

impl Worker {
    /// Makes a turn durable: its dead letters and late readings in the log first, then everything in the store.
    /// Both are tried until they succeed, so that the store never says of a message that it is dead before its letter
    /// is safe.
    pub(super) async fn commit(&mut self, lane: Lane, turn: &Turn) -> Flow {
        let mut wait = RETRY.0;
        loop {
            let error = match self.attempt(lane, turn).await {
                Ok(()) => return Flow::On,
                // An earlier attempt went through although it reported an error; or another writer is at work.
                Err(Failure::Store(error @ series::Error::Conflict { .. })) => {
                    tracing::warn!(?lane, %error, "the store stands elsewhere; reading on from there");
                    return Flow::Rebuild;
                }
                Err(Failure::Log(log::Error::Closed)) => return Flow::Stop,
                // Live data needs what space is left.
                Err(Failure::Store(error @ series::Error::Full { .. })) if !self.purpose.writes_to_log() => {
                    self.end = End::Failed(error.to_string());
                    return Flow::Stop;
                }
                Err(Failure::Store(error)) => error.to_string(),
                Err(Failure::Log(error)) => error.to_string(),
            };
            self.shared.retried();
            tracing::error!(?lane, error, "a batch cannot be written; trying again");
            if self.pause(&mut wait).await == Flow::Stop {
                return Flow::Stop;
            }
        }
    }

    async fn attempt(&mut self, lane: Lane, turn: &Turn) -> Result<(), Failure> {
        let batch = &turn.batch;
        if self.purpose.writes_to_log() {
            let mut side = dead_letters(&*self.parts.log, lane, batch);
            late::records(&*self.parts.log, batch, &mut side);
            let began = Instant::now();
            let mut rest = clean::records(&*self.parts.log, &turn.clean, &batch.readings, &mut side);
            while !side.is_empty() {
                self.parts.log.append(std::mem::take(&mut side)).await.map_err(Failure::Log)?;
                rest = clean::records(&*self.parts.log, rest, &batch.readings, &mut side);
            }
            self.synced_in += began.elapsed();
            self.learn(turn).await;
        }
        let (store, job) = (Arc::clone(&self.parts.store), Arc::clone(batch));
        let began = Instant::now();
        let written = outcome_of(tokio::task::spawn_blocking(move || store.write(&job))).await;
        let written = written.ok_or(Failure::Log(log::Error::Closed))?.map_err(Failure::Store)?;
        self.check(turn, written);
        self.shared.wrote(turn, written, began.elapsed());
        if self.writes_clean {
            // What a power cut leaves in the clean topic and not in the store is at most one turn: see `Owed`. Where only rules
            // read it, which know a cause by its time, that is not worth a sync each turn.
            self.flush().await;
        }
        let stands = batch.spans.iter().map(|span| {
            let index = span.source.partition;
            (PartitionId { topic: Topic::Raw, lane: span.source.lane, index }, span.to)
        });
        let stands: Vec<_> = stands.collect();
        if self.checkpoints.is_none() {
            self.untold.extend(stands.iter().copied());
        }
        self.shared.stands_at(stands);
        if self.told.elapsed() >= TELL_EVERY {
            self.tell_log().await;
        }
        Ok(())
    }

    /// Has the registry keep what messages said of their devices. Readings do not wait for it: what is not kept is said
    /// again with the device's next message.
    async fn learn(&mut self, turn: &Turn) {
        let Some(facts) = self.parts.facts.clone().filter(|_| !turn.news.is_empty()) else { return };
        let news = turn.news.clone();
        let job = tokio::task::spawn_blocking(move || facts.learn(&news));
        if let Some(Err(error)) = outcome_of(job).await {
            tracing::error!(%error, devices = turn.news.len(), "what messages said of their devices is not kept");
        }
    }

    /// The store judges by its own key whether a reading was there: it must see it as the pipeline did.
    fn check(&self, turn: &Turn, written: Written) {
        let told = (turn.tally.kept - turn.tally.corrections, turn.tally.corrections, 0);
        let seen = (written.stored, written.corrections, written.duplicates);
        if told != seen {
            self.shared.disagreed();
            tracing::error!(
                ?told,
                ?seen,
                "stream and store judged readings differently (new, corrections, duplicates)"
            );
        }
    }
}

enum Failure {
    Log(log::Error),
    Store(series::Error),
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
