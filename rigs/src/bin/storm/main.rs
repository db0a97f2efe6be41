//! A storm of alerts through the whole server: thousands of devices whose readings make conditions begin and end, thousands of them a second.
//! Nobody gets more messages than their limit; single messages, groups and digests add up to exactly what was raised; memory is
//! bounded; and live readings do not feel it.

mod judge;
mod load;
mod people;
mod told;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use rigs::latency::{Probe, Took};
use rigs::mail::MailServer;
use rigs::metrics::cpu_time;
use rigs::outcome::{Result, broken, exit};
use rigs::server::{Place, Server, binary};
use serde_json::json;

use crate::judge::Judged;
use crate::load::{Sent, Weather};
use crate::people::{Crowd, RULES};
use crate::watch::Seen;

#[derive(Parser, Debug)]
struct Args {
    /// Devices. Each begins four conditions every two seconds, and ends them a second later: twice as many conditions begin a second as
    /// there are devices
    #[arg(long, default_value_t = 2500)]
    devices: usize,
    /// Seconds of the storm
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Seconds of the same load before it, in which no condition begins
    #[arg(long, default_value_t = 15)]
    before_s: u64,
    /// For how long a rule's alert stands for those of the same device that follow
    #[arg(long, default_value = "0s")]
    suppress: String,
    /// A probe's 95th percentile until it can be asked for may grow by so much, milliseconds; beyond it a promise is broken
    #[arg(long, default_value_t = 100.0)]
    felt_ms: f64,
    /// The last alert is kept so many seconds after its reading at the latest
    #[arg(long, default_value_t = 5.0)]
    behind_s: f64,
    /// Resident memory may grow by so much, MiB
    #[arg(long, default_value_t = 256)]
    grow_mib: u64,
    /// Control: something is made wrong that the rig must notice
    #[arg(long)]
    broken: Option<Broken>,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where data goes [default: a temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Broken {
    /// A digest to everybody is lost on its way
    Digest,
    /// The server is told another limit than the one that is promised
    Limit,
}

fn main() -> ExitCode {
    exit("storm", run(&Args::parse()))
}

fn run(args: &Args) -> Result<String> {
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)?;
    let place = Place::new(&binary(args.binary.as_deref())?, &folder.join("data"), folder)?;
    let mut place = place.with_everything();
    // As often as may be, so that a storm of some minutes has several of each.
    let mail = MailServer::start()?;
    place.more = format!(
        "[alert]\ndigest_s = 60\ngroup_s = 5\n[alert.webhook]\nallow_private = true\n\
         [alert.smtp]\nhost = \"127.0.0.1\"\nport = {}\nsecurity = \"none\"\nfrom = \"alerts@example.com\"\n",
        mail.port
    );
    let server = place.start(|_| {})?;
    let crowd = Crowd::gather(place.http, mail, args.broken == Some(Broken::Limit))?;
    people::add_rules(place.http, &args.suppress)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let before = runtime.block_on(phase(args, &place, &server, (Weather::Calm, args.before_s)))?;
    let storm = runtime.block_on(phase(args, &place, &server, (Weather::Storm, args.seconds)))?;
    runtime.shutdown_background();
    crowd.unmute(place.http)?;
    let begun = storm.sent.causes * RULES.len() as u64;
    let told = judge::judge(&place, &crowd, storm.sent.causes, args.broken == Some(Broken::Digest));
    report(args, &before, &storm, told.as_ref().ok());
    let told = told?;
    judge::account(&place, &[&before, &storm])?;
    server.stop()?;
    promises(args, &before, &storm)?;
    Ok(format!(
        "{begun} conditions began, {:.0} a second; {told}; live readings can be asked for after {:.1} ms (95th percentile), {:.1} before",
        begun as f64 / storm.sent.took_s,
        storm.took.queryable.p95_ms,
        before.took.queryable.p95_ms,
    ))
}

/// What a load did to the server.
struct Phase {
    sent: Sent,
    probes: u64,
    took: Took,
    seen: Seen,
    server_cpu_s: f64,
}

async fn phase(
    args: &Args,
    place: &Place,
    server: &Server,
    (weather, seconds): (Weather, u64),
) -> Result<Phase> {
    eprintln!("{weather:?}: {} devices for {seconds} s", args.devices);
    let pid = server.pid();
    let cpu_before = cpu_time(pid)?;
    let names = (0..8).map(|n| format!("probe-{weather:?}-{n}")).collect();
    let mut probe = Probe::start(place.mqtt, place.http, names).await?;
    let over = Arc::new(AtomicBool::new(false));
    let watch = tokio::task::spawn_blocking({
        let (over, http) = (Arc::clone(&over), place.http);
        move || watch::watch(http, pid, &over)
    });
    let load = load::run(place.mqtt, args.devices, weather, Duration::from_secs(seconds));
    let http = place.http;
    let through = tokio::spawn(async move {
        let sent = load.await?;
        let behind_s = tokio::task::spawn_blocking(move || watch::await_rules(http)).await??;
        anyhow::Ok((sent, behind_s))
    });
    let took = probe.measure(|| through.is_finished() || watch.is_finished()).await?;
    let (sent, behind_s) = through.await.context("the load")??;
    over.store(true, Ordering::Relaxed);
    let seen = Seen { behind_s, ..watch.await.context("the watch")?? };
    let server_cpu_s = (cpu_time(pid)? - cpu_before).as_secs_f64();
    Ok(Phase { sent, probes: probe.sent(), took, seen, server_cpu_s })
}

fn promises(args: &Args, before: &Phase, storm: &Phase) -> Result<()> {
    let felt_ms = storm.took.queryable.p95_ms - before.took.queryable.p95_ms;
    if felt_ms > args.felt_ms {
        return broken(format!("live readings feel the storm: {felt_ms:.0} ms more, 95th percentile"));
    }
    if storm.seen.behind_s > args.behind_s {
        return broken(format!("the last alert came {:.1} s after its reading", storm.seen.behind_s));
    }
    let mib = |phase: &Phase| phase.seen.most_bytes() >> 20;
    let grown_mib = mib(storm).saturating_sub(mib(before));
    if grown_mib > args.grow_mib {
        return broken(format!("resident memory grew by {grown_mib} MiB"));
    }
    Ok(())
}

#[allow(clippy::print_stdout)] // stdout is data
fn report(args: &Args, before: &Phase, storm: &Phase, judged: Option<&Judged>) {
    let told = |phase: &Phase| {
        json!({
            "readings": phase.sent.readings,
            "sent_s": phase.sent.took_s,
            "acknowledged_late_s": phase.sent.late_s,
            "conditions_begun": phase.sent.causes * RULES.len() as u64,
            "rules_behind_s": phase.seen.behind_s,
            "server_cpu_s": phase.server_cpu_s,
            "probe_acknowledged": phase.took.acknowledged,
            "probe_queryable": phase.took.queryable,
            "each_second": phase.seen.looks,
        })
    };
    println!(
        "{:#}",
        json!({
            "devices": args.devices,
            "suppress": args.suppress,
            "before": told(before),
            "storm": told(storm),
            "people": judged.map(|judged| &judged.people),
        })
    );
}
