//! Checkpoints of the state, made beside the turns.
//!
//! A checkpoint must not know more than the store holds after a crash: then it could not be used. So the store is
//! flushed between the moment a partition's state is copied and the moment the copy is on disk.

use std::sync::Arc;
use std::time::Instant;

use log::{Lane, PartitionId, Topic};
use tokio::task::JoinHandle;

use super::{End, Flow, Worker, outcome_of};

/// A checkpoint on its way to the disk.
pub(super) struct Saving {
    partition: u16,
    began: Instant,
    job: JoinHandle<Result<Saved, String>>,
}

/// A checkpoint that is on the disk.
struct Saved {
    /// The first note that is not in it.
    note: u64,
    /// The offsets it stands at.
    next: [u64; 2],
    bytes: u64,
}

impl Worker {
    /// One partition after the other gets its checkpoint, so that no turn waits for all of them.
    pub(super) async fn checkpoint_one(&mut self) -> Flow {
        if self.saving.as_ref().is_some_and(|saving| saving.job.is_finished()) {
            self.saved().await;
        }
        let Some(engine) = &self.engine else { return Flow::On };
        if self.checkpoints.is_none() || self.saving.is_some() {
            return Flow::On;
        }
        let has_any =
            |index| engine.partitions.get(&index).is_some_and(|partition| partition.since_checkpoint > 0);
        let Some(index) = self.rounds.next(Instant::now(), has_any) else { return Flow::On };
        // The store must hold what the state knows.
        let flow = self.settle().await;
        if flow == Flow::On {
            self.save(index).await;
        }
        flow
    }

    pub(super) async fn checkpoint_all(&mut self) {
        self.saved().await;
        let Some(engine) = &self.engine else { return };
        let stale =
            engine.partitions.iter().filter(|(_, p)| p.since_checkpoint > 0 || p.checkpointed.is_none());
        for index in stale.map(|(&index, _)| index).collect::<Vec<_>>() {
            self.save(index).await;
            self.saved().await;
        }
    }

    /// Copies the state of a partition, and has the copy written.
    async fn save(&mut self, partition: u16) {
        let Some(folder) = self.checkpoints.clone() else { return };
        let Some(mut engine) = self.engine.take() else { return };
        let began = Instant::now();
        let job = tokio::task::spawn_blocking(move || {
            let checkpoint = engine.checkpoint(partition);
            (engine, checkpoint)
        });
        let Some((engine, checkpoint)) = outcome_of(job).await else { return };
        self.engine = Some(engine);
        let Some(checkpoint) = checkpoint else { return };
        let store = Arc::clone(&self.parts.store);
        let job = tokio::task::spawn_blocking(move || {
            store.flush().map_err(|error| error.to_string())?;
            folder.write(&checkpoint).map_err(|error| error.to_string())?;
            let bytes = checkpoint.state.len() as u64;
            Ok(Saved { note: checkpoint.note, next: checkpoint.next, bytes })
        });
        self.saving = Some(Saving { partition, began, job });
    }

    /// Waits for the checkpoint that is on its way, if one is, and goes on from it.
    pub(super) async fn saved(&mut self) {
        let Some(Saving { partition: index, began, job }) = self.saving.take() else { return };
        match (outcome_of(job).await, &mut self.engine) {
            (Some(Ok(Saved { note, next, bytes })), Some(engine)) => {
                self.shared.checkpointed(index, bytes, began.elapsed());
                if let Some(before) = engine.checkpointed(index, note, next) {
                    let lanes = [Lane::Live, Lane::Backfill];
                    let at = |lane: Lane| PartitionId { topic: Topic::Raw, lane, index };
                    self.untold.extend(lanes.map(|lane| (at(lane), before[lane as usize])));
                }
            }
            // Nothing is lost: recovery goes on from the one before it, and takes longer.
            (Some(Err(error)), _) => {
                self.shared.retried();
                tracing::error!(%error, partition = index, "a checkpoint could not be written; trying again later");
            }
            _ => {}
        }
    }

    /// Says whether all that was written is durable now.
    pub(super) async fn flush(&mut self) -> bool {
        let store = Arc::clone(&self.parts.store);
        match outcome_of(tokio::task::spawn_blocking(move || store.flush())).await {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                self.shared.retried();
                tracing::error!(%error, "the store is not durable");
                false
            }
            None => false,
        }
    }

    /// What a trial has made is complete once it is durable.
    pub(super) async fn flush_trial(&mut self) {
        if self.end == End::Complete && !self.flush().await {
            self.end = End::Failed("its data set could not be made durable".into());
        }
    }
}
