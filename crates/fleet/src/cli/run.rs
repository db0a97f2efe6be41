//! `penstock fleet run`

use std::time::Duration;

use anyhow::bail;

use crate::cli::{Broker, Outcome};
use crate::content::{Content, Faults};
use crate::load::{Load, Pace};
use crate::verify;

/// Simulated devices that report for a while.
#[derive(Debug, clap::Args)]
pub struct Run {
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as help")]
    pub broker: Broker,
    /// How many devices
    #[arg(long, short = 'd')]
    pub devices: usize,
    /// Seconds between two messages of a device
    #[arg(long, short = 'i', value_name = "SECONDS")]
    pub interval: f64,
    /// Metrics in each message
    #[arg(long, short = 'm', value_name = "N", default_value_t = 3)]
    pub metrics: usize,
    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub duration: f64,
    /// What goes wrong on purpose, as shares of the messages: drop=0.01,duplicate=0.01,malformed=0.001
    #[arg(long, default_value = "")]
    pub faults: Faults,
    /// Which fleet: the same seed gives the same devices
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Quality of service
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Topic; {i} is the device's number
    #[arg(long, default_value = "devices/sim-{i}/telemetry")]
    pub topic: String,
    /// Ask the server for every acknowledged reading; exit 1 when one is missing or differs
    #[arg(long)]
    pub verify: bool,
    /// The server's HTTP address, for --verify
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// Seconds that readings may take to become visible, for --verify
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub settle: f64,
}

impl Run {
    /// Runs it.
    ///
    /// # Errors
    /// As [`crate::cli::Fleet::run`].
    pub fn run(&self) -> anyhow::Result<Outcome> {
        if self.interval.is_nan() || self.interval <= 0.0 || self.devices == 0 {
            bail!("--devices and --interval must be above 0");
        }
        if self.verify && !self.topic.starts_with("devices/") {
            bail!("--verify reads the device from topics like devices/{{name}}/telemetry");
        }
        let mut options = self.broker.options()?;
        options.connections = self.devices;
        options.qos = self.qos;
        options.pace = Pace::Open { per_second: self.devices as f64 / self.interval };
        options.duration = Some(Duration::from_secs_f64(self.duration));
        options.clean_start = false;
        options.reconnect = true;
        options.record = self.verify;
        options.content = Content::Telemetry {
            topic: self.topic.clone(),
            metrics: self.metrics,
            seed: self.seed,
            faults: self.faults,
        };
        let mut load = Load::start(options)?;
        load.wait_up(Duration::from_secs(120))?;
        load.begin(None)?;
        let (report, stats) = load.finish(Duration::from_secs_f64(self.duration + 60.0))?;
        let mut text = super::bench::print(&report, self.broker.format)?;
        let mut good = report.unacknowledged == 0;
        if self.verify {
            let names = verify::Names { topic: &self.topic, metrics: self.metrics, seed: self.seed };
            let verdict =
                verify::ask(&self.server, names, &stats.acked, Duration::from_secs_f64(self.settle))?;
            good &= verdict.is_good();
            text = verdict.join(&text, self.broker.format)?;
        }
        Ok(Outcome { text, good })
    }
}
