//! SIGKILL at random moments while alerts are raised, delivered and resolved: no cause without its alert, no second alert for one,
//! every delivery has its key, and what a key stands for never changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use fleet::random::Random;
use rigs::metrics::page;
use rigs::outcome::{Result, broken, exit};
use rigs::receiver::Receiver;
use rigs::server::{Place, binary};
use rigs::truth::ask::Asker;
use serde_json::{Value, json};

#[derive(Parser)]
struct Args {
    /// How often to kill
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Devices that become hot and cool down, again and again
    #[arg(long, default_value_t = 3)]
    devices: u32,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where data goes [default: a temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Randomness of the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Control: remove alerts from the book after the last kill; the rig must notice
    #[arg(long)]
    broken: bool,
}

/// How long the last deliveries may take: those that failed are tried again after pauses.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long devices stay hot, and cool. Each takes two deliveries, which are made faster than this.
const PACE: Duration = Duration::from_millis(30);
/// Every so manyth webhook is answered with 500.
const FAILS_EVERY: u64 = 37;

fn main() -> ExitCode {
    exit("alerts", run(&Args::parse()))
}

fn run(args: &Args) -> Result<String> {
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)?;
    let receiver = Receiver::listen(FAILS_EVERY)?;
    let place = Place::new(&binary(args.binary.as_deref())?, &folder.join("data"), folder)?;
    let mut place = place.with_everything();
    "[alert.webhook]\nallow_private = true\n".clone_into(&mut place.more);
    let mut server = place.start(|_| {})?;
    let rule = json!({
        "name": "hot", "when": "temperature > 80", "severity": "critical", "suppress": "0s",
        "notify": [{ "webhook": receiver.url }],
    });
    post(&place, "/v1/rules", &rule)?;

    let over = Arc::new(AtomicBool::new(false));
    let feeding = std::thread::spawn({
        let (place, over, devices) = (place.clone(), Arc::clone(&over), args.devices);
        move || feed(&place, devices, &over)
    });
    let mut random = Random::new(args.seed);
    let mut ready = Vec::new();
    for _ in 0..args.rounds {
        std::thread::sleep(Duration::from_secs_f64(0.05 + random.unit() * 0.6));
        server.kill9()?;
        server = place.start(|_| {})?;
        ready.push(server.ready_after);
    }
    over.store(true, Ordering::Relaxed);
    let causes = feeding.join().map_err(|_| anyhow::anyhow!("the feeder ended in a panic"))??;
    if args.broken {
        // As if the book had never heard of one cause.
        server.kill9()?;
        forget_one(&place)?;
        server = place.start(|_| {})?;
    }
    let judged = judge(&place, &receiver, &causes)?;
    server.stop()?;
    ready.sort();
    Ok(format!(
        "{} kills, ready again after {:?} (median); {judged}",
        args.rounds,
        ready.get(ready.len() / 2)
    ))
}

/// Has all devices become hot and cool down, until it is over. Returns the times, milliseconds, at which each became hot: those are
/// the causes.
fn feed(place: &Place, devices: u32, over: &AtomicBool) -> anyhow::Result<BTreeMap<String, BTreeSet<i64>>> {
    let mut causes: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let mut last_ms = 0;
    while !over.load(Ordering::Relaxed) {
        for value in [90, 20] {
            std::thread::sleep(PACE);
            let now_ms = i64::try_from(
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis(),
            )?;
            last_ms = now_ms.max(last_ms + 1);
            let readings: Vec<Value> = (0..devices)
                .map(|n| json!({ "device_id": format!("d{n}"), "metric": "temperature", "value": value, "ts": last_ms }))
                .collect();
            // Acknowledged is what counts; until then the same is sent again.
            let deadline = Instant::now() + PATIENCE;
            while post(place, "/v1/telemetry", &json!(readings)).is_err() {
                ensure!(Instant::now() < deadline, "no readings are taken for {PATIENCE:?}");
                std::thread::sleep(Duration::from_millis(10));
            }
            if value == 90 {
                for n in 0..devices {
                    causes.entry(format!("d{n}")).or_default().insert(last_ms);
                }
            }
        }
    }
    Ok(causes)
}

fn judge(place: &Place, receiver: &Receiver, causes: &BTreeMap<String, BTreeSet<i64>>) -> Result<String> {
    let expected: usize = causes.values().map(BTreeSet::len).sum();
    let of = |kind: &'static str| move |body: &Value| body["type"] == kind;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = (receiver.count(of("alert.raised")), receiver.count(of("alert.resolved")));
        if told == (expected, expected) && waiting(place)? == 0 {
            break;
        }
        if Instant::now() > deadline {
            return broken(format!("{expected} causes, but {told:?} were told to be raised and resolved"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let asker = Asker::new(place.http, "");
    let rows =
        asker.rows("SELECT device_id, state, CAST(triggered_at AS BIGINT) / 1000000 AS at_ms FROM alerts")?;
    let mut found: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for row in &rows {
        let device = row.text("device_id")?.context("an alert without a device")?;
        if row.text("state")?.as_deref() != Some("resolved") {
            return broken(format!("an alert of {device} is not over although its device cooled down"));
        }
        if !found.entry(device.clone()).or_default().insert(row.number("at_ms")?) {
            return broken(format!("two alerts of {device} have one cause"));
        }
    }
    if found != *causes {
        return broken(format!("{} alerts are kept, {expected} causes there were", rows.len()));
    }
    if receiver.without_key() > 0 {
        return broken(format!("{} deliveries had no key", receiver.without_key()));
    }
    let (mut told, mut again) = (BTreeSet::new(), 0);
    for (key, received) in receiver.received() {
        if received.differs {
            return broken(format!("the key {key} stood for two bodies"));
        }
        let body = &received.body;
        if !told.insert((body["type"].to_string(), body["alert"]["id"].to_string())) {
            return broken(format!(
                "{} of alert {} was told under two keys",
                body["type"], body["alert"]["id"]
            ));
        }
        again += received.times - 1;
    }
    Ok(format!(
        "{expected} causes, as many alerts, each told once to begin and once to end; {again} deliveries repeated with their key"
    ))
}

/// Messages in the outbox.
fn waiting(place: &Place) -> anyhow::Result<u64> {
    let page = page(place.http, None)?;
    let line = page.lines().find_map(|line| line.strip_prefix("penstock_alert_outbox_messages "));
    Ok(line.context("the page says nothing of the outbox")?.parse::<f64>()? as u64)
}

fn forget_one(place: &Place) -> anyhow::Result<()> {
    let metadata = place.data.join("metadata.db");
    let status = std::process::Command::new("sqlite3")
        .arg(metadata)
        .arg("DELETE FROM alerts WHERE id = (SELECT max(id) FROM alerts)")
        .status()
        .context("sqlite3 is needed for the control")?;
    ensure!(status.success(), "sqlite3 ended with {status}");
    Ok(())
}

fn post(place: &Place, path: &str, body: &Value) -> anyhow::Result<Value> {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30)));
    let agent: ureq::Agent = config.build().into();
    let mut answer = agent.post(format!("http://{}{path}", place.http)).send_json(body)?;
    Ok(answer.body_mut().read_json()?)
}
