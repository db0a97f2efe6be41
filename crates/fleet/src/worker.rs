//! A thread with its share of the connections: one poll, no locks, no allocation per message.

mod disorder;
mod timing;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::fd::OwnedFd;
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

use crate::content::Writer;
use crate::load::{Clock, Command, News, Options, Pace, Protocol};
use crate::progress::{Progress, Told};
use crate::random::Random;
use crate::report::Stats;
use crate::session::{End, Moment, Phase, Session};
use crate::transport::Transport;

pub(crate) const WAKE: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);
/// Read buffer of the worker; thousands of acknowledgements.
const SCRATCH_BYTES: usize = 64 * 1024;
/// How often idle connections are looked at for their keep-alive, and stuck attempts for their deadline.
const SWEEP_NS: u64 = 500_000_000;
/// An attempt to connect that has no CONNACK after this is given up and tried again.
const ATTEMPT_LIMIT_NS: u64 = 20_000_000_000;

struct Link {
    session: Session,
    transport: Option<Transport>,
    /// When the attempt under way (or the last) began.
    began_ns: u64,
    /// When something was last written.
    spoke_ns: u64,
    attempts: u32,
    /// The device is away and does not come back before this.
    away_until_ns: u64,
}

pub(crate) struct Worker {
    poll: Poll,
    links: Vec<Link>,
    options: Options,
    clock: Clock,
    writer: Writer,
    stats: Stats,
    scratch: Vec<u8>,
    commands: Receiver<Command>,
    news: Sender<News>,
    /// How far all workers are, for watching from outside.
    progress: Arc<Progress>,
    told: Told,
    timer: OwnedFd,
    random: Random,
    /// Attempts to make: when, which link.
    attempts: BinaryHeap<Reverse<(u64, usize)>>,
    /// Connections at QoS 0 whose socket took everything: no event will call them again.
    hungry: Vec<usize>,
    running: bool,
    halted: bool,
    closing: bool,
    phase: usize,
    up: usize,
    told_up: bool,
    told_drained: bool,
    /// Open loop: when the next publish is due, and whose.
    due_ns: u64,
    due_link: usize,
    gap_ns: u64,
    gaps: u64,
    /// Publishes are due at multiples of it.
    tick_ns: u64,
    /// Links that something has become due of, each once.
    charged: Vec<usize>,
    started_ns: u64,
    swept_ns: u64,
    /// The first episode whose storm is still to come.
    storm: i64,
}

/// The other side sends no more.
fn ends(event: &Event) -> bool {
    event.is_read_closed() || event.is_error()
}

impl Worker {
    /// A worker for the connections `numbers`.
    pub(crate) fn new(
        poll: Poll,
        numbers: &[u32],
        options: Options,
        clock: Clock,
        commands: Receiver<Command>,
        news: Sender<News>,
        progress: Arc<Progress>,
    ) -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        let share = numbers.len() as f64 / options.connections as f64;
        let gap_ns = match options.pace {
            Pace::Open { per_second, .. } => (1e9 / (per_second * share)).max(1.0) as u64,
            _ => u64::MAX,
        };
        let tick_ns = match options.pace {
            Pace::Open { tick, .. } => (tick.as_nanos() as u64).max(1),
            _ => 1,
        };
        let writer = Writer::new(&options.content, options.version, options.qos, options.retain, numbers);
        let links: Vec<_> = numbers
            .iter()
            .enumerate()
            .map(|(local, &number)| Link {
                session: Session::new(number, local, writer.readings_of(local), &options),
                transport: None,
                began_ns: 0,
                spoke_ns: 0,
                attempts: 0,
                away_until_ns: 0,
            })
            .collect();
        let between_ns = options.connect_rate.map_or(0.0, |rate| 1e9 / (rate * share));
        let attempts = (0..links.len()).map(|i| Reverse(((i as f64 * between_ns) as u64, i))).collect();
        Ok(Self {
            writer,
            random: Random::new(
                u64::from(numbers.first().copied().unwrap_or(0)) << 32 ^ clock.wall_base_ms as u64,
            ),
            poll,
            links,
            clock,
            stats: Stats::default(),
            scratch: vec![0; SCRATCH_BYTES],
            commands,
            news,
            progress,
            told: Told::default(),
            timer,
            attempts,
            hungry: Vec::new(),
            running: false,
            halted: false,
            closing: false,
            phase: 0,
            up: 0,
            told_up: false,
            told_drained: false,
            due_ns: u64::MAX,
            due_link: 0,
            gap_ns,
            gaps: 0,
            tick_ns,
            charged: Vec::new(),
            started_ns: 0,
            swept_ns: 0,
            storm: 0,
            options,
        })
    }

    /// Runs until told to close; returns what was counted.
    pub(crate) fn run(mut self) -> io::Result<Stats> {
        let mut events = Events::with_capacity(1024);
        while !self.closing {
            self.attempt_due();
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    WAKE => self.obey(),
                    TIMER => drop(rustix::io::read(&self.timer, &mut [0; 8])),
                    Token(index) => self.ready(index, event.is_readable(), ends(event)),
                }
            }
            for index in std::mem::take(&mut self.hungry) {
                self.advance(index);
            }
            self.publish_due();
            self.sweep();
            self.tell();
        }
        for link in &mut self.links {
            self.stats.unacknowledged += link.session.in_flight() as u64;
        }
        Ok(self.stats)
    }

    fn moment(&self) -> Moment {
        let now_ns = self.clock.now_ns();
        Moment {
            now_ns,
            now_ms: self.clock.wall_ms(now_ns),
            running: self.running && !self.halted,
            ending: self.running && self.due_ns == u64::MAX && self.is_open(),
            phase: self.phase,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.options.pace, Pace::Open { .. })
    }

    fn obey(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Begin { at_ns } => {
                    self.running = true;
                    self.started_ns = at_ns;
                    self.writer.begin(self.clock.wall_ms(at_ns));
                    if self.is_open() {
                        self.due_ns = at_ns;
                    }
                    (0..self.links.len()).for_each(|index| self.advance(index));
                }
                Command::Mark(phase) => self.phase = phase,
                Command::Break => self.break_all(),
                Command::Halt => self.halted = true,
                Command::Close => self.close(),
            }
        }
    }

    /// Every connection ends as if its device lost power, and comes back at once.
    fn break_all(&mut self) {
        let now_ns = self.clock.now_ns();
        for index in 0..self.links.len() {
            if let Some(transport) = &self.links[index].transport {
                transport.reset_on_close();
                self.drop_link(index);
                self.attempts.push(Reverse((now_ns, index)));
            }
        }
        self.told_up = false;
    }

    fn close(&mut self) {
        self.closing = true;
        for index in 0..self.links.len() {
            let mqtt = matches!(self.options.protocol, Protocol::Mqtt);
            if mqtt && self.links[index].session.phase == Phase::Up {
                crate::packet::disconnect(&mut self.links[index].session.out);
                self.flush(index);
            }
        }
    }

    /// Makes the attempts to connect that are due.
    fn attempt_due(&mut self) {
        // Bounded, so that acknowledgements are read between the attempts of a storm.
        for _ in 0..256 {
            let now_ns = self.clock.now_ns();
            match self.attempts.peek() {
                Some(&Reverse((due_ns, index))) if due_ns <= now_ns => {
                    self.attempts.pop();
                    self.connect(index, now_ns);
                }
                _ => return,
            }
        }
    }

    fn connect(&mut self, index: usize, now_ns: u64) {
        let target = &self.options.target;
        let link = &mut self.links[index];
        if link.transport.is_some() {
            return;
        }
        if now_ns < link.away_until_ns {
            return self.attempts.push(Reverse((link.away_until_ns, index)));
        }
        let source = match target.sources.len() {
            0 => None,
            count => Some(target.sources[link.session.number as usize % count]),
        };
        link.began_ns = now_ns;
        link.attempts += 1;
        let opened =
            Transport::open(target.address, source, target.tls.as_ref()).and_then(|mut transport| {
                let interest = Interest::READABLE | Interest::WRITABLE;
                self.poll.registry().register(&mut transport.stream, Token(index), interest)?;
                Ok(transport)
            });
        match opened {
            Ok(transport) => {
                link.transport = Some(transport);
                link.session.greet(&self.options);
            }
            Err(error) => self.failed(index, &error.to_string()),
        }
    }

    fn failed(&mut self, index: usize, why: &str) {
        let session = &self.links[index].session;
        if session.phase == Phase::Up && session.may_be_closed() {
            return self.again(index);
        }
        if session.phase == Phase::Up {
            self.stats.lost += 1;
        } else {
            self.stats.connect_failures += 1;
        }
        self.stats.last_trouble = Some(why.to_owned());
        self.again(index);
    }

    /// Drops the connection and plans the next attempt: base·2ⁿ, and half of it by chance (R2.5).
    fn again(&mut self, index: usize) {
        self.drop_link(index);
        if self.running && !self.options.reconnect {
            return;
        }
        let link = &self.links[index];
        let attempts = link.attempts.max(link.session.busy).min(16);
        let ceiling_ms = (self.options.backoff_base_ms << attempts).min(self.options.backoff_cap_ms) as f64;
        let wait_ms = ceiling_ms / 2.0 * (1.0 + self.random.unit());
        self.attempts.push(Reverse((self.clock.now_ns() + (wait_ms * 1e6) as u64, index)));
    }

    fn drop_link(&mut self, index: usize) {
        let link = &mut self.links[index];
        if let Some(mut transport) = link.transport.take() {
            // A closed socket leaves the poll by itself.
            let _ = self.poll.registry().deregister(&mut transport.stream);
        }
        if link.session.down(&self.options, &mut self.stats) {
            self.up -= 1;
        }
    }

    /// Something happened on a connection's socket.
    fn ready(&mut self, index: usize, readable: bool, ends: bool) {
        if self.links[index].transport.is_none() {
            return;
        }
        // Asked for only while it opens: it is a system call, and an open socket says it by reading.
        if self.links[index].session.phase != Phase::Up
            && let Some(transport) = &self.links[index].transport
            && let Ok(Some(error)) = transport.stream.take_error()
        {
            return self.failed(index, &error.to_string());
        }
        self.opened(index);
        if (readable || ends) && !self.read(index, ends) {
            return;
        }
        self.advance(index);
    }

    /// Over HTTP a socket that is connected is all that is needed.
    fn opened(&mut self, index: usize) {
        let link = &mut self.links[index];
        let connected = |transport: &Option<Transport>| {
            transport.as_ref().is_some_and(|it| it.stream.peer_addr().is_ok())
        };
        if link.session.phase == Phase::Greeting
            && matches!(self.options.protocol, Protocol::Http(_))
            && connected(&link.transport)
        {
            link.session.opened(&mut self.stats);
            self.is_up(index, self.clock.now_ns());
        }
    }

    fn is_up(&mut self, index: usize, now_ns: u64) {
        let link = &mut self.links[index];
        self.stats.connect_latency.saturating_record(now_ns - link.began_ns);
        link.attempts = 0;
        self.up += 1;
    }

    /// Reads what is there. `false` when the connection has gone. Where it `ends` there is an end to be read behind
    /// the last bytes, and no event will say so again.
    fn read(&mut self, index: usize, ends: bool) -> bool {
        loop {
            let link = &mut self.links[index];
            let Some(transport) = &mut link.transport else { return false };
            let len = match transport.read(&mut self.scratch) {
                Ok(0) => {
                    self.failed(index, "the server closed the connection");
                    return false;
                }
                Ok(len) => len,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => return true,
                    _ => {
                        self.failed(index, &error.to_string());
                        return false;
                    }
                },
            };
            let empty = len < self.scratch.len() && transport.short_read_is_all();
            let before = link.session.phase;
            let moment = self.moment();
            let link = &mut self.links[index];
            let received = link.session.receive(&self.scratch[..len], moment, &self.options, &mut self.stats);
            if before != Phase::Up && link.session.phase == Phase::Up {
                self.is_up(index, moment.now_ns);
            }
            if let Err(end) = received {
                self.ended(index, &end);
                return false;
            }
            if empty && !ends {
                return true;
            }
        }
    }

    fn ended(&mut self, index: usize, end: &End) {
        match end {
            End::Refused(code) => {
                *self.stats.connect_refused.entry(*code).or_default() += 1;
                self.stats.last_trouble = Some(format!("CONNECT refused with code {code:#04x}"));
                self.again(index);
            }
            End::Disconnected(code) => {
                *self.stats.disconnects.entry(*code).or_default() += 1;
                self.failed(index, &format!("the server sent DISCONNECT with code {code:#04x}"));
            }
            End::Malformed(what) => self.failed(index, &what.to_string()),
            End::NotHttp(why) => {
                self.failed(index, &format!("the server's answer is not HTTP as it should be: {why}"))
            }
            End::Busy(status) => {
                self.stats.last_trouble =
                    Some(format!("the server answered {status}: it is to be tried again"));
                self.again(index);
            }
            End::Closing | End::Fault => self.again(index),
        }
    }

    /// Publishes what it may and writes what there is.
    fn advance(&mut self, index: usize) {
        let moment = self.moment();
        let link = &mut self.links[index];
        link.session.pump(moment, &self.options, &mut self.writer, &mut self.stats);
        self.flush(index);
        let session = &self.links[index].session;
        if moment.running && session.wants_more(moment, &self.options) {
            self.hungry.push(index);
        }
        if self.links[index].session.break_now && self.links[index].transport.is_some() {
            self.ended(index, &End::Fault);
        }
    }

    fn flush(&mut self, index: usize) {
        let link = &mut self.links[index];
        let Some(transport) = &mut link.transport else { return };
        loop {
            let bytes = &link.session.out[link.session.written..];
            let handshaking = link.session.phase == Phase::Greeting;
            if bytes.is_empty() && !handshaking {
                return;
            }
            match transport.write(bytes) {
                Ok(0) => return,
                Ok(len) => {
                    link.session.wrote(len);
                    link.spoke_ns = self.clock.now_ns();
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => return,
                    _ => return self.failed(index, &error.to_string()),
                },
            }
        }
    }
}
