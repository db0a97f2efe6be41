//! Power cuts: a loop-mounted ext4 stops at once, what was not flushed is gone; everything acknowledged before the
//! cut must be there after the restart. Most cuts hit the log alone, which makes them cheap; with `--binary`, some hit
//! the whole server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use fleet::random::Random;
use rigs::appender::{self, Appender, Promised};
use rigs::image::Image;
use rigs::nofsync::without_fsync;
use rigs::outcome::{Failure, Result, broken, exit};
use rigs::served;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,
    /// How often to cut the power under the log
    #[arg(long, default_value_t = 100)]
    cuts: u32,
    /// How often to cut it under the whole server
    #[arg(long, default_value_t = 0)]
    server_cuts: u32,
    /// The server [default: beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where the disk image goes [default: a temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Randomness of the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Control: what is broken on purpose; the rig must notice
    #[arg(long, value_enum)]
    broken: Option<Broken>,
}

#[derive(Subcommand)]
enum Role {
    /// (for the rig itself) append to a log and say on stdout what is durable
    #[command(hide = true)]
    Append { folder: PathBuf, first_writer: u32 },
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Broken {
    /// fsync says yes and does nothing
    Fsync,
}

/// The log is started afresh after so many cuts, so that reading all of it stays quick.
const CUTS_PER_LOG: u32 = 25;
const IMAGE_MIB: u64 = 256;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Role::Append { folder, first_writer }) = &args.role {
        return match appender::append(folder, *first_writer) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("appender: {error:#}");
                ExitCode::from(2)
            }
        };
    }
    exit("powercut", run(&args))
}

fn run(args: &Args) -> Result<String> {
    let temporary = tempfile::tempdir()?;
    let folder = args.folder.as_deref().unwrap_or(temporary.path());
    let mut image = Image::create(folder, IMAGE_MIB)?;
    let began = Instant::now();
    let records = cut_log(args, &mut image)?;
    let mut summary = format!("{} cuts under the log, {records} records, none missing", args.cuts);
    if args.server_cuts > 0 {
        let published = cut_server(args, &mut image, folder)?;
        summary += &format!("; {} under the server, {published} publishes, none missing", args.server_cuts);
    }
    Ok(format!("{summary}; {:.0} s", began.elapsed().as_secs_f64()))
}

fn cut_log(args: &Args, image: &mut Image) -> Result<u64> {
    let mut random = Random::new(args.seed);
    let (mut promised, mut total) = (Promised::new(), 0);
    let data = image.path().join("log");
    for cut in 0..args.cuts {
        if cut % CUTS_PER_LOG == 0 {
            let _ = std::fs::remove_dir_all(&data);
            promised.clear();
        }
        let mut appender = Appender::start(&data, cut * 4, |command| {
            if args.broken == Some(Broken::Fsync) {
                without_fsync(command);
            }
        })?;
        wait_for_promises(&mut appender, cut)?;
        std::thread::sleep(Duration::from_secs_f64(random.unit() * 0.06));
        // Only what was acknowledged before the fault is a promise.
        promised.extend(appender.promised());
        image.cut_power()?;
        appender.kill()?;
        image.unmount()?;
        image.mount()?;
        let there = match appender::check(&data, &promised) {
            Err(Failure::Broken(what)) => return broken(format!("cut {cut}: {what}")),
            other => other?,
        };
        if cut % CUTS_PER_LOG == CUTS_PER_LOG - 1 || cut + 1 == args.cuts {
            total += there;
        }
    }
    Ok(total)
}

/// Until each cut has something to break.
fn wait_for_promises(appender: &mut Appender, cut: u32) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while appender.promised().len() < 4 {
        if !appender.is_running()? {
            return broken(format!("cut {cut}: the log did not open, or failed, on a disk that is well"));
        }
        if Instant::now() > deadline {
            return broken(format!("cut {cut}: nothing became durable in 20 s"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn cut_server(args: &Args, image: &mut Image, folder: &Path) -> Result<usize> {
    let binary = rigs::server::binary(args.binary.as_deref())?;
    let data = image.path().join("server");
    let place = rigs::server::Place::new(&binary, &data, folder)?;
    let mut random = Random::new(!args.seed);
    let mut total = 0;
    for cut in 0..args.server_cuts {
        let server = place.start(|command| {
            if args.broken == Some(Broken::Fsync) {
                without_fsync(command);
            }
        })?;
        let load = served::publish(&place, &format!("cut/{cut}"), 2_000.0)?;
        std::thread::sleep(Duration::from_secs_f64(0.1 + random.unit() * 0.5));
        let cut_ns = load.clock().now_ns();
        image.cut_power()?;
        server.kill9()?;
        load.halt();
        let (_, mut stats) = load.finish(Duration::from_secs(10))?;
        stats.acked.retain(|ack| ack.acked_ns < cut_ns);
        image.unmount()?;
        image.mount()?;
        served::check(&place.data, &format!("cut/{cut}"), &stats.acked)?;
        total += stats.acked.len();
    }
    Ok(total)
}
