//! The `penstock` binary: the server, and the commands that talk to one or look at its files.
//!
//! stdout is data, stderr is for people; exit 0 fine, 1 the answer is no, 2 wrong use.

mod alerts;
mod bar;
mod check;
mod client;
mod cold;
mod device;
mod dlq;
mod doctor;
mod export;
mod facts;
mod fatal;
mod footing;
mod import;
mod inspect;
mod ledger;
mod notify;
mod probe;
mod query;
mod reprocess;
mod rules;
mod schemas;
mod serve;
mod trace;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};

/// The allocator of everything, SQLite and zstd too: the C library's keeps a heap for each of many threads, and what one
/// thread makes and another frees leaves them full of holes (docs/decisions/allocator.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Telemetry from fleets of devices, without losing or doubling a reading.
#[derive(Parser)]
#[command(name = "penstock", version, arg_required_else_help = true)]
struct Cli {
    /// What is logged to stderr: error, warn, info, debug, trace, or per part such as `info,penstock_gateway=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "PENSTOCK_LOG", value_parser = server::config::log_filter)]
    log: Option<String>,
    /// Logs as JSON, one object a line
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server until SIGTERM or Ctrl-C
    Serve(serve::Serve),
    /// Asks a server with SQL
    Query(query::Query),
    /// Writes a table to files that DuckDB, Spark and Athena read: Parquet, CSV, Avro
    Export(export::Export),
    /// Takes history in from CSV and Parquet files
    Import(import::Import),
    /// The account of every reading, and whether it balances
    Ledger(ledger::Ledger),
    /// The way of a reading, hop by hop: gateway, log, store, windows, alerts
    Trace(trace::Trace),
    /// Dead letters: what could not be used, to look at, mend and try again
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    /// Data sets: history under another configuration, before it goes live
    #[command(subcommand)]
    Reprocess(reprocess::Reprocess),
    /// Checks and shows the configuration
    #[command(subcommand)]
    Config(check::Config),
    /// Devices: credentials and facts, in a data directory (also of a running server)
    #[command(subcommand)]
    Device(device::Device),
    /// Services' credentials: dashboards, bridges, people's scripts
    #[command(subcommand)]
    Key(device::Key),
    /// Schemas of a server: lists, registers, compares, checks messages
    #[command(subcommand)]
    Schema(schemas::Schemas),
    /// Rules of a server: lists, adds, changes, tries them over what is stored
    #[command(subcommand)]
    Rule(rules::Rules),
    /// Alerts of a server: lists, acknowledges, resolves, raises
    #[command(subcommand)]
    Alert(alerts::Alerts),
    /// The cold tier: a data directory is made of it when the disk is lost
    #[command(subcommand)]
    Cold(cold::Cold),
    /// Looks into a log's files
    #[command(subcommand)]
    Log(inspect::Log),
    /// Checks this machine and the configuration before and while a server runs
    Doctor(doctor::Doctor),
    /// Simulated devices and load
    #[command(subcommand)]
    Fleet(fleet::cli::Fleet),
    /// Makes this machine a device: measures it and sends that over MQTT, through a buffer on disk
    Probe(probe::Probe),
}

/// How a command ended.
enum Answer {
    Yes,
    No,
    WrongUse,
}

/// What is wrong with a command, rather than with what it found.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongUse(String);

fn main() -> ExitCode {
    // Not a panic on a closed pipe (`penstock query … | head`), but the quiet end that every tool has.
    // SAFETY: called before any thread is started; resetting a signal to its default touches no memory of ours.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
    let cli = Cli::parse();
    log_to_stderr(&cli);
    let outcome = match cli.command {
        Command::Serve(command) => command.run(),
        Command::Query(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Import(command) => command.run(),
        Command::Ledger(command) => command.run(),
        Command::Trace(command) => command.run(),
        Command::Dlq(command) => command.run(),
        Command::Reprocess(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Device(command) => command.run(),
        Command::Key(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Rule(command) => command.run(),
        Command::Alert(command) => command.run(),
        Command::Cold(command) => command.run(),
        Command::Log(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Fleet(command) => fleet(&command),
        Command::Probe(command) => command.run(),
    };
    match outcome {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::WrongUse) => ExitCode::from(2),
        Err(error) => {
            eprintln!("penstock: {}", in_words(&error));
            let wrong_use = error.is::<WrongUse>() || error.is::<fleet::cli::WrongUse>();
            ExitCode::from(if wrong_use { 2 } else { 1 })
        }
    }
}

/// An error with its causes, each said once: many that have a cause already say it in their own words.
fn in_words(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| {
        let cause = cause.to_string();
        match told.as_str() {
            "" => cause,
            told if told.contains(&cause) => told.to_owned(),
            told => format!("{told}: {cause}"),
        }
    })
}

#[allow(clippy::print_stdout)] // stdout is data
fn fleet(command: &fleet::cli::Fleet) -> anyhow::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let stop = Arc::new(AtomicBool::new(false));
    if let fleet::cli::Fleet::Run(_) = command {
        runtime.spawn(ends_with_a_report(stop.clone()));
    }
    let outcome = command.run(&stop)?;
    println!("{}", outcome.text.trim_end());
    Ok(if outcome.good { Answer::Yes } else { Answer::No })
}

/// The first Ctrl-C lets a run end and report, the second ends it.
async fn ends_with_a_report(stop: Arc<AtomicBool>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        stop.store(true, Ordering::Relaxed);
        eprintln!("penstock: what is on its way is waited for; once more ends it at once");
    }
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(130);
    }
}

fn log_to_stderr(cli: &Cli) {
    // Commands speak for themselves; a server tells what it does, as its configuration says.
    let (quiet, json) = match &cli.command {
        Command::Serve(serve) => {
            let output = serve.log_output();
            (output.filter, output.format == server::config::LogFormat::Json)
        }
        _ => ("warn".to_owned(), false),
    };
    let filter = tracing_subscriber::EnvFilter::new(cli.log.as_deref().unwrap_or(&quiet));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    if cli.log_json || json {
        builder.json().init();
    } else {
        builder.init();
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot listen: {source}: stop who listens there")]
        struct Listen {
            source: io::Error,
        }
        let taken = || io::Error::other("address in use");
        let error = anyhow::Error::from(Listen { source: taken() });
        assert_eq!(super::in_words(&error), "cannot listen: address in use: stop who listens there");
        let error = Err::<(), _>(taken()).context("the server did not start").unwrap_err();
        assert_eq!(super::in_words(&error), "the server did not start: address in use");
    }
}
