//! Memory over many readings of many devices, and under more devices than the budget has room for.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use record::Timestamp;
use rigs::metrics::{cpu_time, lag, page, resident_bytes};
use rigs::outcome::{Result, broken, exit};
use rigs::server::{Place, Server, binary};
use rigs::swarm::{Outgoing, Publisher};
use rigs::truth::ask::Asker;
use serde_json::json;

#[derive(Parser, Debug)]
struct Args {
    /// Distinct devices
    #[arg(long, default_value_t = 100_000)]
    devices: u64,
    /// Readings in all
    #[arg(long, default_value_t = 2_000_000)]
    readings: u64,
    /// Readings in a message
    #[arg(long, default_value_t = 20)]
    metrics: u64,
    /// Connections, which share the devices
    #[arg(long, default_value_t = 16)]
    connections: u64,
    /// Publishes of a connection on their way at a time
    #[arg(long, default_value_t = 256)]
    window: usize,
    /// Seconds between two looks at the memory
    #[arg(long, default_value_t = 1.0)]
    sample_s: f64,
    /// Most devices of a tenant, as configured [default: the server's]
    #[arg(long)]
    budget: Option<u64>,
    /// Most series of a tenant, as configured [default: the server's]
    #[arg(long)]
    series_budget: Option<u64>,
    /// A promise is broken when the server ever holds more, MiB
    #[arg(long)]
    limit_mib: Option<u64>,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where data goes [default: a temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// A moment of the run.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at_s: f64,
    /// Readings acknowledged, and stored.
    acknowledged: u64,
    stored: u64,
    resident_bytes: u64,
}

fn main() -> ExitCode {
    exit("memory", run(&Args::parse()))
}

fn run(args: &Args) -> Result<String> {
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)?;
    let mut place =
        Place::new(&binary(args.binary.as_deref())?, &folder.join("data"), folder)?.with_everything();
    let budgets = [("max_devices", args.budget), ("max_series", args.series_budget)];
    let budgets = budgets.iter().filter_map(|(key, most)| Some(format!("{key} = {}\n", (*most)?)));
    place.more = format!("[stream.budget]\n{}", budgets.collect::<String>());
    let server = place.start(|_| {})?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (samples, took) = runtime.block_on(send(args, &place, &server))?;
    let cpu_s = cpu_time(server.pid())?.as_secs_f64();
    let summary = report(args, &samples, took, cpu_s);
    account(args, &place)?;
    server.stop()?;
    let peak = samples.iter().map(|sample| sample.resident_bytes).max().unwrap_or_default() >> 20;
    match args.limit_mib {
        Some(limit) if peak > limit => broken(format!("{peak} MiB resident, at most {limit} are promised")),
        _ => Ok(summary),
    }
}

async fn send(args: &Args, place: &Place, server: &Server) -> Result<(Vec<Sample>, Duration)> {
    let messages = args.readings / args.metrics;
    let (acknowledged, next) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let senders: Vec<_> = (0..args.connections)
        .map(|connection| {
            let (acknowledged, next, mqtt) = (acknowledged.clone(), next.clone(), place.mqtt);
            let (devices, metrics, window) = (args.devices, args.metrics, args.window);
            tokio::spawn(async move {
                let mut publisher = Publisher::connect(mqtt, &format!("memory-{connection}")).await?;
                let write = |out: &mut Outgoing| {
                    let message = next.fetch_add(1, Ordering::Relaxed);
                    if message < messages {
                        write(message, devices, metrics, out);
                    }
                    message < messages
                };
                publisher.drain(window, &acknowledged, write).await
            })
        })
        .collect();
    let mut samples = Vec::new();
    loop {
        tokio::time::sleep(Duration::from_secs_f64(args.sample_s)).await;
        let sent = senders.iter().all(tokio::task::JoinHandle::is_finished);
        let messages = acknowledged.load(Ordering::Relaxed);
        let http = place.http;
        let waiting =
            tokio::task::spawn_blocking(move || anyhow::Ok(lag(&page(http, None)?, None).unwrap_or(0)));
        let waiting = waiting.await.context("a look at the lag")??;
        let sample = Sample {
            at_s: began.elapsed().as_secs_f64(),
            acknowledged: messages * args.metrics,
            stored: messages.saturating_sub(waiting) * args.metrics,
            resident_bytes: resident_bytes(server.pid())?,
        };
        if samples.len() % 10 == 0 {
            let Sample { at_s, acknowledged, stored, resident_bytes } = sample;
            eprintln!(
                "{at_s:.0} s: {acknowledged} acknowledged, {stored} stored, {} MiB",
                resident_bytes >> 20
            );
        }
        samples.push(sample);
        if sent && waiting == 0 {
            break;
        }
    }
    for sender in senders {
        sender.await.context("a sender")??;
    }
    Ok((samples, began.elapsed()))
}

/// Devices in turn, each at the time at which it is written.
fn write(message: u64, devices: u64, metrics: u64, out: &mut Outgoing) {
    use std::fmt::Write as _;
    let device = message % devices;
    let _ = write!(out.topic, "devices/sensor-{device:07}/telemetry");
    let mut payload = format!("{{\"ts\":{},\"metrics\":{{", Timestamp::now().nanos());
    for metric in 0..metrics {
        let comma = if metric > 0 { "," } else { "" };
        let _ =
            write!(payload, "{comma}\"m{metric}\":{}.{}", (message * 7 + metric * 13) % 500, message % 10);
    }
    payload.push_str("}}");
    out.payload.extend_from_slice(payload.as_bytes());
}

/// Everything sent is in the account, and within the budget.
fn account(args: &Args, place: &Place) -> Result<()> {
    let asker = Asker::new(place.http, "");
    let sums = &asker.rows(
        "SELECT sum(accepted) AS accepted, sum(dead_lettered) AS dead, sum(residue) AS residue FROM ledger",
    )?[0];
    let (accepted, dead, residue): (u64, u64, i64) =
        (sums.number("accepted")?, sums.number("dead")?, sums.number("residue")?);
    let sent = args.readings / args.metrics * args.metrics;
    if accepted != sent || residue != 0 {
        return broken(format!("{sent} readings sent, {accepted} in the ledger, residue {residue}"));
    }
    let seen = args.devices.min(args.readings / args.metrics);
    let devices: u64 = asker.rows("SELECT count(*) AS n FROM devices")?[0].number("n")?;
    eprintln!("{devices} of {seen} devices have readings; {dead} of {sent} readings are dead letters");
    let most = args.budget.unwrap_or(u64::MAX);
    if devices > most || (seen > most) != (dead > 0) {
        return broken(format!("{devices} devices with a budget of {most}, and {dead} dead letters"));
    }
    Ok(())
}

#[allow(clippy::print_stdout)] // stdout is data
fn report(args: &Args, samples: &[Sample], took: Duration, cpu_s: f64) -> String {
    let half = &samples[samples.len() / 2..];
    let points: Vec<(f64, f64)> = half
        .iter()
        .map(|sample| (sample.acknowledged as f64 / 1e6, sample.resident_bytes as f64 / 1048576.0))
        .collect();
    let slope = slope(&points);
    let peak = samples.iter().map(|sample| sample.resident_bytes).max().unwrap_or_default();
    let last = samples.last().map_or(0, |sample| sample.resident_bytes);
    let rate = args.readings as f64 / took.as_secs_f64();
    let series: Vec<_> =
        samples.iter().map(|of| json!([of.at_s, of.acknowledged, of.stored, of.resident_bytes])).collect();
    println!(
        "{}",
        json!({
            "devices": args.devices, "readings": args.readings, "metrics": args.metrics, "budget": args.budget,
            "seconds": took.as_secs_f64(), "readings_per_s": rate, "cpu_s": cpu_s, "peak_bytes": peak,
            "last_bytes": last, "slope_mib_per_million_readings": slope, "samples": series,
        })
    );
    format!(
        "{} readings of {} devices in {:.0?} ({rate:.0}/s, {cpu_s:.0} s of CPU): peak {} MiB, at the end {} MiB, {slope:+.2} MiB \
         per million readings over the second half",
        args.readings,
        args.devices,
        took,
        peak >> 20,
        last >> 20
    )
}

/// Of the line of least squares; 0 for a single point.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let across: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let along: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    if across > 0.0 { along / across } else { 0.0 }
}
