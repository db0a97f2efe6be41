//! The blackout: thousands of devices return at once, each with an hour of backlog, while a live fleet goes on. How
//! long live data takes to be seen, before and meanwhile; whether all of the backlog arrived, and its windows are right.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use record::{Timestamp, partition_of};
use rigs::blackout::Backlog;
use rigs::latency::{Probe, Took};
use rigs::metrics::{cpu_time, lag, page, resident_bytes};
use rigs::outcome::{Result, broken, exit};
use rigs::server::{Place, Server, binary};
use rigs::swarm::{Outgoing, Publisher};
use rigs::truth::ask::Asker;
use rigs::truth::compare::window_differs;
use rigs::truth::scenario::SECOND;
use serde_json::json;

#[derive(Parser, Debug)]
struct Args {
    /// Devices that return
    #[arg(long, default_value_t = 5000)]
    devices: u64,
    /// What each brings back, minutes
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Seconds from one set of readings to the next
    #[arg(long, default_value_t = 60)]
    every_s: u64,
    /// Readings in a set
    #[arg(long, default_value_t = 4)]
    metrics: u64,
    /// Sets in a message
    #[arg(long, default_value_t = 1)]
    per_message: u64,
    /// Publishes of a returning device on their way at a time
    #[arg(long, default_value_t = 8)]
    window: usize,
    /// Live devices, a message each per second
    #[arg(long, default_value_t = 200)]
    live: u64,
    /// Seconds of live data before the devices return
    #[arg(long, default_value_t = 60)]
    before_s: u64,
    /// How many returned devices' windows are compared
    #[arg(long, default_value_t = 50)]
    sample: u64,
    /// `backfill_after_s` of the configuration [default: the server's]
    #[arg(long)]
    backfill_after_s: Option<u64>,
    /// The live 95th percentile may grow by this factor; beyond it a promise is broken
    #[arg(long, default_value_t = 1.5)]
    factor: f64,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where data goes [default: a temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// What a flood that is never stored may take.
const PATIENCE: Duration = Duration::from_secs(3600);
/// What windows may take to be revised after the last reading is stored.
const REVISIONS: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    exit("blackout", run(&Args::parse()))
}

fn run(args: &Args) -> Result<String> {
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)?;
    let mut place =
        Place::new(&binary(args.binary.as_deref())?, &folder.join("data"), folder)?.with_everything();
    place.more = "[stream]\nwindows = [\"1m\", \"5m\"]\n".to_owned();
    if let Some(seconds) = args.backfill_after_s {
        place.more += &format!("[gateway.topics]\nbackfill_after_s = {seconds}\n");
    }
    let server = place.start(|_| {})?;
    // What returns must not hold up what measures: each has threads of its own, and those of the returning devices, which
    // in the field bring their own processors, come last.
    let flooding = runtime(2, true)?;
    let fleet = runtime(1, false)?;
    let probing = runtime(1, false)?;
    let measured = probing.block_on(measure(args, &place, &server, &fleet, &flooding))?;
    flooding.shutdown_background();
    fleet.shutdown_background();
    probing.shutdown_background();
    let checked = check(args, &place, &measured);
    server.stop()?;
    report(args, &measured);
    checked?;
    let ratio = measured.during.queryable.p95_ms / measured.before.queryable.p95_ms;
    if ratio > args.factor {
        return broken(format!("the live p95 grew by {ratio:.2}, at most {} is promised", args.factor));
    }
    Ok(format!("the live p95 grew by {ratio:.2}"))
}

fn runtime(threads: usize, is_last: bool) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all();
    if is_last {
        // Of this thread alone, on Linux. Where it cannot be, the figures are worse.
        builder.on_thread_start(|| {
            let _ = rustix::process::nice(10);
        });
    }
    Ok(builder.build()?)
}

struct Measured {
    backlog: Backlog,
    before: Took,
    during: Took,
    /// Until the last message was acknowledged.
    acknowledged_s: f64,
    /// Until the last reading was stored.
    stored_s: f64,
    live: u64,
    probes: u64,
    cpu_s: f64,
    peak_bytes: u64,
}

async fn measure(
    args: &Args,
    place: &Place,
    server: &Server,
    fleet: &tokio::runtime::Runtime,
    flooding: &tokio::runtime::Runtime,
) -> Result<Measured> {
    let (live, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let fleet: Vec<_> = (0..args.live)
        .map(|device| fleet.spawn(one_live(place.mqtt, device, args.live, live.clone(), stop.clone())))
        .collect();
    let mut probe = Probe::start(place.mqtt, place.http, two_per_partition()).await?;
    let warm = Instant::now();
    probe.measure(|| warm.elapsed() > Duration::from_secs(5)).await?;
    let began = Instant::now();
    let before = probe.measure(|| began.elapsed() > Duration::from_secs(args.before_s)).await?;
    eprintln!("before: {:?}", before.queryable);

    let backlog = Backlog {
        devices: args.devices,
        sets: args.minutes * 60 / args.every_s,
        every: args.every_s as i64 * SECOND,
        metrics: args.metrics,
        per_message: args.per_message,
        ends_at: Timestamp::now().nanos(),
    };
    let cpu_before = cpu_time(server.pid())?;
    let began = Instant::now();
    let flood = flooding.spawn(flood(place.mqtt, backlog, args.window));
    let watch = tokio::task::spawn_blocking({
        let (http, pid) = (place.http, server.pid());
        move || watch(http, pid, began, flood)
    });
    let during = probe.measure(|| watch.is_finished()).await?;
    let Watched { acknowledged_s, stored_s, peak_bytes } = watch.await.context("the watch")??;
    eprintln!("during: {:?}", during.queryable);
    stop.store(true, Ordering::Relaxed);
    for device in fleet {
        device.await.context("a live device")??;
    }
    let cpu_s = (cpu_time(server.pid())? - cpu_before).as_secs_f64();
    let (live, probes) = (live.load(Ordering::Relaxed), probe.sent());
    Ok(Measured { backlog, before, during, acknowledged_s, stored_s, live, probes, cpu_s, peak_bytes })
}

/// A message a second, whatever else happens; not all at once.
async fn one_live(
    mqtt: std::net::SocketAddr,
    device: u64,
    of: u64,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let mut publisher = Publisher::connect(mqtt, &format!("live-{device}")).await?;
    let mut due = tokio::time::Instant::now() + Duration::from_secs_f64(device as f64 / of as f64);
    let nobody = AtomicU64::new(0);
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep_until(due).await;
        due += Duration::from_secs(1);
        let ts = Timestamp::now().nanos();
        let message = Outgoing {
            topic: format!("devices/live-{device}/telemetry"),
            payload: format!(
                "{{\"ts\":{ts},\"metrics\":{{\"m0\":{}.5,\"m1\":2,\"m2\":3,\"m3\":4}}}}",
                ts % 100
            )
            .into(),
        };
        publisher.publish(&message, &nobody).await?;
        sent.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Two probing devices in each partition: what holds one partition up must be seen.
fn two_per_partition() -> Vec<String> {
    let partitions = log::Partitions::default().of(log::Topic::Raw);
    let named = |partition: u16| {
        let falls = move |name: &String| partition_of("default", name, partitions) == partition;
        (0..).map(|n| format!("probe-{n}")).filter(falls).take(2)
    };
    (0..partitions).flat_map(named).collect()
}

/// All devices at once, each as fast as it is acknowledged.
async fn flood(mqtt: std::net::SocketAddr, backlog: Backlog, window: usize) -> anyhow::Result<()> {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let devices: Vec<_> = (0..backlog.devices)
        .map(|device| {
            let acknowledged = acknowledged.clone();
            tokio::spawn(async move {
                let mut publisher = Publisher::connect(mqtt, &Backlog::name(device)).await?;
                let mut messages = 0..backlog.messages();
                let next = |out: &mut Outgoing| match messages.next() {
                    Some(message) => {
                        backlog.write(device, message, out);
                        true
                    }
                    None => false,
                };
                publisher.drain(window, &acknowledged, next).await
            })
        })
        .collect();
    for device in devices {
        device.await??;
    }
    Ok(())
}

struct Watched {
    acknowledged_s: f64,
    stored_s: f64,
    peak_bytes: u64,
}

fn watch(
    http: std::net::SocketAddr,
    pid: u32,
    began: Instant,
    flood: tokio::task::JoinHandle<anyhow::Result<()>>,
) -> Result<Watched> {
    let (mut flood, mut acknowledged_s, mut peak_bytes) = (Some(flood), None, 0);
    loop {
        std::thread::sleep(Duration::from_millis(100));
        peak_bytes = peak_bytes.max(resident_bytes(pid)?);
        match flood.take() {
            Some(running) if !running.is_finished() => {
                flood = Some(running);
                continue;
            }
            Some(ended) => tokio::runtime::Handle::current().block_on(ended).context("the flood")??,
            None => {}
        }
        let acknowledged_s = *acknowledged_s.get_or_insert_with(|| began.elapsed().as_secs_f64());
        // The live fleet goes on, so the live lane always has a record or two on their way.
        let page = page(http, None)?;
        let (live, backfill) = (lag(&page, Some("live")), lag(&page, Some("backfill")));
        if backfill == Some(0) && live.is_some_and(|live| live < 200) {
            return Ok(Watched { acknowledged_s, stored_s: began.elapsed().as_secs_f64(), peak_bytes });
        }
        if began.elapsed() > PATIENCE {
            return broken(format!(
                "after {PATIENCE:?} live {live:?} and backfill {backfill:?} are not stored"
            ));
        }
    }
}

/// Nothing lost, nothing doubled, windows right.
fn check(args: &Args, place: &Place, measured: &Measured) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while lag(&page(place.http, None)?, None) != Some(0) {
        if Instant::now() > deadline {
            return broken("the last readings are not stored after a minute");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let asker = Asker::new(place.http, "");
    let sums = "SELECT sum(accepted) AS accepted, sum(stored) + sum(late) AS stored, sum(duplicate) AS duplicate, \
                sum(dead_lettered) AS dead FROM ledger";
    let sums = &asker.rows(sums)?[0];
    let expected = (measured.backlog.readings() + measured.live * 4 + measured.probes) as i64;
    for (column, expected) in [("accepted", expected), ("stored", expected), ("duplicate", 0), ("dead", 0)] {
        let found: i64 = sums.number(column)?;
        if found != expected {
            return broken(format!("the ledger has {found} readings {column}, {expected} expected"));
        }
    }
    let rows: i64 = asker.rows("SELECT count(*) AS n FROM telemetry")?[0].number("n")?;
    if rows != expected {
        return broken(format!("{rows} readings are stored, {expected} expected"));
    }
    for n in 0..args.sample.min(args.devices) {
        windows(measured, &asker, n * args.devices / args.sample.min(args.devices))?;
    }
    Ok(())
}

fn windows(measured: &Measured, asker: &Asker, device: u64) -> Result<()> {
    let deadline = Instant::now() + REVISIONS;
    let name = Backlog::name(device);
    let expected = measured.backlog.windows(device);
    let over = || expected.iter().filter(|(key, _)| measured.backlog.is_over(key));
    loop {
        let found = asker.windows_of(&name)?;
        let wrong = over().find_map(|(key, window)| match found.get(key) {
            None => Some(format!("{key:?} is missing")),
            Some(row) => window_differs(window, row).map(|line| format!("{key:?}: {line}")),
        });
        match wrong {
            None => return Ok(()),
            Some(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
            Some(line) => return broken(line),
        }
    }
}

#[allow(clippy::print_stdout)] // stdout is data
fn report(args: &Args, measured: &Measured) {
    let Measured { backlog, before, during, acknowledged_s, stored_s, cpu_s, peak_bytes, .. } = measured;
    let readings = backlog.readings();
    let rate = readings as f64 / stored_s;
    eprintln!("| live | p50 | p95 | p99 | max |\n|---|--:|--:|--:|--:|");
    for (when, took) in [("before", before), ("during", during)] {
        for (what, of) in [("acknowledged", &took.acknowledged), ("queryable", &took.queryable)] {
            let (p50, p95, p99, max) = (of.p50_ms, of.p95_ms, of.p99_ms, of.max_ms);
            eprintln!("| {what} {when} | {p50:.1} ms | {p95:.1} ms | {p99:.1} ms | {max:.1} ms |");
        }
    }
    eprintln!(
        "{} devices, {} min each, a set of {} every {} s, {} sets a message: {readings} readings, acknowledged in \
         {acknowledged_s:.1} s, stored in {stored_s:.1} s ({rate:.0}/s), server CPU {cpu_s:.1} s, peak {} MiB",
        backlog.devices,
        args.minutes,
        args.metrics,
        args.every_s,
        args.per_message,
        peak_bytes >> 20
    );
    let report = json!({
        "devices": args.devices, "minutes": args.minutes, "every_s": args.every_s, "metrics": args.metrics,
        "per_message": args.per_message, "live": args.live, "backfill_after_s": args.backfill_after_s,
        "readings": readings, "before": before, "during": during, "p95_ratio": during.queryable.p95_ms / before.queryable.p95_ms,
        "acknowledged_s": acknowledged_s, "stored_s": stored_s, "readings_per_s": rate, "cpu_s": cpu_s,
        "peak_bytes": peak_bytes,
    });
    println!("{report}");
}
