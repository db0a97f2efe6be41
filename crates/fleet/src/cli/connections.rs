//! `penstock fleet connections`

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::cli::{Broker, Format, Outcome};
use crate::content::Content;
use crate::load::{Load, Options, Pace};
use crate::process;
use crate::report::{Latency, Report};

/// Connections held idle, and storms of them coming back at once.
#[derive(Debug, clap::Args)]
pub struct Connections {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as help")]
    pub broker: Broker,
    /// How many connections
    #[arg(long, short = 'c', default_value_t = 15_000)]
    pub connections: usize,
    /// Seconds to hold them before the memory of the server is read
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub hold: f64,
    /// Break all at once, let all come back, this many times
    #[arg(long, value_name = "TIMES", default_value_t = 0)]
    pub storms: u32,
    /// Other connections that publish before, during and after the storms, to see what they suffer
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub steady: usize,
    /// Publishes per second of those, in all
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1000.0)]
    pub steady_rate: f64,
    /// Where those connect [default: the target, without TLS options only if it has none]
    #[arg(long, value_name = "HOST:PORT")]
    pub steady_target: Option<String>,
    /// Measure memory and CPU time of this process: the server
    #[arg(long, value_name = "PID")]
    pub watch: Option<u32>,
}

/// What a storm did.
#[derive(Debug, Default, Serialize)]
struct Outline {
    connections: usize,
    /// From the first attempt to the last CONNACK.
    connect_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_kib_before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_kib_idle: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_bytes_per_connection: Option<f64>,
    /// For each storm, from the break to the last CONNACK.
    storm_seconds: Vec<f64>,
    /// CPU of the server over all storms.
    #[serde(skip_serializing_if = "Option::is_none")]
    storm_server_cpu_seconds: Option<f64>,
    /// Acknowledgement of the steady connections before, during and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    steady: Option<Steady>,
    connect_latency: Latency,
    connect_failures: u64,
    connect_refused: u64,
    /// Connections that broke by themselves.
    lost: u64,
}

#[derive(Debug, Default, Serialize)]
struct Steady {
    before: Latency,
    during: Latency,
    after: Latency,
    lost: u64,
    unacknowledged: u64,
}

const BEFORE: usize = 0;
const DURING: usize = 1;
const AFTER: usize = 2;
/// How long the steady connections are watched before and after the storms.
const CALM: Duration = Duration::from_secs(5);

impl Connections {
    /// Runs it.
    ///
    /// # Errors
    /// As [`crate::cli::Fleet::run`].
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let usage = || self.watch.map(|pid| process::usage(Some(pid))).transpose();
        let before = usage().context("the process to watch")?;
        let mut options = self.broker.options()?;
        options.connections = self.connections;
        options.pace = Pace::Idle;
        options.reconnect = true;
        options.in_flight = 1;
        options.content = Content::Plain { topic: "idle/{i}".to_owned(), size_bytes: 0 };
        let mut load = Load::start(options.clone())?;
        let limit = Duration::from_secs(300);
        let mut outline = Outline { connections: self.connections, ..Outline::default() };
        outline.connect_seconds = load.wait_up(limit)? as f64 / 1e9;
        load.begin(self.watch)?;
        std::thread::sleep(Duration::from_secs_f64(self.hold));
        if let (Some(before), Some(idle)) = (before, usage()?) {
            outline.rss_kib_before = Some(before.rss_kib);
            outline.rss_kib_idle = Some(idle.rss_kib);
            let grown = idle.rss_kib as f64 - before.rss_kib as f64;
            outline.rss_bytes_per_connection = Some(grown * 1024.0 / self.connections as f64);
        }
        if self.storms > 0 {
            let steady = self.start_steady(&options)?;
            let cpu = usage()?;
            std::thread::sleep(CALM);
            steady.mark(DURING);
            for _ in 0..self.storms {
                let began = load.clock().now_ns();
                load.break_all();
                outline.storm_seconds.push((load.wait_up(limit)? - began) as f64 / 1e9);
            }
            steady.mark(AFTER);
            outline.storm_server_cpu_seconds =
                cpu.zip(usage()?).map(|(before, after)| after.cpu_seconds - before.cpu_seconds);
            std::thread::sleep(CALM);
            outline.steady = Some(finish_steady(steady)?);
        }
        load.halt();
        let (report, _) = load.finish(Duration::from_secs(5))?;
        Ok(self.outcome(outline, report))
    }

    fn start_steady(&self, idle: &Options) -> anyhow::Result<Load> {
        let mut options = idle.clone();
        if let Some(target) = &self.steady_target {
            options.target = crate::target::Target::new(target, &crate::target::TlsFiles::default())?;
        }
        options.connections = self.steady;
        options.workers = 1;
        options.client_id = format!("{}steady-", self.broker.client_id);
        options.content = Content::Plain { topic: "steady/{i}".to_owned(), size_bytes: 64 };
        options.pace = Pace::open(self.steady_rate);
        options.in_flight = 100;
        options.connect_rate = None;
        let mut load = Load::start(options)?;
        load.wait_up(Duration::from_secs(60))?;
        load.begin(None)?;
        Ok(load)
    }

    fn outcome(&self, mut outline: Outline, report: Report) -> Outcome {
        outline.connect_latency = report.connect_latency;
        outline.connect_failures = report.connect_failures;
        outline.connect_refused = report.connect_refused.values().sum();
        outline.lost = report.lost;
        let good = outline.lost == 0;
        let text = match self.broker.format {
            Format::Json => serde_json::to_string_pretty(&outline).expect("numbers and names are JSON"),
            Format::Text => describe(&outline),
        };
        Outcome { text, good }
    }
}

fn finish_steady(load: Load) -> anyhow::Result<Steady> {
    load.halt();
    let (report, _) = load.finish(Duration::from_secs(20))?;
    let phase = |index: usize| report.latency.get(index).cloned().unwrap_or_default();
    Ok(Steady {
        before: phase(BEFORE),
        during: phase(DURING),
        after: phase(AFTER),
        lost: report.lost,
        unacknowledged: report.unacknowledged,
    })
}

fn describe(outline: &Outline) -> String {
    let mut lines = vec![format!("{} connections in {:.2} s", outline.connections, outline.connect_seconds)];
    if let (Some(before), Some(idle), Some(each)) =
        (outline.rss_kib_before, outline.rss_kib_idle, outline.rss_bytes_per_connection)
    {
        lines.push(format!("server memory {before} KiB before, {idle} KiB with them: {each:.0} B each"));
    }
    for seconds in &outline.storm_seconds {
        lines.push(format!("storm: all back after {seconds:.2} s"));
    }
    if let Some(steady) = &outline.steady {
        for (when, latency) in
            [("before", &steady.before), ("during", &steady.during), ("after", &steady.after)]
        {
            lines.push(format!(
                "steady connections {when}: p50 {:.0} µs  p99 {:.0} µs  max {:.0} µs ({} publishes)",
                latency.p50_us, latency.p99_us, latency.max_us, latency.count
            ));
        }
    }
    lines.push(format!(
        "connecting took µs: p50 {:.0}  p99 {:.0}  max {:.0}; {} attempts failed, {} refused, {} lost",
        outline.connect_latency.p50_us,
        outline.connect_latency.p99_us,
        outline.connect_latency.max_us,
        outline.connect_failures,
        outline.connect_refused,
        outline.lost
    ));
    lines.join("\n")
}
