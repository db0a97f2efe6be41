//! How many readings a second the SQLite store takes:
//! `cargo run --release -p penstock-series --example write_speed -- [devices]`.
//!
//! Batches as the stream makes them: each of the devices (1 000 unless told) sends 20 metrics that share a timestamp,
//! 20 000 readings to a commit, 2 million in all, in a temporary directory of the working directory's disk.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a tool for us: a panic is the report

use std::time::Instant;

use penstock_series::{SeriesWriter, Source, Span, Sqlite, WriteBatch};
use record::{Lane, Readings, TenantId, Timestamp, ValueRef, When};

/// Devices and metrics of a batch, and how many batches.
const DEVICES: usize = 1_000;
const METRICS: usize = 20;
const BATCHES: u64 = 100;

fn main() {
    let fleet = std::env::args().nth(1).map_or(DEVICES, |devices| devices.parse().unwrap());
    let dir = tempfile::tempdir_in(".").unwrap();
    let store = Sqlite::open(&dir.path().join("series.db")).unwrap();
    let batches: Vec<_> = (0..BATCHES).map(|number| batch(number, fleet)).collect();
    let began = Instant::now();
    let stored: u64 = batches.iter().map(|batch| store.write(batch).unwrap().stored).sum();
    let took = began.elapsed();
    assert_eq!(stored, BATCHES * (DEVICES * METRICS) as u64);
    println!("{stored} readings in {took:.2?}: {:.0} readings/s", stored as f64 / took.as_secs_f64());
}

fn batch(number: u64, fleet: usize) -> WriteBatch {
    let mut readings = Readings::new();
    let at = Timestamp::from_nanos(1_700_000_000_000_000_000 + number.cast_signed() * 1_000_000_000);
    let first = number as usize * DEVICES;
    for device in first..first + DEVICES {
        let device = readings.device(&format!("device-{}", device % fleet)).unwrap();
        for metric in 0..METRICS {
            let metric = readings.metric(&format!("metric-{metric}")).unwrap();
            readings.push(device, metric, When::by_device(at, at), ValueRef::Float(number as f64 + 0.5));
        }
    }
    let source = Source { topic: 0, lane: Lane::Live, partition: 0 };
    let spans = vec![Span { source, from: number, to: number + 1 }];
    WriteBatch { readings: [(TenantId::default_tenant(), readings)].into(), spans, ..WriteBatch::default() }
}
