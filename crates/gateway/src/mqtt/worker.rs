//! A worker: a thread with its own runtime and the connections pinned to it.

mod clock;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use log::{Offset, PartitionId, Position, Topic};
use record::{Lane, TenantId, Timestamp, partition_of};
use slab::Slab;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::LocalSet;
use wire::mqtt::ReasonCode;
use wire::mqtt::session::Event;
use wire::payload::Scratch;

use super::commit::{Awaited, Commits, ConnKey, Settled};
use super::connection::Conn;
use super::listen::{Accepted, Admission, Incoming};
use super::output::Spares;
use super::pace::Pace;
use super::shared::Shared;
use super::stream::Stream;
use super::turns::{Place, Turns};
use super::wheel::Wheel;
use crate::dispatch::{ConnRef, Delivery, Message, ToWorker};
use crate::metrics::Counters;
use crate::state::{Entry, Positions, SessionRecord};
use crate::{tls, websocket};

/// What one read can take: a socket's usual receive buffer.
const SCRATCH_BYTES: usize = 64 << 10;
/// How long a connection that we closed may take to read our last word.
const LINGER_S: u32 = 5;
/// After an error of the disk a message is read again so much later.
const REREAD: Duration = Duration::from_millis(200);
/// What is read at a time of bodies that had left memory.
const FETCH_BYTES: usize = 64 << 10;
/// Messages of the dispatcher handled before the sockets have their turn again.
const INBOX_BATCH: usize = 256;

/// Connections ended before the sockets have their turn again: each is some ten microseconds of work.
const DEPARTURES: usize = 16;

/// A connection, shared by its task, the commits and the inbox of its worker.
type Shared1 = Rc<RefCell<Conn>>;

/// The state of a worker.
pub(super) struct Worker {
    index: u16,
    pub(super) shared: Arc<Shared>,
    pub(super) pace: Arc<Pace>,
    pub(super) scratch: RefCell<Box<[u8]>>,
    pub(super) payloads: RefCell<Scratch>,
    pub(super) spares: Spares,
    pub(super) commits: RefCell<Commits>,
    pub(super) turns: Turns,
    conns: RefCell<Slab<Shared1>>,
    generation: Cell<u32>,
    wheel: RefCell<Wheel>,
    lingering: RefCell<Vec<(ConnKey, u32)>>,
    blocked: RefCell<Vec<ConnKey>>,
    /// Connections that wait because too much waits for the log.
    stalled: RefCell<Vec<ConnKey>>,
    /// Connections whose peer has gone.
    departing: RefCell<VecDeque<ConnKey>>,
    departure: Notify,
    tick: Cell<u32>,
    now: Cell<Timestamp>,
    instant: Cell<Instant>,
    stopping: Cell<bool>,
}

impl Worker {
    /// Serves until it is told to stop and its connections have ended.
    pub(super) async fn run(
        index: u16,
        shared: Arc<Shared>,
        pace: Arc<Pace>,
        inbox: UnboundedReceiver<ToWorker>,
    ) {
        let worker = Rc::new(Self {
            index,
            shared,
            pace,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
            payloads: RefCell::default(),
            spares: Spares::default(),
            commits: RefCell::default(),
            turns: Turns::default(),
            conns: RefCell::default(),
            generation: Cell::new(0),
            wheel: RefCell::default(),
            lingering: RefCell::default(),
            blocked: RefCell::default(),
            stalled: RefCell::default(),
            departing: RefCell::default(),
            departure: Notify::new(),
            tick: Cell::new(1),
            now: Cell::new(Timestamp::now()),
            instant: Cell::new(Instant::now()),
            stopping: Cell::new(false),
        });
        let local = LocalSet::new();
        local.spawn_local(Rc::clone(&worker).take_orders(inbox));
        local.spawn_local(Rc::clone(&worker).commit());
        local.spawn_local(Rc::clone(&worker).see_off());
        local.spawn_local(Rc::clone(&worker).let_history_in());
        local.run_until(worker.count_time()).await;
    }

    pub(super) fn counters(&self) -> &Counters {
        self.shared.metrics.worker(self.index.into())
    }

    pub(super) fn conn_ref(&self, key: ConnKey) -> ConnRef {
        ConnRef { worker: self.index, slot: key.slot, generation: key.generation }
    }

    /// Seconds since the worker began, from 1.
    pub(super) fn tick(&self) -> u32 {
        self.tick.get()
    }

    /// The time, as of the last read.
    pub(super) fn now(&self) -> Timestamp {
        self.now.get()
    }

    pub(super) fn take_time(&self) {
        self.now.set(Timestamp::now());
        self.instant.set(Instant::now());
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Whether too much waits for the log to read on. The connection is woken when that has passed.
    pub(super) fn is_full(&self, key: ConnKey) -> bool {
        let full = self.shared.in_flight.get() > self.shared.config.limits.in_flight_bytes;
        if full {
            let mut stalled = self.stalled.borrow_mut();
            if stalled.last() != Some(&key) {
                stalled.push(key);
            }
        }
        full
    }

    /// Notes that a socket takes nothing.
    pub(super) fn blocked(&self, key: ConnKey) {
        self.blocked.borrow_mut().push(key);
    }

    /// Notes that a connection's peer has gone.
    pub(super) fn departs(&self, key: ConnKey) {
        self.departing.borrow_mut().push_back(key);
        self.departure.notify_one();
    }

    /// Notes that a socket is to be closed by force if the client does not.
    pub(super) fn linger(&self, key: ConnKey) {
        let patience_s = if self.is_stopping() { 1 } else { LINGER_S };
        self.lingering.borrow_mut().push((key, self.tick() + patience_s));
    }

    /// Looks at the connection when its patience with the client ends, if not earlier.
    pub(super) fn watch(&self, conn: &mut Conn) {
        let Some(patience_s) = conn.patience_s(self) else { return };
        let ends = conn.heard.saturating_add(patience_s);
        if conn.looked_at == 0 || ends < conn.looked_at {
            conn.looked_at = self.wheel.borrow_mut().insert(conn.key, self.tick(), ends);
        }
    }

    /// Logs what happened to a session, with the next batch.
    pub(super) fn log_entries(&self, tenant: &TenantId, client_id: &str, entries: &[Entry]) {
        let log = &*self.shared.log;
        let index = partition_of(tenant.as_str(), client_id, log.partitions(Topic::Sessions));
        let partition = PartitionId { topic: Topic::Sessions, lane: Lane::Live, index };
        let placed = entries.iter().any(|entry| {
            let event = match entry {
                Entry::Event(event) => event,
                other => return matches!(other, Entry::Opened(_)),
            };
            matches!(event, Event::Subscribed(_) | Event::Unsubscribed { .. })
        });
        let tails = if placed { Positions::message_tails(log).ok() } else { None };
        let mut commits = self.commits.borrow_mut();
        commits.batch().push_with(partition, |out| {
            SessionRecord::encode(out, tenant.as_str(), client_id, tails.as_ref(), entries);
        });
        commits.wake();
    }

    /// Reads the body at `wanted` from the log, and those at `offsets` of the same partition that come along.
    pub(super) fn fetch(&self, key: ConnKey, wanted: Position, offsets: Vec<Offset>) {
        let (log, conn) = (Arc::clone(&self.shared.log), self.conn_ref(key));
        let to = self.shared.port(self.index);
        tokio::task::spawn_local(async move {
            let bodies = loop {
                match read_some(&*log, wanted, &offsets).await {
                    Ok(bodies) => break bodies,
                    Err(log::Error::Closed) => return,
                    Err(error) => {
                        // Not lost yet: a message is given up only when the log says that it is gone.
                        tracing::warn!(%error, "a message cannot be read from the log; trying again");
                        tokio::time::sleep(REREAD).await;
                    }
                }
            };
            to.send(ToWorker::Bodies(conn, wanted, bodies));
        });
    }

    fn find(&self, slot: u32, generation: u32) -> Option<Shared1> {
        let conns = self.conns.borrow();
        let conn = conns.get(slot as usize)?;
        // Borrowed only by whoever is asking for another connection.
        (conn.try_borrow().ok()?.key.generation == generation).then(|| Rc::clone(conn))
    }

    /// Lets a connection that brings history read once.
    pub(super) fn admit(&self, key: ConnKey) {
        if let Some(conn) = self.find(key.slot, key.generation) {
            let mut conn = conn.borrow_mut();
            conn.place = Place::Admitted;
            conn.wake();
        }
    }

    /// Ends the connections whose peers have gone, a few at a time: when a whole network goes down, those that are still
    /// there must not wait for the thousands that are not.
    async fn see_off(self: Rc<Self>) {
        loop {
            self.departure.notified().await;
            while !self.departing.borrow().is_empty() {
                for _ in 0..DEPARTURES {
                    let Some(key) = self.departing.borrow_mut().pop_front() else { break };
                    if let Some(conn) = self.find(key.slot, key.generation) {
                        let mut conn = conn.borrow_mut();
                        conn.lost(&self);
                        conn.wake();
                    }
                }
                tokio::task::yield_now().await;
            }
        }
    }

    async fn take_orders(self: Rc<Self>, mut inbox: UnboundedReceiver<ToWorker>) {
        let mut orders = Vec::with_capacity(INBOX_BATCH);
        while inbox.recv_many(&mut orders, INBOX_BATCH).await > 0 {
            self.take_time();
            for order in orders.drain(..) {
                self.obey(order);
            }
            tokio::task::yield_now().await;
        }
    }

    fn obey(self: &Rc<Self>, order: ToWorker) {
        match order {
            ToWorker::Accepted(accepted) => self.accept(*accepted),
            ToWorker::Opened(conn, opened) => self.with(conn, |c| c.opened(*opened, self)),
            ToWorker::TakeOver(conn, clean) => self.with(conn, |c| c.taken_over(clean, self)),
            ToWorker::Deliver(deliveries) => self.deliver(deliveries),
            ToWorker::Retained(messages, conn, next) => self.with(conn, |c| c.retained(messages, next, self)),
            ToWorker::Bodies(conn, wanted, bodies) => self.with(conn, |c| c.bodies(wanted, bodies, self)),
            ToWorker::Stop => self.stop(),
        }
    }

    fn with(&self, conn: ConnRef, act: impl FnOnce(&mut Conn)) {
        if let Some(conn) = self.find(conn.slot, conn.generation) {
            let mut conn = conn.borrow_mut();
            act(&mut conn);
            conn.settled(self);
        }
    }

    fn deliver(&self, deliveries: Vec<Delivery>) {
        let mut deliveries = deliveries.into_iter().peekable();
        while let Some(first) = deliveries.next() {
            let at = first.conn;
            let Some(conn) = self.find(at.slot, at.generation) else { continue };
            let mut conn = conn.borrow_mut();
            conn.deliver(first, self);
            while let Some(next) = deliveries.next_if(|d| d.conn == at) {
                conn.deliver(next, self);
            }
            conn.settled(self);
        }
    }

    fn accept(self: &Rc<Self>, accepted: Accepted) {
        let Accepted { incoming, peer, admission } = accepted;
        let begun = match incoming {
            Incoming::Tcp(socket) => TcpStream::from_std(socket)
                .map(|socket| self.begin(Stream::Tcp(socket), peer, None, admission)),
            Incoming::Tls(mut stream) => stream.get_mut().0.arrive().map(|()| {
                let certificate = tls::peer_certificate(stream.get_ref().1).map(|c| c.as_ref().into());
                self.begin(Stream::Other(Pin::from(stream)), peer, certificate, admission);
            }),
            Incoming::WebSocket(socket, settings) => {
                TcpStream::from_std(socket).map(|socket| self.upgrade(socket, settings, peer, admission))
            }
        };
        if let Err(error) = begun {
            tracing::warn!(%peer, %error, "an accepted socket could not be served");
        }
    }

    fn upgrade(
        self: &Rc<Self>,
        socket: TcpStream,
        settings: Arc<websocket::Settings>,
        peer: SocketAddr,
        admission: Admission,
    ) {
        let worker = Rc::clone(self);
        // Boxed: an upgrade is large and short, a connection small and long.
        tokio::task::spawn_local(Box::pin(async move {
            let deadline = worker.shared.config.limits.connect_deadline;
            match tokio::time::timeout(deadline, websocket::accept(socket, &settings)).await {
                Ok(Ok(stream)) => worker.begin(Stream::Other(Box::pin(stream)), peer, None, admission),
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no WebSocket upgrade"),
                Err(_) => worker.shared.metrics.shared().refused_deadline.add_shared(1),
            }
        }));
    }

    fn begin(
        self: &Rc<Self>,
        stream: Stream,
        peer: SocketAddr,
        certificate: Option<Box<[u8]>>,
        admission: Admission,
    ) {
        let generation = self.generation.get().wrapping_add(1);
        self.generation.set(generation);
        let mut conns = self.conns.borrow_mut();
        let entry = conns.vacant_entry();
        let slot = u32::try_from(entry.key()).expect("connections are limited far below 2^32");
        let mut conn = Conn::new(ConnKey { slot, generation }, stream, self.tick(), admission);
        (conn.peer, conn.certificate) = (Some(peer), certificate);
        self.watch(&mut conn);
        let conn = Rc::new(RefCell::new(conn));
        entry.insert(Rc::clone(&conn));
        drop(conns);
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            poll_fn(|cx| conn.borrow_mut().poll(&worker, cx)).await;
            worker.conns.borrow_mut().remove(slot as usize);
        });
    }

    /// Hands over the batch of each turn and gives out the answers of those that are durable.
    async fn commit(self: Rc<Self>) {
        poll_fn(|cx| {
            loop {
                let bytes = self.commits.borrow_mut().flush(&*self.shared.log, self.instant.get());
                self.shared.in_flight.add(bytes);
                let polled = self.poll_settled(cx);
                match polled {
                    Poll::Ready(settled) => self.settle(settled),
                    Poll::Pending => return Poll::<()>::Pending,
                }
            }
        })
        .await;
    }

    fn poll_settled(&self, cx: &mut Context<'_>) -> Poll<Settled> {
        self.commits.borrow_mut().poll_settled(cx)
    }

    fn settle(&self, settled: Settled) {
        let Settled { outcome, waiting, bytes, since } = settled;
        self.shared.in_flight.sub(bytes);
        self.take_time();
        let (positions, failure) = match outcome {
            Ok(positions) => (positions, None),
            Err(error) => {
                self.counters().append_failures.add(1);
                tracing::warn!(%error, "publishes refused");
                (Vec::new(), Some(reason_of(&error)))
            }
        };
        let answered = waiting.iter().filter(|w| matches!(w.awaited, Awaited::Answer(_))).count() as u64;
        self.counters().acknowledgement.record(self.instant.get().saturating_duration_since(since), answered);
        let mut waiting = waiting.into_iter().peekable();
        while let Some(first) = waiting.next() {
            let at = first.conn;
            let Some(conn) = self.find(at.slot, at.generation) else { continue };
            let mut conn = conn.borrow_mut();
            let mut next = Some(first);
            while let Some(one) = next {
                let outcome = failure.map_or_else(|| Ok(one.position(&positions)), Err);
                conn.settle(one, outcome, self);
                next = waiting.next_if(|w| w.conn == at);
            }
            conn.settled(self);
        }
        self.wake_stalled();
    }

    fn wake_stalled(&self) {
        if self.shared.in_flight.get() > self.shared.config.limits.in_flight_bytes {
            return;
        }
        for key in self.stalled.take() {
            if let Some(conn) = self.find(key.slot, key.generation) {
                conn.borrow().wake();
            }
        }
    }

    fn stop(&self) {
        self.stopping.set(true);
    }
}

/// What a client is told of a batch that failed.
fn reason_of(error: &log::Error) -> ReasonCode {
    match error {
        log::Error::Full { .. } | log::Error::Busy { .. } => ReasonCode::QuotaExceeded,
        log::Error::Refused(_) => ReasonCode::ImplementationSpecificError,
        _ => ReasonCode::UnspecifiedError,
    }
}

/// What is left in the log of the messages at `wanted` and at `offsets` of its partition, as far as one read brings them.
async fn read_some(
    log: &dyn log::Log,
    wanted: Position,
    offsets: &[Offset],
) -> Result<Vec<Arc<Message>>, log::Error> {
    let partition = wanted.partition;
    if wanted.offset >= log.extent(partition)?.end {
        return Ok(Vec::new());
    }
    let mut bodies = Vec::new();
    let chunk = match log.read(&[wanted])?.next(FETCH_BYTES).await {
        Ok(chunk) => chunk,
        Err(log::Error::Expired { .. } | log::Error::Damaged { .. }) => return Ok(bodies),
        Err(error) => return Err(error),
    };
    for run in chunk.runs {
        for (record, offset) in run.records.into_iter().zip(run.base..) {
            if offset == wanted.offset || offsets.contains(&offset) {
                // One that is no envelope is as good as gone.
                bodies.extend(Message::new(record.value, Some(Position { partition, offset })).map(Arc::new));
            }
        }
    }
    Ok(bodies)
}
