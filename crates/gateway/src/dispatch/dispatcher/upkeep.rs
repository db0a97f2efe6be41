//! What the dispatcher does because time passes: expiries, wills, checkpoints.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use log::{Batch, Lane, PartitionId, Topic};
use record::{Envelope, Kind, Timestamp, partition_of};
use tokio::task::JoinHandle;

use super::{Dispatcher, READ_BYTES, push_entries};
use crate::dispatch::command::Command;
use crate::state::{Entry, OwedWill, Positions};

/// At least this long between checkpoints: each rewrites the rows that changed.
pub(super) const CHECKPOINT_TICKS: u32 = 4;
/// Without changed rows, offsets are written so often, and when so many records have been read: they bound what a start has to
/// replay. A hundred thousand take it a second, beside the stream, which has to catch up too.
const OFFSETS_TICKS: u32 = 60;
const OFFSETS_RECORDS: u64 = 50_000;
/// Retained messages are looked through for expired ones so often.
const TIDY_TICKS: u32 = 120;

impl Dispatcher {
    pub(super) async fn on_tick(&mut self) {
        self.ticks += 1;
        let now = Timestamp::now();
        if self.book.next_due_ms().is_some_and(|due_ms| due_ms <= now.millis()) {
            self.book.expire(now.millis());
            for will in self.book.owed_wills(now.millis()) {
                self.publish_will(will, now);
            }
        }
        if self.ticks.is_multiple_of(TIDY_TICKS) {
            self.book.tidy_retained(now);
        }
        self.note_counts();
        if self.checkpoint.as_ref().is_some_and(JoinHandle::is_finished) {
            self.end_checkpoint().await;
        }
        let age = self.ticks - self.checkpointed;
        if self.checkpoint.is_none() && is_due(age, self.book.is_dirty(), self.uncheckpointed) {
            (self.checkpointed, self.uncheckpointed) = (self.ticks, 0);
            let positions = self.book.positions().clone();
            let (checkpoint, metadata) = (self.book.checkpoint(), Arc::clone(&self.metadata));
            let commit = move || match metadata.commit(&checkpoint.changes) {
                Ok(()) => Ok(positions),
                Err(error) => Err((checkpoint, error)),
            };
            self.checkpoint = Some(tokio::task::spawn_blocking(commit));
        }
    }

    pub(super) async fn end_checkpoint(&mut self) {
        let Some(running) = self.checkpoint.take() else { return };
        match running.await {
            // Nobody waits for it: until it is durable, the log keeps more.
            Ok(Ok(positions)) => drop(tokio::spawn(release(Arc::clone(&self.shared.log), positions))),
            Ok(Err((checkpoint, error))) => {
                tracing::warn!(%error, "the checkpoint of sessions was not written; the log has it all, trying again");
                self.book.checkpoint_failed(checkpoint);
            }
            Err(_cancelled) => {}
        }
    }

    pub(super) fn note_counts(&self) {
        let metrics = &self.shared.metrics;
        let mut away = 0_u64;
        let mut queued = 0_u64;
        for key in self.book.sessions() {
            if self.online.get(key).is_none() {
                away += 1;
                queued += self.book.durable(key).map_or(0, |durable| durable.outgoing.len() as u64);
            }
        }
        metrics.sessions_away.store(away, Ordering::Relaxed);
        metrics.queued.store(queued, Ordering::Relaxed);
    }

    /// Logs a will whose time has come, and in the same batch that it has.
    pub(super) fn publish_will(&self, will: OwedWill, now: Timestamp) {
        let log = &self.shared.log;
        let Ok(envelope) = Envelope::decode(&will.envelope) else {
            tracing::error!(client = %will.client_id, "an owed will cannot be read; it is given up");
            return;
        };
        let mut batch = Batch::new();
        let (topic, key) = match envelope.kind {
            Kind::Message => (Topic::Messages, envelope.topic),
            _ if !envelope.device.is_empty() => (Topic::Raw, envelope.device),
            _ => (Topic::Raw, envelope.topic),
        };
        let index = partition_of(&will.tenant, key, log.partitions(topic));
        let envelope = Envelope { arrived_at: now, ..envelope };
        batch.push_with(PartitionId { topic, lane: Lane::Live, index }, |out| envelope.encode(out));
        let sent = Entry::WillSent { opened: will.opened };
        push_entries(&mut batch, &**log, &will.tenant, &will.client_id, &[sent]);
        let (pending, commands, session) = (log.append(batch), self.shared.commands.clone(), will.session);
        tokio::spawn(async move {
            if let Err(error) = pending.await {
                tracing::warn!(%error, "a will could not be logged; trying again");
                let _ = commands.send(Command::WillFailed(session));
            }
        });
    }

    /// Reads what the workers logged last and writes the checkpoint.
    pub(super) async fn finish(mut self, mut reader: Box<dyn log::Reader>) -> Result<(), crate::mqtt::Error> {
        self.end_checkpoint().await;
        let mut until = Positions::message_tails(&*self.shared.log)?;
        for index in 0..self.shared.log.partitions(Topic::Sessions) {
            let partition = PartitionId { topic: Topic::Sessions, lane: Lane::Live, index };
            until.set(partition, self.shared.log.extent(partition)?.end);
        }
        while !self.book.positions().reach(&until) {
            let chunk = reader.next(READ_BYTES).await?;
            self.dispatch(chunk);
        }
        let checkpoint = self.book.checkpoint();
        let metadata = Arc::clone(&self.metadata);
        let commit = tokio::task::spawn_blocking(move || metadata.commit(&checkpoint.changes));
        commit.await.map_err(|_| crate::mqtt::Error::Failed("checkpoint".into()))??;
        release(Arc::clone(&self.shared.log), self.book.positions().clone()).await;
        Ok(())
    }
}

/// Whether a checkpoint is due: so many ticks after the last, with changed rows or without, after so many records.
fn is_due(age: u32, is_dirty: bool, records: u64) -> bool {
    age >= OFFSETS_TICKS || age >= CHECKPOINT_TICKS && (is_dirty || records >= OFFSETS_RECORDS)
}

/// What a checkpoint contains, retention may take from the log.
async fn release(log: Arc<dyn log::Log>, read: Positions) {
    let positions: Vec<_> = read.iter().collect();
    if let Err(error) = log.commit(crate::READER, &positions).await {
        tracing::debug!(%error, "how far the gateway has read was not noted");
    }
}

#[cfg(test)]
mod tests {
    use super::{CHECKPOINT_TICKS, OFFSETS_RECORDS, OFFSETS_TICKS, is_due};

    #[test]
    fn a_checkpoint_is_due_with_changes_after_many_records_and_after_a_while() {
        let soon = CHECKPOINT_TICKS;
        assert!(
            is_due(soon, true, 0) && !is_due(soon - 1, true, 0),
            "rows that changed are written together"
        );
        assert!(is_due(soon, false, OFFSETS_RECORDS) && !is_due(soon - 1, false, u64::MAX));
        assert!(!is_due(soon, false, OFFSETS_RECORDS - 1));
        assert!(is_due(OFFSETS_TICKS, false, 0) && !is_due(OFFSETS_TICKS - 1, false, 0));
    }
}
