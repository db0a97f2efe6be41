//! Plays seeds of the generator with a known truth to the real binary, and compares what it has with what is true.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use rigs::outcome::{Failure, Result, exit};
use rigs::server::binary;
use rigs::truth::control::Fault;
use rigs::truth::verdict::{Proven, one};

#[derive(Parser)]
struct Args {
    /// The first and the last seed, as `1..500`, or one
    #[arg(long, default_value = "1..20", value_parser = seeds)]
    seeds: RangeInclusive<u64>,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Seeds at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Where data goes, and stays [default: a temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Control: puts a fault into the truth; the rig must notice
    #[arg(long)]
    broken: Option<Fault>,
}

fn seeds(text: &str) -> anyhow::Result<RangeInclusive<u64>> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.trim_start_matches('=').parse::<u64>().context("seeds are numbers");
    Ok(number(first)?..=number(last)?)
}

fn main() -> ExitCode {
    exit("truth", run(&Args::parse()))
}

fn run(args: &Args) -> Result<String> {
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(temporary.path());
    let binary = binary(args.binary.as_deref())?;
    let (began, count) = (Instant::now(), args.seeds.end() + 1 - args.seeds.start());
    let next = AtomicU64::new(*args.seeds.start());
    let total = Mutex::new((0_u64, Proven::default()));
    let worker = || -> Result<()> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !args.seeds.contains(&seed) {
                return Ok(());
            }
            let place = folder.join(format!("seed-{seed}"));
            std::fs::create_dir_all(&place)?;
            let proven =
                one(seed, &binary, &place, args.broken).map_err(|failure| told(failure, seed, args))?;
            if args.folder.is_none() {
                std::fs::remove_dir_all(&place)?;
            }
            let mut total = total.lock().expect("no holder panics");
            total.0 += 1;
            add(&mut total.1, proven);
            eprintln!(
                "seed {seed} is as it should be: {proven:?} ({} of {count}, {:.0?})",
                total.0,
                began.elapsed()
            );
        }
    };
    let outcomes: Vec<Result<()>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker hands its failures over")).collect()
    });
    outcomes.into_iter().collect::<Result<Vec<()>>>()?;
    let (seeds, all) = *total.lock().expect("no holder panics");
    Ok(format!("{seeds} seeds in {:.0?}: {all:?}", began.elapsed()))
}

fn add(all: &mut Proven, one: Proven) {
    all.messages += one.messages;
    all.in_vain += one.in_vain;
    all.kills += one.kills;
    all.readings += one.readings;
    all.windows += one.windows;
}

/// The failure, and how to see it again.
fn told(failure: Failure, seed: u64, args: &Args) -> Failure {
    let binary = args.binary.as_ref().map(|path| format!(" --binary {}", path.display())).unwrap_or_default();
    let again = format!("again: cargo run -p penstock-rigs --bin truth -- --seeds {seed}{binary}");
    match failure {
        Failure::Broken(what) => Failure::Broken(format!("seed {seed}: {what}\n{again}")),
        Failure::CannotRun(why) => Failure::CannotRun(format!("seed {seed}: {why}\n{again}")),
        Failure::Rig(error) => Failure::Rig(error.context(format!("seed {seed}; {again}"))),
    }
}
