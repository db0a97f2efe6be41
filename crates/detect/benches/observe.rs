//! What it costs to look at a value: nanoseconds per observation, and bytes kept of a series.
//!
//! `cargo bench -p penstock-detect --bench observe`

#![allow(clippy::print_stdout)] // a benchmark's figures are its output

extern crate penstock_detect as detect;

use std::hint::black_box;
use std::time::Instant;

use detect::{Automatic, Budget, Detector, Joint, Robust, Seasonal, Threshold, Watch, ZScore};
use record::Timestamp;

/// Values of a run: ten days at one every five minutes, after ten days to learn.
const RUN: i64 = 2880;

/// Runs; the median of them counts, and the least is what an idle machine needs.
const RUNS: usize = 51;

fn main() {
    println!("{:28} {:>8} {:>8} {:>8} {:>10}", "detector", "ns", "least", "bytes", "serialised");
    let fixed = Threshold { min: Some(0.0), max: Some(100.0) };
    for (name, detector) in [
        ("threshold", Detector::Threshold(fixed)),
        ("z-score, last 100", Detector::ZScore(ZScore { last: 100 })),
        ("z-score, last 1024", Detector::ZScore(ZScore { last: 1024 })),
        ("robust z-score, last 100", Detector::Robust(Robust { last: 100 })),
        ("robust z-score, last 1024", Detector::Robust(Robust { last: 1024 })),
        ("seasonal", Detector::Seasonal(Seasonal::default())),
        ("automatic", Detector::Automatic(Automatic::default())),
    ] {
        series(name, &detector);
    }
    let automatic = Detector::Automatic(Automatic::default());
    let watch = Watch::new(&automatic, Budget::default()).expect("the settings are right");
    let (watch, times) = timed(watch, |watch, n, value| watch.observe(at(n), value).score.score);
    line("automatic, with a budget", times, watch.size_bytes(), watch.to_bytes().len());
    for metrics in [4, 16] {
        joint(metrics);
    }
    reason(&automatic);
}

fn series(name: &str, detector: &Detector) {
    let state = detector.start().expect("the settings are right");
    let (state, times) = timed(state, |state, n, value| state.observe(at(n), value).score);
    line(name, times, state.size_bytes(), state.to_bytes().len());
}

fn joint(metrics: u16) {
    let state = Joint { metrics }.start().expect("few metrics");
    let mut values = vec![0.0; usize::from(metrics)];
    let (state, times) = timed(state, |state, n, value| {
        for (metric, place) in values.iter_mut().enumerate() {
            *place = value * (metric + 1) as f64 + ((n + 1) * (metric as i64 + 3) * 7919 % 101) as f64 * 0.05;
        }
        state.observe(at(n), &values).score
    });
    line(&format!("joint, {metrics} metrics, a moment"), times, state.size_bytes(), state.to_bytes().len());
}

/// What the words cost, when somebody asks.
fn reason(detector: &Detector) {
    let mut state = detector.start().expect("the settings are right");
    for n in 0..RUN {
        state.observe(at(n), value(n));
    }
    let why = state.observe(at(RUN), 97.1).why;
    let begin = Instant::now();
    for _ in 0..RUN {
        black_box(black_box(&why).to_string());
    }
    println!("its words, \"{why}\": {:.0} ns", begin.elapsed().as_nanos() as f64 / RUN as f64);
}

/// The state after all runs, and the median and the least nanoseconds per observation.
fn timed<S>(mut state: S, mut observe: impl FnMut(&mut S, i64, f64) -> f64) -> (S, (f64, f64)) {
    for n in 0..RUN {
        observe(&mut state, n, value(n));
    }
    let mut times: Vec<f64> = (1..=RUNS as i64)
        .map(|run| {
            let values: Vec<f64> = (run * RUN..(run + 1) * RUN).map(value).collect();
            let begin = Instant::now();
            for (n, value) in (run * RUN..).zip(&values) {
                black_box(observe(&mut state, n, black_box(*value)));
            }
            begin.elapsed().as_nanos() as f64 / RUN as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (state, (times[RUNS / 2], times[0]))
}

fn line(name: &str, (median, least): (f64, f64), bytes: usize, serialised: usize) {
    println!("{name:28} {median:8.0} {least:8.0} {bytes:8} {serialised:10}");
}

fn at(n: i64) -> Timestamp {
    Timestamp::from_nanos((1_735_516_800 + n * 300) * 1_000_000_000)
}

/// A day's shape, and noise that repeats only after long.
fn value(n: i64) -> f64 {
    let day = (n % 288) as f64 / 288.0 * std::f64::consts::TAU;
    50.0 + 20.0 * day.sin() + ((n * 7919) % 1009) as f64 * 0.004
}
