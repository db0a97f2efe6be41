//! Wide tables: a row a moment, a column a metric.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};
use penstock_series::{Error, Parquet, Scan, SeriesRemove, SeriesScan, SeriesWriter, Snapshot};
use record::{DeviceId, MetricName, Reading, TenantId, Timestamp, Value, When};
use rusqlite::Connection;

use crate::conformance::batch;
use crate::scan::told;
use crate::stores::{Pushed, Then};

fn reading(device: &str, metric: &str, time: i64, arrived: i64, value: Value) -> Reading {
    let at = Timestamp::from_nanos;
    Reading {
        device: DeviceId::parse(device).unwrap(),
        metric: MetricName::parse(metric).unwrap(),
        when: When::by_device(at(time), at(arrived)),
        value,
    }
}

fn on_all(check: impl Fn(&Pushed)) {
    for then in [Then::Nothing, Then::Crash, Then::Roll, Then::RollAndCrash, Then::Merge] {
        let dir = tempfile::tempdir().unwrap();
        check(&Pushed::new(dir.path(), then));
    }
}

fn snapshot(store: &impl SeriesScan) -> Arc<dyn Snapshot> {
    store.snapshot(&TenantId::default_tenant()).unwrap()
}

fn columns(snapshot: &Arc<dyn Snapshot>, table: &str) -> Vec<String> {
    let shape = snapshot.table(table).unwrap().unwrap();
    shape.schema.fields().iter().map(|field| field.name().clone()).collect()
}

fn rows(snapshot: &Arc<dyn Snapshot>, scan: Scan) -> Vec<String> {
    let batches = Arc::clone(snapshot).scan(scan).unwrap();
    let mut rows: Vec<String> = batches.flat_map(|batch| told(&batch.unwrap())).collect();
    rows.sort();
    rows
}

#[test]
fn a_row_is_a_moment_of_a_device_and_its_tags() {
    on_all(|store| {
        let cpu = |core: i64, time, idle: f64| {
            let name = |field: &str| format!("cpu.{field}{{cpu=cpu{core},mode=a\\,b}}");
            [
                reading("h", &name("idle"), time, time + 5, Value::Float(idle)),
                reading("h", &name("busy"), time, time + 5, Value::Int(7)),
            ]
        };
        let first = [cpu(0, 10, 1.5), cpu(1, 10, 2.5), cpu(0, 20, 3.0)].concat();
        store.write(&batch(0, 1, first)).unwrap();
        // Another device, without tags; a correction that arrived later; a metric of no table.
        let second = vec![
            reading("i", "cpu.idle", 10, 12, Value::Float(9.0)),
            reading("h", "cpu.idle{cpu=cpu0,mode=a\\,b}", 20, 90, Value::Float(4.0)),
            reading("h", "temperature", 10, 12, Value::Float(20.0)),
        ];
        store.write(&batch(1, 2, second)).unwrap();
        let snapshot = snapshot(store);
        assert_eq!(
            columns(&snapshot, "cpu"),
            ["time", "arrived_at", "device_id", "cpu", "mode", "busy", "idle"]
        );
        let all = rows(&snapshot, Scan::all("cpu"));
        assert_eq!(
            all,
            ["10,12,i,,,,9.0", "10,15,h,cpu0,a,b,7,1.5", "10,15,h,cpu1,a,b,7,2.5", "20,90,h,cpu0,a,b,7,4.0"]
        );
        let listed: Vec<String> =
            snapshot.tables().unwrap().iter().map(|table| table.name.to_string()).collect();
        assert_eq!(listed.iter().filter(|name| *name == "cpu").count(), 1);
        assert!(!listed.contains(&"temperature".to_owned()));
        assert_eq!(rows(&snapshot, Scan::all("temperature")), ["10,12,h,20.0"]);
        let only = Scan { devices: Some(BTreeSet::from(["i".to_owned()])), ..Scan::all("cpu") };
        assert_eq!(rows(&snapshot, only).len(), 1);
        let late = Scan { times: Timestamp::from_nanos(15)..=Timestamp::from_nanos(99), ..Scan::all("cpu") };
        assert_eq!(rows(&snapshot, Scan { columns: Some(vec![5]), ..late }), ["7"]);
        assert_eq!(
            rows(&snapshot, Scan { limit: Some(2), columns: Some(vec![]), ..Scan::all("cpu") }).len(),
            2
        );
        assert!(snapshot.table("gpu").unwrap().is_none());
        let other = store.snapshot(&TenantId::parse("other").unwrap()).unwrap();
        assert!(other.table("cpu").unwrap().is_none());
    });
}

#[test]
fn a_column_widens_to_what_its_values_need() {
    on_all(|store| {
        let write = |offset, value| {
            let time = offset as i64 * 10;
            store.write(&batch(offset, offset + 1, vec![reading("d", "m.x", time, time, value)])).unwrap();
            rows(&snapshot(store), Scan { columns: Some(vec![3]), ..Scan::all("m") })
        };
        assert_eq!(write(0, Value::Int(9_007_199_254_740_993)), ["9007199254740993"]);
        assert_eq!(write(1, Value::Float(0.5)), ["0.5", "9007199254740992.0"]);
        let texts = write(2, Value::Text("off".into()));
        assert_eq!((texts.len(), &*texts[2]), (3, "off"));
        let location = Value::Location { lat: 1.5, lng: -2.0 };
        store.write(&batch(3, 4, vec![reading("d", "m.place", 70, 70, location)])).unwrap();
        let snapshot = snapshot(store);
        assert_eq!(columns(&snapshot, "m")[3..], ["place_lat", "place_lng", "x"]);
        let places = rows(&snapshot, Scan { columns: Some(vec![3, 4]), ..Scan::all("m") });
        assert_eq!(places.last().unwrap(), "1.5,-2.0");
    });
}

/// Fields that come in every row and fields that do not, corrections, tags, clocks that were put right: whatever is asked for, the
/// rows are those of the whole table.
#[test]
fn the_rows_are_the_same_whatever_is_asked_for() {
    on_all(|store| {
        let mut first = Vec::new();
        for n in 0..40 {
            for core in 0..2 {
                let name = |field: &str| format!("cpu.{field}{{cpu=cpu{core}}}");
                first.push(reading("h", &name("idle"), n, n, Value::Float(n as f64)));
                if (n + core) % 3 == 0 {
                    first.push(reading("h", &name("busy"), n, n, Value::Int(n)));
                }
            }
            if n % 10 == 0 {
                first.push(reading("i", "cpu.note", n, n, Value::Text("x".into())));
            }
        }
        store.write(&batch(0, 1, first)).unwrap();
        // A field that was not there, at a time that was and at one that was not; a row of a field alone.
        let second = vec![
            reading("h", "cpu.busy{cpu=cpu0}", 1, 70, Value::Int(-1)),
            reading("h", "cpu.busy{cpu=cpu1}", 41, 41, Value::Int(-2)),
            reading("i", "cpu.note", 5, 5, Value::Text("y".into())),
        ];
        store.write(&batch(1, 2, second)).unwrap();
        same_rows_whatever_is_asked_for(store);
        // The clock of one is put right: its event time is no more the time that it claims.
        let mut corrected = reading("h", "cpu.busy{cpu=cpu0}", 7, 80, Value::Int(-3));
        corrected.when = corrected.when.corrected_to(Timestamp::from_nanos(3));
        store.write(&batch(2, 3, vec![corrected])).unwrap();
        same_rows_whatever_is_asked_for(store);
    });
}

/// A field whose page is damaged is an error to who reads it, and to nobody else.
#[test]
fn a_field_that_says_which_rows_there_are_spares_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Default::default()).unwrap();
    let mut sent = Vec::new();
    for n in 0..3_000 {
        sent.push(reading("h", "m.full", n, n, Value::Int(n)));
        // Not in each row, so that it cannot say which there are.
        if n % 3 == 0 {
            sent.push(reading("h", "m.holes", n, n, Value::Int(n * 7 % 1_000)));
        }
    }
    store.write(&batch(0, 1, sent)).unwrap();
    store.roll().unwrap();
    drop(store);
    damage(dir.path(), "m.holes");
    let store = Parquet::open(dir.path(), Default::default()).unwrap();
    let snapshot = snapshot(&store);
    assert_eq!(columns(&snapshot, "m")[3..], ["full", "holes"]);
    let count = |asked: Vec<usize>| -> penstock_series::Result<usize> {
        let scan = Scan { columns: Some(asked), ..Scan::all("m") };
        Arc::clone(&snapshot).scan(scan)?.map(|batch| batch.map(|batch| batch.num_rows())).sum()
    };
    for asked in [vec![], vec![0], vec![2], vec![3], vec![0, 3]] {
        assert_eq!(count(asked.clone()).unwrap(), 3_000, "{asked:?}");
    }
    // What is asked for, and when it arrived, which any of them may say.
    for asked in [vec![4], vec![1], vec![3, 4]] {
        assert!(matches!(count(asked.clone()), Err(Error::Damaged { .. })), "{asked:?}");
    }
}

/// Turns the bytes of a metric's pages round, in the only run.
fn damage(directory: &Path, metric: &str) {
    let files = std::fs::read_dir(directory.join("runs")).unwrap().map(|entry| entry.unwrap().path());
    let runs: Vec<_> = files.filter(|path| path.extension().is_some_and(|of| of == "parquet")).collect();
    let [run] = &*runs else { panic!("{runs:?}") };
    let reader = SerializedFileReader::new(std::fs::File::open(run).unwrap()).unwrap();
    let columns = reader.metadata().row_group(0).columns();
    let column = columns.iter().find(|column| column.column_path().string().contains(metric)).unwrap();
    let (from, bytes) = column.byte_range();
    let mut file = std::fs::read(run).unwrap();
    file[from as usize..][..bytes as usize].iter_mut().for_each(|byte| *byte = !*byte);
    std::fs::write(run, file).unwrap();
}

fn same_rows_whatever_is_asked_for(store: &Pushed) {
    let snapshot = snapshot(store);
    let names = columns(&snapshot, "cpu");
    let all = rows(&snapshot, Scan::all("cpu"));
    assert!(all.len() > 80, "{}", all.len());
    for asked in 0..1 << names.len() {
        let asked: Vec<usize> = (0..names.len()).filter(|at| asked >> at & 1 == 1).collect();
        let scan = Scan { columns: Some(asked.clone()), ..Scan::all("cpu") };
        let batches = Arc::clone(&snapshot).scan(scan.clone()).unwrap();
        let count: usize = batches.map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(count, all.len(), "{asked:?}");
        // No cell has a comma in it.
        let cells = |row: &String| {
            let cells: Vec<&str> = row.split(',').collect();
            asked.iter().map(|&at| cells[at]).collect::<Vec<_>>().join(",")
        };
        let mut expected: Vec<String> = all.iter().map(cells).collect();
        expected.sort();
        assert_eq!(rows(&snapshot, scan), expected, "{asked:?}");
    }
}

#[test]
fn others_make_wide_tables_of_any_metrics_and_devices() {
    on_all(|store| {
        let sent = vec![
            reading("m1", "temperature", 10, 10, Value::Float(20.5)),
            reading("m1", "state.text", 10, 10, Value::Text("on".into())),
            reading("m1", "load{core=0}", 10, 10, Value::Int(7)),
            reading("m2", "temperature", 10, 10, Value::Int(21)),
            reading("m2", "time", 10, 10, Value::Int(1)),
        ];
        store.write(&batch(0, 1, sent)).unwrap();
        let before = snapshot(store).moments().unwrap().mark().unwrap();
        store.write(&batch(1, 2, vec![reading("m3", "temperature", 20, 20, Value::Int(9))])).unwrap();
        let moments = snapshot(store).moments().unwrap();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let metrics = set(&["temperature", "state.text", "load{core=0}", "never.sent"]);
        let shape = moments.shape(&metrics).unwrap();
        let names: Vec<&String> = shape.schema.fields().iter().map(|field| field.name()).collect();
        assert_eq!(names, ["time", "arrived_at", "device_id", "core", "load", "state.text", "temperature"]);
        let told = |devices: &[&str], columns: Option<Vec<usize>>| {
            let scan = Scan {
                devices: Some(set(devices)),
                metrics: Some(metrics.clone()),
                columns,
                ..Scan::all("")
            };
            let batches = Arc::clone(&moments).rows(scan).unwrap();
            let mut rows: Vec<String> = batches.flat_map(|batch| told(&batch.unwrap())).collect();
            rows.sort();
            rows
        };
        assert_eq!(told(&["m1", "m2"], None), ["10,10,m1,,,on,20.5", "10,10,m1,0,7,,", "10,10,m2,,,,21.0"]);
        assert_eq!(told(&["m3", "nobody"], Some(vec![6])), ["9.0"]);
        assert!(told(&[], None).is_empty());
        let nothing = moments.shape(&BTreeSet::new()).unwrap();
        assert_eq!(nothing.schema.fields().len(), 3);
        let mut series = Vec::new();
        moments.series(before, &mut |device, metric| series.push(format!("{device} {metric}"))).unwrap();
        assert_eq!(series, ["m3 temperature"]);
        assert!(moments.mark().unwrap() > before);
        let mut of_one = moments.metrics_of("m2").unwrap();
        of_one.sort();
        assert_eq!(of_one, ["temperature", "time"]);
        let other = store.snapshot(&TenantId::parse("other").unwrap()).unwrap().moments().unwrap();
        assert!(other.metrics_of("m2").unwrap().is_empty());
        other.series(Default::default(), &mut |device, _| panic!("{device} is another tenant's")).unwrap();
        // It has no name: nobody can ask for it.
        assert!(snapshot(store).table("").unwrap().is_none());
        let last = moments.mark().unwrap();
        store
            .erase(
                &TenantId::default_tenant(),
                &DeviceId::parse("m3").unwrap(),
                "",
                Timestamp::from_nanos(99),
            )
            .unwrap();
        let erased = snapshot(store).moments().unwrap().mark().unwrap();
        assert!(erased > last && erased.erasure > last.erasure, "{erased:?} {last:?}");
    });
}

/// Up to version 7 of the manifest nobody noted what kinds of value a metric has had.
#[test]
fn kinds_of_an_older_manifest_are_found_in_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Parquet::open(dir.path(), Default::default()).unwrap();
    let store = open();
    store.write(&batch(0, 1, vec![reading("d", "m.text", 1, 1, Value::Text("a".into()))])).unwrap();
    store.roll().unwrap();
    store.write(&batch(1, 2, vec![reading("d", "m.whole", 2, 2, Value::Int(3))])).unwrap();
    let expected = snapshot(&store).table("m").unwrap();
    drop(store);
    let forget = "UPDATE metric SET kinds = 0";
    Connection::open(dir.path().join("manifest.db")).unwrap().execute_batch(forget).unwrap();
    assert_eq!(snapshot(&open()).table("m").unwrap(), expected);
}
