//! The dispatcher's loop.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::{Batch, Chunk, Lane, Log, PartitionId, Position, Topic};
use metadata::Metadata;
use record::{Envelope, Kind, Qos, Timestamp, partition_of};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

use super::command::{Command, ConnRef, Delivery, Open, Opened, Release, ToWorker, WantRetained};
use super::message::Message;
use super::online::{Client, Online, Present, name_of};
use super::sys::{self, Sys};
use crate::mqtt::Shared;
use crate::state::{Book, Checkpoint, Entry, OwedWill, Positions, SessionKey, SessionRecord};
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
/// At least this long between checkpoints: each rewrites the rows that changed.
const CHECKPOINT_TICKS: u32 = 4;
/// Without changed rows, offsets are written so often: they bound what a start has to replay.
const OFFSETS_TICKS: u32 = 60;
/// Retained messages are looked through for expired ones so often.
const TIDY_TICKS: u32 = 120;

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
}

impl Dispatcher {
    /// Goes on from where `book` has read the log.
    pub(crate) fn new(shared: Arc<Shared>, metadata: Arc<dyn Metadata>, book: Book) -> Self {
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
            ticks: 0,
            checkpointed: 0,
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

    fn open(&mut self, open: Box<Open>) {
        if let Some(client) = self.online.find(&open.tenant, &open.client_id) {
            let order = ToWorker::TakeOver(client.conn, open.clean);
            self.shared.to_worker(client.conn.worker.into(), order);
            if let Some(earlier) = client.next.replace(open) {
                self.turn_away(&earlier);
            }
            return;
        }
        let same = |p: &Parked| match &p.what {
            Waits::Open(other) => other.tenant == open.tenant && other.client_id == open.client_id,
            Waits::Retained(_) => false,
        };
        if let Some(at) = self.parked.iter().position(same)
            && let Waits::Open(earlier) = self.parked.swap_remove(at).what
        {
            self.turn_away(&earlier); // Two at once: the later one wins.
        }
        match self.log_end_for(&open) {
            Ok(until) if self.book.positions().reach(&until) => self.admit(*open),
            Ok(until) => self.parked.push(Parked { what: Waits::Open(open), until }),
            Err(error) => {
                tracing::error!(%error, "the end of the log cannot be read; a connection is turned away");
                self.turn_away(&open);
            }
        }
    }

    /// Up to where the book has to have read before the session may be given out: everything an earlier connection
    /// of the client may have logged.
    fn log_end_for(&self, open: &Open) -> Result<Positions, log::Error> {
        let log = &*self.shared.log;
        let (tenant, client_id) = (open.tenant.as_str(), &*open.client_id);
        let mut until = match self.book.find(tenant, client_id) {
            Some(_) => Positions::message_tails(log)?,
            None => Positions::new(),
        };
        let index = partition_of(tenant, client_id, log.partitions(Topic::Sessions));
        let partition = PartitionId { topic: Topic::Sessions, lane: Lane::Live, index };
        until.set(partition, log.extent(partition)?.end);
        Ok(until)
    }

    fn admit(&mut self, open: Open) {
        let (tenant, client_id) = (open.tenant.as_str(), &*open.client_id);
        let logged = open.persistent || self.book.find(tenant, client_id).is_some();
        let (session, stored) = if logged {
            let opened = self.book.open(tenant, client_id, open.clean, Timestamp::now().millis());
            (opened.session, opened.stored)
        } else {
            (self.book.transient(), None)
        };
        let Open { tenant, client_id, conn, .. } = open;
        self.online.insert(session, Client { tenant, client_id, conn, logged, next: None });
        self.tell(conn, Opened { session: Some(session), stored, logged });
    }

    fn admit_parked(&mut self) {
        let mut at = 0;
        while at < self.parked.len() {
            if self.book.positions().reach(&self.parked[at].until) {
                match self.parked.swap_remove(at).what {
                    Waits::Open(open) => self.open(open),
                    Waits::Retained(want) => self.send_retained(*want),
                }
            } else {
                at += 1;
            }
        }
    }

    fn turn_away(&self, open: &Open) {
        self.tell(open.conn, Opened { session: None, stored: None, logged: false });
    }

    fn tell(&self, conn: ConnRef, opened: Opened) {
        self.shared.to_worker(conn.worker.into(), ToWorker::Opened(conn, Box::new(opened)));
    }

    fn release(&mut self, release: Release) {
        let Some(client) = self.online.remove(release.session) else { return };
        if client.logged {
            if release.abandoned {
                self.book.abandon(release.session);
            }
        } else {
            for filter in &release.filters {
                self.shared.subscriptions.remove(client.tenant.as_str(), filter, release.session);
            }
            self.book.release_transient(release.session);
        }
        if let Some(next) = client.next {
            self.open(next);
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
        let publisher = publisher_of(&record);
        let audience = Present { online: &self.online, publisher };
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
        let publisher = envelope.origin.map_or("", |origin| origin.client_id);
        let audience = Present { online: &self.online, publisher };
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

    async fn on_tick(&mut self) {
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
        let due = age >= CHECKPOINT_TICKS && self.book.is_dirty() || age >= OFFSETS_TICKS;
        if due && self.checkpoint.is_none() {
            self.checkpointed = self.ticks;
            let positions = self.book.positions().clone();
            let (checkpoint, metadata) = (self.book.checkpoint(), Arc::clone(&self.metadata));
            let commit = move || match metadata.commit(&checkpoint.changes) {
                Ok(()) => Ok(positions),
                Err(error) => Err((checkpoint, error)),
            };
            self.checkpoint = Some(tokio::task::spawn_blocking(commit));
        }
    }

    async fn end_checkpoint(&mut self) {
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

    fn note_counts(&self) {
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
    fn publish_will(&self, will: OwedWill, now: Timestamp) {
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
    async fn finish(mut self, mut reader: Box<dyn log::Reader>) -> Result<(), crate::mqtt::Error> {
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

/// What a checkpoint contains, retention may take from the log.
async fn release(log: Arc<dyn log::Log>, read: Positions) {
    let positions: Vec<_> = read.iter().collect();
    if let Err(error) = log.commit(crate::READER, &positions).await {
        tracing::debug!(%error, "how far the gateway has read was not noted");
    }
}

fn publisher_of(record: &[u8]) -> &str {
    Envelope::decode(record).ok().and_then(|envelope| envelope.origin).map_or("", |origin| origin.client_id)
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
