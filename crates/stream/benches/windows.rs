//! What windows cost alone: readings per second of one core's time, and bytes per open window.
//!
//! `cargo bench -p penstock-stream --bench windows`
//!
//! Devices with 20 metrics each send every metric every ten seconds, a device's metrics together, the devices in an order
//! that has nothing to do with their numbers. So a minute has six readings of a series. Lateness is 30 seconds, and
//! windows are published as the watermark passes them. Time is the thread's CPU time, so that a machine with other
//! work gives nearly the same figures; what its neighbours do to the caches it cannot take out.

#![allow(clippy::print_stdout)] // a benchmark's figures are its output

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use penstock_stream::window::{Plan, Windows};
use rustix::time::{ClockId, clock_gettime};

const METRICS: u32 = 20;
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 19_700 * 86_400 * SECOND;
const ROUND: i64 = 10 * SECOND;
const LATENESS: i64 = 30 * SECOND;

/// What is published at once, as the pipeline takes it.
const BITE: usize = 4096;

fn main() {
    println!(
        "{:<34} {:>8} {:>12} {:>8} {:>10} {:>10} {:>10} {:>10}",
        "windows", "devices", "readings/s", "ns each", "adding ns", "closing ns", "open", "bytes each"
    );
    let only = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    for windows in
        [&["1m"][..], &["1m", "5m"], &["1m", "5m", "10m/1m"], &["1m", "5m", "1h"], &["session 30s"]]
    {
        if only.as_ref().is_some_and(|only| *only != windows.join(",")) {
            continue;
        }
        for devices in [1_000, 10_000, 100_000] {
            run(windows, devices);
        }
    }
}

fn run(names: &[&str], devices: u32) {
    let plan =
        Arc::new(Plan::parse(names.iter().map(|name| (*name, &[] as &[&str]))).expect("they are windows"));
    let mut windows = Windows::new(plan, LATENESS, 16 << 30);
    for series in 0..devices * METRICS {
        windows.register(series, "metric");
    }
    let mut spent = Spent::default();
    let mut out = Vec::new();
    // Eleven minutes, so that each window closes; the first one, in which everything is new, counts as well.
    let rounds = if devices > 50_000 { 36 } else { 66 };
    let times = if devices > 5_000 { 1 } else { 10 };
    let mut bytes = 0.0_f64;
    let mut open = 0;
    for round in 0..rounds * times {
        let began = cpu_time();
        add_round(&mut windows, devices, round);
        spent.adding += cpu_time() - began;
        if round % 6 == 5 {
            // A whole minute is open, and nothing of the next.
            open = devices * METRICS;
            bytes = windows.memory_used() as f64 / f64::from(open);
        }
        let began = cpu_time();
        while windows.close(DAY + (round + 1) * ROUND, BITE, &mut out) {
            black_box(&out);
            out.clear();
        }
        out.clear();
        spent.closing += cpu_time() - began;
    }
    let readings = f64::from(devices * METRICS) * (rounds * times) as f64;
    let each = |spent: Duration| spent.as_secs_f64() * 1e9 / readings;
    let all = each(spent.adding + spent.closing);
    println!(
        "{:<34} {devices:>8} {:>12.0} {all:>8.1} {:>10.1} {:>10.1} {open:>10} {bytes:>10.0}",
        names.join(", "),
        1e9 / all,
        each(spent.adding),
        each(spent.closing)
    );
}

#[derive(Default)]
struct Spent {
    adding: Duration,
    closing: Duration,
}

/// What this thread has used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Each device once.
fn add_round(windows: &mut Windows, devices: u32, round: i64) {
    let mut row = [(0, 0.0); METRICS as usize];
    for n in 0..devices {
        // A stride without a common factor visits every device once.
        let device = (u64::from(n) * 7_919 % u64::from(devices)) as u32;
        let time = DAY + round * ROUND + i64::from(n) * ROUND / i64::from(devices);
        for (metric, reading) in (0..METRICS).zip(&mut row) {
            // Decimal values about a mean of the metric's own, as sensors send them.
            let noise =
                (device ^ metric.wrapping_mul(2_654_435_761)).wrapping_add(round as u32).wrapping_mul(40_503)
                    >> 8;
            *reading = (device * METRICS + metric, f64::from(metric * 1000 + noise % 400) / 10.0);
        }
        windows.add_row(black_box(&row), time);
    }
}
