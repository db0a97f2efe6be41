//! The gateway with one thread of everything: connections, commits, dispatcher, checkpoints.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use gateway::state::{Book, Entry, Limits as BookLimits, Opening, Positions, SessionKey, recover};
use gateway::topics::{Audience, Matches, Standing};
use log::{Batch, EmbeddedLog, Log, PartitionId, Partitions, Pending, Position, Reader, Stepper, Topic};
use metadata::{Change, Metadata, Table};
use record::Qos;
use wire::mqtt::session::{Due, End, Limits, Machine, Outgoing, Progress, Stop, Terms};
use wire::mqtt::{DecodeLimits, Decoded, Packet, ReasonCode, Sender, Version, decode};

use crate::shell::{Awaited, Core, Shell, TENANT, Waiting};

/// What is broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    /// The log's own controls.
    pub log: log::Sabotage,
    /// The gateway acknowledges when it has handed the batch over, not when it is durable.
    pub ack_first: bool,
    /// A checkpoint's offsets are committed without its rows.
    pub offsets_alone: bool,
    /// The packet ids of QoS 2 publishes are forgotten at a restart.
    pub forget_arrived: bool,
}

const LIMITS: Limits = Limits {
    receive_maximum: 8,
    packet_bytes: 1 << 20,
    topic_alias_maximum: 0,
    max_keep_alive_s: 0,
    session_expiry_s: u32::MAX,
    outgoing_window: 6,
    outgoing_aliases: 0,
    queued: 100_000,
};

pub(crate) struct Server {
    core: Core,
    stepper: Stepper,
    metadata: Arc<metadata::Memory>,
    book: Book,
    reader: Box<dyn Reader>,
    conns: BTreeMap<u32, Conn>,
    online: BTreeMap<SessionKey, u32>,
    owners: BTreeMap<String, u32>,
    commits: VecDeque<(Option<Pending>, Vec<Waiting>)>,
    broken: Broken,
}

struct Conn {
    client: String,
    version: Option<Version>,
    input: Vec<u8>,
    output: Vec<u8>,
    machine: Option<Machine<Position>>,
    /// Waits for the session, with the terms it asked for.
    opening: Option<Terms>,
    session: SessionKey,
    ended: Option<End>,
    closing: bool,
    opened: bool,
}

struct Present<'a>(&'a BTreeMap<SessionKey, u32>);

impl Audience<SessionKey> for Present<'_> {
    fn standing(&self, subscriber: SessionKey) -> Standing {
        if self.0.contains_key(&subscriber) { Standing::Connected } else { Standing::Away }
    }
    fn is_publisher(&self, _: SessionKey) -> bool {
        false
    }
}

/// Futures here wait for nothing but what a step of the world brings.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl Server {
    /// Starts on whatever the disk and the metadata hold.
    pub(crate) fn start(
        log: EmbeddedLog,
        mut stepper: Stepper,
        metadata: Arc<metadata::Memory>,
        now_ms: i64,
        broken: Broken,
    ) -> Result<Self, String> {
        let recovered = poll_once(recover(&log, &*metadata, BookLimits::default(), now_ms))
            .ok_or("the recovery waits for something")?
            .map_err(|error| error.to_string())?;
        let skipped = recovered.skipped;
        if skipped != Default::default() {
            return Err(format!("the recovery left out {skipped:?}"));
        }
        let mut closings = log.append(recovered.closings(&log, now_ms));
        stepper.step();
        // Its failure is survived: the next start finds the connections open again.
        let _ = Pin::new(&mut closings).poll(&mut Context::from_waker(Waker::noop()));
        let book = recovered.book;
        let log = Arc::new(log);
        let reader = reader(&log, &book)?;
        let core = Core {
            log,
            subscriptions: Arc::clone(book.subscriptions()),
            batch: Batch::new(),
            waiting: Vec::new(),
            now_ms,
        };
        Ok(Self {
            core,
            stepper,
            metadata,
            book,
            reader,
            conns: BTreeMap::new(),
            online: BTreeMap::new(),
            owners: BTreeMap::new(),
            commits: VecDeque::new(),
            broken,
        })
    }

    pub(crate) fn log(&self) -> &EmbeddedLog {
        &self.core.log
    }

    pub(crate) fn accept(&mut self, id: u32) {
        let conn = Conn {
            client: String::new(),
            version: None,
            input: Vec::new(),
            output: Vec::new(),
            machine: None,
            opening: None,
            session: SessionKey(u32::MAX),
            ended: None,
            closing: false,
            opened: false,
        };
        self.conns.insert(id, conn);
    }

    /// Bytes from a client.
    pub(crate) fn receive(&mut self, id: u32, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.input.extend_from_slice(bytes);
        }
    }

    /// What is to be sent to a client; `None`: the connection is closed.
    pub(crate) fn send(&mut self, id: u32) -> Option<Vec<u8>> {
        let conn = self.conns.get_mut(&id)?;
        let bytes = std::mem::take(&mut conn.output);
        if bytes.is_empty() && conn.ended.is_some() { None } else { Some(bytes) }
    }

    /// The network says that the client is gone.
    pub(crate) fn lost(&mut self, id: u32) {
        self.end(id, End::Lost);
    }

    /// One turn: sockets, commit, dispatcher.
    pub(crate) fn turn(&mut self, now_ms: i64) {
        self.core.now_ms = now_ms;
        let ids: Vec<u32> = self.conns.keys().copied().collect();
        for id in ids {
            self.read(id);
            self.admit(id);
            self.pump(id);
        }
        self.flush();
    }

    /// The log's writer does one commit group.
    pub(crate) fn step_log(&mut self) {
        self.stepper.step();
    }

    fn read(&mut self, id: u32) {
        let Some(mut conn) = self.conns.remove(&id) else { return };
        let input = std::mem::take(&mut conn.input);
        let mut at = 0;
        while conn.ended.is_none() {
            let wants = match &conn.machine {
                Some(machine) => machine.wants_input(),
                None => conn.version.is_none(),
            };
            let limits =
                DecodeLimits { version: conn.version, max_packet_bytes: 1 << 20, sender: Sender::Client };
            let Ok(Decoded::Packet { packet, consumed }) = decode(&input[at..], &limits) else { break };
            if !wants {
                break;
            }
            at += consumed;
            match (&packet, conn.machine.is_some()) {
                (Packet::Connect(connect), false) => {
                    conn.version = Some(connect.version);
                    conn.client = connect.client_id.to_owned();
                    conn.opening = Terms::negotiate(connect, &LIMITS).ok();
                }
                _ => {
                    let outcome = act(&mut self.core, id, &mut conn, None, |machine, shell| {
                        machine.packet(&packet, shell)
                    });
                    if let Err(stop) = outcome {
                        conn.ended = Some(end_of(&stop));
                    }
                }
            }
        }
        conn.input = input[at..].to_vec();
        self.conns.insert(id, conn);
        self.close(id);
    }

    /// Sends what had to wait.
    fn pump(&mut self, id: u32) {
        let waits =
            |conn: &Conn| conn.ended.is_none() && conn.machine.as_ref().is_some_and(Machine::is_pumping);
        let Some(mut conn) = self.conns.remove(&id) else { return };
        if waits(&conn) {
            let _ = act(&mut self.core, id, &mut conn, None, |machine, shell| {
                machine.pump(shell);
                Ok(())
            });
        }
        self.conns.insert(id, conn);
    }

    /// Gives a connection its session, once the one before has let go and the book has read all of it.
    fn admit(&mut self, id: u32) {
        let Some(client) = self.conns.get(&id).filter(|c| c.opening.is_some()).map(|c| c.client.clone())
        else {
            return;
        };
        if let Some(&owner) = self.owners.get(&client) {
            self.end(owner, End::TakenOver { clean: false });
            return;
        }
        let partition = self.core.session_partition(&client);
        let end = self.core.log.extent(partition).map_or(u64::MAX, |extent| extent.end);
        if self.book.positions().get(partition) < end {
            return;
        }
        let Some(mut conn) = self.conns.remove(&id) else { return };
        if let Some(terms) = conn.opening.take() {
            let opened = self.book.open(TENANT, &client, terms.clean_start, self.core.now_ms);
            conn.session = opened.session;
            self.owners.insert(client.clone(), id);
            self.online.insert(opened.session, id);
            let opening = Opening {
                clean: opened.stored.is_none(),
                expiry_s: terms.expiry_s,
                at_ms: self.core.now_ms,
                subject: client.as_str().into(),
                will: None,
            };
            let mut stored = opened.stored;
            if let Some(stored) = stored.as_mut().filter(|_| self.broken.forget_arrived) {
                stored.arrived.clear();
            }
            let mut shell =
                shell(&mut self.core, id, &conn.client, conn.session, terms.version, &mut conn.output);
            shell.opening = Some(Box::new(opening));
            conn.machine = Some(Machine::open(terms, &LIMITS, None, stored, true, None, &mut shell));
            shell.finish();
        }
        self.conns.insert(id, conn);
    }

    fn end(&mut self, id: u32, end: End) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.ended.get_or_insert(end);
            self.close(id);
        }
    }

    /// A connection that has ended says its last word once nothing it handed over is under way.
    fn close(&mut self, id: u32) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (Some(end), false) = (conn.ended, conn.closing) else { return };
        let Some(machine) = conn.machine.take_if(|machine| machine.unsettled() == 0) else {
            if conn.machine.is_none() {
                self.conns.remove(&id);
            }
            return;
        };
        conn.closing = true;
        if !conn.opened {
            self.book.abandon(conn.session);
        }
        let farewell = machine.finish(end, self.core.now_ms);
        if let Some(wire::mqtt::session::Event::Closed { at_ms, expiry_s }) =
            farewell.event.filter(|_| conn.opened)
        {
            let closed = Entry::Closed { at_ms, expiry_s, will_owed: false };
            self.core.log_entries(&conn.client.clone(), &[closed]);
        }
        self.core.waiting.push(Waiting { conn: id, what: Awaited::Closed });
    }

    fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.core.waiting);
        if self.core.batch.is_empty() && waiting.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.core.batch);
        let pending = (!batch.is_empty()).then(|| self.core.log.append(batch));
        self.commits.push_back((pending, waiting));
    }

    /// Gives out the answers of what is durable.
    pub(crate) fn settle(&mut self) {
        while let Some((pending, _)) = self.commits.front_mut() {
            let outcome = match pending {
                None => Ok(Vec::new()),
                Some(pending) => match Pin::new(pending).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending if self.broken.ack_first => Ok(Vec::new()),
                    Poll::Pending => return,
                },
            };
            let Some((_, waiting)) = self.commits.pop_front() else { return };
            for Waiting { conn, what } in waiting {
                match what {
                    Awaited::Answer(due, record) => {
                        let outcome = match &outcome {
                            Ok(positions) => Ok(record.and_then(|at| positions.get(at).copied())),
                            Err(log::Error::Full { .. } | log::Error::Busy { .. }) => {
                                Err(ReasonCode::QuotaExceeded)
                            }
                            Err(_) => Err(ReasonCode::ImplementationSpecificError),
                        };
                        self.answer(conn, due, outcome);
                    }
                    Awaited::Closed => self.release(conn),
                }
            }
        }
    }

    fn answer(&mut self, id: u32, due: Due, outcome: Result<Option<Position>, ReasonCode>) {
        let Some(mut conn) = self.conns.remove(&id) else { return };
        if matches!(due, Due::ConnAck(_)) && outcome.is_ok() {
            conn.opened = true;
        }
        let stopped =
            act(&mut self.core, id, &mut conn, None, |machine, shell| machine.settle(due, outcome, shell));
        if let Err(stop) = stopped {
            conn.ended.get_or_insert(end_of(&stop));
        }
        self.conns.insert(id, conn);
        self.close(id);
    }

    fn release(&mut self, id: u32) {
        if let Some(conn) = self.conns.remove(&id) {
            self.owners.remove(&conn.client);
            self.online.remove(&conn.session);
        }
    }

    /// The dispatcher reads what there is.
    pub(crate) fn dispatch(&mut self) -> Result<(), String> {
        let next = poll_once(self.reader.next(4096));
        let chunk = match next {
            None => return Ok(()),
            Some(Ok(chunk)) => chunk,
            // A disk that fails now may not the next time; what was read stays read.
            Some(Err(log::Error::Io { .. } | log::Error::Full { .. })) => {
                if let Ok(again) = reader(&self.core.log, &self.book) {
                    self.reader = again;
                }
                return Ok(());
            }
            Some(Err(error)) => return Err(format!("the dispatcher: {error}")),
        };
        let mut matches = Matches::new();
        for run in chunk.runs {
            for (offset, record) in (run.base..).zip(&run.records) {
                let at = Position { partition: run.partition, offset };
                if at.partition.topic == Topic::Sessions {
                    self.book.apply_session(at, &record.value).map_err(|e| e.to_string())?;
                    continue;
                }
                let audience = Present(&self.online);
                self.book
                    .apply_message(at, &record.value, &audience, &mut matches)
                    .map_err(|e| e.to_string())?;
                let message = record::Envelope::decode(&record.value).map_err(|e| e.to_string())?;
                let (qos, retain) = (message.qos, message.retain);
                for found in matches.drain() {
                    let Some(&id) = self.online.get(&found.subscriber) else { continue };
                    let Some(mut conn) = self.conns.remove(&id) else { continue };
                    let qos = found.qos.min(qos);
                    if qos != Qos::AtMostOnce && conn.ended.is_none() {
                        let outgoing = Outgoing {
                            message: at,
                            qos,
                            retain: retain && found.retain_as_published,
                            subscription_ids: found.ids.as_slice().into(),
                            progress: Progress::Queued,
                        };
                        let delivered = act(&mut self.core, id, &mut conn, None, |machine, shell| {
                            machine.deliver(outgoing, false, shell);
                            Ok(())
                        });
                        debug_assert!(delivered.is_ok());
                    }
                    self.conns.insert(id, conn);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn checkpoint(&mut self) {
        let checkpoint = self.book.checkpoint();
        let offsets_alone = self.broken.offsets_alone;
        let changes: Vec<Change> = checkpoint
            .changes
            .into_iter()
            .filter(|change| !offsets_alone || matches!(change, Change::Put(Table::Offsets, _)))
            .collect();
        self.metadata.commit(&changes).expect("the memory backend does not fail");
    }
}

fn end_of(stop: &Stop) -> End {
    match stop {
        Stop::Client(reason) => End::Client(*reason),
        Stop::Server(_) => End::Lost,
    }
}

fn shell<'a>(
    core: &'a mut Core,
    conn: u32,
    client: &'a str,
    session: SessionKey,
    version: Version,
    out: &'a mut Vec<u8>,
) -> Shell<'a> {
    Shell { core, conn, client, session, version, out, opening: None, entries: Vec::new(), record: None }
}

fn act(
    core: &mut Core,
    id: u32,
    conn: &mut Conn,
    opening: Option<Box<Opening>>,
    call: impl FnOnce(&mut Machine<Position>, &mut Shell<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let (Some(machine), Some(version)) = (&mut conn.machine, conn.version) else { return Ok(()) };
    let mut shell = shell(core, id, &conn.client, conn.session, version, &mut conn.output);
    shell.opening = opening;
    let outcome = call(machine, &mut shell);
    shell.finish();
    outcome
}

fn reader(log: &EmbeddedLog, book: &Book) -> Result<Box<dyn Reader>, String> {
    let from: Vec<Position> = Partitions::uniform(PARTITIONS)
        .map_err(|e| e.to_string())?
        .all()
        .filter(|p: &PartitionId| matches!(p.topic, Topic::Raw | Topic::Messages | Topic::Sessions))
        .map(|partition| Position { partition, offset: book.positions().get(partition) })
        .collect();
    log.read(&from).map_err(|error| error.to_string())
}

/// Partitions of each topic: more than one, so that there is no order to lean on.
pub(crate) const PARTITIONS: u16 = 2;

/// Every record of the message partitions.
pub(crate) fn all_messages(log: &EmbeddedLog) -> Result<Vec<bytes::Bytes>, String> {
    let mut found = Vec::new();
    for partition in Partitions::uniform(PARTITIONS).map_err(|e| e.to_string())?.all() {
        if partition.topic != Topic::Messages {
            continue;
        }
        let extent = log.extent(partition).map_err(|e| e.to_string())?;
        let mut at = extent.start;
        let mut reader = log.read(&[Position { partition, offset: at }]).map_err(|e| e.to_string())?;
        while at < extent.end {
            let chunk = poll_once(reader.next(1 << 20)).ok_or("a durable record is not there")?;
            for run in chunk.map_err(|e| e.to_string())?.runs {
                at += run.records.len() as u64;
                found.extend(run.records.into_iter().map(|record| record.value));
            }
        }
    }
    Ok(found)
}

/// What the server last said to the log is where it should be: for the checks at the end.
impl Server {
    pub(crate) fn is_idle(&self) -> bool {
        let positions: &Positions = self.book.positions();
        let all = Partitions::uniform(PARTITIONS).expect("a constant within the limits");
        let read = all
            .all()
            .filter(|p| matches!(p.topic, Topic::Raw | Topic::Messages | Topic::Sessions))
            .all(|p| self.core.log.extent(p).is_ok_and(|extent| positions.get(p) >= extent.end));
        read && self.commits.is_empty() && self.core.waiting.is_empty() && self.core.batch.is_empty()
    }
}
