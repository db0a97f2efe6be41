//! How long a server takes to be ready on a data directory as it stands: after a kill in the middle of a load, and after it was
//! stopped. `endtoend --folder DIR` leaves one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use rigs::ledger;
use rigs::metrics::{folder_bytes, lag, page, resident_bytes};
use rigs::outcome::{Result, broken, exit};
use rigs::server::{Place, binary};
use serde_json::json;

#[derive(Parser, Debug)]
struct Args {
    /// Its `data` is started on; an empty one is made where there is none
    #[arg(long)]
    folder: PathBuf,
    /// Kills, and clean ends
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Readings a second before each kill, 20 in a message, of 1000 devices
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// Seconds of that
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// A promise is broken when a start ever takes longer
    #[arg(long, default_value_t = 5_000)]
    limit_ms: u64,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Readings that wait are stored within this, or they never are.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    exit("start", run(&Args::parse()))
}

#[allow(clippy::print_stdout)] // stdout is data
fn run(args: &Args) -> Result<String> {
    let data = args.folder.join("data");
    std::fs::create_dir_all(&data).context("the folder cannot be made")?;
    let place = Place::new(&binary(args.binary.as_deref())?, &data, &args.folder)?.with_everything();
    let size_bytes = folder_bytes(&data)?;
    let (mut after_kill, mut after_stop) = (Vec::new(), Vec::new());
    let mut server = place.start(|_| {})?;
    let first = server.ready_after;
    for round in 1..=args.rounds {
        let mut load = load(args, &place)?;
        std::thread::sleep(Duration::from_secs(args.seconds));
        let ended = load.try_wait().context("the generator cannot be looked at")?;
        ensure_running(ended)?;
        server.kill9()?;
        end(load);
        server = place.start(|_| {})?;
        after_kill.push(server.ready_after);
        catch_up(&place)?;
        server.stop()?;
        server = place.start(|_| {})?;
        after_stop.push(server.ready_after);
        eprintln!(
            "round {round}: ready {:.0?} after a kill, {:.0?} after a stop",
            after_kill[after_kill.len() - 1],
            server.ready_after
        );
    }
    ledger::balances(&place)?;
    let resident_mib = resident_bytes(server.pid())? >> 20;
    server.stop()?;
    let ms = |took: &[Duration]| took.iter().map(|took| took.as_secs_f64() * 1e3).collect::<Vec<_>>();
    println!(
        "{:#}",
        json!({
            "bytes_before": size_bytes, "bytes": folder_bytes(&data)?, "series_bytes": bytes_of(&data, "series")?,
            "log_bytes": bytes_of(&data, "log")?, "first_ms": first.as_secs_f64() * 1e3,
            "after_kill_ms": ms(&after_kill), "after_stop_ms": ms(&after_stop), "resident_mib": resident_mib,
        })
    );
    let worst = after_kill.iter().chain(&after_stop).max().copied().unwrap_or_default().max(first);
    if worst > Duration::from_millis(args.limit_ms) {
        return broken(format!("ready after {worst:.1?}, at most {} ms are promised", args.limit_ms));
    }
    Ok(format!("{:.1} GB, ready after {worst:.0?} at most", size_bytes as f64 / 1e9))
}

fn load(args: &Args, place: &Place) -> anyhow::Result<Child> {
    let mut command = Command::new(&place.binary);
    command.args(["fleet", "bench", "--target", &place.mqtt.to_string(), "--connections", "1000"]);
    command.args(["--metrics", "20", "--rate", &(args.rate / 20).max(1).to_string()]);
    command.args(["--duration", &(args.seconds + 60).to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("the generator cannot be started")
}

/// A kill without a load would be measured as one with it.
fn ensure_running(ended: Option<ExitStatus>) -> anyhow::Result<()> {
    match ended {
        Some(status) => bail!("the generator ended with {status} before the server was killed"),
        None => Ok(()),
    }
}

/// Its server is gone: whether it noticed, or what it says of it, is of no matter here.
fn end(mut load: Child) {
    let _ = load.kill();
    let _ = load.wait();
}

/// Waits until all that is in the log is stored.
fn catch_up(place: &Place) -> Result<()> {
    let began = Instant::now();
    while lag(&page(place.http, None)?, None) != Some(0) {
        if began.elapsed() > PATIENCE {
            return broken(format!("what was in the log is not stored after {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn bytes_of(data: &Path, part: &str) -> anyhow::Result<u64> {
    let folder = data.join(part);
    if folder.is_dir() { folder_bytes(&folder) } else { Ok(0) }
}
