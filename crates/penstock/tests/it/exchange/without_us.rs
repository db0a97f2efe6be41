//! docs/your-data-without-us.md: its Python and its SQL read what the store has written, without us.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use record::{DeviceId, Lane, MetricName, Reading, TenantId, Timestamp, Value, When};
use series::parquet::cold::{Cold, Limits};
use series::parquet::store::{ColdAges, ColdPolicy, Options};
use series::{LateRow, Parquet, SeriesWriter, Source, Span, VoidWindows, WindowKey, WindowRow, WriteBatch};

use super::duckdb::python;
use crate::house::root;
use crate::served::{run, text};

/// Runs the page's programs in their order, without what needs more than DuckDB, and shows what they find.
const PROGRAM: &str = r#"
import re, sys
page, series, cold = open(sys.argv[1]).read(), sys.argv[2], sys.argv[3]
shared = {}
for program in re.findall(r"```python\n(.*?)```", page, re.S):
    if "pyarrow" not in program:
        exec(program.replace('"penstock-data/series"', repr(series)).replace('"penstock-cold"', repr(cold)).replace(".fetchdf()", ".fetchall()"), shared)
for metric in ["temperature", "_odd", "state"]:
    for device, time, value in shared["readings"](metric).fetchall():
        print(metric, device, time.isoformat(), value)
for entity, claimed, metric, value in shared["fresh"]():
    print("fresh", entity % 2**32, claimed, metric, value)
for device, end, count, least, most, mean in shared["windows"]("temperature", "1m").fetchall():
    print("window", device, end.isoformat(), count, float(least), float(most), float(mean))
for device, time, value, watermark in shared["late"]("temperature").fetchall():
    print("late", device, time.isoformat(), float(value), watermark.isoformat())
for tenant, kind, rows in shared["in_the_cold"]().fetchall():
    print("cold", tenant, kind, rows)
for block in re.findall(r"```sql\n(-- devices of a tenant.*?)```", page, re.S):
    for statement in filter(str.strip, block.split(";")):
        print("sqlite", len(shared["manifest"].execute(statement).fetchall()))
"#;

/// Nanoseconds of the epoch at a minute of 2026-11-20.
fn minute(n: i64) -> i64 {
    (1_795_132_800 + n * 60) * 1_000_000_000
}

struct Store {
    store: Parquet,
    written: u64,
}

impl Store {
    fn write(&mut self, tenant: &str, readings: &[(&str, &str, i64, Value)]) {
        self.write_late(tenant, readings, &[]);
    }

    /// Some of the rows came late, behind a watermark of the ninth minute.
    fn write_late(&mut self, tenant: &str, readings: &[(&str, &str, i64, Value)], late: &[u32]) {
        let source = Source { topic: 0, lane: Lane::Live, partition: 0 };
        let spans = vec![Span { source, from: self.written, to: self.written + 1 }];
        self.written += 1;
        let mut batch = WriteBatch { spans, readings: BTreeMap::new(), ..WriteBatch::default() };
        let of = batch.readings.entry(TenantId::parse(tenant).unwrap()).or_default();
        for (device, metric, nanos, value) in readings {
            let at = Timestamp::from_nanos(*nanos);
            of.push_reading(&Reading {
                device: DeviceId::parse(device).unwrap(),
                metric: MetricName::parse(metric).unwrap(),
                when: When::by_device(at, at),
                value: value.clone(),
            });
        }
        let watermark = Timestamp::from_nanos(minute(9));
        let late = late.iter().map(|&row| LateRow { row, watermark }).collect();
        batch.late.insert(TenantId::parse(tenant).unwrap(), late);
        self.store.write(&batch).unwrap();
    }
}

impl Store {
    /// Results of pump-1's temperature: the minute, how many readings (none: void), and their sum.
    fn windows(&mut self, results: &[(i64, u64, f64)]) {
        let mut batch = WriteBatch::default();
        for &(start, count, sum) in results {
            let key = WindowKey {
                tenant: TenantId::default_tenant(),
                device: DeviceId::parse("pump-1").unwrap(),
                metric: MetricName::parse("temperature").unwrap(),
                window: "1m".into(),
                start: Timestamp::from_nanos(minute(start)),
            };
            let end = Timestamp::from_nanos(minute(start + 1));
            match count {
                0 => batch.void_windows.push(VoidWindows { key, until: end }),
                _ => batch.windows.push(WindowRow {
                    key,
                    end,
                    count,
                    sum,
                    min: sum,
                    max: sum,
                    stddev: 0.0,
                    p95: sum,
                    first: sum,
                    last: sum,
                    revised: false,
                }),
            }
        }
        self.store.write(&batch).unwrap();
    }
}

#[test]
fn the_page_reads_files_blocks_and_books() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with DuckDB");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let objects = dir.path().join("objects");
    std::fs::create_dir(&objects).unwrap();
    let bucket = Arc::new(LocalFileSystem::new_with_prefix(&objects).unwrap());
    let cold = Arc::new(Cold::new(bucket, "file:///objects", Limits::default()).unwrap());
    let store = Parquet::open_with(&dir.path().join("series"), Options::default(), Some(cold)).unwrap();
    let mut store = Store { store, written: 0 };
    let float = |value| Value::Float(value);
    store.write("other", &[("pump-1", "temperature", minute(0), float(-40.0))]);
    store.write(
        "default",
        &[
            ("pump-1", "temperature", minute(0), float(20.5)),
            ("pump-1", "temperature", minute(1), float(21.5)),
            ("pump-2", "temperature", minute(0), float(1.25)),
            ("pump-2", "state", minute(0), Value::Text("on".into())),
        ],
    );
    store.store.roll().unwrap();
    // What there is so far is in an object store.
    let ages = ColdAges { readings: Some(std::time::Duration::ZERO), windows: None };
    let policy = ColdPolicy { all: ages, ..ColdPolicy::default() };
    while store.store.tier(Timestamp::from_nanos(minute(1_000_000)), &policy).unwrap() {}
    // A correction in a later file, and a metric whose name begins as ours do.
    let correction =
        [("pump-1", "temperature", minute(1), float(22.125)), ("pump-2", "_odd", minute(2), Value::Int(7))];
    store.write_late("default", &correction, &[0]);
    store.windows(&[(0, 2, 21.0), (1, 1, 22.0), (2, 3, 1.0)]);
    store.store.roll().unwrap();
    // One is revised, one is void.
    store.windows(&[(1, 2, 23.0), (2, 0, 0.0)]);
    store.store.roll().unwrap();
    let place = Value::Location { lat: 52.5, lng: -0.25 };
    store.write(
        "default",
        &[
            ("pump-2", "temperature", minute(9), float(3.5)),
            ("pump-2", "_odd", minute(9), Value::Int(-2)),
            ("pump-2", "state", minute(9), Value::Text("größe".into())),
            ("pump-1", "temperature", minute(10), float(0.1 + 0.2)),
            ("pump-1", "state", minute(10), Value::Bool(true)),
            ("pump-1", "_odd", minute(11), place),
            ("pump-1", "temperature", minute(12), float(-0.125)),
        ],
    );
    store.store.flush().unwrap();
    drop(store);
    let page = root().join("docs/your-data-without-us.md");
    let told =
        run(Command::new(python).args(["-c", PROGRAM]).arg(page).arg(dir.path().join("series")).arg(objects));
    let told = text(&told.stdout);
    let found: Vec<&str> = told
        .lines()
        .filter(|line| {
            ["temperature ", "_odd ", "state ", "fresh ", "sqlite ", "window ", "late ", "cold "]
                .iter()
                .any(|word| line.starts_with(word))
        })
        .collect();
    let at = |n: i64| format!("2026-11-20T00:{n:02}:00+00:00");
    let number = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
    let starts = [
        (format!("temperature pump-1 {}", at(0)), Some(20.5)),
        (format!("temperature pump-1 {}", at(1)), Some(22.125)),
        (format!("temperature pump-2 {}", at(0)), Some(1.25)),
        (format!("_odd pump-2 {}", at(2)), Some(7.0)),
        (format!("state pump-2 {} on", at(0)), None),
    ];
    for (line, (start, value)) in found.iter().zip(&starts) {
        assert!(line.starts_with(start) && number(line) == *value, "{line}, not {start}: {told}");
    }
    let fresh: Vec<(&str, &str)> = found
        .iter()
        .filter_map(|line| line.strip_prefix("fresh ")?.split_once(' ')?.1.split_once(' '))
        .map(|(claimed, rest)| (claimed, rest.split_once(' ').unwrap().1))
        .collect();
    let times = [9, 9, 9, 10, 10, 11, 12].map(|n| minute(n).to_string());
    let values = ["3.5", "-2", "größe", "0.30000000000000004", "True", "(52.5, -0.25)", "-0.125"];
    let expected: Vec<(&str, &str)> = times.iter().map(String::as_str).zip(values).collect();
    assert_eq!(fresh, expected, "{told}");
    let windows: Vec<&str> = found.iter().filter(|line| line.starts_with("window")).copied().collect();
    let expected = [(1, "2 21.0 21.0 10.5"), (2, "2 23.0 23.0 11.5")];
    assert_eq!(windows, expected.map(|(end, told)| format!("window pump-1 {} {told}", at(end))), "{told}");
    let late: Vec<&str> = found.iter().filter(|line| line.starts_with("late")).copied().collect();
    assert_eq!(late, [format!("late pump-1 {} 22.125 {}", at(1), at(9))], "{told}");
    let cold: Vec<&str> = found.iter().filter(|line| line.starts_with("cold")).copied().collect();
    assert_eq!(cold, ["cold default readings 3", "cold other readings 1"], "{told}");
    let books: Vec<&str> = found.iter().filter(|line| line.starts_with("sqlite")).copied().collect();
    assert_eq!(books[..2], ["sqlite 2", "sqlite 1"], "devices, replaced values: {told}");
    assert_eq!(books.len(), 4, "{told}");
}
