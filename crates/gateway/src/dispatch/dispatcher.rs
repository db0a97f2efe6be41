//! The dispatcher's loop.

mod sessions;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::{Batch, Chunk, Lane, Log, PartitionId, Position, Topic};
use metadata::Metadata;
use record::{Qos, Timestamp, partition_of};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

use super::command::{Command, Delivery, Open, ToWorker, WantRetained};
use super::message::Message;
use super::online::{Online, Present, name_of};
use super::sys::{self, Sys};
use crate::mqtt::Shared;
use crate::state::{Book, Checkpoint, Entry, Positions, SessionKey, SessionRecord};
use crate::topics::{Kept, Match, Matches};

/// What one turn reads of the log.
const READ_BYTES: usize = 1 << 20;
/// Commands handled before the log has its turn again.
const COMMANDS: usize = 1024;
/// Retained topics looked at for one page: a subscription to everything must not hold up the others.
const PAGE_TOPICS: usize = 1024;
/// After an error of the log (retention overtook us, a disk is failing) it is tried again so much later.
const RETRY: Duration = Duration::from_millis(200);
/// How often expiries and wills are looked at, and checkpoints begun.
const TICK: Duration = Duration::from_millis(500);

/// The way to a worker. Unbounded; what goes through it is bounded by what the dispatcher reads in a turn and by
/// each connection's own limits.
#[derive(Clone, Debug)]
pub(crate) struct WorkerPort(pub(crate) UnboundedSender<ToWorker>);

impl WorkerPort {
    pub(crate) fn send(&self, order: ToWorker) {
        // A worker that is gone has no connections.
        let _ = self.0.send(order);
    }
}

/// Something that waits until the book has read what was durable before it.
struct Parked {
    what: Waits,
    until: Positions,
}

enum Waits {
    /// A connection: for what an earlier one of its client logged.
    Open(Box<Open>),
    /// A subscription: for retained messages that were acknowledged before it was made.
    Retained(Box<WantRetained>),
}

/// See the module.
pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    metadata: Arc<dyn Metadata>,
    book: Book,
    online: Online,
    parked: Vec<Parked>,
    matches: Matches<SessionKey>,
    /// Deliveries of this turn, by worker.
    outbox: Vec<Vec<Delivery>>,
    /// Choices of share groups, to be logged at leisure.
    notes: Batch,
    sys: Sys,
    checkpoint: Option<JoinHandle<Result<Positions, (Checkpoint, metadata::Error)>>>,
    ticks: u32,
    checkpointed: u32,
    /// Records of the log that the last checkpoint does not have.
    uncheckpointed: u64,
}

impl Dispatcher {
    /// Goes on from where `book` has read the log, of which `replayed` records were not in the last checkpoint.
    pub(crate) fn new(shared: Arc<Shared>, metadata: Arc<dyn Metadata>, book: Book, replayed: u64) -> Self {
        let outbox = (0..shared.config.workers).map(|_| Vec::new()).collect();
        Self {
            shared,
            metadata,
            book,
            online: Online::default(),
            parked: Vec::new(),
            matches: Matches::new(),
            outbox,
            notes: Batch::new(),
            sys: Sys::default(),
            checkpoint: None,
            // A start that replayed much is followed by a checkpoint at once: a server that dies often must not replay it, and
            // what came since, each time anew.
            ticks: upkeep::CHECKPOINT_TICKS,
            checkpointed: 0,
            uncheckpointed: replayed,
        }
    }

    /// Runs until it is told to stop; then writes a last checkpoint.
    ///
    /// # Errors
    /// When the log cannot be read at all, or the last checkpoint not be written.
    pub(crate) async fn run(
        mut self,
        mut inbox: UnboundedReceiver<Command>,
    ) -> Result<(), crate::mqtt::Error> {
        let mut reader = self.open_reader()?;
        let mut commands = Vec::with_capacity(COMMANDS);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sys_ticks = tokio::time::interval(sys::EVERY);
        sys_ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        'serving: loop {
            tokio::select! {
                biased;
                n = inbox.recv_many(&mut commands, COMMANDS) => {
                    for command in commands.drain(..) {
                        if matches!(command, Command::Stop) {
                            break 'serving;
                        }
                        self.obey(command);
                    }
                    if n == 0 {
                        break 'serving;
                    }
                }
                read = reader.next(READ_BYTES) => match read {
                    Ok(chunk) => self.dispatch(chunk),
                    Err(log::Error::Closed) => break 'serving,
                    Err(log::Error::Damaged { lost: Some(lost), place, at, reason }) => {
                        tracing::error!(place, at, reason, ?lost, "messages in it are lost; going on behind it");
                        self.book.pass_over(&lost);
                        reader = self.open_reader()?;
                    }
                    Err(error) => {
                        tracing::error!(%error, "the dispatcher cannot read the log; trying again");
                        tokio::time::sleep(RETRY).await;
                        reader = self.open_reader()?;
                    }
                },
                _ = ticks.tick() => self.on_tick().await,
                _ = sys_ticks.tick() => self.publish_sys(),
            }
            self.send_out();
        }
        self.finish(reader).await
    }

    /// A reader from where the book stands, or from what retention has left.
    fn open_reader(&self) -> Result<Box<dyn log::Reader>, log::Error> {
        let log = &*self.shared.log;
        let mut positions = Vec::new();
        for topic in [Topic::Sessions, Topic::Messages, Topic::Raw] {
            for lane in [Lane::Live, Lane::Backfill] {
                for index in 0..log.partitions(topic) {
                    let partition = PartitionId { topic, lane, index };
                    let offset = self.book.positions().get(partition).max(log.extent(partition)?.start);
                    positions.push(Position { partition, offset });
                }
            }
        }
        log.read(&positions)
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open(open) => self.open(open),
            Command::Release(release) => self.release(*release),
            Command::Retained(want) => self.want_retained(want),
            Command::Direct(message) => {
                self.shared.direct.sub(message.size_bytes());
                self.route_direct(&message);
            }
            Command::WillFailed(session) => self.book.will_failed(session),
            Command::Stop => {}
        }
    }

    fn want_retained(&mut self, want: Box<WantRetained>) {
        match Positions::message_tails(&*self.shared.log) {
            Ok(until) if want.from.is_none() && !self.book.positions().reach(&until) => {
                self.parked.push(Parked { what: Waits::Retained(want), until });
            }
            _ => self.send_retained(*want),
        }
    }

    fn send_retained(&mut self, mut want: WantRetained) {
        let now = Timestamp::now();
        let (tenant, conn) = (want.tenant.clone(), want.conn);
        let retained = self.book.retained();
        let page =
            retained.matching(tenant.as_str(), &want.filter, want.from.as_deref(), PAGE_TOPICS, now.millis());
        let ids: Box<[u32]> = if want.id == 0 { Box::default() } else { Box::new([want.id]) };
        let delivery = |message: Arc<Message>, qos: Qos| Delivery {
            conn,
            qos: want.qos.min(qos),
            message,
            retain: true, // MQTT-3.3.1-8
            ids: ids.clone(),
            logged: true,
        };
        let kept = |kept: &Arc<Kept>| {
            let message = Message::new(kept.envelope.clone(), Some(kept.position)).ok()?;
            Some(delivery(Arc::new(message), kept.qos))
        };
        let mut messages: Vec<Delivery> = page.messages.iter().filter_map(kept).collect();
        if want.filter.starts_with("$SYS/") && want.from.is_none() {
            let wanted = |m: &Arc<Message>| wire::mqtt::topic::matches(&want.filter, m.envelope().topic);
            let sys = self.sys.messages(&tenant, now).filter(wanted);
            messages.extend(sys.map(|message| delivery(message, Qos::AtMostOnce)));
        }
        let next = page.next.map(|from| {
            want.from = Some(from);
            Box::new(want)
        });
        if !messages.is_empty() || next.is_some() {
            self.shared.to_worker(conn.worker.into(), ToWorker::Retained(messages, conn, next));
        }
    }

    fn dispatch(&mut self, chunk: Chunk) {
        for run in chunk.runs {
            self.uncheckpointed += run.records.len() as u64;
            for (record, offset) in run.records.into_iter().zip(run.base..) {
                let at = Position { partition: run.partition, offset };
                if at.partition.topic == Topic::Sessions {
                    if let Err(error) = self.book.apply_session(at, &record.value) {
                        tracing::error!(partition = %at.partition, offset, %error, "a session record cannot be used");
                    }
                } else {
                    self.route(at, record.value);
                }
            }
        }
        self.admit_parked();
        if !self.notes.is_empty() {
            // Nobody waits for it: what is not written is chosen again after a crash.
            drop(self.shared.log.append(std::mem::take(&mut self.notes)));
        }
        let metrics = &self.shared.metrics;
        metrics.retained.store(self.book.retained().len() as u64, Ordering::Relaxed);
        metrics.subscriptions.store(self.shared.subscriptions.len() as u64, Ordering::Relaxed);
    }

    /// Gives a message of the log to everybody who subscribed.
    fn route(&mut self, at: Position, record: bytes::Bytes) {
        let audience = Present { online: &self.online, record: &record };
        if let Err(error) = self.book.apply_message(at, &record, &audience, &mut self.matches) {
            tracing::error!(partition = %at.partition, offset = at.offset, %error, "a record of the log is no envelope");
            return;
        }
        if self.matches.as_slice().is_empty() {
            return;
        }
        let Ok(message) = Message::new(record, Some(at)) else { return };
        let message = Arc::new(message);
        let qos = message.envelope().qos;
        for found in self.matches.drain() {
            // Nobody keeps QoS 0: there is nothing to choose again.
            let kept = found.qos.min(qos) != Qos::AtMostOnce;
            if let Some(group) = found.group.filter(|_| kept) {
                note_choice(&mut self.notes, &self.book, &*self.shared.log, &found, at, group);
            }
            deliver(&self.online, &mut self.outbox, found, &message);
        }
    }

    /// Gives a message that is not in the log to everybody who subscribed and is connected.
    fn route_direct(&mut self, message: &Arc<Message>) {
        let envelope = message.envelope();
        let audience = Present { online: &self.online, record: message.record() };
        let (tenant, topic) = (envelope.tenant, envelope.topic);
        self.shared.subscriptions.matching(tenant, topic, envelope.qos, &audience, &mut self.matches);
        for found in self.matches.drain() {
            deliver(&self.online, &mut self.outbox, found, message);
        }
    }

    fn send_out(&mut self) {
        for (worker, deliveries) in self.outbox.iter_mut().enumerate() {
            if !deliveries.is_empty() {
                self.shared.to_worker(worker, ToWorker::Deliver(std::mem::take(deliveries)));
            }
        }
    }

    fn publish_sys(&mut self) {
        let now = Timestamp::now();
        let uptime_s = (now.nanos() - self.shared.started_at.nanos()) / 1_000_000_000;
        self.sys.update(&self.shared.metrics, uptime_s);
        for tenant in self.online.tenants() {
            if self.shared.subscriptions.has_none(tenant.as_str()) {
                continue;
            }
            let messages: Vec<_> = self.sys.messages(&tenant, now).collect();
            for message in messages {
                self.route_direct(&message);
            }
        }
    }
}

/// Puts a delivery into the box of the worker that has the subscriber's connection, if it has one.
fn deliver(online: &Online, outbox: &mut [Vec<Delivery>], found: Match<SessionKey>, message: &Arc<Message>) {
    let Some(client) = online.get(found.subscriber) else { return };
    let envelope = message.envelope();
    let delivery = Delivery {
        conn: client.conn,
        message: Arc::clone(message),
        qos: found.qos.min(envelope.qos),
        retain: found.retain_as_published && envelope.retain, // MQTT-3.3.1-12, MQTT-3.3.1-13
        ids: found.ids.as_slice().into(),
        logged: false,
    };
    outbox[usize::from(client.conn.worker)].push(delivery);
}

/// Notes which member of a share group got a message. A member without a stored session is not noted: after a crash
/// somebody else may get the message again, which is better than nobody.
fn note_choice(
    notes: &mut Batch,
    book: &Book,
    log: &dyn Log,
    found: &Match<SessionKey>,
    message: Position,
    group: u64,
) {
    if let Some((tenant, client_id)) = name_of(book, found.subscriber) {
        push_entries(notes, log, &tenant, &client_id, &[Entry::Assigned { message, group }]);
    }
}

fn push_entries(batch: &mut Batch, log: &dyn Log, tenant: &str, client_id: &str, entries: &[Entry]) {
    let index = partition_of(tenant, client_id, log.partitions(Topic::Sessions));
    let partition = PartitionId { topic: Topic::Sessions, lane: Lane::Live, index };
    batch.push_with(partition, |out| SessionRecord::encode(out, tenant, client_id, None, entries));
}
