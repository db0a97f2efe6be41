//! What a reading costs in the Parquet store: bytes on disk, all files counted, and time.
//!
//! `cargo bench -p penstock-series --bench store [-- --devices 1000 --hours 24 --new 50000 --nab DIR]`, of one part with `--books-only`,
//! `--latest-only`, `--hour-only`, `--store-only` or `--files-only`. Without `--bench` (as a test) it runs small.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a benchmark: what it cannot do ends it

mod backend;
mod books;
mod fleet;
mod hour;
mod latest;
mod nab;

use std::time::{Duration, Instant};

use penstock_series::parquet::merge::merge;
use penstock_series::parquet::run::{Detail, Plan, Run, Writer};
use penstock_series::parquet::{ColumnNo, Rows};
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct Options {
    devices: u32,
    hours: i64,
    nab: Option<PathBuf>,
    /// The one part that is measured; `None`: all.
    only: Option<String>,
    /// Devices whose messages the books are measured with, and devices that are new to them.
    senders: (u32, u32),
    /// Devices that have a last location.
    located: u32,
}

fn main() {
    let options = options();
    let dir = tempfile::tempdir().unwrap();
    let wants = |part: &str| options.only.as_deref().is_none_or(|only| only == part);
    if let Some(nab) = &options.nab {
        nab::report(nab, dir.path());
    }
    if wants("books") {
        books::report(options.senders.0, options.senders.1, dir.path());
    }
    if wants("latest") {
        latest::report(options.located, &dir.path().join("latest"));
    }
    if wants("hour") {
        hour::report(options.devices, dir.path());
    }
    if wants("store") {
        backend::report(options.devices, options.hours.min(3) * 60, &dir.path().join("store"));
    }
    if wants("files") {
        fleet_report(&options, dir.path());
    }
}

fn options() -> Options {
    let mut options =
        Options { devices: 20, hours: 2, nab: None, only: None, senders: (200, 200), located: 100 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().unwrap();
        match argument.as_str() {
            "--bench" if options.devices == 20 => {
                (options.devices, options.hours) = (1000, 24);
                (options.senders, options.located) = ((10_000, 50_000), 99_000);
            }
            "--devices" => options.devices = number().parse().unwrap(),
            "--hours" => options.hours = number().parse().unwrap(),
            "--new" => options.senders.1 = number().parse().unwrap(),
            "--nab" => options.nab = Some(number().into()),
            only if only.ends_with("-only") => {
                options.only = Some(only.trim_start_matches('-').trim_end_matches("-only").to_owned());
            }
            _ => {}
        }
    }
    options
}

fn fleet_report(options: &Options, dir: &Path) {
    let Options { devices, hours, .. } = *options;
    println!("fleet: {devices} devices, {} metrics, 10 s, {hours} h", fleet::METRICS_PER_DEVICE);
    let mut fleet = fleet::Fleet::new(devices, 7);
    let mut fresh = Tally::default();
    let mut runs = Vec::new();
    for flush in 0..hours * 6 {
        let rows = fleet.rows(flush * 60..(flush + 1) * 60);
        let path = dir.join(format!("fresh-{flush}.parquet"));
        fresh.flush(&path, &rows, fleet::name);
        runs.push(Arc::new(Run::open(&path).unwrap()));
    }
    fresh.report("flushed every 10 minutes");
    for level in 1.. {
        let mut merged = Tally::default();
        let mut next = Vec::new();
        for inputs in runs.chunks(8) {
            merged.merge(inputs, dir, level, &mut next);
        }
        merged.report(&format!("merged, level {level}"));
        runs = next;
        if runs.len() <= 8 {
            let (mut last, mut whole) = (Tally::default(), Vec::new());
            last.merge(&runs, dir, level + 1, &mut whole);
            last.report("compacted");
            break;
        }
    }
    let mut fleet = fleet::Fleet::new(devices, 7);
    let day = fleet.rows(0..hours * 360);
    let mut sorted = Tally::default();
    sorted.write(&dir.join("whole.parquet"), &day, fleet::name);
    sorted.report("sorted in memory, one file");
    read_back(&dir.join("whole.parquet"), &day);
}

/// Time of this thread on a core; and by the clock on the wall, which also waits for the disk and for whoever else is on
/// the machine.
#[derive(Clone, Copy, Default)]
pub(crate) struct Took {
    core: Duration,
    wall: Duration,
}

impl Took {
    pub(crate) fn by<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let core = || {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
        };
        let (began, core_before) = (Instant::now(), core());
        let outcome = work();
        self.core += core() - core_before;
        self.wall += began.elapsed();
        outcome
    }

    pub(crate) fn nanos_each(&self, readings: u64) -> f64 {
        self.core.as_nanos() as f64 / readings as f64
    }

    pub(crate) fn speed(&self, readings: u64) -> String {
        let million = |took: Duration| readings as f64 / took.as_secs_f64() / 1e6;
        format!("{:.1} M readings/s and core ({:.1} by the clock)", million(self.core), million(self.wall))
    }
}

/// What writing some files came to.
#[derive(Default)]
pub(crate) struct Tally {
    readings: u64,
    size_bytes: u64,
    took: Took,
}

impl Tally {
    /// As the store writes what it flushes: with small pages.
    pub(crate) fn flush(&mut self, path: &Path, rows: &Rows, name: impl Fn(ColumnNo) -> String) {
        self.write_with(path, rows, name, Writer::with_small_pages);
    }

    pub(crate) fn write(&mut self, path: &Path, rows: &Rows, name: impl Fn(ColumnNo) -> String) {
        self.write_with(path, rows, name, |writer| writer);
    }

    fn write_with(
        &mut self,
        path: &Path,
        rows: &Rows,
        name: impl Fn(ColumnNo) -> String,
        with: impl Fn(Writer) -> Writer,
    ) {
        let written = self.took.by(|| {
            let mut writer = with(Writer::create(path, Plan::of(rows, name)).unwrap());
            writer.write(rows, 0..rows.len()).unwrap();
            writer.finish().unwrap()
        });
        self.readings += written.sidecar.readings;
        self.size_bytes += written.size_bytes;
    }

    fn merge(&mut self, inputs: &[Arc<Run>], dir: &Path, level: u32, runs: &mut Vec<Arc<Run>>) {
        let mut made = runs.len();
        let inputs: Vec<_> = inputs.iter().map(|run| vec![Arc::clone(run)]).collect();
        let outputs = self.took.by(|| {
            merge(&inputs, 256 << 20, || {
                made += 1;
                dir.join(format!("merged-{level}-{made}.parquet"))
            })
        });
        for output in outputs.unwrap() {
            self.readings += output.written.sidecar.readings;
            self.size_bytes += output.written.size_bytes;
            runs.push(Arc::new(Run::open(&output.path).unwrap()));
        }
    }

    pub(crate) fn report(&self, what: &str) {
        let per_reading = self.size_bytes as f64 / self.readings as f64;
        let speed = self.took.speed(self.readings);
        println!("{what}: {} readings, {per_reading:.3} B/reading, {speed}", self.readings);
    }
}

fn read_back(path: &Path, rows: &Rows) {
    let began = Instant::now();
    let run = Arc::new(Run::open(path).unwrap());
    let opened = began.elapsed();
    let mut scan = run.scan(0..run.sidecar().rows, None);
    let (mut at, mut took) = (0, Took::default());
    loop {
        let mut piece = scan.rows();
        let count = took.by(|| scan.read(8192, &mut piece)).unwrap();
        if count == 0 {
            break;
        }
        for row in (0..count).step_by(101) {
            assert_eq!(piece.when(row), rows.when(at + row));
            for (a, b) in piece.columns().iter().zip(rows.columns()) {
                assert_eq!(a.cells.get(row), b.cells.get(at + row));
            }
        }
        at += count;
    }
    assert_eq!(at, rows.len());
    println!("opened in {opened:?}, read at {}", took.speed(run.sidecar().readings));
    let entity = run.sidecar().entities[run.sidecar().entities.len() / 2].entity;
    let mut times: Vec<_> = (0..200)
        .map(|n| {
            let began = Instant::now();
            let found = run
                .entity(entity, &(i64::MIN..=i64::MAX), &[ColumnNo(n % 10)], Detail::Times)
                .unwrap()
                .unwrap();
            assert!(!found.is_empty());
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("one metric of one device, whole file: median {:?}, p99 {:?}", times[100], times[197]);
}
