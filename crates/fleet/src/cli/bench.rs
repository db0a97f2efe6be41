//! `penstock fleet bench`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::cli::{Broker, Format, Outcome};
use crate::content::{Content, Devices};
use crate::device::Spec;
use crate::faults::Faults;
use crate::load::{Load, Pace};
use crate::report::{Acked, Report};

/// Raw publishes as fast as the server acknowledges them, or at a rate.
#[derive(Debug, clap::Args)]
pub struct Bench {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as help")]
    pub broker: Broker,
    /// How many connections
    #[arg(long, short = 'c', default_value_t = 50)]
    pub connections: usize,
    /// Publishes on their way per connection
    #[arg(long, short = 'w', default_value_t = 20)]
    pub in_flight: u16,
    /// Quality of service
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Publish with the retain flag
    #[arg(long)]
    pub retain: bool,
    /// Payload size, bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub size: usize,
    /// Topic; {i} is the connection's number
    #[arg(long, default_value = "bench/{i}")]
    pub topic: String,
    /// Publish JSON readings with this many metrics instead of plain bytes
    #[arg(long, value_name = "N")]
    pub metrics: Option<usize>,
    /// Stop after so many publishes in all
    #[arg(long, short = 'n', value_name = "N")]
    pub messages: Option<u64>,
    /// Stop after so long
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,
    /// Publishes per second in all, latency counted from when each was due [default: as fast as acknowledged]
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,
    /// With --rate: publishes that are due within so many milliseconds are due together, as where a site's gateway asks its devices
    #[arg(long, value_name = "MS", default_value_t = 0, requires = "rate")]
    pub tick: u64,
    /// With --metrics: so many devices send by each connection in turn, as behind the gateway of a site
    #[arg(long, value_name = "N", default_value_t = 1, requires = "metrics", value_parser = clap::value_parser!(u32).range(1..))]
    pub behind: u32,
    /// Keep sessions (clean start off), come back when a connection breaks, send again what was not acknowledged
    #[arg(long)]
    pub persistent: bool,
    /// Measure the CPU time of this process too: the server
    #[arg(long, value_name = "PID")]
    pub watch: Option<u32>,
    /// Write every acknowledged publish to this file: connection, sequence, timestamp in ms
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

impl Bench {
    /// Runs it.
    ///
    /// # Errors
    /// As [`crate::cli::Fleet::run`].
    pub fn run(&self) -> anyhow::Result<Outcome> {
        if self.messages.is_none() && self.duration.is_none() {
            bail!("a bench without an end: give --messages or --duration");
        }
        let mut options = self.broker.options()?;
        options.connections = self.connections;
        options.in_flight = self.in_flight;
        options.qos = self.qos;
        options.retain = self.retain;
        options.messages = self.messages;
        options.duration = self.duration.map(Duration::from_secs_f64);
        options.clean_start = !self.persistent;
        options.reconnect = self.persistent;
        options.record = self.record.is_some();
        options.pace = self.rate.map_or(Pace::Closed, |per_second| Pace::Open {
            per_second,
            tick: Duration::from_millis(self.tick),
        });
        options.content = match self.metrics {
            None => Content::Plain { topic: self.topic.clone(), size_bytes: self.size },
            Some(metrics) => {
                let topic = match self.topic.as_str() {
                    "bench/{i}" => "devices/{i}/telemetry".to_owned(),
                    chosen => chosen.to_owned(),
                };
                let (spec, faults) = (Spec::simple(metrics, 1), Faults::default());
                Content::Telemetry(Devices { behind: self.behind, topic, spec, faults, lasts: None })
            }
        };
        let mut load = Load::start(options)?;
        load.wait_up(Duration::from_secs(120))?;
        load.begin(self.watch)?;
        // A closed loop ends by its count; a server that answers nothing for so long is not coming back.
        let limit = Duration::from_secs_f64(self.duration.map_or(3600.0, |seconds| seconds + 60.0));
        let (report, stats) = load.finish(limit)?;
        if let Some(path) = &self.record {
            write_record(path, &stats.acked).with_context(|| format!("recording to {}", path.display()))?;
        }
        let good = report.unacknowledged == 0 && report.refused.is_empty();
        Ok(Outcome { text: print(&report, self.broker.format)?, good })
    }
}

fn write_record(path: &Path, acked: &[Acked]) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for ack in acked {
        writeln!(out, "{} {} {}", ack.connection, ack.sequence, ack.stamp_ms)?;
    }
    out.into_inner()?.sync_all()
}

/// A report for people or programs.
pub(super) fn print(report: &Report, format: Format) -> anyhow::Result<String> {
    if format == Format::Json {
        return Ok(serde_json::to_string_pretty(report)?);
    }
    let mut lines = vec![
        format!(
            "published {}, acknowledged {}, unacknowledged {} in {:.2} s: {:.0} acknowledged/s",
            report.published,
            report.acknowledged,
            report.unacknowledged,
            report.seconds,
            report.acknowledged_per_second
        ),
        match report.protocol {
            "http" => format!("{} connections, a request at a time", report.connections),
            _ => format!(
                "{} connections x {} in flight, QoS {}",
                report.connections, report.in_flight, report.qos
            ),
        },
    ];
    for latency in report.latency.iter().filter(|latency| latency.count > 0) {
        lines.push(format!(
            "acknowledged after µs: p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  max {:.0}",
            latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us, latency.max_us
        ));
    }
    lines.push(format!("generator CPU {:.2} s", report.generator_cpu_seconds));
    if let (Some(seconds), Some(each)) = (report.server_cpu_seconds, report.server_cpu_seconds_per_million) {
        lines.push(format!("server CPU {seconds:.2} s, {each:.3} s per million acknowledged"));
    }
    let odd = [
        ("refused", report.refused.values().sum()),
        ("sent again", report.resent),
        ("stray acknowledgements", report.stray_acks),
        ("connections lost", report.lost),
        ("reconnects", report.reconnects),
        ("sessions lost", report.sessions_lost),
        ("requests told to come back", report.pushed_back),
        ("measurements dropped, too many waited", report.overflowed),
        ("failed attempts to connect", report.connect_failures),
        ("connects refused", report.connect_refused.values().sum()),
    ];
    lines.extend(odd.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{what}: {count}")));
    if let Some(trouble) = &report.last_trouble {
        lines.push(format!("last trouble: {trouble}"));
    }
    Ok(lines.join("\n"))
}
