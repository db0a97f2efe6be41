//! The detectors on the files of known causes of the Numenta Anomaly Benchmark.
//!
//! `cargo bench -p penstock-detect --bench nab [-- files | sensitivity]`: `files` says how each file is scored, `sensitivity`
//! halves and doubles each constant of the automatic detector.

#![allow(clippy::print_stdout)] // a benchmark's figures are its output

extern crate penstock_detect as detect;

mod files;
mod runs;
mod scoring;

use detect::{Automatic, Detector, Robust, Seasonal, Tuning, ZScore};
use files::File;
use runs::{Run, run};
use scoring::PROFILES;

fn main() {
    let files = match files::read() {
        Ok(files) => files,
        Err(folder) => return println!("skipped: the benchmark's data is not at {}", folder.display()),
    };
    let wanted = |word: &str| std::env::args().any(|argument| argument == word);
    println!("{} files, {} windows", files.len(), files.iter().map(|file| file.windows.len()).sum::<usize>());
    heading();
    for (name, detector) in [
        ("z-score", Detector::ZScore(ZScore::default())),
        ("robust z-score", Detector::Robust(Robust::default())),
        ("seasonal", Detector::Seasonal(Seasonal::default())),
        ("automatic", Detector::Automatic(Automatic::default())),
    ] {
        let run = run(&detector, &files);
        row(name, &run);
        if wanted("files") {
            each_file(&files, &run);
        }
    }
    if wanted("sensitivity") {
        sensitivity(&files);
    }
}

fn heading() {
    println!("{:26} | {:^17} | {:^17} | default, no sweep", "", "values, swept", "alarms, swept");
    print!("{:26} |", "detector");
    for _ in 0..3 {
        print!(" {:>5} {:>5} {:>5} |", "std", "lowFP", "lowFN");
    }
    println!(" found  false");
}

fn row(name: &str, run: &Run) {
    print!("{name:26} |");
    for scored in [&run.values, &run.alarms] {
        for profile in PROFILES {
            print!(" {:5.1}", scoring::best(scored, profile).0);
        }
        print!(" |");
    }
    for profile in PROFILES {
        print!(" {:5.1}", scoring::at_threshold(&run.default, profile, 1.0));
    }
    let (found, false_alarms) = scoring::counts(&run.default, 1.0);
    println!(" | {found:5} {false_alarms:6}");
}

/// How each file is scored by the default alarms, and how it would be with a threshold of its own.
fn each_file(files: &[File], run: &Run) {
    for (n, file) in files.iter().enumerate() {
        let (default, alarms) = (&run.default[n..=n], &run.alarms[n..=n]);
        let (found, false_alarms) = scoring::counts(default, 1.0);
        let (score, own) =
            (scoring::at_threshold(default, PROFILES[0], 1.0), scoring::best(alarms, PROFILES[0]).0);
        let windows = file.windows.len();
        println!(
            "    {:42} {score:6.1}, {found} of {windows} found, {false_alarms:2} false; {own:5.1} with a threshold of its own",
            file.name
        );
    }
}

/// One of the constants.
type Constant = fn(&mut Tuning) -> &mut f32;

fn sensitivity(files: &[File]) {
    let constants: [(&str, Constant); 6] = [
        ("short_hours", |tuning| &mut tuning.short_hours),
        ("long_hours", |tuning| &mut tuning.long_hours),
        ("level_hours", |tuning| &mut tuning.level_hours),
        ("shape_days", |tuning| &mut tuning.shape_days),
        ("tail_share", |tuning| &mut tuning.tail_share),
        ("tail_hours", |tuning| &mut tuning.tail_hours),
    ];
    println!();
    for (name, constant) in constants {
        for (word, times) in [("half", 0.5), ("double", 2.0)] {
            let mut automatic = Automatic::default();
            *constant(&mut automatic.tuning) *= times;
            row(&format!("{name}, {word}"), &run(&Detector::Automatic(automatic), files));
        }
    }
}
