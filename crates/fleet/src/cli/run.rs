//! `penstock fleet run`

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::ArgGroup;

use crate::cli::story::Story;
use crate::cli::watch::{self, Watch};
use crate::cli::{Broker, Outcome, WrongUse};
use crate::content::{Content, Devices};
use crate::device::Spec;
use crate::faults::{self, Faults};
use crate::load::{Goes, Http, Load, Options, Pace, Protocol};
use crate::model::Kind;
use crate::report::{Report, Stats};
use crate::target::Target;
use crate::verify::{self, Server};

/// After a run, how long what is on its way is waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(60);
/// Messages of a request, at most: as many rejections as the server lists.
const BATCH_MOST: u16 = 1_000;

/// Simulated devices that report for a while.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("pace").required(true).args(["interval", "rate", "closed"])))]
pub struct Run {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as help")]
    pub broker: Broker,
    /// How many devices
    #[arg(long, short = 'd')]
    pub devices: usize,
    /// Seconds between two messages of a device; latency counts from when each was due
    #[arg(long, short = 'i', value_name = "SECONDS")]
    pub interval: Option<f64>,
    /// Messages per second of all devices instead; latency counts from when each was due
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,
    /// As fast as the server acknowledges instead; latency counts from when each was sent
    #[arg(long)]
    pub closed: bool,
    /// What the devices are
    #[arg(long, short = 'k', value_enum, default_value_t)]
    pub kind: Kind,
    /// Metrics in each message [default: as many as the kind has]
    #[arg(long, short = 'm', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub metrics: Option<u16>,
    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub duration: f64,
    #[arg(long, default_value = "", help = FAULTS_IN_SHORT, long_help = faults::HELP)]
    #[allow(missing_docs, reason = "clap would show it as help")]
    pub faults: Faults,
    /// Share of devices that have something to find in each episode: a worn bearing, a stuck or drifting sensor, a
    /// door left open, a failing cell, a meter that runs backwards. The report says which, from when to when
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub anomalies: f64,
    /// Which fleet: the same seed gives the same devices
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Quality of service
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Topic; {i} is the device's number, {kind} what it is
    #[arg(long, default_value = "devices/sim-{i}/telemetry")]
    pub topic: String,
    /// Send over HTTP, to --server, instead of MQTT
    #[arg(long, conflicts_with_all = ["qos", "target"])]
    pub http: bool,
    /// Messages of a device in one request at most, with --http
    #[arg(long, value_name = "N", default_value_t = 100, requires = "http",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(BATCH_MOST)))]
    pub batch: u16,
    /// Ask the server for every acknowledged reading; exit 1 when one is missing or differs
    #[arg(long)]
    pub verify: bool,
    /// The server's HTTP address, for --http and --verify
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", env = "PENSTOCK_SERVER")]
    pub server: String,
    /// Seconds that readings may take to become visible, for --verify
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub settle: f64,
}

const FAULTS_IN_SHORT: &str = "What goes wrong on purpose, as shares: drop=0.01,duplicate=0.01,malformed=0.001; \
     also replay, reorder, oversize, offline, skew, reset, storm (--help says what each is)";

impl Run {
    /// Runs it.
    ///
    /// # Errors
    /// As [`crate::cli::Fleet::run`].
    pub fn run(&self, stop: &AtomicBool) -> anyhow::Result<Outcome> {
        self.check()?;
        let lasts = Duration::from_secs_f64(self.duration);
        let devices = Devices {
            behind: 1,
            topic: self.topic.clone(),
            spec: Spec {
                kind: self.kind,
                metrics: self.metrics.map(usize::from),
                seed: self.seed,
                anomalies: self.anomalies,
            },
            faults: self.faults,
            lasts: Some(lasts),
        };
        let mut load = Load::start(self.options(devices.clone())?)?;
        load.wait_up(Duration::from_secs(120))?;
        load.begin(None)?;
        let mut watch = Watch::new(Some(lasts));
        // A device that is away at the end comes back within its episode.
        let limit =
            lasts + LAST_ANSWERS + devices.disorder(0).schedule.episode().mul_f64(self.faults.offline);
        let (report, stats) = load.finish_watched(limit, watch::TICK, |now| {
            watch.tell(now);
            if stop.load(Ordering::Relaxed) { Goes::ToItsEnd } else { Goes::On }
        })?;
        watch.end();
        self.conclude(&devices, &report, &stats)
    }

    fn conclude(&self, devices: &Devices, report: &Report, stats: &Stats) -> anyhow::Result<Outcome> {
        let story = Story::of(devices, self.devices, report, stats);
        let mut text = story.join(&super::bench::print(report, self.broker.format)?, self.broker.format)?;
        let mut good = report.unacknowledged == 0 && report.overflowed == 0;
        if self.verify {
            let server = Server::new(&self.server, self.broker.authorization());
            let settle = Duration::from_secs_f64(self.settle);
            let verdict = verify::ask(&server, devices, report.began_ms, stats, settle)?;
            good &= verdict.is_good();
            text = verdict.join(&text, self.broker.format)?;
        }
        Ok(Outcome { text, good })
    }

    fn check(&self) -> Result<(), WrongUse> {
        let above_0 = |value: f64| value.is_finite() && value > 0.0;
        if self.devices == 0 || !self.interval.is_none_or(above_0) || !self.rate.is_none_or(above_0) {
            return wrong("--devices, --interval and --rate must be above 0");
        }
        for (name, seconds) in [("--duration", self.duration), ("--settle", self.settle)] {
            if Duration::try_from_secs_f64(seconds).is_err() {
                return wrong(format!("{name} {seconds}: give seconds, 0 or more"));
            }
        }
        if !(0.0..=1.0).contains(&self.anomalies) {
            return wrong(format!("--anomalies {}: a share is between 0 and 1", self.anomalies));
        }
        if !self.topic.contains("{i}") && self.devices > 1 {
            return wrong(format!("--topic {}: without {{i}} all devices would be one", self.topic));
        }
        if (self.verify || self.http) && !self.topic.starts_with("devices/") {
            return wrong("--verify and --http read the device from topics like devices/{name}/telemetry");
        }
        Ok(())
    }

    fn options(&self, devices: Devices) -> anyhow::Result<Options> {
        let mut options = self.broker.options()?;
        if self.http {
            let address = host_port(&self.server)?;
            options.target = Target::new(address, &self.broker.tls)?;
            options.target.spread_sources(self.broker.sources)?;
            options.protocol = Protocol::Http(Http {
                host: address.to_owned(),
                authorization: self.broker.authorization(),
                batch: usize::from(self.batch),
            });
        }
        options.connections = self.devices;
        options.qos = self.qos;
        options.pace = match (self.interval, self.rate) {
            (Some(interval_s), _) => Pace::open(self.devices as f64 / interval_s),
            (None, Some(per_second)) => Pace::open(per_second),
            (None, None) => Pace::Closed,
        };
        options.duration = Some(Duration::from_secs_f64(self.duration));
        options.clean_start = false;
        options.reconnect = true;
        options.record = self.verify;
        options.content = Content::Telemetry(devices);
        Ok(options)
    }
}

fn wrong<T>(words: impl Into<String>) -> Result<T, WrongUse> {
    Err(WrongUse(words.into()))
}

/// `host:port` of `http://host:port`.
fn host_port(url: &str) -> Result<&str, WrongUse> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match rest.map(|rest| rest.trim_end_matches('/')) {
        Some(host_port) if host_port.contains(':') && !host_port.contains('/') => Ok(host_port),
        _ => wrong(format!("--server {url}: give http://host:port, without a path")),
    }
}
