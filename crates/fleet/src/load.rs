//! A load on a server: connections over worker threads, started, marked, broken and stopped from one place.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use mio::{Poll, Waker};

use crate::content::{Content, Devices};
use crate::packet::Version;
use crate::process::{self, Usage};
use crate::progress::{Progress, Snapshot};
use crate::report::{Report, Stats};
use crate::target::Target;
use crate::worker::{WAKE, Worker};

/// When publishes start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Never: connections are only held.
    Idle,
    /// As soon as the window has room; latency counts from the write.
    Closed,
    /// At a rate over all connections, in turn; latency counts from when the publish was due, so a server that
    /// stalls is charged for everything it holds up.
    Open {
        /// Publishes per second.
        per_second: f64,
        /// Those that are due within so long are due together, at its beginning; zero: each by itself.
        tick: Duration,
    },
}

impl Pace {
    /// Open, each publish due by itself.
    #[must_use]
    pub const fn open(per_second: f64) -> Self {
        Self::Open { per_second, tick: Duration::ZERO }
    }
}

/// What is spoken.
#[derive(Debug, Clone)]
pub enum Protocol {
    /// MQTT, a session for each connection.
    Mqtt,
    /// `POST /v1/telemetry`, a request at a time on each connection.
    Http(Http),
}

/// How to speak HTTP.
#[derive(Debug, Clone)]
pub struct Http {
    /// For the header `Host`.
    pub host: String,
    /// For the header `Authorization`.
    pub authorization: Option<String>,
    /// Messages in a request at most.
    pub batch: usize,
}

/// What a load is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub target: Target,
    /// What is spoken.
    pub protocol: Protocol,
    /// Which MQTT.
    pub version: Version,
    /// How many connections.
    pub connections: usize,
    /// The number of the first one; numbers are in client identifiers, topics and payloads.
    pub first: u32,
    /// Threads.
    pub workers: usize,
    /// Publishes on their way per connection (QoS 1 and 2).
    pub in_flight: u16,
    /// Quality of service.
    pub qos: u8,
    /// Publish with the retain flag.
    pub retain: bool,
    /// When publishes start.
    pub pace: Pace,
    /// Stop after so many publishes over all connections.
    pub messages: Option<u64>,
    /// Stop after so long.
    pub duration: Option<Duration>,
    /// What is published.
    pub content: Content,
    /// Clean start; `false` keeps sessions, and publishes that were not acknowledged are sent again.
    pub clean_start: bool,
    /// How long sessions outlive connections, seconds (5.0; not with clean start).
    pub session_expiry_s: u32,
    /// Keep-alive, seconds.
    pub keep_alive_s: u16,
    /// Client identifiers are this and a number.
    pub client_id: String,
    /// Credentials.
    pub username: Option<String>,
    /// Credentials.
    pub password: Option<String>,
    /// Connections that break while publishing come back.
    pub reconnect: bool,
    /// Wait before the first repeated attempt, doubled each time, half of it random.
    pub backoff_base_ms: u64,
    /// The longest wait between attempts.
    pub backoff_cap_ms: u64,
    /// New connections per second at the start; all at once when left out.
    pub connect_rate: Option<f64>,
    /// Keep every acknowledged publish ([`Stats::acked`]).
    pub record: bool,
}

impl Options {
    /// 50 connections with 20 QoS 1 publishes of 64 bytes each on their way, without end.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            protocol: Protocol::Mqtt,
            version: Version::V5,
            connections: 50,
            first: 0,
            workers: 1,
            in_flight: 20,
            qos: 1,
            retain: false,
            pace: Pace::Closed,
            messages: None,
            duration: None,
            content: Content::Plain { topic: "bench/{i}".to_owned(), size_bytes: 64 },
            clean_start: true,
            session_expiry_s: 3600,
            keep_alive_s: 60,
            client_id: "fleet-".to_owned(),
            username: None,
            password: None,
            reconnect: false,
            backoff_base_ms: 100,
            backoff_cap_ms: 5_000,
            connect_rate: None,
            record: false,
        }
    }

    /// How many publishes connection `number` may start.
    pub(crate) fn quota(&self, number: u32) -> u64 {
        let Some(messages) = self.messages else { return u64::MAX };
        let (index, connections) = (u64::from(number - self.first), self.connections as u64);
        messages / connections + u64::from(index < messages % connections)
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.connections == 0 || self.workers == 0 {
            bail!("a load needs at least one connection and one worker");
        }
        if self.qos > 2 {
            bail!("QoS {} does not exist: 0, 1 or 2", self.qos);
        }
        if self.qos > 0 && self.in_flight == 0 {
            bail!("0 publishes in flight would publish nothing: at least 1");
        }
        if let Protocol::Http(http) = &self.protocol {
            if http.batch == 0 {
                bail!("0 messages in a request would send nothing: at least 1");
            }
            match &self.content {
                Content::Plain { .. } => bail!("plain bytes go over MQTT only: over HTTP send telemetry"),
                Content::Telemetry(devices) if devices.behind != 1 => {
                    bail!("{} devices behind each connection: over HTTP it is one", devices.behind)
                }
                Content::Telemetry(_) => {}
            }
        }
        if let Content::Telemetry(Devices { behind: 0, .. }) = &self.content {
            bail!("0 devices behind each connection would measure nothing: at least 1");
        }
        if let Pace::Open { per_second, .. } = self.pace
            && !(per_second > 0.0 && per_second.is_finite())
        {
            bail!("a rate of {per_second} publishes per second: give a number above 0");
        }
        Ok(())
    }
}

/// Whether a load goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goes {
    /// As planned.
    On,
    /// Nothing new; what is on its way is waited for.
    ToItsEnd,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Command {
    Begin { at_ns: u64 },
    Mark(usize),
    Break,
    Halt,
    Close,
}

#[derive(Debug)]
pub(crate) enum News {
    Up { at_ns: u64 },
    Drained { at_ns: u64 },
}

/// The time of a load: nanoseconds since it was created, and the wall clock that goes with them.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Instant,
    pub(crate) wall_base_ms: i64,
}

impl Clock {
    fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { base: Instant::now(), wall_base_ms: wall.as_millis() as i64 }
    }

    /// Nanoseconds since the load was created.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.base.elapsed().as_nanos() as u64
    }

    pub(crate) fn wall_ms(&self, at_ns: u64) -> i64 {
        self.wall_base_ms + (at_ns / 1_000_000) as i64
    }
}

/// A load under way.
#[derive(Debug)]
pub struct Load {
    options: Options,
    clock: Clock,
    workers: Vec<Handle>,
    news: Receiver<News>,
    drained: usize,
    up: usize,
    began: Option<Began>,
    last_ns: u64,
    progress: Arc<Progress>,
}

#[derive(Debug)]
struct Handle {
    commands: Sender<Command>,
    waker: Arc<Waker>,
    thread: JoinHandle<std::io::Result<Stats>>,
}

#[derive(Debug, Clone, Copy)]
struct Began {
    at_ns: u64,
    own: Usage,
    server: Option<(u32, Usage)>,
}

impl Load {
    /// Starts the workers; they connect at once and publish only after [`Load::begin`].
    ///
    /// # Errors
    /// Options that make no sense; no thread or no poll from the system.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        options.check()?;
        let clock = Clock::new();
        let (tell, news) = mpsc::channel();
        let numbers: Vec<u32> = (options.first..).take(options.connections).collect();
        let share = options.connections.div_ceil(options.workers);
        let progress = Arc::new(Progress::default());
        let mut workers = Vec::new();
        for (index, numbers) in numbers.chunks(share).enumerate() {
            let poll = Poll::new()?;
            let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
            let (commands, orders) = mpsc::channel();
            let worker =
                Worker::new(poll, numbers, options.clone(), clock, orders, tell.clone(), progress.clone())?;
            let name = format!("load-{index}");
            let thread = std::thread::Builder::new().name(name).spawn(move || worker.run())?;
            workers.push(Handle { commands, waker, thread });
        }
        Ok(Self { options, clock, workers, news, drained: 0, up: 0, began: None, last_ns: 0, progress })
    }

    /// The load's time, for comparing with [`crate::report::Acked::acked_ns`].
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Publishes acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.progress.acknowledged()
    }

    /// Waits until every connection is up; returns when the last one was. After [`Load::break_all`] it waits
    /// for all to be back.
    ///
    /// # Errors
    /// They are not all up in time, or a worker died.
    pub fn wait_up(&mut self, limit: Duration) -> anyhow::Result<u64> {
        let (connections, address) = (self.options.connections, self.options.target.address);
        if !self.wait(limit, |load| load.up >= load.workers.len())? {
            let up = self.progress.snapshot(limit).up;
            bail!(
                "{up} of {connections} connections to {address} were up after {limit:?}: is a server listening \
                 there, and does it let so many in?"
            );
        }
        self.up = 0;
        Ok(self.last_ns)
    }

    /// Lets publishes begin. With the process id of the server its CPU time is measured from here.
    ///
    /// # Errors
    /// The process to watch is not there.
    pub fn begin(&mut self, server: Option<u32>) -> anyhow::Result<()> {
        let server = match server {
            Some(pid) => {
                Some((pid, process::usage(Some(pid)).with_context(|| format!("no process {pid} to watch"))?))
            }
            None => None,
        };
        let own = process::usage(None)?;
        let at_ns = self.clock.now_ns();
        self.began = Some(Began { at_ns, own, server });
        self.command(Command::Begin { at_ns });
        Ok(())
    }

    /// From now on latencies go into histogram `phase`; it starts with 0.
    pub fn mark(&self, phase: usize) {
        self.command(Command::Mark(phase));
    }

    /// Breaks every connection without DISCONNECT; all come back at once.
    pub fn break_all(&mut self) {
        self.up = 0;
        self.command(Command::Break);
    }

    /// No new publishes; what is on its way is waited for by [`Load::finish`].
    pub fn halt(&self) {
        self.command(Command::Halt);
    }

    /// Waits for the end: all published and acknowledged, or `limit` over. Then closes the connections.
    /// Whatever is then still on its way is counted as unacknowledged.
    ///
    /// # Errors
    /// A worker died.
    pub fn finish(self, limit: Duration) -> anyhow::Result<(Report, Stats)> {
        self.finish_watched(limit, Duration::MAX, |_| Goes::On)
    }

    /// As [`Load::finish`], and tells how far it is every so often; who is told may end it early.
    ///
    /// # Errors
    /// A worker died.
    pub fn finish_watched(
        mut self,
        limit: Duration,
        every: Duration,
        mut tell: impl FnMut(Snapshot) -> Goes,
    ) -> anyhow::Result<(Report, Stats)> {
        let began = Instant::now();
        let mut told = 1;
        let mut in_time = false;
        while !in_time && began.elapsed() < limit {
            let next = every.checked_mul(told).unwrap_or(Duration::MAX).min(limit);
            let wait = next.saturating_sub(began.elapsed());
            in_time = self.wait(wait, |load| load.drained >= load.workers.len())?;
            if !in_time && next < limit {
                if tell(self.progress.snapshot(began.elapsed())) == Goes::ToItsEnd {
                    self.halt();
                }
                told += 1;
            }
        }
        self.close(in_time)
    }

    fn close(self, in_time: bool) -> anyhow::Result<(Report, Stats)> {
        let end_ns = if in_time { self.last_ns } else { self.clock.now_ns() };
        let own = process::usage(None)?;
        let server =
            self.began.and_then(|began| began.server).and_then(|(pid, _)| process::usage(Some(pid)).ok());
        self.command(Command::Close);
        let mut stats = Stats::default();
        for worker in self.workers {
            let done = worker.thread.join().map_err(|_| anyhow::anyhow!("a load worker panicked"))?;
            stats.merge(done.context("a load worker failed")?);
        }
        let mut report = Report::of(&stats);
        report.protocol = match self.options.protocol {
            Protocol::Mqtt => "mqtt",
            Protocol::Http(_) => "http",
        };
        report.connections = self.options.connections;
        report.in_flight = self.options.in_flight;
        report.qos = self.options.qos;
        if let Some(began) = self.began {
            report.began_ms = self.clock.wall_ms(began.at_ns);
            report.seconds = end_ns.saturating_sub(began.at_ns) as f64 / 1e9;
            report.acknowledged_per_second = report.acknowledged as f64 / report.seconds.max(1e-9);
            report.generator_cpu_seconds = own.cpu_seconds - began.own.cpu_seconds;
            report.server_cpu_seconds =
                began.server.zip(server).map(|((_, before), after)| after.cpu_seconds - before.cpu_seconds);
            report.server_cpu_seconds_per_million =
                report.server_cpu_seconds.map(|seconds| seconds * 1e6 / report.acknowledged.max(1) as f64);
        }
        Ok((report, stats))
    }

    /// Waits until it is `done`; `false` when time is up first.
    fn wait(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> anyhow::Result<bool> {
        let began = Instant::now();
        while !done(self) {
            match self.news.recv_timeout(limit.saturating_sub(began.elapsed())) {
                Ok(News::Up { at_ns }) => {
                    self.up += 1;
                    self.last_ns = self.last_ns.max(at_ns);
                }
                Ok(News::Drained { at_ns }) => {
                    self.drained += 1;
                    self.last_ns = self.last_ns.max(at_ns);
                }
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => bail!("the load's workers are gone"),
            }
        }
        Ok(true)
    }

    fn command(&self, command: Command) {
        for worker in &self.workers {
            // A worker that died is reported when it is joined.
            let _ = worker.commands.send(command);
            let _ = worker.waker.wake();
        }
    }
}
