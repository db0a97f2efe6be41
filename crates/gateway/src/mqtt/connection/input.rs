//! Bytes from the socket, and packets from the bytes.

use std::task::{Context, Poll};
use std::time::Instant;

use wire::mqtt::{DecodeLimits, Decoded, Packet, ReasonCode, Sender, Version, decode};

use super::{Conn, Phase, READS_PER_TURN};
use crate::mqtt::worker::Worker;

/// An incomplete packet up to here is moved to the worker's buffer and read on there; a larger one is read where it lies.
const SMALL_TAIL: usize = 16 << 10;
/// A large packet's buffer grows by this, as its bytes arrive: what is announced is not what is sent.
const TAIL_STEP: usize = 64 << 10;

impl Conn {
    pub(super) fn wants_input(&self, worker: &Worker) -> bool {
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

    /// Reads what is there, if it is this connection's turn.
    pub(super) fn read(&mut self, worker: &Worker, cx: &mut Context<'_>) {
        if self.gone || !self.brings_history() {
            return self.read_some(READS_PER_TURN, worker, cx);
        }
        if worker.turns.ask(self.key, &mut self.place) {
            let began = Instant::now();
            self.read_some(1, worker, cx);
            worker.turns.took(began.elapsed());
        }
    }

    /// Whether the last reading it sent was history.
    fn brings_history(&self) -> bool {
        matches!(&self.phase, Phase::Live(live) if live.side.brings_history && live.is_serving())
    }

    fn read_some(&mut self, reads: usize, worker: &Worker, cx: &mut Context<'_>) {
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
            if turn >= reads {
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

    pub(super) fn read_into_scratch(
        &mut self,
        worker: &Worker,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<usize>> {
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

    pub(super) fn read_into_tail(
        &mut self,
        worker: &Worker,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<usize>> {
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

    pub(super) fn keep_tail(&mut self, rest: &[u8]) {
        if !self.closing {
            self.tail = rest.to_vec();
        }
    }

    /// Takes packets from `bytes`. Returns how many bytes they took.
    pub(super) fn take_in(&mut self, bytes: &[u8], worker: &Worker) -> usize {
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
                    // MQTT 3.1.1 cannot be told why, so its client's owner looks here. Who is not known yet may be a scanner of ports.
                    match &self.phase {
                        Phase::Live(live) => {
                            tracing::info!(client = %live.side.client_id, %error, "connection ended: packet refused");
                        }
                        _ => tracing::debug!(peer = ?self.peer, %error, "packet refused"),
                    }
                    self.refuse(error.version(), error.reason(), Some(&error.reason_string()), worker);
                }
            }
        }
        worker.counters().packets_received.add(packets.into());
        worker.pace.read(packets);
        at
    }

    pub(super) fn version(&self) -> Option<Version> {
        match &self.phase {
            Phase::Live(live) => Some(live.machine.terms().version),
            _ => None,
        }
    }

    pub(super) fn packet(&mut self, packet: &Packet<'_>, worker: &Worker) {
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
}
