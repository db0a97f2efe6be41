//! Statements that nobody would write, over HTTP and the PostgreSQL wire, of two tenants that must never see each other's rows:
//! answers or errors with words, within the limits of time and memory, and a server that goes on.

mod generate;
mod names;
mod wire;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use rigs::outcome::{Failure, Result, broken, exit};
use rigs::server::{Place, Server, binary};
use rigs::truth::dice::Dice;
use wire::{PATIENCE, Wire};

#[derive(Parser)]
struct Args {
    /// How many cases
    #[arg(long, default_value_t = 300)]
    cases: u64,
    /// Stop after this many seconds, whatever was done
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// The first case; each is a seed of its own
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many ask at a time
    #[arg(long, default_value_t = 2)]
    askers: u64,
    /// How many of a thousand cases are such as take the whole time or memory of a statement
    #[arg(long, default_value_t = 10)]
    excessive: u32,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where data goes [default: a temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Most memory of the server, MiB: eight statements of 256 at a time, their answers, and the rest
    #[arg(long, default_value_t = 3072)]
    memory_mib: u64,
    /// Control: a tenant asks with the other's credential; the rig must notice
    #[arg(long)]
    broken: bool,
}

/// What only one tenant has, by tenant.
const MARKS: [&str; 2] = ["only-the-first-has-this", "only-the-second-has-this"];
const TENANTS: [&str; 2] = ["default", "other"];

/// A server with rows of two tenants, and the credentials of both.
struct Site {
    http: SocketAddr,
    pgwire: SocketAddr,
    mqtt: SocketAddr,
    tokens: Vec<String>,
}

fn main() -> ExitCode {
    exit("sqlfuzz", run(&Args::parse()))
}

fn run(args: &Args) -> Result<String> {
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)?;
    let mut place =
        Place::new(&binary(args.binary.as_deref())?, &folder.join("data"), folder)?.with_everything();
    "[auth]\nmode = \"required\"\n".clone_into(&mut place.more);
    let tokens = TENANTS.iter().map(|tenant| token(&place, tenant)).collect::<anyhow::Result<Vec<_>>>()?;
    let pgwire = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut server = place.start(|command| {
        // Where errors are what is asked for, looking up where each arose would be most of the work.
        command.env("PENSTOCK__PGWIRE__LISTEN", pgwire.to_string()).env("RUST_BACKTRACE", "0");
    })?;
    let site = Site { http: place.http, pgwire, mqtt: place.mqtt, tokens };
    for tenant in 0..TENANTS.len() {
        fill(&site, tenant)?;
    }
    names::check(&site)?;
    let asked = ask_all(args, &site, &mut server)?;
    if !server.is_running()? {
        return broken("the server ended");
    }
    for tenant in 0..TENANTS.len() {
        let (status, said) = over_http(&site, tenant, "SELECT count(*) FROM telemetry", "application/json")?;
        ensure_promise(status == 200, || format!("afterwards: {status} {said}"))?;
    }
    let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
    let panics = log.lines().filter(|line| line.contains("panicked at")).count();
    server.stop()?;
    Ok(format!("{asked}; {panics} panics, each within one statement"))
}

fn ensure_promise(kept: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    if kept { Ok(()) } else { broken(otherwise()) }
}

fn token(place: &Place, tenant: &str) -> anyhow::Result<String> {
    let mut command = Command::new(&place.binary);
    command.args(["key", "add", "rig", "--publish", "#", "--subscribe", "#", "--tenant", tenant, "--data"]);
    let made = command.arg(&place.data).stdin(Stdio::null()).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}

/// Readings that name their tenant in device, metric and text.
fn fill(site: &Site, tenant: usize) -> anyhow::Result<()> {
    let mark = MARKS[tenant];
    let readings: Vec<String> = (0..200)
        .map(|n| {
            format!(
                r#"{{"device_id":"{mark}-{}","ts":"2026-11-20T12:{:02}:00Z","metrics":{{"t":{n}.5,"{mark}":{n},"s":"{mark}"}}}}"#,
                n % 5,
                n / 5
            )
        })
        .collect();
    let (status, said) =
        post(site, tenant, "/v1/telemetry", &readings.join("\n"), "application/x-ndjson", "*/*")?;
    ensure!(status == 200, "the readings are not taken: {status} {said}");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (_, said) = over_http(site, tenant, "SELECT count(*) AS n FROM telemetry", "application/json")?;
        if said.contains("600") {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the readings are not stored: {said}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The status and the body, whatever the status is.
fn post(
    site: &Site,
    tenant: usize,
    path: &str,
    body: &str,
    content: &str,
    accept: &str,
) -> anyhow::Result<(u16, String)> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let mut answer = agent
        .post(format!("http://{}{path}", site.http))
        .header("authorization", &format!("Bearer {}", site.tokens[tenant]))
        .header("content-type", content)
        .header("accept", accept)
        .send(body)?;
    let body = answer.body_mut().with_config().limit(512 << 20).read_to_vec()?;
    Ok((answer.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

fn over_http(site: &Site, tenant: usize, sql: &str, accept: &str) -> anyhow::Result<(u16, String)> {
    let body = serde_json::json!({ "query": sql }).to_string();
    post(site, tenant, "/v1/sql", &body, "application/json", accept)
}

fn ask_all(args: &Args, site: &Site, server: &mut Server) -> Result<String> {
    let next = AtomicU64::new(args.from);
    let (last, deadline) = (args.from + args.cases, Instant::now() + Duration::from_secs(args.seconds));
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    let mut most = 0;
    let outcome: Result<()> = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..args.askers)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
                        let case = next.fetch_add(1, Ordering::Relaxed);
                        if case >= last {
                            break;
                        }
                        let outcome = ask(args, site, case, &answered);
                        if outcome.is_err() {
                            stop.store(true, Ordering::Relaxed);
                        }
                        outcome?;
                    }
                    Ok(())
                })
            })
            .collect();
        while askers.iter().any(|asker| !asker.is_finished()) {
            most = most.max(resident_mib(server.pid()));
            std::thread::sleep(Duration::from_millis(200));
        }
        for asker in askers {
            asker.join().map_err(|_| Failure::Rig(anyhow::anyhow!("an asker panicked")))??;
        }
        Ok(())
    });
    if !server.is_running()? {
        let why = match outcome {
            Err(Failure::Broken(why)) => why,
            Err(Failure::Rig(error)) => format!("{error:#}"),
            _ => String::new(),
        };
        return broken(format!("the server ended; case by case: --askers 1 --from N --cases 1. {why}"));
    }
    outcome?;
    ensure_promise(most <= args.memory_mib, || format!("the server took {most} MiB of memory"))?;
    let cases = next.load(Ordering::Relaxed).min(last) - args.from;
    Ok(format!(
        "{cases} cases in {} s, {} answered with rows, at most {most} MiB resident, {} MiB at the end",
        began.elapsed().as_secs(),
        answered.load(Ordering::Relaxed),
        resident_mib(server.pid())
    ))
}

/// One case: a statement, or bytes that are none.
fn ask(args: &Args, site: &Site, case: u64, answered: &AtomicU64) -> Result<()> {
    let mut dice = Dice::new(case, "sql");
    let tenant = dice.below(TENANTS.len());
    let credential = if args.broken { 1 - tenant } else { tenant };
    let user = format!("{}/rig", TENANTS[credential]);
    if dice.chance(0.1) {
        let said = wire::garbage(site.pgwire, &user, &site.tokens[credential], &mut dice)?;
        return judge(case, tenant, "(garbage)", &said);
    }
    let excessive = dice.chance(f64::from(args.excessive) / 1000.0);
    let sql = if excessive {
        generate::excessive(&mut dice)
    } else {
        let sql = generate::statement(&mut dice);
        if dice.chance(0.3) { generate::mutated(&mut dice, &sql) } else { sql }
    };
    let shown: String = sql.chars().take(600).collect();
    let seen = || format!("case {case}: {shown}");
    let said = match dice.below(4) {
        0 | 1 => {
            let accept = *dice.pick(&[
                "application/json",
                "text/csv",
                "application/vnd.apache.arrow.stream",
                "application/json",
            ]);
            let asked = over_http(site, credential, &sql, accept);
            let (status, said) =
                asked.with_context(seen).map_err(|error| Failure::Broken(format!("{error:#}")))?;
            ensure_promise([200, 400, 413, 422, 429].contains(&status), || {
                format!("{}: {status} {said}", seen())
            })?;
            let has_words =
                status == 200 || said.contains("\"detail\":\"") && !said.contains("\"detail\":\"\"");
            ensure_promise(has_words, || format!("{}: an error without words: {said}", seen()))?;
            answered.fetch_add(u64::from(status == 200), Ordering::Relaxed);
            said.into_bytes()
        }
        way => {
            let asked = Wire::open(site.pgwire, &user, &site.tokens[credential]).and_then(|mut wire| {
                // No text of the protocol holds a NUL.
                let sql = sql.replace('\0', " ");
                if way == 2 { wire.simple(&sql) } else { wire.extended(&sql, &mut dice) }
            });
            let said = asked.with_context(seen).map_err(|error| Failure::Broken(format!("{error:#}")))?;
            ensure_promise(!said.wordless, || format!("{}: an error without words", seen()))?;
            said.bytes
        }
    };
    if excessive {
        // Whatever it was, it has left the threads to others.
        let (status, said) =
            over_http(site, credential, "SELECT count(*) FROM telemetry", "application/json")?;
        ensure_promise(status == 200, || format!("after {}: {status} {said}", seen()))?;
    }
    judge(case, tenant, &shown, &said)
}

/// Nothing of the other tenant's is in what was said. Statements are too random to name it themselves.
fn judge(case: u64, tenant: usize, sql: &str, said: &[u8]) -> Result<()> {
    let other = MARKS[1 - tenant].as_bytes();
    let found = said.windows(other.len()).any(|bytes| bytes == other);
    ensure_promise(!found, || format!("case {case}: rows of the other tenant: {sql}"))
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kib.unwrap_or(0_u64) / 1024
}
