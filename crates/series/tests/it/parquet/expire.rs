//! Retention by metric, in files: what is written again, and what is left alone.

use std::collections::BTreeMap;
use std::path::Path;

use penstock_series::parquet::store::Options;
use penstock_series::{
    Counts, Error, Expiring, LateRow, MetricSet, Old, Parquet, SeriesAudit, SeriesReader, SeriesRemove,
    SeriesScan, SeriesWriter, Span, WriteBatch,
};
use record::{DeviceId, MetricName, Reading, TenantId, Timestamp, Value};

use super::store::{SOURCE, World, scanned, simple, small, tenants, write_one};
use crate::conformance::ALWAYS;
use crate::stores::merge_all;

const START: i64 = 1_700_006_400_000; // a midnight
const DAY: i64 = 86_400_000;

fn at(day: i64) -> Timestamp {
    Timestamp::from_millis(START + day * DAY).unwrap()
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn old(metrics: &str, day: i64) -> Old {
    Old { metrics: metrics.parse().unwrap(), ..Old::all(Expiring::Readings, at(day)) }
}

fn expire(store: &Parquet, old: &Old) -> Option<Counts> {
    store.expire(&tenant(), old, at(100)).unwrap().map(|removal| removal.removed)
}

fn add(store: &Parquet, readings: &[Reading]) {
    let from = store.positions().unwrap().first().map_or(0, |at| at.offset);
    write_one(store, from, readings);
    store.roll().unwrap();
}

/// A day of two devices: `m` and `n` in each message, and each tenth time `n` alone. One value of `n` is no number.
fn day(day: i64) -> Vec<Reading> {
    let of = |n: i64| {
        let (device, time) = (format!("d{}", n % 2), START + day * DAY + n * 1000);
        let mut readings = vec![simple(&device, "n", time, n * 7919 % 4001)];
        if n % 10 > 0 {
            readings.push(simple(&device, "m", time, n));
        }
        if n == 77 {
            readings[0].value = Value::Text("odd".into());
        }
        readings
    };
    (0..5000).flat_map(of).collect()
}

fn count(store: &Parquet, metric: &str) -> usize {
    let mut count = 0;
    for device in ["d0", "d1"] {
        let mut visit = |_| {
            count += 1;
            true
        };
        let (device, metric) = (DeviceId::parse(device).unwrap(), MetricName::parse(metric).unwrap());
        store.points(&tenant(), &device, &metric, ALWAYS, &mut visit).unwrap();
    }
    count
}

/// Names and contents' sizes and times of all files of runs.
fn files(dir: &Path) -> BTreeMap<String, (u64, std::time::SystemTime)> {
    let entries = std::fs::read_dir(dir.join("runs")).unwrap().map(|entry| entry.unwrap());
    let told = |entry: std::fs::DirEntry| {
        let about = entry.metadata().unwrap();
        (entry.file_name().into_string().unwrap(), (about.len(), about.modified().unwrap()))
    };
    entries.map(told).collect()
}

#[test]
fn runs_are_written_again_once_without_the_metric_and_without_rows_of_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    // So small that each run is a commit of its own.
    let store = Parquet::open(dir.path(), small()).unwrap();
    for n in 0..4 {
        add(&store, &day(n));
    }
    let before = (scanned(&store.snapshot(&tenant()).unwrap()), files(dir.path()));
    assert_eq!((count(&store, "n"), count(&store, "m"), before.1.len()), (20_000, 18_000, 8));
    let removed = expire(&store, &old("+n", 2)).unwrap();
    assert_eq!(removed, Counts { readings: 10_000, ..Counts::default() });
    assert_eq!(store.removals(&tenant(), 9).unwrap().len(), 1, "one record, however many commits");
    assert_eq!(store.removals(&tenant(), 9).unwrap()[0].removed, removed);
    assert_eq!((count(&store, "n"), count(&store, "m")), (10_000, 18_000));
    let left = |store: &Parquet| {
        let mut rows = scanned(&store.snapshot(&tenant()).unwrap());
        rows.sort();
        rows
    };
    let mut expected = before.0;
    let from_day_2 =
        |row: &String| row.split(',').next().and_then(|time| time.parse().ok()) >= Some(at(2).nanos());
    expected.retain(|row| !row.contains(",n,") || from_day_2(row));
    expected.sort();
    let first_lost =
        left(&store).iter().zip(&expected).find(|(a, b)| a != b).map(|(a, b)| format!("{a} {b}"));
    assert_eq!((left(&store).len(), first_lost), (expected.len(), None));
    // Rows that had `n` alone are in no file any more: less than the metric took.
    let audit = store.audit().unwrap();
    assert_eq!(audit.tenants[0].points, 28_000);
    let after = files(dir.path());
    assert_eq!(after.len(), 8);
    assert_eq!(
        after.keys().filter(|name| before.1.contains_key(*name)).count(),
        4,
        "days 2 and 3 are as they were"
    );
    // A second sweep does nothing, and writes nothing.
    assert_eq!(expire(&store, &old("+n", 2)), None);
    assert_eq!(files(dir.path()), after);
    // A crash, and a merge of what is left with what comes late.
    drop(store);
    let store = Parquet::open(dir.path(), small()).unwrap();
    assert_eq!(expire(&store, &old("+n", 2)), None);
    assert_eq!(files(dir.path()), after);
    add(&store, &[simple("d0", "m", START + 5, 1), simple("d0", "n", START + 5, 1)]);
    merge_all(&store);
    assert_eq!(expire(&store, &old("+n", 2)).unwrap().readings, 1);
    assert_eq!((count(&store, "n"), count(&store, "m")), (10_000, 18_001));
    // All the rest of what is old: these runs go as a whole.
    assert_eq!(expire(&store, &old("-n\n+*", 2)).unwrap().readings, 9001);
    assert_eq!((count(&store, "n"), count(&store, "m"), store.run_count()), (10_000, 9000, 2));
    assert_eq!(store.audit().unwrap().tenants[0].points, 19_000);
}

#[test]
fn a_reading_that_several_runs_hold_is_counted_once_and_an_older_value_is_never_seen_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Options { small_readings: 0, ..Options::default() }).unwrap();
    add(&store, &day(0));
    // Corrections of the morning, in a run that holds nothing newer, while the run of the day holds the evening.
    let morning = |value: i64| -> Vec<Reading> {
        (0..4500)
            .map(|n| simple("d0", "m", START + 2 * n * 1000 + 2000, value))
            .filter(|of| of.when.time < at(1))
            .collect()
    };
    add(&store, &[simple("d0", "m", START + 80_000_000, 1), simple("d0", "n", START + 80_000_000, 1)]);
    add(&store, &morning(-1));
    let points = store.audit().unwrap().tenants[0].points;
    let noon = Timestamp::from_millis(START + 40_000_000).unwrap();
    let m_at_noon = Old { before: noon, ..old("+m", 0) };
    // The day's first run ends before noon, and so does the corrections': they go together.
    let removed = expire(&store, &m_at_noon).unwrap();
    let now = store.audit().unwrap().tenants[0].points;
    assert_eq!(points, now + removed.readings, "{removed:?}");
    assert_eq!(count(&store, "m"), 1);
    // Now a day whose file goes on until the evening.
    let evening = |day: i64| simple("d0", "m", START + day * DAY + 80_000_000, 1);
    let mut whole = day(4);
    whole.push(evening(4));
    add(&store, &whole);
    let corrections: Vec<Reading> = day(4)
        .into_iter()
        .filter(|of| of.metric.as_str() == "m")
        .map(|mut of| {
            of.value = Value::Int(-7);
            of
        })
        .collect();
    add(&store, &corrections);
    let points = store.audit().unwrap().tenants[0].points;
    let noon = Timestamp::from_millis(START + 4 * DAY + 40_000_000).unwrap();
    expire(&store, &Old { before: noon, ..old("+m", 0) });
    let mut values = Vec::new();
    let of_day = at(4)..noon;
    let (device, metric) = (DeviceId::parse("d1").unwrap(), MetricName::parse("m").unwrap());
    store
        .points(&tenant(), &device, &metric, of_day, &mut |point| {
            values.push(point.value);
            true
        })
        .unwrap();
    assert!(values.iter().all(|value| *value == Value::Int(-7)), "a value that was replaced is seen again");
    let removed: u64 = store.removals(&tenant(), 1).unwrap()[0].removed.readings;
    let now = store.audit().unwrap().tenants[0].points;
    assert!(points == now || points == now + removed, "{points} {now} {removed}");
    // In the evening of the next day both go, each reading counted once.
    let removed = expire(&store, &old("+m", 5)).unwrap();
    assert_eq!(store.audit().unwrap().tenants[0].points + removed.readings, now);
    assert_eq!(count(&store, "m"), 0);
}

#[test]
fn the_list_of_late_readings_and_the_latest_values_follow() {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    let readings: Vec<Reading> = ["m", "n"].iter().map(|metric| simple("d0", metric, START, 1)).collect();
    let late = |row| LateRow { row, watermark: at(1) };
    store
        .write(&WriteBatch {
            readings: [(tenant(), readings.iter().collect())].into(),
            late: [(tenant(), vec![late(0), late(1)])].into(),
            spans: vec![Span { source: SOURCE, from: 0, to: 1 }],
            ..WriteBatch::default()
        })
        .unwrap();
    store.roll().unwrap();
    let removed = expire(&store, &old("+n", 2)).unwrap();
    assert_eq!(removed, Counts { readings: 1, late: 1, ..Counts::default() });
    let metrics = |late: Vec<penstock_series::LateReading>| {
        late.into_iter().map(|late| late.reading.metric.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(metrics(store.late(&tenant(), 9).unwrap()), ["m"]);
    let latest = store.latest(&tenant(), &DeviceId::parse("d0").unwrap()).unwrap();
    assert_eq!(latest.iter().map(|reading| reading.metric.as_str()).collect::<Vec<_>>(), ["m"]);
    assert_eq!(expire(&store, &old("+n", 2)), None);
    assert_eq!(expire(&store, &Old::all(Expiring::Readings, at(2))).unwrap().late, 1);
    assert_eq!(store.run_count(), 0);
    assert!(MetricSet::all().is_all());
}

/// Bytes of a file of readings that are not those that were written; what they were.
fn damage(dir: &Path, file: &str) -> Vec<u8> {
    let path = dir.join("runs").join(file);
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[4..good.len() * 2 / 3].iter_mut().for_each(|byte| *byte = !*byte);
    std::fs::write(path, bad).unwrap();
    good
}

/// What is added becomes a file, whose name is returned.
fn added(store: &Parquet, dir: &Path, readings: &[Reading]) -> String {
    let before = files(dir);
    add(store, readings);
    let is_new = |name: &&String| name.ends_with(".parquet") && !before.contains_key(*name);
    let files = files(dir);
    let new: Vec<&String> = files.keys().filter(is_new).collect();
    let [new] = new[..] else { panic!("{new:?}") };
    new.clone()
}

/// Of metrics that go with their files, and of some that others stay beside.
#[test]
fn what_cannot_be_read_keeps_nothing_that_has_no_reading_in_common_with_it() {
    for metrics in ["+*", "+n"] {
        let dir = tempfile::tempdir().unwrap();
        let options = || Options { small_readings: 0, ..Options::default() };
        let store = Parquet::open(dir.path(), options()).unwrap();
        let of_day: Vec<String> = (0..5).map(|n| added(&store, dir.path(), &day(n))).collect();
        // Day 1 again, and day 3 with an evening that is not old yet.
        let corrected = |n| day(n).into_iter().map(|of| Reading { value: Value::Int(-7), ..of });
        added(&store, dir.path(), &corrected(1).collect::<Vec<_>>());
        let evening = simple("d0", "n", START + 3 * DAY + 80_000_000, 1);
        let newer = added(&store, dir.path(), &corrected(3).chain([evening]).collect::<Vec<_>>());
        let per_day = if metrics == "+*" { 9500 } else { 5000 };
        let there = store.audit().unwrap().tenants[0].points;
        drop(store);
        let good = [(&of_day[1], damage(dir.path(), &of_day[1])), (&newer, damage(dir.path(), &newer))];

        let store = Parquet::open(dir.path(), options()).unwrap();
        let noon = Timestamp::from_millis(START + 3 * DAY + 40_000_000).unwrap();
        let old = Old { before: noon, ..old(metrics, 0) };
        let error = store.expire(&tenant(), &old, at(100)).unwrap_err();
        assert!(matches!(&error, Error::Damaged { .. }), "{error}");
        let removed = store.removals(&tenant(), 9).unwrap();
        assert_eq!(removed.len(), 1);
        assert_eq!(removed[0].removed.readings, 2 * per_day, "days 0 and 2 are gone");
        let files_now = files(dir.path());
        let stays = |name: &String| files_now.contains_key(name);
        assert_eq!(of_day.iter().map(stays).collect::<Vec<_>>(), [false, true, false, true, true]);
        assert!(store.expire(&tenant(), &old, at(101)).is_err());
        assert_eq!((store.removals(&tenant(), 9).unwrap().len(), files(dir.path())), (1, files_now));
        drop(store);

        // From the backup.
        for (name, bytes) in good {
            std::fs::write(dir.path().join("runs").join(name), bytes).unwrap();
        }
        let store = Parquet::open(dir.path(), options()).unwrap();
        assert_eq!(store.audit().unwrap().tenants[0].points, there - 2 * per_day);
        let late = store.expire(&tenant(), &old, at(102)).unwrap().unwrap().removed.readings;
        // A correction of day 3 is in the file that goes on until the evening.
        assert_eq!(late, per_day);
        assert_eq!(store.audit().unwrap().tenants[0].points, there - 3 * per_day);
    }
}

/// Between the files and the commit: the manifest cannot be written.
#[test]
fn a_removal_that_cannot_be_committed_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    add(&store, &day(0));
    add(&store, &day(5));
    store.flush().unwrap();
    let before = files(dir.path());
    let other = rusqlite::Connection::open(dir.path().join("manifest.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(store.expire(&tenant(), &old("+n", 2), at(9)).is_err());
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    assert_eq!(files(dir.path()), before);
    assert_eq!((count(&store, "n"), count(&store, "m")), (10_000, 9000));
    // A crash there leaves files that nobody knows.
    for name in ["000000000900.parquet", "000000000900.side"] {
        std::fs::write(dir.path().join("runs").join(name), b"half a file").unwrap();
    }
    drop(store);
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    assert_eq!(files(dir.path()), before);
    assert_eq!(expire(&store, &old("+n", 2)).unwrap().readings, 5000);
    assert_eq!((count(&store, "n"), count(&store, "m")), (5000, 9000));
}

/// Whatever comes, is merged, expires and dies in whatever order: what was stored is there, or was removed, or both are wrong.
#[test]
fn whatever_expires_when_the_account_balances() {
    for seed in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Parquet::open(dir.path(), small()).unwrap();
        let (mut world, mut stored, mut corrections, mut removals) = (World::new(seed), 0, 0, 0);
        for step in 0..80 {
            let from = store.positions().unwrap().first().map_or(0, |at| at.offset);
            let written = store.write(&world.batch(from)).unwrap();
            (stored, corrections) = (stored + written.stored, corrections + written.corrections);
            match world.random.below(6) {
                0 | 1 => store.roll().unwrap(),
                2 => merge_all(&store),
                3 => {
                    drop(store);
                    store = Parquet::open(dir.path(), small()).unwrap();
                }
                _ => {}
            }
            if world.random.one_in(4) {
                let set = ["+m0\n+m1", "-m2\n-m3\n+*", "+m*", "+m4", "+*"][world.random.below(5) as usize];
                let before =
                    Timestamp::from_millis(world.now_ms - world.random.below(3_000_000) as i64).unwrap();
                let what = if world.random.one_in(3) { Expiring::Windows } else { Expiring::Readings };
                let old = Old { metrics: set.parse().unwrap(), ..Old::all(what, before) };
                for tenant in tenants() {
                    removals += usize::from(store.expire(&tenant, &old, before).unwrap().is_some());
                    assert_eq!(store.expire(&tenant, &old, before).unwrap(), None, "{seed} {step}");
                }
            }
            let audit = store.audit().unwrap();
            let there: u64 = audit.tenants.iter().map(|of| of.points + of.removed.readings).sum();
            let replaced: u64 = audit.tenants.iter().map(|of| of.superseded + of.removed.superseded).sum();
            assert_eq!((there, replaced), (stored, corrections), "{seed} {step}");
        }
        assert!(removals > 5, "{removals}");
    }
}
