//! SIGKILL of the whole server at random moments while a fleet reports with faults of its own; then `fleet run --verify` asks for
//! every reading that was acknowledged: each is stored, once, with its value and time, and the ledger balances.

use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use fleet::random::Random;
use rigs::ledger;
use rigs::outcome::{Result, broken, exit};
use rigs::server::{Place, binary};
use rigs::truth::ask::Asker;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

#[derive(Parser)]
struct Args {
    /// How often to kill
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// Devices, a connection each
    #[arg(long, default_value_t = 1000)]
    devices: u32,
    /// Messages per second, of all
    #[arg(long, default_value_t = 5000.0)]
    rate: f64,
    /// Readings in a message
    #[arg(long, default_value_t = 20)]
    metrics: u32,
    /// What goes wrong of itself, as `fleet run --faults` has it
    #[arg(long, default_value = "drop=0.0005,duplicate=0.01,reorder=0.01,malformed=0.001")]
    faults: String,
    /// The longest between two kills, seconds
    #[arg(long, default_value_t = 4.0)]
    every_s: f64,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where data goes [default: a temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Randomness of the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Control: give a stored reading another value behind the fleet's back; the rig must notice
    #[arg(long)]
    broken: bool,
}

/// The fleet would end by itself after so long: it is told to end long before.
const DURATION_S: u32 = 24 * 3600;

/// How long the server may take to store what is left when the fleet has ended.
const SETTLE_S: u32 = 300;

fn main() -> ExitCode {
    exit("fleetkill", run(&Args::parse()))
}

fn run(args: &Args) -> Result<String> {
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)?;
    let place = Place::new(&binary(args.binary.as_deref())?, &folder.join("data"), folder)?.with_everything();
    let mut server = place.start(|_| {})?;
    let mut fleet = Fleet(start(args, &place)?);
    let mut random = Random::new(args.seed);
    let mut ready = Vec::new();
    for kill in 1..=args.kills {
        // Often soon after the start, when the server reads on from where it stood.
        std::thread::sleep(Duration::from_secs_f64(random.unit().powi(2) * args.every_s));
        fleet.is_running().with_context(|| format!("before kill {kill}"))?;
        server.kill9()?;
        server = place.start(|_| {})?;
        ready.push(server.ready_after);
        eprintln!("fleetkill: kill {kill} of {}, ready again after {:.1?}", args.kills, server.ready_after);
    }
    std::thread::sleep(Duration::from_secs(2));
    if args.broken {
        change_a_reading(&place)?;
    }
    let told = fleet.end()?;
    ledger::balances(&place)?;
    server.stop()?;
    ready.sort();
    let at = |place: usize| ready.get(place).copied().unwrap_or_default();
    let (middle, worst) = (at(ready.len() / 2), at(ready.len().saturating_sub(1)));
    Ok(format!("{} kills; ready again after {middle:.1?} (median), {worst:.1?} (worst); {told}", args.kills))
}

/// Corrects a reading of the first device, as anybody may.
fn change_a_reading(place: &Place) -> anyhow::Result<()> {
    let asker = Asker::new(place.http, "");
    let of_first = "SELECT metric, time FROM telemetry WHERE device_id = 'sim-1' ORDER BY time LIMIT 1";
    let rows = asker.rows(of_first)?;
    let reading = rows.first().context("nothing of sim-1 is stored")?;
    let (metric, time) = (reading.text("metric")?, reading.text("time")?);
    let body = json!({ "device_id": "sim-1", "metric": metric, "value": -12_345.5, "ts": time });
    let answer = ureq::post(format!("http://{}/v1/telemetry", place.http)).send(body.to_string());
    ensure!(answer.context("the correction is refused")?.status().is_success(), "the correction is refused");
    Ok(())
}

/// The fleet, a process of its own. Killed when dropped.
struct Fleet(Child);

fn start(args: &Args, place: &Place) -> anyhow::Result<Child> {
    let mut command = Command::new(&place.binary);
    command.args(["fleet", "run", "--format", "json", "--verify", "--kind", "simple"]);
    command.args(["--target", &place.mqtt.to_string(), "--server", &format!("http://{}", place.http)]);
    command.args(["--devices", &args.devices.to_string(), "--rate", &args.rate.to_string()]);
    command.args(["--metrics", &args.metrics.to_string(), "--faults", &args.faults]);
    command.args(["--duration", &DURATION_S.to_string(), "--settle", &SETTLE_S.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().context("the fleet cannot be started")
}

impl Fleet {
    fn is_running(&mut self) -> anyhow::Result<()> {
        ensure!(self.0.try_wait()?.is_none(), "the fleet has ended");
        Ok(())
    }

    /// Has it end as Ctrl-C does, and reads what it found.
    fn end(&mut self) -> Result<String> {
        kill_process(Pid::from_child(&self.0), Signal::INT)?;
        let stdout = self.0.stdout.take().context("it is read once")?;
        let report: Value = serde_json::from_reader(stdout).context("what the fleet says of itself")?;
        let status = self.0.wait()?;
        let verdict = report.get("verify").context("the fleet's report says nothing of what it verified")?;
        let count = |name: &str| verdict[name].as_u64().unwrap_or_default();
        let told = format!("{} readings acknowledged, {} found", count("acknowledged"), count("found"));
        if !status.success() {
            return broken(format!("{told}; the fleet found: {verdict}"));
        }
        if count("acknowledged") == 0 {
            return broken("nothing was acknowledged, so nothing was tested");
        }
        Ok(format!("{told}, each once"))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
