//! Runs the fuzz targets on seeded mutations, on the stable toolchain, at full speed.
//!
//! `drive PREFIX COUNT [SEED]` runs COUNT inputs on every target whose name begins with PREFIX; the same seed, the
//! same inputs. An input on which a target panics is written to `fuzz/artifacts/TARGET/` and the run ends with 1.
//! `drive TARGET FILE…` runs these files again.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use penstock_fuzz::allocation::Counting;
use penstock_fuzz::drive::drive;
use penstock_fuzz::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((prefix, rest)) = arguments.split_first() else { return usage() };
    let targets: Vec<_> = TARGETS.iter().filter(|t| t.name.starts_with(prefix.as_str())).collect();
    if targets.is_empty() || rest.is_empty() {
        return usage();
    }
    if let Ok(count) = rest[0].parse() {
        let Ok(seed) = rest.get(1).map_or(Ok(1), |s| s.parse()) else { return usage() };
        let all_well = targets.iter().all(|target| run(target, count, seed));
        return if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    for file in rest {
        match std::fs::read(file) {
            Ok(input) => targets.iter().for_each(|target| {
                (target.run)(&input);
                eprintln!("{file}: {} is well", target.name);
            }),
            Err(e) => {
                eprintln!("cannot read {file}: {e}");
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    let names: Vec<_> = TARGETS.iter().map(|t| t.name).collect();
    eprintln!("usage: drive PREFIX COUNT [SEED] | drive TARGET FILE…   (targets: {})", names.join(", "));
    ExitCode::from(2)
}

/// Whether all inputs went well.
fn run(target: &Target, count: u64, seed: u64) -> bool {
    let started = Instant::now();
    match drive(target, count, seed) {
        Ok(report) => {
            let s = started.elapsed().as_secs_f64();
            let (seeds, outcomes, rate) = (report.seeds, report.outcomes, count as f64 / s);
            eprintln!(
                "{}: {count} inputs, seed {seed}, from {seeds}: {outcomes} kinds of outcome, {s:.1} s, {rate:.0}/s: all well",
                target.name
            );
            true
        }
        Err(failure) => {
            let file = keep(target.name, &failure.input);
            eprintln!("{}: input {} of seed {seed} failed, kept as {file}", target.name, failure.number);
            false
        }
    }
}

fn keep(target: &str, input: &[u8]) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(target);
    let name = input
        .iter()
        .fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01B3));
    let file = directory.join(format!("drive-{name:016x}"));
    match std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&file, input)) {
        Ok(()) => file.display().to_string(),
        Err(e) => format!("{input:02x?} (not written: {e})"),
    }
}
