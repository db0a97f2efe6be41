//! One connection: its bytes in, its bytes out, and its life.
//!
//! ```text
//!  Greeting ──CONNECT──▶ Opening ──Opened──▶ Live ──end, settled──▶ Releasing ──settled──▶ Over
//! ```
//! The socket may be gone long before the session is: what is on its way into the log belongs to the session, so the
//! connection stays until it has settled.

mod delivery;
mod ending;
mod greeting;
mod input;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use log::Position;
use wire::mqtt::ReasonCode;
use wire::mqtt::session::{Due, End, Machine, Outgoing, OwnedWill, Stop, Terms};

use super::commit::{Awaited, ConnKey, Waiting};
use super::listen::Admission;
use super::output::Output;
use super::shell::{Shell, Side};
use super::stream::Stream;
use super::turns::Place;
use super::worker::Worker;
use crate::dispatch::Release;

/// Reads of one socket in a row before others have their turn.
const READS_PER_TURN: usize = 4;
/// Messages looked at for bodies that can be read from the log together.
const FETCH_AHEAD: usize = 64;

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
    /// Where it stands among those that bring history, if it does.
    pub(super) place: Place,
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
            place: Place::None,
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
