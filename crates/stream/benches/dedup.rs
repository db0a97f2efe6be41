//! What it costs to find a message's series and to judge its readings, with 100 000 devices in turn (their state does
//! not fit any cache) and with 500: nanoseconds per message of 20 metrics, the median of many short runs.
//!
//! `cargo bench -p penstock-stream --bench dedup`

#![allow(clippy::print_stdout)] // a benchmark's figures are its output

extern crate penstock_stream as stream;

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Instant;

use record::{Readings, Timestamp, ValueRef, When};
use stream::dedup::{self, DEFAULT_KEYS, Fate, Held, Moment, Recent, Row};
use stream::devices::{Devices, Series, Translation};

const METRICS: usize = 20;
/// Messages in a batch, and so in a run.
const MESSAGES: usize = 500;
const RUNS: usize = 401;
const SECOND: i64 = 1_000_000_000;

/// Everything a partition keeps for this.
struct Partition {
    devices: Devices,
    recent: Vec<Recent>,
    translation: Translation,
    series: Vec<Series>,
    rows: Vec<Row>,
    fates: Vec<Fate>,
}

fn main() {
    for devices in [MESSAGES, 100_000] {
        let mut partition = filled(devices);
        let mut look_ups = Vec::new();
        let mut judgements = Vec::new();
        let mut again = Vec::new();
        let mut out_of_order = Vec::new();
        let mut next = 0;
        for run in 0..RUNS {
            let readings = batch(devices, next, 1_000_000 + (run * MESSAGES) as i64);
            next = (next + MESSAGES) % devices;
            look_ups.push(per_message(|| partition.look_up(&readings)));
            partition.digests(&readings);
            judgements.push(per_message(|| partition.judge(&readings)));
            assert!(partition.fates.iter().all(|fate| *fate == Fate::New));
            again.push(per_message(|| partition.judge(&readings)));
            assert!(partition.fates.iter().all(|fate| *fate == Fate::Duplicate));
            let earlier =
                batch(devices, next + devices - MESSAGES, 1_000_000 + (run * MESSAGES) as i64 - 250);
            partition.look_up(&earlier);
            partition.digests(&earlier);
            out_of_order.push(per_message(|| partition.judge(&earlier)));
        }
        let digests = {
            let readings = batch(devices, 0, 0);
            per_message(|| partition.digests(black_box(&readings)))
        };
        println!(
            "{devices:>7} devices: series {:4.0} ns  digests {digests:4.0} ns  judge in order {:4.0} ns  delivered again {:4.0} ns  out of order {:4.0} ns",
            median(look_ups),
            median(judgements),
            median(again),
            median(out_of_order)
        );
    }
}

fn filled(devices: usize) -> Partition {
    let mut partition = Partition {
        devices: Devices::new(),
        recent: vec![Recent::new(); devices],
        translation: Translation::new(),
        series: Vec::new(),
        rows: Vec::new(),
        fates: Vec::new(),
    };
    for device in 0..devices {
        let readings = batch(devices, device, 0);
        let readings = first_message(&readings);
        let arrived_at = Timestamp::default();
        partition.devices.begin("tenant", &readings, &mut partition.translation);
        let no = readings.device_column()[0];
        let number =
            partition.devices.add("tenant", &readings, no, arrived_at, true, &mut partition.translation);
        for &no in readings.metric_column() {
            partition.devices.add_series(number, &readings, no, arrived_at, &mut partition.translation);
        }
        let rows: Vec<Row> = (0..METRICS as u32).map(|slot| Row { slot, digest: 1 }).collect();
        for n in 0..70 {
            let moment = Moment { time: n * SECOND, seq: 0 };
            partition.fates.clear();
            let Ok(()) = partition.recent[number as usize].judge(
                moment,
                &rows,
                DEFAULT_KEYS,
                &mut partition.fates,
                nobody,
            );
        }
    }
    partition
}

fn first_message(readings: &Readings) -> Readings {
    let mut first = readings.clone();
    first.truncate_rows(METRICS);
    first
}

/// A batch of messages of devices in turn, each a second after the one before.
fn batch(devices: usize, first: usize, second: i64) -> Readings {
    let mut readings = Readings::new();
    for n in 0..MESSAGES {
        let device = readings.device(&format!("device-{}", (first + n) % devices)).expect("an id");
        let time = Timestamp::from_nanos((second + n as i64) * SECOND);
        for metric in 0..METRICS {
            let metric = readings.metric(&format!("metric-{metric}")).expect("a name");
            readings.stage(metric, ValueRef::Float(second as f64));
        }
        readings.commit(device, When::by_device(time, time));
    }
    readings
}

impl Partition {
    fn look_up(&mut self, readings: &Readings) {
        self.series.clear();
        self.devices.begin("tenant", readings, &mut self.translation);
        for from in (0..readings.len()).step_by(METRICS) {
            let no = readings.device_column()[from];
            let number = self.devices.find(readings, no, &mut self.translation).expect("a known device");
            let arrived_at = readings.arrived_at_column()[from];
            let rows = from..from + METRICS;
            let missing = self.devices.series(
                number,
                readings,
                rows,
                arrived_at,
                &mut self.translation,
                &mut self.series,
            );
            assert_eq!(missing, 0);
        }
    }

    fn digests(&mut self, readings: &Readings) {
        self.rows.clear();
        for (row, series) in self.series.iter().enumerate() {
            let value = readings.value(row).expect("a row of the batch");
            self.rows.push(Row { slot: series.slot, digest: dedup::digest(value) });
        }
    }

    fn judge(&mut self, readings: &Readings) {
        self.fates.clear();
        for from in (0..readings.len()).step_by(METRICS) {
            let no = readings.device_column()[from];
            let number = self.devices.find(readings, no, &mut self.translation).expect("a known device");
            let moment = Moment::of(&readings.when(from).expect("a row of the batch"));
            let rows = &self.rows[from..from + METRICS];
            let recent = &mut self.recent[number as usize];
            let Ok(()) = recent.judge(moment, rows, DEFAULT_KEYS, &mut self.fates, nobody);
        }
    }
}

fn nobody(_: &[usize], _: &mut Vec<Held>) -> Result<(), Infallible> {
    unreachable!("nothing here needs the store")
}

fn per_message(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / MESSAGES as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
