//! A full disk: acknowledgements stop, reads stay up, and publishing resumes within seconds of space, without a
//! restart; nothing acknowledged is missing.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use fleet::load::Load;
use fleet::packet::Connect;
use fleet::subscriber::Subscriber;
use rigs::damage;
use rigs::image::Image;
use rigs::outcome::{Result, broken, exit};
use rigs::served;
use rigs::server::{Place, binary, get};

#[derive(Parser)]
struct Args {
    /// How often to fill the disk
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where the disk image goes [default: a temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Control: lose the end of the newest file before the final check; the rig must notice
    #[arg(long)]
    broken: bool,
}

const IMAGE_MIB: u64 = 128;
/// Resumes within this of space.
const RESUME_LIMIT: Duration = Duration::from_secs(5);
/// No acknowledgement for so long is "stopped"; with 1 000 publishes a second on their way.
const STOPPED: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    exit("diskfull", run(&Args::parse()))
}

fn run(args: &Args) -> Result<String> {
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(temporary.path());
    let image = Image::create(folder, IMAGE_MIB)?;
    let place = Place::new(&binary(args.binary.as_deref())?, &image.path().join("data"), folder)?;
    let mut server = place.start(|_| {})?;
    Subscriber::connect(place.mqtt, &newcomer("rig-keeper"))?.publish("keep/one", b"kept", 1, true)?;
    let load = served::publish(&place, "full", 1_000.0)?;
    wait_for_more(&load, 100, Duration::from_secs(10))?;
    let mut resumed = Vec::new();
    for round in 0..args.rounds {
        image.inflate()?;
        wait_until_stopped(&load)?;
        let stopped_at = load.acknowledged();
        check_reads(&place)?;
        std::thread::sleep(Duration::from_secs(1));
        if load.acknowledged() != stopped_at {
            return broken(format!("round {round}: publishes were acknowledged on a full disk"));
        }
        image.deflate()?;
        resumed.push(wait_for_more(&load, 100, RESUME_LIMIT)?);
        if get(place.http, "/health/ready") != Some(200) {
            return broken(format!("round {round}: a server that takes messages again says it is not ready"));
        }
        if !server.is_running()? {
            return broken(format!("round {round}: the server did not survive the full disk"));
        }
    }
    load.halt();
    let (report, stats) = load.finish(Duration::from_secs(10))?;
    server.stop()?;
    if args.broken {
        damage::cut_newest(&place.data)?;
    }
    served::check(&place.data, "full", &stats.acked)?;
    Ok(format!(
        "{} times full, resumed after {resumed:?}; {} acknowledged, none missing; {} refused, {} connections lost",
        args.rounds,
        stats.acked.len(),
        report.refused.values().sum::<u64>(),
        report.lost
    ))
}

fn newcomer(client_id: &str) -> Connect<'_> {
    Connect { client_id, clean_start: true, keep_alive_s: 60, ..Connect::default() }
}

/// How long it took until `count` more were acknowledged.
fn wait_for_more(load: &Load, count: u64, limit: Duration) -> Result<Duration> {
    let (began, before) = (Instant::now(), load.acknowledged());
    while load.acknowledged() < before + count {
        if began.elapsed() > limit {
            return broken(format!("no acknowledgements {limit:?} after there was space"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(began.elapsed())
}

fn wait_until_stopped(load: &Load) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut last, mut since) = (load.acknowledged(), Instant::now());
    while since.elapsed() < STOPPED {
        if Instant::now() > deadline {
            return broken("publishes are still acknowledged a minute after the disk was filled");
        }
        std::thread::sleep(Duration::from_millis(20));
        if load.acknowledged() != last {
            (last, since) = (load.acknowledged(), Instant::now());
        }
    }
    Ok(())
}

/// On the full disk a newcomer is let in and given what is retained, and HTTP answers.
fn check_reads(place: &Place) -> Result<()> {
    if get(place.http, "/health/live") != Some(200) {
        return broken("HTTP does not answer on a full disk");
    }
    if get(place.http, "/health/ready") != Some(503) {
        return broken("a server that takes nothing says it is ready");
    }
    let Ok(mut client) = Subscriber::connect(place.mqtt, &newcomer("rig-newcomer")) else {
        return broken("nobody new is let in on a full disk");
    };
    if let Err(error) = client.subscribe("keep/#", 1) {
        return broken(format!("no subscriptions on a full disk: {error:#}"));
    }
    match client.next(Duration::from_secs(5)) {
        Ok(Some(message)) if message.payload == b"kept" => Ok(()),
        other => broken(format!("a newcomer on a full disk is not given the retained message but {other:?}")),
    }
}
