//! How long questions take over a week of a fleet: 1000 devices, 10 metrics each, once a minute, 100.8 million readings.
//!
//! ```text
//! cargo run --release -p penstock-rigs --bin questions -- [--devices N --days N --dir DIR --csv FILE]
//! ```
//!
//! With `--dir` the store is kept there, and used again if it is there. `--csv` writes the same readings into a file, for
//! another database. In the store, 10 minutes are still buffered.

#![allow(clippy::print_stdout, clippy::print_stderr)] // figures are data, progress is for people

mod fleet;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use query::{Aggregate, Cell, Engine, Every, Limits, Query, rfc3339};
use record::{DeviceId, MetricName, TenantId, Timestamp};
use series::parquet::store::Options;
use series::{Parquet, SeriesWriter as _};

use fleet::Fleet;

struct Asked {
    devices: u32,
    days: i64,
    dir: Option<PathBuf>,
    csv: Option<PathBuf>,
}

fn main() {
    let mut asked = Asked { devices: 1000, days: 7, dir: None, csv: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value follows");
        match argument.as_str() {
            "--devices" => asked.devices = value().parse().expect("a number"),
            "--days" => asked.days = value().parse().expect("a number"),
            "--dir" => asked.dir = Some(value().into()),
            "--csv" => asked.csv = Some(value().into()),
            _ => {}
        }
    }
    if let Some(file) = &asked.csv {
        csv(&asked, file);
        return;
    }
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = asked.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let store = Arc::new(Parquet::open(&dir, Options::default()).expect("the store opens"));
    if store.run_count() == 0 {
        fill(&store, &asked);
    }
    let bytes: u64 = walk(&dir);
    let readings = fleet::readings(asked.devices, asked.days);
    println!(
        "{readings} readings, {} devices, {} days; {} runs, {:.3} B/reading, all files counted",
        asked.devices,
        asked.days,
        store.run_count(),
        bytes as f64 / readings as f64
    );
    questions(&store, &asked);
}

fn fill(store: &Parquet, asked: &Asked) {
    let began = Instant::now();
    let mut fleet = Fleet::new(asked.devices, 7);
    let minutes = asked.days * 1440;
    for minute in 0..minutes {
        store.write(&fleet.batch(minute)).expect("the store writes");
        // Ten minutes stay in the buffer.
        if minute % 60 == 49 || minute == minutes - 10 {
            store.roll().expect("the buffer becomes files");
            while store.maintain(fleet::START_MS).expect("files are merged") {}
        }
        if minute % 1440 == 1439 {
            eprintln!("day {} of {}: {:?}", minute / 1440 + 1, asked.days, began.elapsed());
        }
    }
    // Every day but the last has been over for long.
    let now = fleet::START_MS + asked.days * 86_400_000;
    for now in [now, now + 3_600_000] {
        while store.maintain(now).expect("files are merged") {}
    }
    store.flush().expect("the store is durable");
}

fn walk(dir: &Path) -> u64 {
    let entries =
        std::fs::read_dir(dir).expect("the directory is there").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let facts = entry.metadata().expect("it is there");
            if facts.is_dir() { walk(&entry.path()) } else { facts.len() }
        })
        .sum()
}

fn questions(store: &Arc<Parquet>, asked: &Asked) {
    let tenant = TenantId::default_tenant();
    let engine = Engine::new(store.clone()).expect("the engine starts");
    let query = Query::new(store.clone(), store.clone(), Arc::new(engine), Limits::default());
    let device = |n: u32| DeviceId::parse(&fleet::device(n * 37 % asked.devices)).expect("a device's id");
    let metric = MetricName::parse("m3").expect("a metric's name");
    let at = |ms| Timestamp::from_millis(ms).expect("a time of this century");
    let end = fleet::START_MS + asked.days * 86_400_000;
    // A day that is neither whole in the files of one day nor in the buffer.
    let (from, to) = (end - 86_400_000 - 7_200_000, end - 7_200_000);
    let day = at(from)..at(to);
    // As many minutes as an answer may have points.
    let minutes = (asked.days * 1440).min(9_990);
    let begin = end - minutes * 60_000;
    let week = at(begin)..at(end);
    let text = |ms: i64| Cell::Text(rfc3339(at(ms)));

    measure("latest values of a device", 1000, |n| {
        assert_eq!(query.latest(&tenant, &device(n)).expect("an answer").len(), fleet::METRICS);
    });
    measure("one metric of a device, 24 h, points", 500, |n| {
        let points = query.points(&tenant, &device(n), &metric, day.clone(), 10_000).expect("an answer");
        assert_eq!(points.points.len(), 1440);
    });
    measure("the same by SQL", 200, |n| {
        let statement = "SELECT time, value FROM telemetry WHERE device_id = ? AND metric = 'm3' AND time >= ? AND time < ? ORDER BY time";
        let given = [Cell::Text(device(n).as_str().to_owned()), text(from), text(to)];
        assert_eq!(query.sql(&tenant, statement, &given).expect("an answer").rows().len(), 1440);
    });
    let minute = Every::parse("1m", None).expect("a width");
    measure("one metric of a device, 7 days, a mean each minute, buckets", 200, |n| {
        let buckets =
            query.buckets(&tenant, &device(n), &metric, week.clone(), (&minute, Aggregate::Avg), 10_000);
        assert_eq!(buckets.expect("an answer").points.len() as i64, minutes);
    });
    measure("the same by SQL", 100, |n| {
        let statement = "SELECT time_bucket('1 minute', time) AS minute, avg(value) FROM telemetry WHERE device_id = ? AND metric = 'm3' AND time >= ? AND time < ? GROUP BY 1";
        let given = [Cell::Text(device(n).as_str().to_owned()), text(begin), text(end)];
        assert_eq!(query.sql(&tenant, statement, &given).expect("an answer").rows().len() as i64, minutes);
    });
    measure("the latest of everything, SQL", 30, |_| {
        let rows = query.sql(&tenant, "SELECT device_id, metric, time, value FROM latest", &[]);
        assert_eq!(rows.expect("an answer").rows().len(), asked.devices as usize * fleet::METRICS);
    });
    measure("a mean per device over 24 h, the whole fleet, SQL", 30, |_| {
        let statement = "SELECT device_id, avg(value) FROM telemetry WHERE metric = 'm3' AND time >= ? AND time < ? GROUP BY device_id";
        let rows = query.sql(&tenant, statement, &[text(from), text(to)]).expect("an answer").rows().len();
        assert_eq!(rows as u32, asked.devices);
    });
}

fn measure(what: &str, times: u32, mut ask: impl FnMut(u32)) {
    (0..times / 10 + 1).for_each(&mut ask);
    let mut took: Vec<_> = (0..times)
        .map(|n| {
            let began = Instant::now();
            ask(n);
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{what}: median {:.3} ms, p99 {:.3} ms ({times})", at(0.5), at(0.99));
}

/// The same readings as rows `device, metric, time, value`.
fn csv(asked: &Asked, file: &Path) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file).expect("the file can be made"));
    let mut fleet = Fleet::new(asked.devices, 7);
    for minute in 0..asked.days * 1440 {
        for readings in fleet.batch(minute).readings.values() {
            for reading in readings.iter() {
                let value = reading.value.as_f64().unwrap_or(f64::NAN);
                writeln!(out, "{},{},{},{value}", reading.device, reading.metric, rfc3339(reading.when.time))
                    .expect("the file can be written");
            }
        }
    }
    out.flush().expect("the file can be written");
}
