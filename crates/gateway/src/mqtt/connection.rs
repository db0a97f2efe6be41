//! One connection: its bytes in, its bytes out, and its life.
//!
//! ```text
//!  Greeting ──CONNECT──▶ Opening ──Opened──▶ Live ──end, settled──▶ Releasing ──settled──▶ Over
//! ```
//! The socket may be gone long before the session is: what is on its way into the log belongs to the session, so the
//! connection stays until it has settled.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use log::Position;
use wire::mqtt::session::{Due, End, Machine, Outgoing, OwnedWill, Progress, Stop, Terms, Will};
use wire::mqtt::{
    ConnAck, Connect, DecodeLimits, Decoded, Disconnect, Packet, Properties, PropertiesBuf, Property,
    ReasonCode, Sender, Version, decode,
};

use super::commit::{Awaited, ConnKey, Waiting};
use super::listen::Admission;
use super::output::Output;
use super::shell::{Feed, Shell, Side};
use super::stream::Stream;
use super::worker::Worker;
use crate::dispatch::{Command, Delivery, Message, Open, Opened, Release, WantRetained};

/// Reads of one socket in a row before others have their turn.
const READS_PER_TURN: usize = 4;
/// An incomplete packet up to here is moved to the worker's buffer and read on there; a larger one is read where it lies.
const SMALL_TAIL: usize = 16 << 10;
/// Messages looked at for bodies that can be read from the log together.
const FETCH_AHEAD: usize = 64;
/// A large packet's buffer grows by this, as its bytes arrive: what is announced is not what is sent.
const TAIL_STEP: usize = 64 << 10;

/// A connection.
pub(super) struct Conn {
    pub(super) key: ConnKey,
    pub(super) stream: Stream,
    pub(super) output: Output,
    /// Input not yet understood: the start of a packet, or packets that were not wanted yet.
    tail: Vec<u8>,
    /// The tail may hold whole packets.
    unread: bool,
    /// Reading stopped because input was not wanted; to be woken when it is again.
    paused: bool,
    waker: Option<Waker>,
    pub(super) phase: Phase,
    /// When something last came, in ticks of the worker.
    pub(super) heard: u32,
    /// When the worker looks at it next, in ticks; 0: never.
    pub(super) looked_at: u32,
    /// Since when the socket takes nothing, in ticks; 0: it does.
    pub(super) blocked: u32,
    /// The peer has closed or lost it: nothing is read any more, and its end waits for its turn.
    gone: bool,
    /// No more input; the socket closes once the output is out.
    closing: bool,
    pub(super) peer: Option<std::net::SocketAddr>,
    /// The client's certificate, DER, where TLS has verified one.
    pub(super) certificate: Option<Box<[u8]>>,
    admission: Admission,
}

/// Where in its life a connection is.
pub(super) enum Phase {
    /// No CONNECT yet.
    Greeting,
    /// The dispatcher is asked for the session.
    Opening(Box<Opening>),
    /// Serving, or ending.
    Live(Box<Live>),
    /// The end of the session's connection is on its way into the log.
    Releasing(Box<Release>),
    /// Nothing is left but the socket.
    Over,
}

/// What CONNECT said, until the session is there.
pub(super) struct Opening {
    terms: Terms,
    will: Option<Box<OwnedWill>>,
    tenant: record::TenantId,
    client_id: Arc<str>,
    assigned: bool,
    identity: Arc<registry::Identity>,
}

/// A connection with its session.
pub(super) struct Live {
    pub(super) machine: Machine<Position>,
    pub(super) side: Side,
    /// How it ended; the session is kept until everything has settled.
    ending: Option<End>,
    /// Whether the log has, or is to have, a session of it.
    logged: bool,
    /// The `Opened` record could not be written.
    abandoned: bool,
}

impl Conn {
    pub(super) fn new(key: ConnKey, stream: Stream, heard: u32, admission: Admission) -> Self {
        Self {
            key,
            stream,
            output: Output::default(),
            tail: Vec::new(),
            unread: false,
            paused: false,
            waker: None,
            phase: Phase::Greeting,
            heard,
            looked_at: 0,
            blocked: 0,
            gone: false,
            closing: false,
            peer: None,
            certificate: None,
            admission,
        }
    }

    /// Reads and writes what can be. `Ready`: the connection is over, socket and session.
    pub(super) fn poll(&mut self, worker: &Worker, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        if self.blocked != 0 {
            self.flush(worker);
            if self.output.len() == 0 {
                self.make_room(worker);
            }
        }
        self.read(worker, cx);
        self.go_on(worker);
        if self.is_over() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether socket and session are both gone.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stream, Stream::Closed) && matches!(self.phase, Phase::Over)
    }

    /// Has the connection's task run.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Seconds of silence after which the connection ends; `None`: never.
    pub(super) fn patience_s(&self, worker: &Worker) -> Option<u32> {
        match &self.phase {
            Phase::Live(live) if live.ending.is_none() => match live.machine.terms().keep_alive_s {
                0 => None,
                keep_alive_s => Some(u32::from(keep_alive_s) * 3 / 2 + 1), // MQTT-3.1.2-22
            },
            _ => u32::try_from(worker.shared.config.limits.connect_deadline.as_secs()).ok(),
        }
    }

    /// The client was silent for too long.
    pub(super) fn silent(&mut self, worker: &Worker) {
        match &self.phase {
            Phase::Live(live) if live.ending.is_none() => {
                worker.counters().keep_alive_timeouts.add(1);
                self.end(worker, End::Lost, Some(ReasonCode::KeepAliveTimeout));
            }
            Phase::Greeting | Phase::Opening(_) => {
                worker.counters().refused_deadline.add(1);
                self.close_socket(worker);
                if matches!(self.phase, Phase::Greeting) {
                    self.phase = Phase::Over;
                }
            }
            _ => self.close_socket(worker),
        }
        self.wake();
    }

    /// Ends the connection when its credentials no longer hold.
    pub(super) fn recheck(&mut self, worker: &Worker) {
        let Phase::Live(live) = &self.phase else { return };
        let identity = &live.side.identity;
        if !live.is_serving() || identity.method == registry::Method::Open {
            return;
        }
        match worker.shared.authenticator.recheck(identity, worker.now()) {
            Err(refusal) if refusal.kind != registry::RefusalKind::Unavailable => {
                tracing::info!(reason = %refusal.operator, "connection ended");
                worker.counters().refused_credentials.add(1);
                self.end(worker, End::Lost, Some(ReasonCode::NotAuthorized));
            }
            _ => {}
        }
    }

    fn wants_input(&self, worker: &Worker) -> bool {
        if self.closing || worker.is_stopping() {
            return false;
        }
        match &self.phase {
            Phase::Greeting => true,
            Phase::Live(live) => {
                live.machine.wants_input()
                    && live.side.in_flight_bytes < worker.shared.config.limits.connection_in_flight_bytes
                    // A client that sends and does not read would have us keep answers without end.
                    && self.output.len() <= 2 * worker.shared.config.limits.outgoing_bytes
                    && !worker.is_full(self.key)
            }
            _ => false,
        }
    }

    fn read(&mut self, worker: &Worker, cx: &mut Context<'_>) {
        for turn in 0.. {
            if self.gone {
                return;
            }
            if self.closing {
                self.discard(worker, cx);
                return;
            }
            self.paused = !self.wants_input(worker);
            if self.paused {
                return;
            }
            if self.unread {
                let tail = std::mem::take(&mut self.tail);
                let taken = self.take_in(&tail, worker);
                self.keep_tail(&tail[taken..]);
                continue;
            }
            if turn >= READS_PER_TURN {
                cx.waker().wake_by_ref();
                return;
            }
            let polled = if self.tail.len() > SMALL_TAIL {
                self.read_into_tail(worker, cx)
            } else {
                self.read_into_scratch(worker, cx)
            };
            match polled {
                Poll::Pending => return,
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.gone = true;
                    return worker.departs(self.key);
                }
                Poll::Ready(Ok(n)) => {
                    worker.counters().bytes_received.add(n as u64);
                    self.heard = worker.tick();
                }
            }
        }
    }

    fn read_into_scratch(&mut self, worker: &Worker, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut scratch = worker.scratch.borrow_mut();
        let start = self.tail.len();
        match self.stream.poll_read(cx, &mut scratch[start..]) {
            Poll::Ready(Ok(n)) if n > 0 => {
                worker.take_time();
                scratch[..start].copy_from_slice(&self.tail);
                self.tail = Vec::new();
                let taken = self.take_in(&scratch[..start + n], worker);
                self.keep_tail(&scratch[taken..start + n]);
                Poll::Ready(Ok(n))
            }
            other => other,
        }
    }

    fn read_into_tail(&mut self, worker: &Worker, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let start = self.tail.len();
        self.tail.resize(start + TAIL_STEP, 0);
        let polled = self.stream.poll_read(cx, &mut self.tail[start..]);
        let n = match &polled {
            Poll::Ready(Ok(n)) => *n,
            _ => 0,
        };
        self.tail.truncate(start + n);
        if n > 0 {
            worker.take_time();
            let tail = std::mem::take(&mut self.tail);
            match self.take_in(&tail, worker) {
                0 if !self.closing => self.tail = tail, // Still incomplete: it stays where it lies.
                taken => self.keep_tail(&tail[taken..]),
            }
        }
        polled
    }

    fn keep_tail(&mut self, rest: &[u8]) {
        if !self.closing {
            self.tail = rest.to_vec();
        }
    }

    /// Takes packets from `bytes`. Returns how many bytes they took.
    fn take_in(&mut self, bytes: &[u8], worker: &Worker) -> usize {
        let (mut at, mut packets) = (0, 0);
        self.unread = false;
        while !self.closing {
            if !self.wants_input(worker) {
                self.unread = at < bytes.len();
                break;
            }
            let limits = DecodeLimits {
                version: self.version(),
                max_packet_bytes: worker.shared.config.limits.packet_bytes as usize,
                sender: Sender::Client,
            };
            match decode(&bytes[at..], &limits) {
                Ok(Decoded::Packet { packet, consumed }) => {
                    at += consumed;
                    packets += 1;
                    self.packet(&packet, worker);
                }
                Ok(Decoded::Incomplete(_)) => break,
                Err(error) => {
                    tracing::debug!(peer = ?self.peer, %error, "packet refused");
                    self.refuse(error.version(), error.reason(), Some(&error.reason_string()), worker);
                }
            }
        }
        worker.counters().packets_received.add(packets.into());
        worker.pace.read(packets);
        at
    }

    fn version(&self) -> Option<Version> {
        match &self.phase {
            Phase::Live(live) => Some(live.machine.terms().version),
            _ => None,
        }
    }

    fn packet(&mut self, packet: &Packet<'_>, worker: &Worker) {
        match (&mut self.phase, packet) {
            (Phase::Greeting, Packet::Connect(connect)) => self.connect(connect, worker),
            (Phase::Live(live), packet) => {
                let outcome = live
                    .call(worker, self.key, &mut self.output, |machine, shell| machine.packet(packet, shell));
                if let Err(stop) = outcome {
                    self.stop(stop, worker);
                }
            }
            _ => self.refuse(None, ReasonCode::ProtocolError, None, worker),
        }
    }

    fn connect(&mut self, connect: &Connect<'_>, worker: &Worker) {
        let version = Some(connect.version);
        let shared = &worker.shared;
        let terms = match Terms::negotiate(connect, &shared.session_limits) {
            Ok(terms) => terms,
            Err(reason) => {
                worker.counters().refused_protocol.add(1);
                return self.refuse(version, reason, None, worker);
            }
        };
        if let Admission::Busy(_) = self.admission {
            return self.refuse(version, ReasonCode::ServerBusy, Some("come back a little later"), worker);
        }
        if shared.is_shutting_down() {
            return self.refuse(version, ReasonCode::ServerShuttingDown, None, worker);
        }
        let presented = registry::Presented {
            username: connect.username,
            secret: connect.password,
            client_id: Some(connect.client_id),
            certificate: self.certificate.as_deref(),
            peer: self.peer,
        };
        let identity = match shared.authenticate(&presented, worker.now()) {
            Ok(identity) => identity,
            Err(refusal) => {
                worker.counters().refused_credentials.add(1);
                tracing::info!(reason = %refusal.operator, "client refused");
                let reason = match refusal.kind {
                    registry::RefusalKind::Missing => ReasonCode::NotAuthorized,
                    registry::RefusalKind::Credentials => ReasonCode::BadUserNameOrPassword,
                    registry::RefusalKind::ClientId => ReasonCode::ClientIdentifierNotValid,
                    registry::RefusalKind::Unavailable => ReasonCode::ServerUnavailable,
                };
                return self.refuse(version, reason, Some(&refusal.to_string()), worker);
            }
        };
        let assigned = connect.client_id.is_empty();
        let client_id: Arc<str> =
            if assigned { shared.assign_client_id(&identity).into() } else { connect.client_id.into() };
        if record::ClientId::check(&client_id).is_err() || !identity.client_id.allows(&client_id) {
            return self.refuse(version, ReasonCode::ClientIdentifierNotValid, None, worker);
        }
        let will = OwnedWill::of(connect);
        let may_publish =
            |will: &OwnedWill| shared.rules.load().acl.may_publish(&identity, &will.topic).is_ok();
        if !will.as_deref().is_none_or(may_publish) {
            return self.refuse(version, ReasonCode::NotAuthorized, Some("the will's topic"), worker);
        }
        let tenant = identity.tenant.clone();
        shared.command(Command::Open(Box::new(Open {
            tenant: tenant.clone(),
            client_id: Arc::clone(&client_id),
            clean: terms.clean_start,
            persistent: terms.expiry_s != 0,
            conn: worker.conn_ref(self.key),
        })));
        self.phase = Phase::Opening(Box::new(Opening { terms, will, tenant, client_id, assigned, identity }));
    }

    /// The dispatcher has the session, or not.
    pub(super) fn opened(&mut self, opened: Opened, worker: &Worker) {
        let Phase::Opening(opening) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let version = Some(opening.terms.version);
        let Some(session) = opened.session else {
            return self.refuse(version, ReasonCode::SessionTakenOver, None, worker);
        };
        let counters = worker.counters();
        counters.connects.add(1);
        counters.connected_now.add(1);
        if opened.stored.is_some() {
            counters.reconnects.add(1);
        }
        let Opening { terms, will, tenant, client_id, assigned, identity } = *opening;
        let mut side = Side {
            tenant,
            client_id: Arc::clone(&client_id),
            session,
            identity,
            in_flight_bytes: 0,
            waiting: 0,
            bodies: std::collections::VecDeque::new(),
            bodies_bytes: 0,
            wanted: None,
            fetching: None,
            gone: None,
            feed: None,
            opening: None,
        };
        let assigned = assigned.then(|| Box::from(&*client_id));
        let mut shell = Shell::new(worker, self.key, &mut side, &mut self.output, &terms, false);
        if opened.logged {
            shell.side.opening = Some(Box::new(crate::state::Opening {
                clean: opened.stored.is_none(),
                expiry_s: terms.expiry_s,
                at_ms: shell.now.millis(),
                subject: shell.side.identity.name().into(),
                will: will.as_deref().and_then(|will| shell.owed_will(will)),
            }));
        }
        let limits = &worker.shared.session_limits;
        let mut machine =
            Machine::open(terms, limits, will, opened.stored, opened.logged, assigned, &mut shell);
        withdraw_denied(&mut machine, &mut shell);
        for due in std::mem::take(&mut shell.immediate) {
            // Only CONNACK, which cannot fail.
            let _ = machine.settle(due, Ok(None), &mut shell);
        }
        shell.log_entries();
        let logged = opened.logged;
        self.phase = Phase::Live(Box::new(Live { machine, side, ending: None, logged, abandoned: false }));
        if matches!(self.stream, Stream::Closed) {
            return self.end(worker, End::Lost, None);
        }
        self.flush(worker);
        worker.watch(self);
        self.wake();
    }

    /// Another connection took the client id.
    pub(super) fn taken_over(&mut self, clean: bool, worker: &Worker) {
        worker.counters().takeovers.add(1);
        self.end(worker, End::TakenOver { clean }, Some(ReasonCode::SessionTakenOver));
    }

    /// An answer of this connection is due: what precedes it is durable, or failed.
    pub(super) fn settle(
        &mut self,
        waiting: Waiting,
        outcome: Result<Option<Position>, ReasonCode>,
        worker: &Worker,
    ) {
        if let (Phase::Releasing(_), Awaited::Release) = (&self.phase, &waiting.awaited) {
            return self.give_back(worker);
        }
        let Phase::Live(live) = &mut self.phase else { return };
        live.side.in_flight_bytes = live.side.in_flight_bytes.saturating_sub(waiting.bytes as usize);
        let Awaited::Answer(due) = waiting.awaited else { return };
        live.side.waiting -= 1;
        live.abandoned |= outcome.is_err() && matches!(due, Due::ConnAck(_));
        let stopped = live
            .call(worker, self.key, &mut self.output, |machine, shell| machine.settle(due, outcome, shell));
        if let Err(stop) = stopped {
            self.stop(stop, worker);
        }
    }

    /// After one or more calls of [`Self::settle`] or [`Self::deliver`].
    pub(super) fn settled(&mut self, worker: &Worker) {
        self.go_on(worker);
        self.try_finish(worker);
        if self.paused && self.wants_input(worker) || self.is_over() {
            self.wake();
        }
    }

    /// Takes a message of the dispatcher.
    pub(super) fn deliver(&mut self, delivery: Delivery, worker: &Worker) {
        let Phase::Live(live) = &mut self.phase else { return };
        let Some(position) = delivery.message.position.filter(|_| delivery.qos != record::Qos::AtMostOnce)
        else {
            let _ = live.call(worker, self.key, &mut self.output, |machine, shell| {
                if machine.is_open() {
                    shell.deliver_qos0(&delivery, |topic| machine.name_topic(topic));
                }
                Ok(())
            });
            return;
        };
        let outgoing = Outgoing {
            message: position,
            qos: delivery.qos,
            retain: delivery.retain,
            subscription_ids: delivery.ids,
            progress: Progress::Queued,
        };
        let _ = live.call(worker, self.key, &mut self.output, |machine, shell| {
            shell.keep_body(&delivery.message);
            machine.deliver(outgoing, delivery.logged, shell);
            Ok(())
        });
    }

    /// Takes retained messages, to be sent as the socket takes them.
    pub(super) fn retained(
        &mut self,
        messages: Vec<Delivery>,
        next: Option<Box<WantRetained>>,
        worker: &Worker,
    ) {
        let Phase::Live(live) = &mut self.phase else { return };
        let feed: &mut Feed = live.side.feed.get_or_insert_default();
        feed.queue.extend(messages);
        feed.next.extend(next.map(|want| *want));
        self.make_room(worker);
    }

    /// Bodies were read from the log; if the one that was wanted is not among them, it is not there any more.
    pub(super) fn bodies(&mut self, wanted: Position, bodies: Vec<Arc<Message>>, worker: &Worker) {
        let Phase::Live(live) = &mut self.phase else { return };
        live.side.fetching = None;
        if bodies.iter().all(|message| message.position != Some(wanted)) {
            live.side.gone = Some(wanted);
        }
        for message in bodies.into_iter().rev() {
            live.side.bodies_bytes += message.size_bytes();
            live.side.bodies.push_front(message);
        }
        self.make_room(worker);
    }

    /// Writes, and goes on with what waited for room.
    fn go_on(&mut self, worker: &Worker) {
        self.flush(worker);
        let waits = match &self.phase {
            Phase::Live(live) => {
                live.side.feed.is_some() || live.machine.is_pumping() && live.side.fetching.is_none()
            }
            _ => false,
        };
        if waits && self.output.len() == 0 {
            self.make_room(worker);
            self.flush(worker);
        }
    }

    /// The socket has room, or a body is there: what waited for it goes on.
    fn make_room(&mut self, worker: &Worker) {
        let limit = worker.shared.config.limits.outgoing_bytes;
        loop {
            let Phase::Live(live) = &mut self.phase else { return };
            if live.machine.is_pumping() {
                let _ = live.call(worker, self.key, &mut self.output, |machine, shell| {
                    machine.pump(shell);
                    Ok(())
                });
            }
            let Some(feed) = &mut live.side.feed else { return };
            // In the machine's queue they would lose their bodies, which the log may no longer have.
            if live.ending.is_some() || live.machine.upcoming().next().is_some() {
                return;
            }
            if self.output.len() >= limit {
                self.flush(worker);
                if self.output.len() >= limit {
                    return;
                }
                continue;
            }
            match feed.queue.pop_front() {
                Some(delivery) => self.deliver(delivery, worker),
                None => {
                    if feed.next.is_empty() {
                        live.side.feed = None;
                    } else {
                        worker.shared.command(Command::Retained(Box::new(feed.next.remove(0))));
                    }
                    return;
                }
            }
        }
    }

    fn stop(&mut self, stop: Stop, worker: &Worker) {
        match stop {
            Stop::Client(reason) => self.end(worker, End::Client(reason), None),
            Stop::Server(reason) => {
                worker.counters().protocol_errors.add(1);
                self.end(worker, End::Lost, Some(reason));
            }
        }
    }

    /// Ends the connection: no more input, DISCONNECT with `reason` to MQTT 5 (MQTT-4.13.1-1), then the socket.
    pub(super) fn end(&mut self, worker: &Worker, end: End, reason: Option<ReasonCode>) {
        worker.take_time();
        self.say_goodbye(reason, None, worker);
        match &mut self.phase {
            Phase::Live(live) => {
                if live.ending.is_none() {
                    live.ending = Some(end);
                    live.side.feed = None;
                }
            }
            Phase::Greeting => self.phase = Phase::Over,
            Phase::Opening(_) | Phase::Releasing(_) | Phase::Over => {}
        }
        self.begin_closing(worker);
        self.try_finish(worker);
    }

    fn say_goodbye(&mut self, reason: Option<ReasonCode>, words: Option<&str>, worker: &Worker) {
        let (Some(reason), Phase::Live(live)) = (reason, &self.phase) else { return };
        if live.machine.terms().version == Version::V3 || self.closing {
            return;
        }
        let mut properties = PropertiesBuf::new();
        if let Some(words) = words {
            properties.push(Property::ReasonString(words));
        }
        let packet = Packet::Disconnect(Disconnect { reason, properties: properties.as_properties() });
        let maximum = live.machine.terms().packet_bytes as usize;
        if packet.encode_within(Version::V5, maximum, self.output.buffer(&worker.spares)).is_ok() {
            worker.counters().packets_sent.add(1);
        }
    }

    /// Turns the client away: CONNACK before the session is open, DISCONNECT after.
    pub(super) fn refuse(
        &mut self,
        version: Option<Version>,
        reason: ReasonCode,
        words: Option<&str>,
        worker: &Worker,
    ) {
        if let Phase::Live(_) = self.phase {
            worker.counters().protocol_errors.add(1);
            self.say_goodbye(Some(reason), words, worker);
            return self.end(worker, End::Lost, None);
        }
        let mut properties = PropertiesBuf::new();
        if let Some(words) = words {
            properties.push(Property::ReasonString(words));
        }
        if let Some(version) = version {
            let properties =
                if version == Version::V5 { properties.as_properties() } else { Properties::EMPTY };
            let connack = Packet::ConnAck(ConnAck { session_present: false, reason, properties });
            // 3.1.1 has no code for some reasons: then it is closed without a word.
            let _ = connack.encode(version, self.output.buffer(&worker.spares));
        }
        self.phase = Phase::Over;
        self.begin_closing(worker);
    }

    /// The network is gone, or the client closed it.
    pub(super) fn lost(&mut self, worker: &Worker) {
        self.close_socket(worker);
        match self.phase {
            Phase::Greeting => self.phase = Phase::Over,
            // The session comes, and is given back at once.
            Phase::Opening(_) | Phase::Releasing(_) | Phase::Over => {}
            Phase::Live(_) => self.end(worker, End::Lost, None),
        }
    }

    fn begin_closing(&mut self, worker: &Worker) {
        if !self.closing {
            self.closing = true;
            self.tail = Vec::new();
            self.unread = false;
            worker.linger(self.key);
        }
        self.flush(worker);
        self.wake();
    }

    /// Closes the socket now.
    pub(super) fn close_socket(&mut self, worker: &Worker) {
        self.closing = true;
        self.stream = Stream::Closed;
        self.output.clear(&worker.spares);
        self.tail = Vec::new();
        self.blocked = 0;
    }

    /// After our last word: unread input would turn the close into a reset, and the word might be lost with it.
    fn discard(&mut self, worker: &Worker, cx: &mut Context<'_>) {
        if matches!(self.stream, Stream::Closed) {
            return;
        }
        self.flush(worker);
        if self.output.len() > 0 {
            return;
        }
        if self.stream.poll_shutdown(cx).is_pending() {
            return;
        }
        let mut scratch = worker.scratch.borrow_mut();
        for _ in 0..READS_PER_TURN {
            match self.stream.poll_read(cx, &mut scratch[..]) {
                Poll::Pending => return,
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return self.close_socket(worker),
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Gives the session back once everything of the ended connection has settled: what the end itself leaves behind,
    /// the will and the `Closed` record, goes into the log first.
    fn try_finish(&mut self, worker: &Worker) {
        match &self.phase {
            Phase::Live(live) if live.ending.is_some() && live.machine.unsettled() == 0 => {}
            _ => return,
        }
        let Phase::Live(live) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let Live { machine, mut side, ending, logged, abandoned } = *live;
        worker.counters().disconnects.add(1);
        worker.counters().connected_now.sub(1);
        let terms = *machine.terms();
        let farewell = machine.finish(ending.unwrap_or(End::Lost), worker.now().millis());
        let expiry_s = farewell.durable.expiry_s;
        let filters = match logged {
            true => Vec::new(),
            false => farewell.durable.subscriptions.into_iter().map(|s| s.filter).collect(),
        };
        let release = Release { session: side.session, filters, abandoned };
        self.phase = Phase::Releasing(Box::new(release));
        let mut shell = Shell::new(worker, self.key, &mut side, &mut self.output, &terms, true);
        if let Will::Now(will) = &farewell.will
            && !abandoned
        {
            shell.publish_will(will);
        }
        if !logged || abandoned {
            return self.give_back(worker);
        }
        shell.closed(shell.now.millis(), expiry_s, matches!(farewell.will, Will::After(..)));
        shell.log_entries();
        worker.commits.borrow_mut().wait(self.key, Awaited::Release, None, 0);
    }

    fn give_back(&mut self, worker: &Worker) {
        if let Phase::Releasing(release) = std::mem::replace(&mut self.phase, Phase::Over) {
            worker.shared.command(Command::Release(release));
        }
        self.wake();
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self, worker: &Worker) {
        if self.output.len() == 0 && self.blocked == 0 {
            return;
        }
        let waker = self.waker.as_ref().unwrap_or(Waker::noop());
        let mut cx = Context::from_waker(waker);
        let mut sent = 0;
        let polled = self.output.poll_flush(&mut self.stream, &worker.spares, &mut sent, &mut cx);
        worker.counters().bytes_sent.add(sent);
        match polled {
            Poll::Ready(Ok(())) => self.blocked = 0,
            Poll::Ready(Err(_)) => {
                let was_closed = matches!(self.stream, Stream::Closed);
                self.close_socket(worker);
                if !was_closed {
                    self.lost(worker);
                }
            }
            Poll::Pending => {
                if self.blocked == 0 {
                    self.blocked = worker.tick().max(1);
                    worker.blocked(self.key);
                } else if sent > 0 {
                    self.blocked = worker.tick().max(1);
                }
            }
        }
    }
}

impl Live {
    /// Calls the machine, and settles at once what waits for nothing.
    fn call(
        &mut self,
        worker: &Worker,
        key: ConnKey,
        output: &mut Output,
        call: impl FnOnce(&mut Machine<Position>, &mut Shell<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let terms = *self.machine.terms();
        let dead = self.ending.is_some();
        let mut shell = Shell::new(worker, key, &mut self.side, output, &terms, dead);
        let outcome = call(&mut self.machine, &mut shell)
            .and_then(|()| settle_immediate(&mut self.machine, &mut shell));
        shell.log_entries();
        if let Some(wanted) = self.side.wanted.take().filter(|_| self.side.fetching.is_none()) {
            self.side.fetching = Some(wanted);
            let same = |o: &&Outgoing<Position>| o.message.partition == wanted.partition;
            let ahead = self.machine.upcoming().take(FETCH_AHEAD).filter(same).map(|o| o.message.offset);
            worker.fetch(key, wanted, ahead.collect());
        }
        outcome
    }

    /// Whether it is serving.
    pub(super) fn is_serving(&self) -> bool {
        self.ending.is_none()
    }
}

/// Settles what waits for nothing, and what that makes due in turn.
fn settle_immediate(machine: &mut Machine<Position>, shell: &mut Shell<'_>) -> Result<(), Stop> {
    while !shell.immediate.is_empty() {
        for due in std::mem::take(&mut shell.immediate) {
            machine.settle(due, Ok(None), shell)?;
        }
    }
    Ok(())
}

/// A resumed session keeps no subscription that its client may no longer have.
fn withdraw_denied(machine: &mut Machine<Position>, shell: &mut Shell<'_>) {
    let denied: Vec<Box<str>> = {
        let acl = &shell.worker.shared.rules.load().acl;
        let subscriptions = machine.durable().subscriptions.iter();
        let denied = subscriptions.filter(|s| acl.may_subscribe(&shell.side.identity, &s.filter).is_err());
        denied.map(|s| s.filter.clone()).collect()
    };
    for filter in denied {
        machine.withdraw(&filter, shell);
    }
}
