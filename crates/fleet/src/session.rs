//! One MQTT client: bytes and times in, bytes and counts out. No socket in here.

use std::collections::VecDeque;

use crate::content::{Id, Next, Writer};
use crate::flight::{Flight, Slot, Stage};
use crate::load::{Options, Pace};
use crate::packet::{self, Connect, Incoming};
use crate::report::{Acked, Stats};

/// What a connection at QoS 0 may have waiting to be written before it stops publishing: there is no window to
/// hold it back.
const QOS0_BUFFER_BYTES: usize = 32 * 1024;
/// Publishes that an open loop keeps for a connection that is down or full, so that they count from when they
/// were due. Beyond, the oldest are dropped and show as not published.
const BACKLOG_LIMIT: usize = 100_000;
/// Buffers that a burst grew beyond this are given back.
const KEEP_CAPACITY_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Down,
    /// CONNECT sent.
    Greeting,
    Up,
}

/// What the engine is doing now, for a session to judge by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now_ns: u64,
    pub(crate) now_ms: i64,
    /// Publishes may start.
    pub(crate) running: bool,
    /// Which latency histogram counts.
    pub(crate) phase: usize,
}

/// Why a connection has to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Refused(u8),
    Disconnected(u8),
    Malformed(packet::Malformed),
    /// The content asked for a fault.
    Fault,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u32,
    local: usize,
    pub(crate) phase: Phase,
    /// Bytes to write; `written` of them are gone.
    pub(crate) out: Vec<u8>,
    pub(crate) written: usize,
    tail: Vec<u8>,
    flight: Flight,
    sequence: u64,
    /// Publishes it may still start.
    quota: u64,
    backlog: VecDeque<u64>,
    last_stamp_ms: i64,
    met_before: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) break_now: bool,
}

impl Session {
    pub(crate) fn new(number: u32, local: usize, quota: u64, options: &Options) -> Self {
        Self {
            number,
            local,
            phase: Phase::Down,
            out: Vec::new(),
            written: 0,
            tail: Vec::new(),
            flight: Flight::new(if options.qos == 0 { 0 } else { options.in_flight }),
            sequence: 0,
            quota,
            backlog: VecDeque::new(),
            last_stamp_ms: 0,
            met_before: false,
            keep_alive_s: options.keep_alive_s,
            break_now: false,
        }
    }

    /// The transport is there: greet.
    pub(crate) fn greet(&mut self, options: &Options) {
        self.out.clear();
        self.tail.clear();
        self.written = 0;
        self.phase = Phase::Greeting;
        self.break_now = false;
        let client_id = format!("{}{}", options.client_id, self.number);
        packet::connect(
            &mut self.out,
            &Connect {
                version: options.version,
                client_id: &client_id,
                clean_start: options.clean_start,
                session_expiry_s: if options.clean_start { 0 } else { options.session_expiry_s },
                keep_alive_s: options.keep_alive_s,
                username: options.username.as_deref(),
                password: options.password.as_deref(),
            },
        );
    }

    /// The transport is gone. Returns whether the session had been up.
    pub(crate) fn down(&mut self, options: &Options, stats: &mut Stats) -> bool {
        let was_up = self.phase == Phase::Up;
        self.phase = Phase::Down;
        self.out = Vec::new();
        self.tail = Vec::new();
        self.written = 0;
        if options.clean_start {
            stats.unacknowledged += self.flight.used() as u64;
            self.flight.clear();
        }
        was_up
    }

    /// Takes what was read.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        moment: Moment,
        options: &Options,
        stats: &mut Stats,
    ) -> Result<(), End> {
        if self.tail.is_empty() {
            let used = self.packets(bytes, moment, options, stats)?;
            self.tail.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.tail);
        joined.extend_from_slice(bytes);
        let used = self.packets(&joined, moment, options, stats)?;
        joined.drain(..used);
        self.tail = joined;
        Ok(())
    }

    /// Takes all whole packets; returns how many bytes they were.
    fn packets(
        &mut self,
        bytes: &[u8],
        moment: Moment,
        options: &Options,
        stats: &mut Stats,
    ) -> Result<usize, End> {
        let mut used = 0;
        while let Some((incoming, len)) =
            packet::incoming(&bytes[used..], options.version).map_err(End::Malformed)?
        {
            used += len;
            match incoming {
                Incoming::Ack { kind, packet_id, code } => {
                    self.ack(kind, packet_id, code, moment, options.record, stats);
                }
                Incoming::ConnAck { session_present, code, receive_maximum, server_keep_alive_s } => {
                    if code != 0 {
                        return Err(End::Refused(code));
                    }
                    if options.qos > 0 {
                        self.flight.narrow(receive_maximum);
                    }
                    self.keep_alive_s = server_keep_alive_s.unwrap_or(self.keep_alive_s);
                    self.up(session_present, options, stats);
                }
                Incoming::Disconnect { code } => return Err(End::Disconnected(code)),
                // A load generator subscribes to nothing, but an old session may.
                Incoming::Publish { qos, packet_id, .. } if qos > 0 => {
                    packet::ack(&mut self.out, 3 + qos, packet_id);
                }
                Incoming::Publish { .. } | Incoming::SubAck { .. } | Incoming::PingResp => {}
            }
        }
        Ok(used)
    }

    fn up(&mut self, session_present: bool, options: &Options, stats: &mut Stats) {
        self.phase = Phase::Up;
        if std::mem::replace(&mut self.met_before, true) {
            stats.reconnects += 1;
            stats.sessions_lost += u64::from(!options.clean_start && !session_present);
        }
        let mut settled = Vec::new();
        for (packet_id, slot) in self.flight.in_order() {
            match (slot.stage, &slot.packet) {
                (Stage::Published, Some(packet)) => {
                    stats.resent += 1;
                    let start = self.out.len();
                    self.out.extend_from_slice(packet);
                    if session_present {
                        self.out[start] |= 8; // DUP: the server may have it (MQTT-4.4.0-1)
                    }
                }
                (Stage::Released, _) if session_present => packet::ack(&mut self.out, 6, packet_id),
                // The PUBREC was the promise; a server without the session has nothing to release.
                _ => settled.push(packet_id),
            }
        }
        for packet_id in settled {
            self.flight.free(packet_id);
        }
    }

    fn ack(&mut self, kind: u8, packet_id: u16, code: u8, moment: Moment, record: bool, stats: &mut Stats) {
        if kind == 6 {
            packet::ack(&mut self.out, 7, packet_id);
            return;
        }
        let Some(slot) = self.flight.get(packet_id) else {
            stats.stray_acks += 1;
            return;
        };
        let (stage, valid) = (slot.stage, slot.valid);
        if code >= 0x80 {
            *stats.refused.entry(code).or_default() += 1;
            self.flight.free(packet_id);
            return;
        }
        let promise = (kind == 4 || kind == 5) && stage == Stage::Published;
        if promise && record && valid {
            stats.acked.push(Acked {
                connection: self.number,
                sequence: slot.sequence,
                stamp_ms: slot.stamp_ms,
                acked_ns: moment.now_ns,
            });
        }
        if kind == 5 {
            slot.stage = Stage::Released;
            slot.packet = None;
            packet::ack(&mut self.out, 6, packet_id);
            return;
        }
        let took = moment.now_ns.saturating_sub(slot.intended_ns);
        stats.phase(moment.phase).saturating_record(took);
        stats.acknowledged += 1;
        self.flight.free(packet_id);
    }

    /// A publish is due (open loop).
    pub(crate) fn due(&mut self, intended_ns: u64) {
        if self.backlog.len() >= BACKLOG_LIMIT {
            self.backlog.pop_front();
        }
        self.backlog.push_back(intended_ns);
    }

    /// Writes as many publishes as pace and window allow.
    pub(crate) fn pump(&mut self, moment: Moment, options: &Options, writer: &mut Writer, stats: &mut Stats) {
        if self.phase != Phase::Up || !moment.running {
            return;
        }
        while self.quota > 0 && !self.break_now {
            let room = match options.qos {
                0 => self.out.len() - self.written < QOS0_BUFFER_BYTES,
                _ => self.flight.has_room(),
            };
            if !room {
                break;
            }
            let intended_ns = match options.pace {
                Pace::Closed => moment.now_ns,
                Pace::Idle => break,
                Pace::Open { .. } => match self.backlog.pop_front() {
                    Some(due) => due,
                    None => break,
                },
            };
            self.quota -= 1;
            self.publish(intended_ns, moment, options, writer, stats);
        }
    }

    fn publish(
        &mut self,
        intended_ns: u64,
        moment: Moment,
        options: &Options,
        writer: &mut Writer,
        stats: &mut Stats,
    ) {
        let packet_id = if options.qos == 0 { 0 } else { self.flight.free_id() };
        let id = Id { connection: self.number, sequence: self.sequence };
        let next =
            Next { local: self.local, id, packet_id, now_ms: moment.now_ms, last_ms: self.last_stamp_ms };
        let written = writer.write(next, &mut self.out);
        self.sequence += 1;
        self.last_stamp_ms = written.stamp_ms;
        self.break_now = written.drop;
        stats.published += 1;
        if options.qos == 0 {
            stats.acknowledged += 1;
            return;
        }
        let keep = !options.clean_start;
        self.flight.fill(Slot {
            intended_ns,
            sequence: id.sequence,
            stamp_ms: written.stamp_ms,
            valid: written.valid,
            stage: Stage::Published,
            packet: keep.then(|| self.out[written.start..].into()),
        });
    }

    /// Publishes are due that the window has not let out.
    pub(crate) fn has_due(&self) -> bool {
        self.quota > 0 && !self.backlog.is_empty()
    }

    /// Nothing to write, nothing on its way.
    pub(crate) fn is_drained(&self) -> bool {
        self.flight.used() == 0 && self.out.len() == self.written
    }

    /// Everything is written and it could publish more at once.
    pub(crate) fn wants_more(&self, options: &Options) -> bool {
        let due = options.pace == Pace::Closed || !self.backlog.is_empty();
        self.phase == Phase::Up && self.out.is_empty() && self.quota > 0 && due && !self.break_now
    }

    /// It will start no more publishes by itself (closed loop).
    pub(crate) fn is_spent(&self) -> bool {
        self.quota == 0
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.flight.used()
    }

    /// Everything in `out` up to `len` more bytes was taken by the transport.
    pub(crate) fn wrote(&mut self, len: usize) {
        self.written += len;
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
            if self.out.capacity() > KEEP_CAPACITY_BYTES {
                self.out = Vec::new();
            }
        }
    }
}
