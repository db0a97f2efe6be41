//! The whole path at a steady load: 20-metric JSON messages over MQTT at QoS 1, with windows, until a query returns them. How long
//! that takes, what it costs, whether memory stays; then a burst, whether all of it arrived once, and whether the account balances.

use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use rigs::alarm;
use rigs::latency::{Latencies, Probe, Took};
use rigs::ledger;
use rigs::metrics::{cpu_time, folder_bytes, lag, named, page, resident_bytes};
use rigs::outcome::{Result, broken, exit};
use rigs::receiver::Receiver;
use rigs::server::{Place, Server, binary};
use rigs::truth::ask::Asker;
use serde_json::{Value, json};

#[derive(Parser, Debug)]
struct Args {
    /// Devices
    #[arg(long, default_value_t = 1000)]
    devices: u64,
    /// How many share a connection, in turn, as behind the gateway of a site
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    behind: u64,
    /// Messages that are due within so many milliseconds are due together, as where a site's gateway asks its devices
    #[arg(long, default_value_t = 0)]
    tick: u64,
    /// Readings in a message
    #[arg(long, default_value_t = 20)]
    metrics: u64,
    /// Readings a second in all
    #[arg(long, default_value_t = 1_000_000)]
    rate: u64,
    /// Seconds of that
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Seconds of the burst behind it; 0: none
    #[arg(long, default_value_t = 30)]
    burst_s: u64,
    /// How many times as many readings come then
    #[arg(long, default_value_t = 5)]
    burst_factor: u64,
    /// Rules that are active; of one of them an alert is raised ten times a second, and its webhook waited for. 0: none
    #[arg(long, default_value_t = 100)]
    rules: usize,
    /// A storm: four rules more, each of whose conditions begins or ends with about every second message of the load
    #[arg(long)]
    storm: bool,
    /// A probe is sent each so many milliseconds. Those that wait long look often: at 50 a server that has fallen behind spends a
    /// tenth of its time on answering them
    #[arg(long, default_value_t = 50)]
    probe_ms: u64,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where data goes [default: a temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// A probe's 95th percentile beyond this breaks a promise.
const QUERYABLE_MS: f64 = 500.0;
/// What a load that is never stored may take, and what a probe of it waits at most: how far a server falls behind is told, too.
const PATIENCE: Duration = Duration::from_secs(1800);
/// What a connection may have on its way at most, however many devices send by it.
const IN_FLIGHT: u64 = 1024;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    exit("endtoend", run(&Args::parse()))
}

fn run(args: &Args) -> Result<String> {
    connections(args)?;
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)?;
    let program = binary(args.binary.as_deref())?;
    let mut place = Place::new(&program, &folder.join("data"), folder)?.with_everything();
    "[alert.webhook]\nallow_private = true\n".clone_into(&mut place.more);
    let server = place.start(|_| {})?;
    let receiver = Receiver::listen(0)?;
    if args.storm {
        alarm::add_storm(place.http, &receiver.url)?;
    }
    if args.rules > 0 {
        alarm::add_rules(place.http, args.rules, args.metrics as usize, &receiver.url)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let steady = runtime.block_on(phase(args, &place, &server, &receiver, (args.rate, args.seconds)))?;
    let burst = match args.burst_s {
        0 => None,
        seconds => {
            let rate = args.rate * args.burst_factor;
            Some(runtime.block_on(phase(args, &place, &server, &receiver, (rate, seconds)))?)
        }
    };
    runtime.shutdown_background();
    let phases: Vec<&Phase> = std::iter::once(&steady).chain(&burst).collect();
    let stored = account(&place, &phases, args.metrics)?;
    let bytes = folder_bytes(&place.data.join("series"))?;
    server.stop()?;
    report(args, &phases, bytes as f64 / stored as f64);
    let p95 = steady.took.queryable.p95_ms;
    if p95 > QUERYABLE_MS {
        return broken(format!(
            "the 95th percentile until queryable is {p95:.0} ms, {QUERYABLE_MS} is promised"
        ));
    }
    Ok(format!(
        "{:.0} readings/s for {:.0} s, queryable after {p95:.1} ms (95th percentile); {stored} readings stored once",
        steady.readings(args.metrics) as f64 / steady.sent_s,
        steady.sent_s
    ))
}

/// By how many connections the devices send.
fn connections(args: &Args) -> anyhow::Result<u64> {
    let Args { devices, behind, .. } = args;
    ensure!(
        devices >= behind && devices % behind == 0,
        "{devices} devices are not {behind} behind each connection"
    );
    Ok(devices / behind)
}

/// What came of a load.
struct Phase {
    generator: Value,
    took: Took,
    /// From a reading's publish to its alert's webhook.
    alarm: Option<(Latencies, u64)>,
    /// What was raised, suppressed ones among it; suppressed; held back by limits.
    alerts: Value,
    probes: u64,
    /// Until the last message was acknowledged, and until the last was stored.
    sent_s: f64,
    stored_s: f64,
    server_cpu_s: f64,
    /// Resident memory of the server, each second.
    resident: Vec<u64>,
}

impl Phase {
    fn acknowledged(&self) -> u64 {
        self.generator["acknowledged"].as_u64().unwrap_or_default()
    }

    fn alarms(&self) -> u64 {
        self.alarm.as_ref().map_or(0, |(_, sent)| *sent)
    }

    fn readings(&self, metrics: u64) -> u64 {
        self.acknowledged() * metrics
    }
}

async fn phase(
    args: &Args,
    place: &Place,
    server: &Server,
    receiver: &Receiver,
    (rate, seconds): (u64, u64),
) -> Result<Phase> {
    // The devices are those of the phase before. Each message is a new reading all the same, as their times are later.
    let messages = (rate / args.metrics).max(1);
    eprintln!("{} readings/s for {seconds} s", messages * args.metrics);
    let mut load = load(args, place, messages, seconds)?;
    let pid = server.pid();
    let cpu_before = cpu_time(pid)?;
    let began = Instant::now();
    let mut probe =
        Probe::start(place.mqtt, place.http, (0..PROBERS).map(|n| format!("probe-{rate}-{n}")).collect())
            .await?
            .with_patience(PATIENCE)
            .with_pace(Duration::from_millis(args.probe_ms));
    let over = Arc::new(AtomicBool::new(false));
    receiver.forget();
    let alarm = (args.rules > 0)
        .then(|| tokio::spawn(alarm::measure(place.mqtt, receiver.clone(), Arc::clone(&over), PATIENCE)));
    let watch = tokio::task::spawn_blocking({
        let (over, http) = (Arc::clone(&over), place.http);
        move || -> anyhow::Result<(Value, f64, f64, Vec<u64>)> {
            let (mut resident, mut sent_s) = (Vec::new(), None);
            loop {
                std::thread::sleep(LOOK);
                resident.push(resident_bytes(pid)?);
                if sent_s.is_none() && load.try_wait()?.is_some() {
                    sent_s = Some(began.elapsed().as_secs_f64());
                }
                // Probes go on: there are always some on their way.
                let waiting =
                    lag(&page(http, None)?, None).context("the page does not say how far the store is")?;
                if let Some(sent_s) = sent_s.filter(|_| waiting < 1000) {
                    over.store(true, Ordering::Relaxed);
                    let output = load.wait_with_output()?;
                    let generator = serde_json::from_slice(&output.stdout)
                        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
                    return Ok((generator, sent_s, began.elapsed().as_secs_f64(), resident));
                }
                ensure!(began.elapsed() < PATIENCE, "after {PATIENCE:?} {waiting} records are not stored");
            }
        }
    });
    let took = probe.measure(|| over.load(Ordering::Relaxed) || watch.is_finished()).await?;
    let (generator, sent_s, stored_s, resident) = watch.await.context("the watch")??;
    let server_cpu_s = (cpu_time(pid)? - cpu_before).as_secs_f64();
    let alarm = match alarm {
        Some(alarm) => Some(alarm.await.context("the alarms")??),
        None => None,
    };
    let page = page(place.http, None)?;
    let of = |name: &str| named(&page, name);
    let alerts = json!({
        "raised": of("penstock_alerts_raised_total"),
        "suppressed": of("penstock_alerts_suppressed_total"),
        "resolved": of("penstock_alerts_resolved_total"),
        "messages_delivered": of("penstock_alert_deliveries_total{outcome=\"delivered\"}"),
        "rules_behind_by_records": of("penstock_reader_lag_records{reader=\"rules\""),
    });
    Ok(Phase {
        generator,
        took,
        alarm,
        alerts,
        probes: probe.sent(),
        sent_s,
        stored_s,
        server_cpu_s,
        resident,
    })
}

/// The generator, a process of its own.
fn load(args: &Args, place: &Place, messages: u64, seconds: u64) -> anyhow::Result<Child> {
    let mut command = Command::new(&place.binary);
    let connections = connections(args)?;
    let in_flight = (64 * args.behind).min(IN_FLIGHT);
    command.args(["fleet", "bench", "--format", "json", "--target", &place.mqtt.to_string()]);
    command.args(["--connections", &connections.to_string(), "--behind", &args.behind.to_string()]);
    command.args(["--in-flight", &in_flight.to_string(), "--tick", &args.tick.to_string()]);
    command.args(["--metrics", &args.metrics.to_string()]);
    command.args(["--rate", &messages.to_string(), "--duration", &seconds.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().context("the generator cannot be started")
}

/// Each probe is sent by another: one that waits for three seconds still does not hold its next one up, which would count
/// the same wait twice.
const PROBERS: u32 = 64;

/// Nothing lost, nothing doubled, and every equation of the ledger holds. Says how many readings are stored.
fn account(place: &Place, phases: &[&Phase], metrics: u64) -> Result<u64> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while lag(&page(place.http, None)?, None) != Some(0) {
        if Instant::now() > deadline {
            return broken("the last readings are not stored after a minute");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let expected: u64 =
        phases.iter().map(|phase| phase.readings(metrics) + phase.probes + phase.alarms()).sum();
    let asker = Asker::new(place.http, "");
    let rows: u64 = asker.rows("SELECT count(*) AS n FROM telemetry")?[0].number("n")?;
    if rows != expected {
        return broken(format!("{rows} readings are stored, {expected} were acknowledged"));
    }
    ledger::balances(place)?;
    Ok(rows)
}

#[allow(clippy::print_stdout)] // stdout is data
fn report(args: &Args, phases: &[&Phase], bytes_per_reading: f64) {
    let told = |phase: &&Phase| {
        let readings = phase.readings(args.metrics);
        let mib: Vec<u64> = phase.resident.iter().map(|bytes| bytes >> 20).collect();
        let at = |part: usize| mib.get(mib.len() * part / 10).copied().unwrap_or_default();
        json!({
            "readings": readings,
            "readings_per_s": readings as f64 / phase.sent_s,
            "sent_s": phase.sent_s,
            "stored_s": phase.stored_s,
            "server_cpu_s": phase.server_cpu_s,
            "server_readings_per_cpu_s": readings as f64 / phase.server_cpu_s,
            "generator_cpu_s": phase.generator["generator_cpu_seconds"],
            "generator_latency": phase.generator["latency"],
            "probe_acknowledged": phase.took.acknowledged,
            "probe_queryable": phase.took.queryable,
            "alerts": phase.alerts,
            "alarm_webhook": phase.alarm.as_ref().map(|(latencies, _)| latencies),
            "resident_mib_each_tenth": (0..10).map(at).collect::<Vec<_>>(),
            "resident_mib_peak": mib.iter().max(),
        })
    };
    println!(
        "{:#}",
        json!({
            "devices": args.devices,
            "devices_a_connection": args.behind,
            "tick_ms": args.tick,
            "metrics": args.metrics,
            "bytes_per_reading": bytes_per_reading,
            "phases": phases.iter().map(told).collect::<Vec<_>>(),
        })
    );
}
