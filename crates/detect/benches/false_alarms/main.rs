//! How often a healthy fleet is said to be ill, and how much of what is wrong is found, and after how long.
//!
//! `cargo bench -p penstock-detect --bench false_alarms [-- DEVICES]`; with `newcomers` beside it only what is about new devices

#![allow(clippy::print_stdout)] // a benchmark's figures are its output

extern crate penstock_detect as detect;

mod newcomers;
#[path = "../simulated/mod.rs"]
mod simulated;
mod trial;

use detect::{Automatic, Budget, Detector, Robust, Seasonal, ZScore};
use simulated::{FAULTS, Noise};
use trial::{Fleet, Healthy, find, healthy};

const DEVICES: u64 = 1000;

fn main() {
    let devices = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(DEVICES);
    if std::env::args().any(|argument| argument == "newcomers") {
        return new_devices(devices / 5);
    }
    let detectors = [
        ("z-score", Detector::ZScore(ZScore::default())),
        ("robust z-score", Detector::Robust(Robust::default())),
        ("seasonal", Detector::Seasonal(Seasonal::default())),
        ("automatic", Detector::Automatic(Automatic::default())),
    ];
    for noise in [Noise::White, Noise::Wandering] {
        println!("{noise:?} noise: {devices} healthy devices, 30 days, a value every 5 minutes");
        for (name, detector) in &detectors {
            false_alarms(name, detector, noise, devices);
        }
        println!("{noise:?} noise: found of {} faults of each kind, median hours until", devices / 2);
        for (name, detector) in &detectors {
            found(name, detector, noise, devices / 2);
        }
    }
    calibration(devices);
    rare_values(devices / 2);
    new_devices(devices / 5);
}

/// False alarms of devices that send less often.
fn rare_values(devices: u64) {
    let detector = Detector::Automatic(Automatic::default());
    for noise in [Noise::White, Noise::Wandering] {
        for every in [1, 3, 6, 12] {
            let fleet = Fleet { every, ..Fleet::new(noise, devices) };
            let found = healthy(&detector, Budget::default(), fleet);
            let (minutes, days) = (5 * every, found.hours as f64 / 24.0 / found.alarms as f64);
            let share = 100.0 * found.hours_scored as f64 / found.hours as f64;
            println!(
                "{noise:?} noise, a value every {minutes:2} minutes: {share:.4} % of hours, an alarm in {days:.0} days"
            );
        }
    }
}

/// What a prior of the kind is worth to devices that are new, by how many it was learned from.
fn new_devices(devices: u64) {
    for noise in [Noise::White, Noise::Wandering] {
        println!("{noise:?} noise: {devices} new devices of a kind");
        for known in [0, 3, 10, devices / 2] {
            // Of none nothing is in it: it is no prior.
            let prior = newcomers::prior(noise, known);
            let share = newcomers::false_alarms(noise, Some(&prior), devices, 7);
            print!(
                "  {known:3} are known | {:.4} % of hours of the first week above the budget",
                100.0 * share
            );
            for fault in FAULTS {
                print!(
                    " | {fault:?} {:3.0} %",
                    100.0 * newcomers::found(noise, fault, Some(&prior), devices)
                );
            }
            println!();
        }
    }
}

/// Hours in which a value is above the default budget, and alarms by several budgets.
fn false_alarms(name: &str, detector: &Detector, noise: Noise, devices: u64) {
    print!("  {name:15}");
    for days in [7.0, 30.0, Budget::default().days] {
        let budget = Budget { days, ..Budget::default() };
        let Healthy { hours, hours_scored, hours_above, alarms, .. } =
            healthy(detector, budget, Fleet::new(noise, devices));
        let per_day = alarms as f64 / hours as f64 * 24.0;
        print!(
            " | budget {days:2}: an alarm in {:6.1} days, {:.4} % of hours",
            1.0 / per_day,
            100.0 * hours_above as f64 / hours as f64
        );
        if days == Budget::default().days {
            print!(" (score ≥ 0.5 in {:.4} %)", 100.0 * hours_scored as f64 / hours as f64);
        }
    }
    println!();
}

fn found(name: &str, detector: &Detector, noise: Noise, devices: u64) {
    print!("  {name:15}");
    for fault in FAULTS {
        let (share, hours) = find(detector, noise, fault, devices);
        print!(" | {fault:?} {:3.0} % {hours:4.1} h", 100.0 * share);
    }
    println!();
}

/// Whether the chance that the automatic detector's score stands for is the share of hours that show it.
fn calibration(devices: u64) {
    let detector = Detector::Automatic(Automatic::default());
    for noise in [Noise::White, Noise::Wandering] {
        let found = healthy(&detector, Budget::default(), Fleet::new(noise, devices));
        println!("{noise:?} noise: share of hours with at least this surprise, measured and said");
        for (surprise, hours) in found.by_surprise.iter().enumerate().skip(3) {
            let (measured, said) =
                (*hours as f64 / found.hours as f64, (6.0 * (-(surprise as f64)).exp()).min(1.0));
            println!("  {surprise:2}: {:8.5} % {:8.5} %", 100.0 * measured, 100.0 * said);
        }
    }
}
