//! One client: bytes and times in, bytes and counts out. No socket in here.

mod http;
mod mqtt;

use crate::content::Writer;
use crate::disorder::Flaw;
use crate::flight::{Flight, Sent};
use crate::load::{Options, Pace, Protocol};
use crate::outbox::{Message, Outbox, Turn};
use crate::packet;
use crate::report::{Acked, Stats};
use http::Requests;

/// What a connection at QoS 0 may have waiting to be written before it stops publishing: there is no window to
/// hold it back.
const QOS0_BUFFER_BYTES: usize = 32 * 1024;
/// Buffers that a burst grew beyond this are given back.
const KEEP_CAPACITY_BYTES: usize = 64 * 1024;
/// What a server takes that does not say (docs/payloads.md).
const SERVER_TAKES_BYTES: usize = 1 << 20;
/// A server that takes more than this is not sent more: it would be memory, not a fault.
const OVERSIZE_MOST_BYTES: usize = 8 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Down,
    /// Connecting; over MQTT also until CONNACK.
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
    /// Nothing more will be due (open loop).
    pub(crate) ending: bool,
    /// Which latency histogram counts.
    pub(crate) phase: usize,
}

/// Why a connection has to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Refused(u8),
    Disconnected(u8),
    Malformed(packet::Malformed),
    /// The server's answer is not what HTTP has.
    NotHttp(&'static str),
    /// The server told to come back, with this status.
    Busy(u16),
    /// The server says that it closes the connection now.
    Closing,
    /// The content asked for a fault.
    Fault,
}

#[derive(Debug)]
enum Dialogue {
    Mqtt(Flight),
    Http(Requests),
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
    dialogue: Dialogue,
    sequence: u64,
    /// Publishes it may still start.
    quota: u64,
    /// Readings in each of its messages.
    readings: u64,
    outbox: Outbox,
    met_before: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) break_now: bool,
    /// Something too large was sent: the server will end the connection.
    ends: bool,
    server_takes_bytes: usize,
    /// Times in a row that the server told to come back.
    pub(crate) busy: u32,
}

impl Session {
    pub(crate) fn new(number: u32, local: usize, readings: u64, options: &Options) -> Self {
        let quota = options.quota(number);
        let window = if options.qos == 0 { 0 } else { options.in_flight };
        let dialogue = match &options.protocol {
            Protocol::Mqtt => Dialogue::Mqtt(Flight::new(window)),
            Protocol::Http(_) => Dialogue::Http(Requests::default()),
        };
        Self {
            number,
            local,
            phase: Phase::Down,
            out: Vec::new(),
            written: 0,
            tail: Vec::new(),
            dialogue,
            sequence: 0,
            quota,
            readings,
            outbox: Outbox::default(),
            met_before: false,
            keep_alive_s: options.keep_alive_s,
            break_now: false,
            ends: false,
            server_takes_bytes: SERVER_TAKES_BYTES,
            busy: 0,
        }
    }

    /// The transport is there: greet.
    pub(crate) fn greet(&mut self, options: &Options) {
        self.out.clear();
        self.tail.clear();
        self.written = 0;
        self.phase = Phase::Greeting;
        self.break_now = false;
        self.ends = false;
        if let Dialogue::Mqtt(_) = self.dialogue {
            self.say_connect(options);
        }
    }

    /// The socket is connected. MQTT has to wait for CONNACK, HTTP does not.
    pub(crate) fn opened(&mut self, stats: &mut Stats) {
        if self.phase == Phase::Greeting
            && let Dialogue::Http(requests) = &self.dialogue
        {
            self.phase = Phase::Up;
            self.keep_alive_s = 0;
            stats.reconnects += u64::from(std::mem::replace(&mut self.met_before, true));
            if let Some(request) = requests.again() {
                stats.resent += requests.waiting() as u64;
                self.out.extend_from_slice(request);
            }
        }
    }

    /// The transport is gone. Returns whether the session had been up.
    pub(crate) fn down(&mut self, options: &Options, stats: &mut Stats) -> bool {
        let was_up = self.phase == Phase::Up;
        self.phase = Phase::Down;
        self.out = Vec::new();
        self.tail = Vec::new();
        self.written = 0;
        match &mut self.dialogue {
            Dialogue::Mqtt(flight) => {
                let freed = flight.give_up(Flaw::Oversize);
                if freed > 0 {
                    *stats.refused.entry(mqtt::PACKET_TOO_LARGE).or_default() += freed;
                }
                if options.clean_start {
                    stats.unacknowledged += flight.used() as u64;
                    flight.clear();
                }
            }
            Dialogue::Http(requests) => requests.give_up_oversize(stats),
        }
        was_up
    }

    /// The device goes away: what is on its way is meant to go out when it is back.
    pub(crate) fn postpone(&mut self, back_ns: u64) {
        match &mut self.dialogue {
            Dialogue::Mqtt(flight) => flight.postpone(back_ns),
            Dialogue::Http(requests) => requests.postpone(back_ns),
        }
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
            let used = self.take(bytes, moment, options, stats)?;
            self.tail.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.tail);
        joined.extend_from_slice(bytes);
        let used = self.take(&joined, moment, options, stats)?;
        joined.drain(..used);
        self.tail = joined;
        Ok(())
    }

    /// Takes all that is whole; returns how many bytes it was.
    fn take(
        &mut self,
        bytes: &[u8],
        moment: Moment,
        options: &Options,
        stats: &mut Stats,
    ) -> Result<usize, End> {
        match self.dialogue {
            Dialogue::Mqtt(_) => self.packets(bytes, moment, options, stats),
            Dialogue::Http(_) => self.responses(bytes, moment, options, stats),
        }
    }

    /// A publish is due (open loop).
    pub(crate) fn due(&mut self, intended_ns: u64, measured_ms: i64, stats: &mut Stats) {
        self.outbox.due(intended_ns, measured_ms, stats);
    }

    /// Writes as many messages as pace and window allow.
    pub(crate) fn pump(&mut self, moment: Moment, options: &Options, writer: &mut Writer, stats: &mut Stats) {
        if self.phase != Phase::Up || !moment.running || options.pace == Pace::Idle {
            return;
        }
        match self.dialogue {
            Dialogue::Mqtt(_) => self.publish_all(moment, options, writer, stats),
            Dialogue::Http(_) => self.request(moment, options, writer, stats),
        }
    }

    /// The next message, if there is one to be sent now.
    fn next(
        &mut self,
        moment: Moment,
        options: &Options,
        writer: &Writer,
        stats: &mut Stats,
    ) -> Option<Message> {
        if self.quota == 0 || self.break_now || self.ends {
            return None;
        }
        let turn = Turn {
            device: self.number,
            now_ns: moment.now_ns,
            now_ms: moment.now_ms,
            measures: options.pace == Pace::Closed,
            shared: writer.behind() > 1,
            ending: moment.ending,
            disorder: writer.disorder(),
        };
        let message = self.outbox.next(turn, stats)?;
        self.quota -= 1;
        self.break_now = message.breaks;
        self.ends = message.flaw == Flaw::Oversize;
        stats.published += 1;
        Some(message)
    }

    /// A message goes with the next request.
    fn put_back(&mut self, message: Message, stats: &mut Stats) {
        self.outbox.put_back(message);
        self.quota = self.quota.saturating_add(1);
        self.ends = false;
        stats.published -= 1;
    }

    fn sent(&mut self, message: Message, stamp_ms: i64) -> Sent {
        let sequence = self.sequence;
        self.sequence += 1;
        let Message { intended_ns, measured_ms, flaw, .. } = message;
        Sent { intended_ns, sequence, measured_ms, stamp_ms, flaw }
    }

    /// Measurements are due that the window has not let out.
    pub(crate) fn has_due(&self) -> bool {
        self.quota > 0 && !self.outbox.is_empty()
    }

    /// Nothing to write, nothing on its way.
    pub(crate) fn is_drained(&self) -> bool {
        self.in_flight() == 0 && self.out.len() == self.written
    }

    /// Everything is written and it could publish more at once, though nothing will call it again (QoS 0).
    pub(crate) fn wants_more(&self, moment: Moment, options: &Options) -> bool {
        let silent = matches!(self.dialogue, Dialogue::Mqtt(_)) && options.qos == 0;
        let due = options.pace == Pace::Closed || self.outbox.has_next(moment.ending);
        silent && self.phase == Phase::Up && self.out.is_empty() && self.quota > 0 && due && !self.break_now
    }

    /// It will start no more publishes by itself (closed loop).
    pub(crate) fn is_spent(&self) -> bool {
        self.quota == 0
    }

    pub(crate) fn in_flight(&self) -> usize {
        match &self.dialogue {
            Dialogue::Mqtt(flight) => flight.used(),
            Dialogue::Http(requests) => requests.waiting(),
        }
    }

    /// That the server closes a connection is its right where nothing is asked of it (HTTP), or was asked for.
    pub(crate) fn may_be_closed(&self) -> bool {
        self.ends || matches!(&self.dialogue, Dialogue::Http(requests) if requests.waiting() == 0)
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

    fn record(&self, sent: &Sent, moment: Moment) -> Acked {
        Acked {
            connection: self.number,
            sequence: sent.sequence,
            stamp_ms: sent.stamp_ms,
            measured_ms: sent.measured_ms,
            acked_ns: moment.now_ns,
        }
    }

    /// The server has promised to keep a message.
    fn kept(&self, sent: &Sent, moment: Moment, options: &Options, stats: &mut Stats) {
        if sent.flaw == Flaw::None {
            stats.readings += self.readings;
        }
        if options.record {
            let acked = self.record(sent, moment);
            match sent.flaw {
                Flaw::None => stats.acked.push(acked),
                Flaw::Malformed => stats.broken.push(acked),
                Flaw::Oversize => {}
            }
        }
    }

    /// The server has refused a message, for good.
    fn refused(&self, sent: &Sent, code: u16, moment: Moment, options: &Options, stats: &mut Stats) {
        *stats.refused.entry(code).or_default() += 1;
        if options.record && sent.flaw == Flaw::Malformed {
            let answered = self.record(sent, moment);
            stats.broken.push(answered);
        }
    }
}
