//! What retention is about to remove is written first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{TimestampNanosecondType, UInt64Type};
use arrow_array::{Array as _, RecordBatch};
use penstock_series::parquet::store::Options;
use penstock_series::{
    Error, Expiring, Export, Old, Parquet, Result, SeriesAudit, SeriesRemove, SeriesScan, SeriesWriter,
    WriteBatch,
};
use record::{DeviceId, Reading, TenantId, Timestamp, Value};

use super::store::{World, simple, small, tenants, write_one};
use crate::stores::merge_all;

const START: i64 = 1_700_006_400_000; // a midnight
const DAY: i64 = 86_400_000;

/// A shelf in memory, which can be away.
#[derive(Debug, Default)]
struct Shelf {
    objects: Mutex<BTreeMap<String, Vec<RecordBatch>>>,
    is_away: AtomicBool,
}

impl Export for Shelf {
    fn write(&self, key: &str, rows: &mut dyn Iterator<Item = Result<RecordBatch>>) -> Result<()> {
        let batches: Vec<RecordBatch> = rows.collect::<Result<_>>()?;
        self.objects.lock().unwrap().insert(key.to_owned(), batches);
        match self.is_away.load(Ordering::Relaxed) {
            // When some of it is there.
            true => Err(Error::Database {
                operation: "writing",
                place: key.to_owned(),
                reason: "away".to_owned(),
            }),
            false => Ok(()),
        }
    }

    fn remove(&self, keys: &[String]) -> Result<()> {
        let mut objects = self.objects.lock().unwrap();
        keys.iter().for_each(|key| drop(objects.remove(key)));
        Ok(())
    }
}

impl Shelf {
    /// Rows as texts, of all objects.
    fn rows(&self) -> Vec<String> {
        let objects = self.objects.lock().unwrap();
        let mut rows: Vec<String> = objects.values().flatten().flat_map(crate::scan::told).collect();
        rows.sort();
        rows
    }

    /// Tenant, device, metric, claimed time and sequence number of all readings.
    fn keys(&self) -> Vec<Keyed> {
        let objects = self.objects.lock().unwrap();
        let readings = objects.iter().filter(|(key, _)| key.contains("/table=telemetry/"));
        readings
            .flat_map(|(key, batches)| batches.iter().flat_map(move |batch| keys_of(key, batch)))
            .collect()
    }

    fn names(&self) -> Vec<String> {
        let objects = self.objects.lock().unwrap();
        objects.iter().filter(|(_, batches)| !batches.is_empty()).map(|(key, _)| key.clone()).collect()
    }
}

type Keyed = (String, String, String, i64, u64);

fn keys_of(key: &str, batch: &RecordBatch) -> Vec<Keyed> {
    let tenant = key.strip_prefix("tenant=").and_then(|key| key.split('/').next()).unwrap().to_owned();
    let times = |at: usize| batch.column(at).as_primitive::<TimestampNanosecondType>();
    let texts = |at: usize| batch.column(at).as_string::<i32>();
    let seqs = batch.column(11).as_primitive::<UInt64Type>();
    let of = |row: usize| {
        let (device, metric) = (texts(2).value(row).to_owned(), texts(3).value(row).to_owned());
        let claimed = if times(10).is_valid(row) { times(10).value(row) } else { times(0).value(row) };
        // One less than the key's is told, and nothing where there is none.
        let seq = if seqs.is_valid(row) { seqs.value(row) + 1 } else { 0 };
        (tenant.clone(), device, metric, claimed, seq)
    };
    (0..batch.num_rows()).map(of).collect()
}

fn open(dir: &Path, options: Options, shelf: &Arc<Shelf>) -> Parquet {
    Parquet::open(dir, options).unwrap().with_exports(Arc::clone(shelf) as Arc<dyn Export>)
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn at(day: i64) -> Timestamp {
    Timestamp::from_millis(START + day * DAY).unwrap()
}

fn add(store: &Parquet, readings: &[Reading]) {
    let from = store.positions().unwrap().first().map_or(0, |at| at.offset);
    write_one(store, from, readings);
    store.roll().unwrap();
}

fn day(day: i64) -> Vec<Reading> {
    let of = |n: i64| ["m", "n"].map(|metric| simple("d", metric, START + day * DAY + n * 1000, n));
    (0..3000).flat_map(of).collect()
}

fn seen(store: &Parquet) -> Vec<String> {
    let columns = Some((0..13).collect());
    let scan = penstock_series::Scan { columns, ..penstock_series::Scan::all("telemetry") };
    let batches = store.snapshot(&tenant()).unwrap().scan(scan).unwrap().map(|batch| batch.unwrap());
    let mut rows: Vec<String> = batches.flat_map(|batch| crate::scan::told(&batch)).collect();
    rows.sort();
    rows
}

#[test]
fn what_goes_is_there_before_by_date_and_each_row_once() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Arc::<Shelf>::default());
    let store = open(dir.path(), small(), &shelf);
    for n in 0..3 {
        add(&store, &day(n));
    }
    // Once more, with another value: two runs that were not merged have these keys.
    let corrected: Vec<Reading> =
        day(0).into_iter().map(|of| Reading { value: Value::Int(-1), ..of }).collect();
    add(&store, &corrected);
    let before = seen(&store);
    let old =
        |metrics: &str| Old { metrics: metrics.parse().unwrap(), ..Old::all(Expiring::Readings, at(2)) };
    assert_eq!(store.expire(&tenant(), &old("+n"), at(9)).unwrap().unwrap().removed.readings, 6000);
    let after = seen(&store);
    let mut all = [after.clone(), shelf.rows()].concat();
    all.sort();
    assert_eq!((all.len(), &all), (before.len(), &before));
    let names = shelf.names();
    assert_eq!(names.len(), 2, "{names:?}");
    for (name, date) in names.iter().zip(["2023-11-15", "2023-11-16"]) {
        assert!(name.starts_with(&format!("tenant=default/table=telemetry/date={date}/")), "{name}");
        assert!(name.ends_with(".parquet"), "{name}");
    }
    // Then all the rest; a device that is forgotten is not written.
    store.expire(&tenant(), &old("+*"), at(9)).unwrap().unwrap();
    let mut all = [seen(&store), shelf.rows()].concat();
    all.sort();
    assert_eq!(all, before);
    let rows = shelf.rows();
    store.erase(&tenant(), &DeviceId::parse("d").unwrap(), "asked", at(9)).unwrap();
    assert_eq!((seen(&store), shelf.rows()), (Vec::new(), rows));
}

#[test]
fn what_cannot_be_written_is_not_removed_and_what_a_crash_left_is_not_there_twice() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Arc::<Shelf>::default());
    let store = open(dir.path(), Options::default(), &shelf);
    for n in 0..2 {
        add(&store, &day(n));
    }
    let before = seen(&store);
    let old = Old::all(Expiring::Readings, at(2));
    shelf.is_away.store(true, Ordering::Relaxed);
    assert!(store.expire(&tenant(), &old, at(9)).is_err());
    assert_eq!((seen(&store), store.removals(&tenant(), 9).unwrap()), (before.clone(), Vec::new()));
    shelf.is_away.store(false, Ordering::Relaxed);
    // Between the objects and the commit: the manifest cannot be written. Its keys were noted before.
    let lock = || {
        let other = rusqlite::Connection::open(dir.path().join("manifest.db")).unwrap();
        other.execute_batch("PRAGMA busy_timeout = 60000").unwrap();
        other
    };
    drop(store);
    let locked = Arc::new(Locking { shelf: Arc::clone(&shelf), other: Mutex::new(lock()) });
    let store = Parquet::open(dir.path(), Options::default()).unwrap().with_exports(locked.clone());
    assert!(store.expire(&tenant(), &old, at(9)).is_err(), "the commit fails");
    locked.other.lock().unwrap().execute_batch("ROLLBACK").unwrap();
    assert_eq!(seen(&store), before);
    assert!(!shelf.rows().is_empty(), "it was written");
    // The process is gone; what it was to remove is merged with what comes late, and so has other names.
    drop(store);
    let store = open(dir.path(), Options::default(), &shelf);
    add(&store, &[simple("d", "m", START + 7, 7)]);
    add(&store, &[simple("d", "m", START + 8, 7)]);
    merge_all(&store);
    let before = seen(&store);
    assert_eq!(store.expire(&tenant(), &old, at(9)).unwrap().unwrap().removed.readings, 12_002);
    assert_eq!((seen(&store), shelf.rows()), (Vec::new(), before));
}

/// Takes the manifest's lock when an object was written.
#[derive(Debug)]
struct Locking {
    shelf: Arc<Shelf>,
    other: Mutex<rusqlite::Connection>,
}

impl Export for Locking {
    fn write(&self, key: &str, rows: &mut dyn Iterator<Item = Result<RecordBatch>>) -> Result<()> {
        self.shelf.write(key, rows)?;
        let other = self.other.lock().unwrap();
        if other.is_autocommit() {
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
        }
        Ok(())
    }

    fn remove(&self, keys: &[String]) -> Result<()> {
        self.shelf.remove(keys)
    }
}

#[test]
fn nothing_that_was_stored_is_lost_whatever_expires_when() {
    for seed in 0..3 {
        let (dir, shelf) = (tempfile::tempdir().unwrap(), Arc::<Shelf>::default());
        let mut store = open(dir.path(), small(), &shelf);
        let (mut world, mut stored, mut corrections) = (World::new(seed), 0, 0);
        let mut keys: BTreeSet<Keyed> = BTreeSet::new();
        for _ in 0..60 {
            let from = store.positions().unwrap().first().map_or(0, |at| at.offset);
            let batch: WriteBatch = world.batch(from);
            for (tenant, readings) in &batch.readings {
                keys.extend(readings.iter().map(|of| {
                    let (device, metric) = (of.device.to_owned(), of.metric.to_owned());
                    (tenant.as_str().to_owned(), device, metric, of.when.claimed.nanos(), of.when.seq)
                }));
            }
            let written = store.write(&batch).unwrap();
            (stored, corrections) = (stored + written.stored, corrections + written.corrections);
            match world.random.below(5) {
                0 | 1 => store.roll().unwrap(),
                2 => merge_all(&store),
                3 => {
                    drop(store);
                    store = open(dir.path(), small(), &shelf);
                }
                _ => {}
            }
            if world.random.one_in(4) {
                let set = ["+m0\n+m1", "-m2\n-m3\n+*", "+m*", "+*"][world.random.below(4) as usize];
                let before =
                    Timestamp::from_millis(world.now_ms - world.random.below(3_000_000) as i64).unwrap();
                let old = Old { metrics: set.parse().unwrap(), ..Old::all(Expiring::Readings, before) };
                for tenant in tenants() {
                    shelf.is_away.store(world.random.one_in(4), Ordering::Relaxed);
                    let _ = store.expire(&tenant, &old, before);
                }
            }
        }
        shelf.is_away.store(false, Ordering::Relaxed);
        for tenant in tenants() {
            store.roll().unwrap();
            store
                .expire(&tenant, &Old::all(Expiring::Readings, Timestamp::from_nanos(i64::MAX)), at(0))
                .unwrap();
        }
        assert_eq!(store.audit().unwrap().tenants.iter().map(|of| of.points).sum::<u64>(), 0);
        let exported = shelf.keys();
        let once: BTreeSet<Keyed> = exported.iter().cloned().collect();
        assert_eq!(once, keys, "{seed}");
        // What came again after it had expired, and corrections of what had, may be there twice.
        let again = stored - keys.len() as u64;
        assert!((exported.len() - once.len()) as u64 <= again + corrections, "{seed}");
    }
}
