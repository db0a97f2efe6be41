//! Rebuilding the book from the last checkpoint and the log after it.
//!
//! The log's partitions have no order between them, so a replay may meet a message before or after the session events
//! that decide who gets it. Therefore two passes: first all session events, which gives each subscription the
//! interval of positions in which it held and notes which deliveries were made; then all messages, each matched
//! against the subscriptions of its own place in the log, minus what was delivered.

use std::sync::Arc;

use log::{Batch, Error as LogError, Lane, Log, Offset, PartitionId, Position, Topic};
use metadata::{Metadata, Table};
use record::{EnvelopeError, partition_of};

use super::book::{Book, Limits};
use super::checkpoint::OFFSETS_ID;
use super::codec::{CodecError, SessionRecord};
use super::entry::Entry;
use super::marks::What;
use super::positions::{message_partitions, partitions};
use super::replay::Replay;
use super::rows;
use super::session::SessionKey;
use crate::topics::{Audience, Matches, Standing};
use wire::mqtt::session::Progress;

/// Why the state could not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log could not be read.
    #[error("replaying the log: {0}")]
    Log(#[from] LogError),
    /// The checkpoint could not be read.
    #[error("reading the checkpoint: {0}")]
    Metadata(#[from] metadata::Error),
    /// A row of the checkpoint makes no sense.
    #[error("row {id:?} of tenant {tenant:?} in table {table:?} of the checkpoint: {reason}")]
    Row {
        /// The table.
        table: Table,
        /// The row's tenant.
        tenant: String,
        /// The row's id.
        id: String,
        /// What is wrong with it.
        reason: CodecError,
    },
}

/// The state as it was, and what it took.
#[derive(Debug)]
pub struct Recovered {
    /// The state, with every session closed: those that were connected lost their connection at `now_ms`.
    pub book: Book,
    /// Tenant, client id and expiry of the sessions that were connected.
    lost: Vec<(Arc<str>, Arc<str>, u32)>,
    /// What had to be left out.
    pub skipped: Skipped,
    /// Session records replayed.
    pub session_records: u64,
    /// Messages replayed.
    pub messages: u64,
}

/// What a replay had to leave out, each to be counted and said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Session records that retention took before they were in a checkpoint.
    pub expired_session_records: u64,
    /// Messages that retention took before they were in a checkpoint.
    pub expired_messages: u64,
    /// Records that could not be decoded.
    pub unreadable: u64,
    /// Offsets that damage of the log has taken, at most.
    pub damaged: u64,
}

/// Rebuilds the state. Nothing may be appended to `log` by this gateway meanwhile. `now_ms` is the time at which
/// connections that the log does not know to be closed count as lost: their sessions' expiry and wills run from there.
///
/// # Errors
/// [`Error`] when the log or the checkpoint cannot be read. What retention has taken and single records that cannot
/// be decoded are no error; they are counted.
pub async fn recover(
    log: &dyn Log,
    metadata: &dyn Metadata,
    limits: Limits,
    now_ms: i64,
) -> Result<Recovered, Error> {
    let mut recovered = Recovered {
        book: load(metadata, limits)?,
        lost: Vec::new(),
        skipped: Skipped::default(),
        session_records: 0,
        messages: 0,
    };
    recovered.begin();
    let session_partitions: Vec<_> = partitions(log, Topic::Sessions).collect();
    let message_partitions: Vec<_> = message_partitions(log).collect();
    // The ends are taken before anything is read, so that both passes see the same stretch of the log.
    let session_ends = ends(log, &session_partitions)?;
    let message_ends = ends(log, &message_partitions)?;
    replay(log, &session_ends, &mut recovered).await?;
    replay(log, &message_ends, &mut recovered).await?;
    recovered.finish(now_ms);
    Ok(recovered)
}

/// The state at the last checkpoint.
pub(super) fn load(metadata: &dyn Metadata, limits: Limits) -> Result<Book, Error> {
    let mut book = Book::new(limits);
    let wrong = |table: Table, row: &metadata::Row, reason: CodecError| Error::Row {
        table,
        tenant: row.tenant.clone(),
        id: row.id.clone(),
        reason,
    };
    let offsets = metadata.get(Table::Offsets, "", OFFSETS_ID)?;
    let mut failed = None;
    metadata.scan(Table::Sessions, None, &mut |row| {
        let key = book.slots.find_or_add(&row.tenant, &row.id);
        let session = book.slots.get_mut(key).expect("added just now");
        failed = rows::read_session(&row.body, session).err().map(|e| wrong(Table::Sessions, &row, e));
        for subscription in &session.durable.subscriptions {
            let (filter, options) = (&subscription.filter, &subscription.options);
            if let Err(full) = book.subscriptions.insert(&row.tenant, filter, key, options, subscription.id) {
                tracing::warn!(tenant = row.tenant, %full, "a stored subscription exceeds the limit");
            }
        }
        book.note_times(key);
        failed.is_none()
    })?;
    if failed.is_none() {
        metadata.scan(Table::Retained, None, &mut |row| {
            let kept = rows::read_retained(&row.body).and_then(|kept| Ok(book.retained.restore(kept)?));
            failed = kept.err().map(|e| wrong(Table::Retained, &row, e));
            failed.is_none()
        })?;
    }
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(row) = offsets {
        let read = rows::read_offsets(&row.body).map_err(|e| wrong(Table::Offsets, &row, e))?;
        book.positions = read.0;
        for note in read.1 {
            let session = note.session.and_then(|(tenant, client_id)| book.slots.find(tenant, client_id));
            let who = session.and_then(|key| Some((key, book.slots.get(key)?.life)));
            if who.is_some() == note.session.is_some() {
                book.marks.add(note.message, who, note.what);
            }
        }
    }
    Ok(book)
}

struct Stretch {
    partition: PartitionId,
    end: Offset,
}

fn ends(log: &dyn Log, partitions: &[PartitionId]) -> Result<Vec<Stretch>, Error> {
    let end = |&partition| Ok(Stretch { partition, end: log.extent(partition)?.end });
    partitions.iter().map(end).collect()
}

/// How much is read at a time, bytes: enough to make a call cheap, little beside what the log keeps in memory.
const READ_BYTES: usize = 4 << 20;

async fn replay(log: &dyn Log, stretches: &[Stretch], into: &mut Recovered) -> Result<(), Error> {
    loop {
        let from = into.starts(log, stretches)?;
        if from.is_empty() {
            return Ok(());
        }
        let mut reader = log.read(&from)?;
        loop {
            let chunk = match reader.next(READ_BYTES).await {
                Ok(chunk) => chunk,
                Err(LogError::Expired { .. }) => break, // retention moved on: begin again where it left off
                Err(LogError::Damaged { lost: Some(lost), place, at, reason }) => {
                    tracing::error!(
                        place,
                        at,
                        reason,
                        ?lost,
                        "sessions and messages in it are lost; going on behind it"
                    );
                    into.skipped.damaged += into.book.pass_over(&lost);
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            for run in chunk.runs {
                let end = stretches.iter().find(|s| s.partition == run.partition).map_or(0, |s| s.end);
                for (offset, record) in (run.base..end).zip(&run.records) {
                    into.apply(Position { partition: run.partition, offset }, &record.value);
                }
            }
            if stretches.iter().all(|s| into.book.positions.get(s.partition) >= s.end) {
                return Ok(());
            }
        }
    }
}

impl Recovered {
    /// Records that say that the connections open at the crash are closed, to be appended before anything else: from
    /// then on the log itself knows it, and with it when the session expires and its will is due.
    #[must_use]
    pub fn closings(&self, log: &dyn Log, now_ms: i64) -> Batch {
        let mut batch = Batch::new();
        for (tenant, client_id, expiry_s) in &self.lost {
            let entry = Entry::Closed { at_ms: now_ms, expiry_s: *expiry_s, will_owed: true };
            let index = partition_of(tenant, client_id, log.partitions(Topic::Sessions));
            let partition = PartitionId { topic: Topic::Sessions, lane: Lane::Live, index };
            batch.push_with(partition, |out| SessionRecord::encode(out, tenant, client_id, None, &[entry]));
        }
        batch
    }

    /// From here on the book replays.
    pub(super) fn begin(&mut self) {
        let mut replay = Replay::new();
        for (key, session) in self.book.slots.stored() {
            for subscription in &session.durable.subscriptions {
                replay.subscribed(&session.tenant, key, session.life, subscription, None);
            }
        }
        self.book.replay = Some(Box::new(replay));
    }

    /// Where to read on, for the partitions that have anything left.
    fn starts(&mut self, log: &dyn Log, stretches: &[Stretch]) -> Result<Vec<Position>, Error> {
        let mut from = Vec::new();
        for Stretch { partition, end } in stretches {
            let start = log.extent(*partition)?.start.min(*end);
            let wanted = self.book.positions.get(*partition);
            if wanted < start {
                let gone = if partition.topic == Topic::Sessions {
                    &mut self.skipped.expired_session_records
                } else {
                    &mut self.skipped.expired_messages
                };
                *gone += start - wanted;
                self.book.positions.set(*partition, start);
            }
            let offset = wanted.max(start);
            if offset < *end {
                from.push(Position { partition: *partition, offset });
            }
        }
        Ok(from)
    }

    fn apply(&mut self, at: Position, record: &[u8]) {
        if at.partition.topic == Topic::Sessions {
            self.session_records += 1;
            if let Err(error) = self.book.apply_session(at, record) {
                self.unreadable(at, &error);
            }
        } else {
            self.messages += 1;
            let mut nobody = Matches::new();
            let outcome: Result<(), EnvelopeError> =
                self.book.apply_message(at, record, &NobodyIsConnected, &mut nobody);
            if let Err(error) = outcome {
                self.unreadable(at, &error);
            }
        }
    }

    fn unreadable(&mut self, at: Position, error: &dyn std::fmt::Display) {
        self.skipped.unreadable += 1;
        tracing::error!(partition = %at.partition, offset = at.offset, %error, "a record of the log cannot be used");
    }

    /// The replay is over.
    pub(super) fn finish(&mut self, now_ms: i64) {
        let book = &mut self.book;
        book.replay = None;
        book.settle_marks();
        book.order_sent();
        let open: Vec<SessionKey> = book
            .slots
            .stored()
            .filter(|(_, session)| session.durable.closed_at_ms.is_none() && !session.ended)
            .map(|(key, _)| key)
            .collect();
        for key in open {
            let Some(session) = book.slots.get(key) else { continue };
            let expiry_s = session.durable.expiry_s;
            self.lost.push((Arc::clone(&session.tenant), Arc::clone(&session.client_id), expiry_s));
            book.touch(key);
            book.apply_closed(key, now_ms, expiry_s, true);
        }
    }
}

impl Book {
    /// What is still noted is about messages that retention has taken. A QoS 2 delivery that lacks only PUBREL goes
    /// on without its message; the others are over.
    fn settle_marks(&mut self) {
        for (message, marks) in self.marks.drain() {
            for mark in marks {
                let (Some((key, life)), What::Sent(progress, nth)) = (mark.session, mark.what) else {
                    continue;
                };
                if self.slots.get(key).is_none_or(|session| session.life != life || session.ended) {
                    continue;
                }
                match progress {
                    Progress::Received(_) => {
                        self.sent_order.insert((key, message), nth);
                        self.push(key, super::book::sent_before(message, progress));
                    }
                    _ => self.counts.expired += 1,
                }
            }
        }
    }

    /// What was sent goes first, in the order in which it was sent (MQTT-4.6.0-1), then what waits.
    fn order_sent(&mut self) {
        let order = std::mem::take(&mut self.sent_order);
        let mut sessions: Vec<SessionKey> = order.keys().map(|(key, _)| *key).collect();
        sessions.sort_unstable();
        sessions.dedup();
        for key in sessions {
            if let Some(session) = self.slots.get_mut(key) {
                session.durable.outgoing.make_contiguous().sort_by_key(|outgoing| match outgoing.progress {
                    Progress::Queued => u64::MAX,
                    // Sent before the checkpoint: it stands in the right place already.
                    _ => order.get(&(key, outgoing.message)).copied().unwrap_or(0),
                });
            }
        }
    }
}

struct NobodyIsConnected;

impl Audience<SessionKey> for NobodyIsConnected {
    fn standing(&self, _: SessionKey) -> Standing {
        Standing::Away
    }
    fn is_publisher(&self, _: SessionKey) -> bool {
        false
    }
}
