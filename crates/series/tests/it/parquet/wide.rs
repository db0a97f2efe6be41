//! Wide tables: a row a moment, a column a metric.

use std::collections::BTreeSet;
use std::sync::Arc;

use penstock_series::{Parquet, Scan, SeriesScan, SeriesWriter, Snapshot};
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
