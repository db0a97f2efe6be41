//! What a question costs whose data is in the cold tier: the time, and how many requests.
//!
//! `cargo bench -p penstock-series --bench cold [-- --devices 200 --hours 24]`. Without `--bench` (as a test) it runs small.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a benchmark: what it cannot do ends it

#[allow(dead_code)] // only some faults are wanted
#[path = "../../tests/it/cold/faulty.rs"]
mod faulty;
#[allow(dead_code)] // only the fleet itself is wanted
#[path = "../store/fleet.rs"]
mod fleet;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray as _;
use arrow_array::types::Float64Type;
use object_store::local::LocalFileSystem;
use penstock_series::parquet::cold::{Cold, Limits};
use penstock_series::parquet::store::{ColdAges, ColdPolicy, Options};
use penstock_series::{Parquet, Scan, SeriesReader, SeriesScan, SeriesWriter, Source, Span, WriteBatch};
use record::{DeviceId, Lane, MetricName, Readings, TenantId, Timestamp};

use faulty::{Faults, Faulty};
use fleet::Fleet;

/// Devices that are asked about one after the other.
const ASKED: usize = 40;

fn main() {
    let (mut devices, mut hours) = (20, 2);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().unwrap().parse().unwrap();
        match argument.as_str() {
            "--bench" if devices == 20 => (devices, hours) = (200, 24),
            "--devices" => devices = number(),
            "--hours" => hours = i64::from(number()),
            _ => {}
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (data, objects) = (dir.path().join("series"), dir.path().join("objects"));
    std::fs::create_dir(&objects).unwrap();
    let readings = fill(&data, devices, hours);
    println!(
        "{devices} devices, {} metrics, 10 s, {hours} h: {readings} readings",
        fleet::METRICS_PER_DEVICE
    );
    let faults = Arc::new(Faults::default());
    let mut place = Place { data, objects, faults, hours, devices };
    place.ask("hot");
    place.move_all();
    place.ask("cold, a directory");
    *place.faults.get_takes.lock().unwrap() = Duration::from_millis(30);
    place.ask("cold, 30 ms for each request");
}

/// A day of a fleet, merged.
fn fill(data: &Path, devices: u32, hours: i64) -> u64 {
    let store = Parquet::open(data, Options { buffer_bytes: 512 << 20, ..Options::default() }).unwrap();
    let mut fleet = Fleet::new(devices, 7);
    let mut count = 0;
    for minute in 0..hours * 60 {
        let rows = fleet.rows(minute * 6..minute * 6 + 6);
        let mut readings = Readings::new();
        for row in 0..rows.len() {
            let device = readings.device(&format!("device-{:06}", rows.key(row).entity.device())).unwrap();
            for column in rows.columns() {
                let metric = readings.metric(&fleet::name(column.no)).unwrap();
                readings.push(device, metric, rows.when(row), column.cells.get(row).unwrap());
            }
        }
        count += readings.len() as u64;
        let source = Source { topic: 0, lane: Lane::Live, partition: 0 };
        let spans = vec![Span { source, from: minute as u64, to: minute as u64 + 1 }];
        let readings = BTreeMap::from([(TenantId::default_tenant(), readings)]);
        store.write(&WriteBatch { readings, spans, ..WriteBatch::default() }).unwrap();
        if minute % 30 == 29 {
            store.roll().unwrap();
            while store.maintain(fleet::START_MS).unwrap() {}
        }
    }
    store.roll().unwrap();
    let quiet = fleet::START_MS + 40 * 86_400_000;
    for now in [quiet, 2 * quiet] {
        while store.maintain(now).unwrap() {}
    }
    println!("{} runs, {} bytes", store.run_count(), store.size_bytes());
    count
}

struct Place {
    data: std::path::PathBuf,
    objects: std::path::PathBuf,
    faults: Arc<Faults>,
    hours: i64,
    devices: u32,
}

impl Place {
    fn open(&self) -> (Parquet, Arc<Cold>) {
        let inner = Arc::new(LocalFileSystem::new_with_prefix(&self.objects).unwrap());
        let faulty = Faulty { inner, faults: Arc::clone(&self.faults) };
        let cold = Cold::new(Arc::new(faulty), "file:///objects", Limits::default()).unwrap();
        let cold = Arc::new(cold.on_disk(self.objects.clone()));
        (Parquet::open_with(&self.data, Options::default(), Some(Arc::clone(&cold))).unwrap(), cold)
    }

    fn move_all(&mut self) {
        let (store, cold) = self.open();
        let ages = ColdAges { readings: Some(Duration::ZERO), windows: None };
        let policy = ColdPolicy { all: ages, ..ColdPolicy::default() };
        let began = Instant::now();
        while store.tier(Timestamp::now(), &policy).unwrap() {}
        let took = began.elapsed();
        let kept: u64 = std::fs::read_dir(self.data.join("runs"))
            .unwrap()
            .map(|of| of.unwrap().metadata().unwrap().len())
            .sum();
        let figures = cold.figures();
        println!(
            "moved: {} runs, {} bytes in {took:?}; {kept} bytes of sidecars and seals stay",
            figures.moved, figures.moved_bytes
        );
        assert_eq!(store.size_bytes(), 0);
    }

    /// Opened anew: nothing is in memory at first.
    fn ask(&self, what: &str) {
        println!("{what}:");
        let (store, cold) = self.open();
        let tenant = TenantId::default_tenant();
        let metric = MetricName::parse("temperature").unwrap();
        let at = |ms| Timestamp::from_millis(ms).unwrap();
        let all = at(fleet::START_MS - 1000)..at(fleet::START_MS + self.hours * 3_600_000 + 60_000);
        for again in ["first time", "again"] {
            let (before, mut took) = (cold.figures(), Vec::new());
            for n in 0..ASKED as u32 {
                let device = DeviceId::parse(&format!("device-{:06}", n * 37 % self.devices)).unwrap();
                let (began, mut count) = (Instant::now(), 0);
                let mut visit = |_| {
                    count += 1;
                    true
                };
                store.points(&tenant, &device, &metric, all.clone(), &mut visit).unwrap();
                took.push(began.elapsed());
                assert!(count >= self.hours * 360 - 10, "{count}");
            }
            took.sort_unstable();
            let gets = (cold.figures().gets - before.gets) as f64 / ASKED as f64;
            let bytes = (cold.figures().got_bytes - before.got_bytes) / ASKED as u64;
            println!(
                "  one metric of a device, {again}: median {:?}, slowest {:?}, {gets:.2} requests and {bytes} bytes each",
                took[ASKED / 2],
                took[ASKED - 1]
            );
        }
        drop(store);
        let (store, cold) = self.open();
        for again in ["first time", "again"] {
            let (before, began) = (cold.figures(), Instant::now());
            let mean = mean(&store, &tenant);
            let (took, now) = (began.elapsed(), cold.figures());
            println!(
                "  mean of a metric over the fleet, {again}: {took:?}, {} requests, {} bytes (mean {mean:.3})",
                now.gets - before.gets,
                now.got_bytes - before.got_bytes
            );
        }
    }
}

/// The mean of all temperatures, from the columns of a scan.
fn mean(store: &Parquet, tenant: &TenantId) -> f64 {
    let snapshot = store.snapshot(tenant).unwrap();
    let shape = snapshot.table("telemetry").unwrap().unwrap();
    let value = shape.schema.index_of("value").unwrap();
    let metrics = Some(["temperature".to_owned()].into());
    let scan = Scan { columns: Some(vec![value]), metrics, ..Scan::all("telemetry") };
    let (mut sum, mut count) = (0.0, 0_u64);
    for batch in snapshot.scan(scan).unwrap() {
        let batch = batch.unwrap();
        let values = batch.column(0).as_primitive::<Float64Type>();
        sum += values.iter().flatten().sum::<f64>();
        count += values.len() as u64;
    }
    sum / count as f64
}
