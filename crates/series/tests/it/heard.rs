//! When devices were last heard: by whatever arrived, however it is asked for, and never earlier than was said before.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use penstock_series::parquet::store::Options;
use penstock_series::{Parquet, Scan, SeriesReader, SeriesScan};
use record::{DeviceId, Reading, TenantId, Timestamp, Value, When};

use crate::conformance::{Store, batch, on_all};
use crate::parquet::store::{simple, write_one};

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

/// A reading of a moment that arrived at another.
fn arrived(device: &str, metric: &str, claimed: i64, at: i64) -> Reading {
    let [claimed, at] = [claimed, at].map(Timestamp::from_nanos);
    Reading { when: When::by_device(claimed, at), ..simple(device, metric, 0, 7) }
}

/// When each device was heard, as everything says that can be asked.
fn heard(store: &dyn Store) -> Vec<(String, i64)> {
    let told = |device: penstock_series::Device| (device.id.to_string(), device.last_seen.nanos());
    let listed: Vec<_> = store.devices(&tenant(), None, 99).unwrap().into_iter().map(told).collect();
    let one = |id: &str| store.device(&tenant(), &DeviceId::parse(id).unwrap()).unwrap().unwrap();
    let single: Vec<_> = listed.iter().map(|(id, _)| told(one(id))).collect();
    assert_eq!(single, listed);
    let snapshot = store.snapshot(&tenant()).unwrap();
    let scanned = |devices: Option<&str>| -> Vec<String> {
        let devices = devices.map(|id| [id.to_owned()].into());
        let scan = Scan { columns: Some(vec![0, 2]), devices, ..Scan::all("devices") };
        snapshot.clone().scan(scan).unwrap().flat_map(|batch| crate::scan::told(&batch.unwrap())).collect()
    };
    let expected: Vec<String> = listed.iter().map(|(id, at)| format!("{id},{at}")).collect();
    assert_eq!(scanned(None), expected);
    for (at, (id, _)) in listed.iter().enumerate() {
        assert_eq!(scanned(Some(id)), expected[at..=at]);
    }
    listed
}

#[test]
fn the_latest_arrival_counts_whatever_it_was_of() {
    let steps: &[(&str, Vec<Reading>, [i64; 2])] = &[
        ("first", vec![arrived("a", "m", 5, 10), arrived("b", "m", 5, 20)], [10, 20]),
        ("history that arrives later", vec![arrived("a", "m", -900, 30)], [30, 20]),
        ("of two messages the later", vec![arrived("a", "m", 6, 50), arrived("a", "m", 7, 40)], [50, 20]),
        ("an earlier one", vec![arrived("a", "m", 8, 45)], [50, 20]),
        ("another metric, of another message", vec![arrived("b", "n", 9, 60)], [50, 60]),
        ("the same again", vec![arrived("a", "m", 5, 70), arrived("b", "m", 5, 61)], [70, 61]),
        ("the same, as it came at first", vec![arrived("a", "m", 5, 10)], [70, 61]),
        ("a correction", vec![Reading { value: Value::Int(8), ..arrived("b", "n", 9, 80) }], [70, 80]),
        ("nothing", vec![], [70, 80]),
    ];
    on_all(|store| {
        for ((what, readings, expected), from) in steps.iter().zip(0..) {
            store.write(&batch(from, from + 1, readings.clone())).unwrap();
            let expected = ["a", "b"].map(str::to_owned).into_iter().zip(*expected);
            assert_eq!(heard(store), expected.collect::<Vec<_>>(), "{what}");
        }
    });
}

#[test]
fn another_tenants_device_of_the_same_name_is_another() {
    on_all(|store| {
        let mut batch = batch(0, 1, vec![arrived("a", "m", 5, 10)]);
        let other = [&arrived("a", "m", 5, 99)].into_iter().collect();
        batch.readings.insert(TenantId::parse("other").unwrap(), other);
        store.write(&batch).unwrap();
        assert_eq!(heard(store), [("a".to_owned(), 10)]);
    });
}

#[test]
fn it_never_goes_back_while_buffers_become_runs() {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    write_one(&store, 0, &[simple("a", "m", 0, 0)]);
    let written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..120 {
                write_one(&store, n, &[simple("a", "m", n as i64 * 1000, 0)]);
                store.roll().unwrap();
            }
            written.store(true, Ordering::Release);
        });
        let (mut last, mut of_snapshot) = (0, 0);
        while !written.load(Ordering::Acquire) {
            let now = store.device(&tenant(), &DeviceId::parse("a").unwrap()).unwrap().unwrap();
            assert!(now.last_seen.nanos() >= last, "{} after {last}", now.last_seen.nanos());
            last = now.last_seen.nanos();
            let scan = Scan { columns: Some(vec![2]), ..Scan::all("devices") };
            let scan = store.snapshot(&tenant()).unwrap().scan(scan).unwrap();
            let told = scan.flat_map(|batch| crate::scan::told(&batch.unwrap())).next().unwrap();
            let now: i64 = told.parse().unwrap();
            assert!(now >= last && now >= of_snapshot, "{now} after {last} and {of_snapshot}");
            of_snapshot = now;
        }
    });
}

/// Bytes of the write-ahead file.
fn ahead(dir: &Path) -> u64 {
    std::fs::metadata(dir.join("manifest.db-wal")).unwrap().len()
}

#[test]
fn a_turn_of_many_known_devices_writes_its_readings_and_a_few_pages() {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    let devices: Vec<String> = (0..2000).map(|no| format!("a device of the fleet, number {no:06}")).collect();
    let turn = |n: i64| -> Vec<Reading> { devices.iter().map(|id| simple(id, "m", n * 1000, n)).collect() };
    write_one(&store, 0, &turn(1));
    // While somebody reads what was there before, the file only grows.
    let reader = store.snapshot(&tenant()).unwrap();
    write_one(&store, 1, &turn(2));
    let before = ahead(dir.path());
    write_one(&store, 2, &turn(3));
    let bytes = ahead(dir.path()) - before;
    // 2000 readings, each a row of some 11 bytes, are 6 pages.
    assert!((20_000..60_000).contains(&bytes), "{bytes} bytes in {} pages", bytes / 4120);
    drop(reader);
}
