//! Checkpoints of the state, made beside the turns.
//!
//! A checkpoint must not know more than the store holds after a crash: then it could not be used. So the store is
//! flushed between the moment a partition's state is copied and the moment the copy is on disk.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use log::{Lane, PartitionId, Topic};
use tokio::task::JoinHandle;

use super::{End, Flow, Worker, outcome_of};
use crate::engine::Engine;

/// A checkpoint on its way to the disk.
pub(super) struct Saving {
    partition: u16,
    began: Instant,
    job: JoinHandle<Result<Saved, String>>,
}

/// Whose turn it is to be checkpointed, and when.
pub(super) struct Rounds {
    at: Instant,
    /// All partitions, the next one first.
    order: VecDeque<u16>,
    /// So many at the front had much to replay when the stream started. They do not wait for their turn: a server that is killed
    /// again and again would replay more each time, and be ready later.
    hurry: usize,
}

/// Records that are replayed in a moment.
const FEW: u64 = 1_000;

impl Rounds {
    /// Those that had most to replay come first.
    pub(super) fn new(engine: &Engine, now: Instant) -> Self {
        let mut partitions: Vec<_> =
            engine.partitions.iter().map(|(&index, partition)| (partition.since_checkpoint, index)).collect();
        partitions.sort_by_key(|&(records, _)| Reverse(records));
        let hurry = partitions.iter().filter(|&&(records, _)| records > FEW).count();
        let at = if hurry > 0 { now } else { now + engine.settings().checkpoint_every };
        Self { at, order: partitions.into_iter().map(|(_, index)| index).collect(), hurry }
    }

    /// The next partition that has anything to save, if its time has come.
    fn next(&mut self, engine: &Engine, now: Instant) -> Option<u16> {
        if now < self.at {
            return None;
        }
        self.hurry = self.hurry.saturating_sub(1);
        if self.hurry == 0 {
            self.at = now + engine.settings().checkpoint_every / self.order.len().max(1) as u32;
        }
        let has_any =
            |index| engine.partitions.get(index).is_some_and(|partition| partition.since_checkpoint > 0);
        let at = self.order.iter().position(has_any)?;
        self.order.rotate_left(at + 1);
        self.order.back().copied()
    }
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
        let Some(index) = self.rounds.next(engine, Instant::now()) else { return Flow::On };
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
