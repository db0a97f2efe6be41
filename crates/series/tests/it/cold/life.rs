//! What becomes of cold runs: late data, retention, a device that is to be forgotten.

use std::sync::atomic::Ordering;
use std::time::Duration;

use penstock_series::parquet::store::{ColdAges, ColdPolicy, Options};
use penstock_series::{
    Error, Expiring, Old, Parquet, SeriesAudit, SeriesReader, SeriesRemove, SeriesScan, SeriesWriter,
};
use record::{DeviceId, MetricName, Reading, TenantId, Timestamp};

use super::{Place, at_once, late, move_all};
use crate::conformance::ALWAYS;
use crate::parquet::store::{simple, write_one};

const START: i64 = 1_700_006_400_000; // a midnight
const DAY: i64 = 86_400_000;

fn day_of(day: i64, device: i64, value: impl Fn(i64) -> i64) -> Vec<Reading> {
    (0..5000).map(|n| simple(&format!("d{device}"), "m", START + day * DAY + n * 1000, value(n))).collect()
}

pub(super) fn count(store: &Parquet, device: &str) -> penstock_series::Result<usize> {
    let (device, metric) = (DeviceId::parse(device).unwrap(), MetricName::parse("m").unwrap());
    let mut count = 0;
    let mut visit = |_| {
        count += 1;
        true
    };
    store.points(&TenantId::default_tenant(), &device, &metric, ALWAYS, &mut visit).map(|()| count)
}

/// A run of these.
pub(super) fn add(store: &Parquet, readings: &[Reading]) {
    let from = store.positions().unwrap().first().map_or(0, |at| at.offset);
    write_one(store, from, readings);
    store.roll().unwrap();
}

/// Three days of two devices, merged and cold.
fn three_days(place: &Place) -> Parquet {
    let store = place.open();
    for day in 0..3 {
        let both = (0..2).flat_map(|device| day_of(day, device, |n| n * 7919 % 4001));
        add(&store, &both.collect::<Vec<_>>());
    }
    crate::stores::merge_all(&store);
    move_all(&store, 0);
    store
}

#[test]
fn only_what_is_older_than_the_policy_says_becomes_cold() {
    let place = Place::new(Options::default(), true);
    let store = place.open();
    for day in 0..3 {
        add(&store, &day_of(day, 0, |n| n));
    }
    let ages = |days: u64| ColdAges { readings: Some(Duration::from_secs(days * 86_400)), windows: None };
    let never = ColdAges::default();
    let at = |day: i64| Timestamp::from_millis(START + day * DAY).unwrap();
    let all = |store: &Parquet, now, policy: &ColdPolicy| {
        while store.tier(now, policy).unwrap() {}
        store.cold_count()
    };
    let policy = ColdPolicy { all: ages(5), ..ColdPolicy::default() };
    assert_eq!(all(&store, at(6).minus_a_moment(), &policy), 0);
    assert_eq!(all(&store, at(6), &policy), 1);
    let mut own = ColdPolicy { all: ages(0), ..ColdPolicy::default() };
    own.tenants.insert(TenantId::default_tenant(), never);
    assert_eq!(all(&store, at(100), &own), 1);
    own.tenants.insert(TenantId::default_tenant(), ages(30));
    assert_eq!(all(&store, at(32), &own), 2);
    assert_eq!(count(&store, "d0").unwrap(), 15_000);
    let (runs, _) = place.objects();
    assert!(
        runs[0].contains("/runs/tenant=default/kind=readings/period=2023-11-15/000000000001-"),
        "{runs:?}"
    );
}

trait Moment {
    fn minus_a_moment(self) -> Self;
}

impl Moment for Timestamp {
    fn minus_a_moment(self) -> Self {
        Self::from_nanos(self.nanos() - 1)
    }
}

#[test]
fn little_late_data_does_not_fetch_a_cold_run() {
    let place = Place::new(Options::default(), true);
    let store = three_days(&place);
    assert_eq!((store.cold_count(), store.run_count()), (3, 3));
    let before = place.gets();
    for n in 0..5 {
        let readings: Vec<_> = (0..4500).map(|k| simple("d5", "m", START + DAY + n * 4500 + k, k)).collect();
        add(&store, &readings);
        while store.maintain(late(n).nanos() / 1_000_000).unwrap() {}
        while store.maintain(late(n).nanos() / 1_000_000 + 4_000_000).unwrap() {}
    }
    // Device d5 has no rows in the cold run, so that nothing is looked up there; and it is not worth a merge.
    assert_eq!(place.gets() - before, 0);
    assert_eq!(move_all(&store, 9), 1, "the late ones became one");
    assert_eq!(count(&store, "d5").unwrap(), 22_500);
    assert_eq!(count(&store, "d0").unwrap(), 15_000);
    // As much again as is there: then it is worth it, and the old object goes.
    for n in 0..4 {
        add(&store, &day_of(1, n as i64 % 2, |k| k * 6007 % 3001 + n as i64));
    }
    crate::stores::merge_all(&store);
    move_all(&store, 12);
    let (runs, _) = place.objects();
    assert_eq!(runs.len(), 2 * store.cold_count());
    assert!(place.gets() > before);
    assert_eq!(count(&store, "d0").unwrap(), 15_000);
}

#[test]
fn what_expires_goes_from_the_object_store_and_what_is_read_stays_until_then() {
    let place = Place::new(Options::default(), false);
    let store = three_days(&place);
    let tenant = TenantId::default_tenant();
    let snapshot = store.snapshot(&tenant).unwrap();
    let at = Timestamp::from_millis(START + 40 * DAY).unwrap();
    let before = Timestamp::from_millis(START + 2 * DAY).unwrap();
    let removal = store.expire(&tenant, &Old::all(Expiring::Readings, before), at).unwrap().unwrap();
    assert_eq!(removal.removed.readings, 20_000);
    assert_eq!(count(&store, "d0").unwrap(), 5000);
    assert_eq!(place.objects().0.len(), 6, "somebody may read them");
    let rows: usize = std::sync::Arc::clone(&snapshot)
        .scan(penstock_series::Scan::all("telemetry"))
        .unwrap()
        .map(|batch| batch.unwrap().num_rows())
        .sum();
    assert_eq!(rows, 30_000);
    drop(snapshot);
    move_all(&store, 1);
    assert_eq!(place.objects().0.len(), 2);
    drop(store);
    assert_eq!(count(&place.open(), "d0").unwrap(), 5000);
}

#[test]
fn a_metric_that_expires_goes_from_the_object_store_and_a_second_sweep_asks_nothing_of_it() {
    let place = Place::new(Options::default(), true);
    let store = place.open();
    for day in 0..3 {
        let more = |n: &Reading| Reading { metric: MetricName::parse("debug").unwrap(), ..n.clone() };
        let m = day_of(day, 0, |n| n);
        add(&store, &m.iter().flat_map(|n| [n.clone(), more(n)]).collect::<Vec<_>>());
    }
    move_all(&store, 0);
    let (before, _) = place.objects();
    assert_eq!((store.cold_count(), before.len()), (3, 6));
    let tenant = TenantId::default_tenant();
    let end = Timestamp::from_millis(START + 2 * DAY).unwrap();
    let old = Old { metrics: "+debug".parse().unwrap(), ..Old::all(Expiring::Readings, end) };
    // While the object store is away nothing is removed, and the error names the object.
    place.faults.no_get.store(true, Ordering::Relaxed);
    let store = place_opened_again(&place, store);
    let refused = store.expire(&tenant, &old, end).unwrap_err();
    assert!(refused.to_string().contains("memory:///bucket"), "{refused}");
    assert_eq!((store.removals(&tenant, 9).unwrap().len(), store.cold_count()), (0, 3));
    place.faults.mend();
    let removal = store.expire(&tenant, &old, end).unwrap().unwrap();
    assert_eq!(removal.removed.readings, 10_000);
    assert_eq!((store.cold_count(), store.run_count()), (1, 3), "what is written again is on the disk");
    assert_eq!(place.objects().0.len(), 2);
    assert_eq!(count(&store, "d0").unwrap(), 15_000);
    assert_eq!(move_all(&store, 1), 2, "and becomes cold again");
    let (gets, objects) = (place.gets(), place.objects().0);
    assert_eq!(store.expire(&tenant, &old, end).unwrap(), None);
    assert_eq!((place.gets(), place.objects().0), (gets, objects));
    assert!(store.audit().unwrap().tenants[0].points == 20_000);
}

/// What cannot be read is left, and all others go.
#[test]
fn an_object_that_is_gone_keeps_no_others_from_being_removed() {
    let place = Place::new(Options::default(), true);
    let store = place.open();
    for day in 0..3 {
        let more = |n: &Reading| Reading { metric: MetricName::parse("debug").unwrap(), ..n.clone() };
        let m = day_of(day, 0, |n| n);
        add(&store, &m.iter().flat_map(|n| [n.clone(), more(n)]).collect::<Vec<_>>());
    }
    move_all(&store, 0);
    let store = place_opened_again(&place, store);
    let (objects, _) = place.objects();
    let gone = objects.iter().find(|key| key.contains("2023-11-16") && key.ends_with(".parquet")).unwrap();
    place.put(gone, b"something else");
    let end = Timestamp::from_millis(START + 3 * DAY).unwrap();
    let old = Old { metrics: "+debug".parse().unwrap(), ..Old::all(Expiring::Readings, end) };
    let tenant = TenantId::default_tenant();
    assert!(store.expire(&tenant, &old, end).is_err());
    assert_eq!(store.removals(&tenant, 9).unwrap()[0].removed.readings, 10_000);
    assert_eq!(store.cold_count(), 1);
}

#[test]
fn an_erased_device_is_in_no_object_and_what_cannot_be_removed_is_removed_later() {
    let place = Place::new(Options::default(), true);
    let store = three_days(&place);
    let (before, _) = place.objects();
    let tenant = TenantId::default_tenant();
    let erase = |store: &Parquet, device: &str| {
        store.erase(&tenant, &DeviceId::parse(device).unwrap(), "asked", late(0))
    };
    place.faults.no_get.store(true, Ordering::Relaxed);
    assert!(
        matches!(erase(&place_opened_again(&place, store), "d1"), Err(Error::Database { .. })),
        "nothing was removed"
    );
    place.faults.mend();
    let store = place.open();
    assert_eq!(count(&store, "d1").unwrap(), 15_000);
    place.faults.no_delete.store(true, Ordering::Relaxed);
    assert_eq!(erase(&store, "d1").unwrap().removed.readings, 15_000);
    assert_eq!(place.objects().0, before, "the object store did not take it");
    drop(store);
    let store = place.open();
    assert!(store.tier(late(1), &ColdPolicy::default()).is_err());
    place.faults.mend();
    store.tier(late(1), &ColdPolicy::default()).unwrap();
    assert_eq!(place.objects().0, Vec::<String>::new());
    assert_eq!((count(&store, "d0").unwrap(), count(&store, "d1").unwrap()), (15_000, 0));
    assert_eq!(move_all(&store, 2), 3, "what was written again becomes cold again");
    assert_eq!(count(&store, "d0").unwrap(), 15_000);
}

fn place_opened_again(place: &Place, store: Parquet) -> Parquet {
    drop(store);
    place.open()
}

#[test]
fn a_merge_that_cannot_fetch_does_not_keep_others_back() {
    let place = Place::new(Options::default(), true);
    let store = three_days(&place);
    for n in 0..3 {
        add(&store, &day_of(1, n as i64 % 2, |k| k * 5 + n as i64));
    }
    for n in 0..2 {
        add(&store, &day_of(7, n as i64, |k| k * 3));
        add(&store, &day_of(7, n as i64, |k| k * 3 + 1));
    }
    let store = place_opened_again(&place, store);
    place.faults.no_get.store(true, Ordering::Relaxed);
    let mut failures = 0;
    let mut now = late(0).nanos() / 1_000_000;
    for _ in 0..12 {
        now += 600_000;
        failures += usize::from(store.maintain(now).is_err());
    }
    assert!((1..6).contains(&failures), "{failures} in two hours: with growing pauses");
    place.faults.mend();
    crate::stores::merge_all(&store);
    assert_eq!(count(&store, "d0").unwrap(), 20_000);
}

#[test]
fn a_store_whose_runs_are_cold_is_not_opened_without_the_cold_tier() {
    let place = Place::new(Options::default(), true);
    drop(three_days(&place));
    let refused = Parquet::open(&place.data(), Options::default());
    assert!(
        matches!(&refused, Err(Error::Database { reason, .. }) if reason.contains("series.cold.url")),
        "{refused:?}"
    );
    assert_eq!(count(&place.open(), "d1").unwrap(), 15_000);
}

#[test]
fn the_catalogue_beside_the_objects_says_what_they_are() {
    let place = Place::new(Options::default(), true);
    let store = three_days(&place);
    let (runs, catalogues) = place.objects();
    assert_eq!(catalogues.len(), 1);
    let path = place.data().join("copy.db");
    std::fs::write(&path, place.get(&catalogues[0])).unwrap();
    let catalogue = rusqlite::Connection::open(&path).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut rows = catalogue.prepare(sql).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    };
    assert_eq!(texts("SELECT id FROM device ORDER BY no"), ["d0", "d1"]);
    assert_eq!(texts("SELECT name FROM metric"), ["m"]);
    let objects: Vec<_> = texts("SELECT object FROM run ORDER BY object")
        .iter()
        .flat_map(|key| [format!("{key}.parquet"), format!("{key}.side")])
        .collect();
    assert_eq!(objects, runs);
    drop(catalogue);
    // Nothing changed: no other is written. Then it does, and two are kept.
    move_all(&store, 1);
    assert_eq!(place.objects().1, catalogues);
    for day in 2..6 {
        add(&store, &day_of(day + 3, 0, |n| n));
        // Buffered, so the books do not know yet that it was heard.
        let from = store.positions().unwrap()[0].offset;
        write_one(&store, from, &[simple("d1", "m", START + (day + 30) * DAY, 1)]);
        move_all(&store, day);
    }
    let catalogues = place.objects().1;
    assert_eq!(catalogues.len(), 2);
    std::fs::write(&path, place.get(&catalogues[1])).unwrap();
    let heard = rusqlite::Connection::open(&path).unwrap().query_row(
        "SELECT last_seen FROM device WHERE id = 'd1'",
        [],
        |row| row.get::<_, i64>(0),
    );
    let d1 = store.device(&TenantId::default_tenant(), &DeviceId::parse("d1").unwrap()).unwrap().unwrap();
    assert_eq!(heard, Ok(d1.last_seen.nanos()));
    let _ = at_once();
}

#[test]
fn while_a_late_reading_is_looked_up_other_batches_are_written() {
    let place = Place::new(Options::default(), true);
    let store = place_opened_again(&place, three_days(&place));
    *place.faults.get_takes.lock().unwrap() = Duration::from_secs(2);
    let from = store.positions().unwrap()[0].offset;
    std::thread::scope(|scope| {
        // A correction of a reading that is cold, and of another partition something live.
        let late = scope.spawn(|| {
            write_one(&store, from, &[simple("d0", "m", START + 1000, -5)]);
            std::time::Instant::now()
        });
        let live = scope.spawn(|| {
            while place.gets() == 0 {
                std::thread::yield_now();
            }
            let mut batch = penstock_series::WriteBatch::default();
            let readings = [simple("d0", "m", START + 90 * DAY, 1)];
            batch.readings.insert(TenantId::default_tenant(), readings.iter().collect());
            let source = penstock_series::Source { partition: 9, ..crate::parquet::store::SOURCE };
            batch.spans.push(penstock_series::Span { source, from: 0, to: 1 });
            store.write(&batch).unwrap();
            std::time::Instant::now()
        });
        assert!(live.join().unwrap() < late.join().unwrap(), "the live batch waited for the object store");
    });
    assert_eq!(store.superseded(&TenantId::default_tenant(), 9).unwrap().len(), 1);
    assert_eq!(count(&store, "d0").unwrap(), 15_001);
}
