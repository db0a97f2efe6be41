//! SIGKILL at random moments under load: nothing acknowledged is lost, nothing at QoS 2 is doubled, sessions and
//! retained messages are intact, and the server is ready again in under a second.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fleet::content::{Content, Id};
use fleet::load::{Load, Options, Pace};
use fleet::random::Random;
use fleet::report::{Report, Stats};
use fleet::target::{Target, TlsFiles};
use rigs::damage;
use rigs::outcome::{Result, broken, exit};
use rigs::retained::Retained;
use rigs::seen::{Counts, Seen, Watcher};
use rigs::server::{Place, binary};

#[derive(Parser)]
struct Args {
    /// How often to kill
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Publishes per second at each of QoS 1 and 2
    #[arg(long, default_value_t = 1500.0)]
    rate: f64,
    /// Where data goes [default: a temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Randomness of the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The longest a restart may take, milliseconds
    #[arg(long, default_value_t = 1000)]
    ready_ms: u64,
    /// Control: cut the end off the newest file after each kill; the rig must notice
    #[arg(long)]
    broken: bool,
}

fn main() -> ExitCode {
    exit("kill9", run(&Args::parse()))
}

fn run(args: &Args) -> Result<String> {
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)?;
    let place = Place::new(&binary(args.binary.as_deref())?, &folder.join("data"), folder)?;
    let mut server = place.start(|_| {})?;
    let watcher = Watcher::start(place.mqtt, "rig/#")?;
    let mut loads = vec![load(&place, 1, args.rate)?, load(&place, 2, args.rate)?];
    for load in &mut loads {
        load.wait_up(Duration::from_secs(30))?;
        load.begin(None)?;
    }
    let retained = Retained::start(place.mqtt);
    let mut random = Random::new(args.seed);
    let mut ready = Vec::new();
    for round in 0..args.rounds {
        std::thread::sleep(Duration::from_secs_f64(random.unit().powi(2) * 0.6));
        let floor = retained.acknowledged();
        server.kill9()?;
        if args.broken {
            damage::cut_newest(&place.data)?;
        }
        server = place.start(|_| {})?;
        ready.push(server.ready_after);
        if server.ready_after > Duration::from_millis(args.ready_ms) {
            return broken(format!("round {round}: ready again only after {:?}", server.ready_after));
        }
        retained.check(&floor)?;
    }
    retained.stop();
    let mut ended = Vec::new();
    for load in loads {
        load.halt();
        ended.push(load.finish(Duration::from_secs(30))?);
    }
    let seen = watcher.finish(Duration::from_secs(2), Duration::from_secs(60));
    server.stop()?;
    ready.sort();
    let (middle, worst) = (ready.get(ready.len() / 2), ready.last());
    let judged = judge(&seen, &ended)?;
    Ok(format!("{} kills; ready again after {middle:?} (median), {worst:?} (worst); {judged}", args.rounds))
}

fn load(place: &Place, qos: u8, rate: f64) -> anyhow::Result<Load> {
    let mut options = Options::new(Target::new(&place.mqtt.to_string(), &TlsFiles::default())?);
    options.connections = 20;
    options.qos = qos;
    options.pace = Pace::open(rate);
    options.client_id = format!("rig-{qos}-");
    options.content = Content::Plain { topic: format!("rig/{qos}/{{i}}"), size_bytes: 100 };
    options.clean_start = false;
    options.reconnect = true;
    options.backoff_base_ms = 5;
    options.backoff_cap_ms = 100;
    options.record = true;
    Load::start(options)
}

fn judge(seen: &Seen, ended: &[(Report, Stats)]) -> Result<String> {
    if seen.sessions_lost > 0 {
        return broken(format!("the subscriber's session was lost {} times", seen.sessions_lost));
    }
    let mut parts = Vec::new();
    for (report, stats) in ended {
        let group = report.qos.to_string();
        if report.sessions_lost > 0 {
            return broken(format!("{} publishers' sessions (QoS {group}) were lost", report.sessions_lost));
        }
        if report.unacknowledged > 0 {
            return broken(format!("{} publishes at QoS {group} never acknowledged", report.unacknowledged));
        }
        let count = |connection, sequence| times(&seen.counts, &group, Id { connection, sequence });
        let missing: Vec<_> =
            stats.acked.iter().filter(|ack| count(ack.connection, ack.sequence) == 0).collect();
        if let Some(first) = missing.first() {
            return broken(format!(
                "{} of {} acknowledged publishes at QoS {group} missing, the first {first:?}",
                missing.len(),
                stats.acked.len()
            ));
        }
        let doubled = seen.counts.iter().filter(|((of, _), times)| *of == group && **times > 1).count();
        if report.qos == 2 && doubled > 0 {
            let which = seen.counts.iter().find(|((of, _), times)| *of == group && **times > 1);
            return broken(format!(
                "{doubled} messages at QoS 2 were delivered twice, one of them {which:?}"
            ));
        }
        parts.push(format!(
            "QoS {group}: {} acknowledged, none missing, {doubled} doubled, {} sent again",
            stats.acked.len(),
            report.resent
        ));
    }
    Ok(parts.join("; "))
}

fn times(counts: &Counts, group: &str, id: Id) -> u32 {
    counts.get(&(group.to_owned(), id)).copied().unwrap_or(0)
}
