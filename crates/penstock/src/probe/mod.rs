//! `penstock probe`: this machine as a device. Readings go into a buffer on disk first and leave it when the
//! server has acknowledged them, so neither end loses one by dying.

mod backoff;
mod buffer;
mod deliver;
mod link;
mod machine;
mod shared;
mod tick;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::json;

use self::buffer::{Books, Buffer};
use self::deliver::Delivery;
use self::machine::Machine;
use self::shared::Shared;
use self::tick::Ticks;
use crate::{Answer, WrongUse};

#[derive(clap::Args)]
pub(crate) struct Probe {
    /// The MQTT server
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    target: String,
    /// The device to be; this machine's name when left out
    #[arg(long)]
    device: Option<String>,
    /// Seconds between two measurements, 0.01 at least; they are at multiples of it
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    interval: f64,
    /// Where measurements wait for their acknowledgement
    #[arg(long, value_name = "FILE", default_value = "penstock-probe.db")]
    buffer: PathBuf,
    /// What may wait there, MiB; beyond it the oldest are dropped and counted. The file grows to a quarter more
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    buffer_mib: u64,
    /// User name; the device when a token is given
    #[arg(long)]
    username: Option<String>,
    /// The device's token, as `penstock device add` showed it
    #[arg(long, env = "PENSTOCK_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Measures once and prints the message, sends nothing
    #[arg(long)]
    print: bool,
    /// Ends after this many measurements, once they are acknowledged; 0: never
    #[arg(long, default_value_t = 0, value_name = "N")]
    messages: u64,
    #[command(flatten)]
    tls: fleet::target::TlsFiles,
}

/// Below this a machine measures mostly itself.
const SHORTEST_INTERVAL_S: f64 = 0.01;
/// A day: beyond it, it is no longer a probe.
const LONGEST_INTERVAL_S: f64 = 86_400.0;

impl Probe {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        if !(SHORTEST_INTERVAL_S..=LONGEST_INTERVAL_S).contains(&self.interval) {
            bail!(WrongUse(format!("--interval {}: give 0.01 to 86400 seconds", self.interval)));
        }
        let device = self.device.clone().unwrap_or_else(Machine::name);
        record::DeviceId::check(&device)
            .with_context(|| format!("device {device:?}: name one with --device"))?;
        if self.print {
            return print();
        }
        let shared = Arc::new(Shared::new(Buffer::open(&self.buffer, self.buffer_mib << 20)?));
        let delivery = Delivery {
            target: self.target.clone(),
            tls: self.tls.clone(),
            // What `[auth] mode = "required"` allows a device: a session of its own beside those of its other programs.
            client_id: format!("{device}/probe"),
            username: self.username.clone().or_else(|| self.token.is_some().then(|| device.clone())),
            password: self.token.clone(),
        };
        let sender = Arc::clone(&shared);
        std::thread::Builder::new().name("probe-delivery".into()).spawn(move || delivery.run(&sender))?;
        self.measure(&shared, &format!("devices/{device}/telemetry"));
        shared.wait_until_empty();
        Ok(Answer::Yes)
    }

    /// Measures at every tick, until `--messages`.
    fn measure(&self, shared: &Shared, topic: &str) {
        let mut machine = Machine::new();
        let mut ticks = Ticks::new(self.interval);
        let mut unwritten = 0;
        let mut measured = 0;
        while self.messages == 0 || measured < self.messages {
            let tick = ticks.wait();
            let metrics = machine.measure();
            let reconnects = shared.reconnects();
            let lost = std::mem::take(&mut unwritten);
            let outcome = shared
                .append(topic, lost, tick.missed, |books| message(tick.at_ms, metrics, books, reconnects));
            if let Err(error) = outcome {
                // Nowhere to keep it: the next one that can be kept says how many were not.
                eprintln!("penstock: a measurement is lost: {error}");
                unwritten = lost + 1;
                ticks.still_missed(tick.missed);
            }
            measured += 1;
        }
    }
}

#[allow(clippy::print_stdout)] // stdout is data
fn print() -> anyhow::Result<Answer> {
    let mut machine = Machine::new();
    let tick = Ticks::new(1.0).wait(); // rates need two looks
    let bytes = message(tick.at_ms, machine.measure(), &Books::default(), 0);
    println!("{}", String::from_utf8(bytes).context("JSON is UTF-8")?);
    Ok(Answer::Yes)
}

/// The message of a measurement. Its number goes with it, so that two measurements of one time (the clock was set
/// back) stay two, and one that is sent twice stays one.
fn message(at_ms: i64, mut metrics: machine::Metrics, books: &Books, reconnects: u64) -> Vec<u8> {
    for (name, value) in [
        ("probe.made_total", books.made),
        ("probe.dropped_total", books.dropped),
        ("probe.refused_total", books.refused),
        ("probe.missed_total", books.missed),
        ("probe.waiting", books.waiting),
        ("probe.waiting_bytes", books.waiting_bytes),
        ("probe.reconnects", reconnects),
    ] {
        metrics.insert(name.into(), json!(value));
    }
    json!({ "ts": at_ms, "seq": books.made, "metrics": metrics }).to_string().into_bytes()
}
