//! The store against the memory store: whatever comes, in whatever order, with crashes, flushes and merges between.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use penstock_series::parquet::store::Options;
use penstock_series::{
    Error, Key, LateReading, LateRow, Memory, Parquet, Position, Scan, SeriesAudit, SeriesReader, SeriesScan,
    SeriesWriter, Snapshot, Source, Span, VoidWindows, WindowKey, WindowRow, WriteBatch,
};
use record::{DeviceId, Lane, MetricName, Reading, TenantId, TimeOrigin, Timestamp, Value, When};

use super::rows::{Random, Taste, told};
use crate::conformance::{ALWAYS, reading};
use crate::stores::merge_all;

pub(crate) const SOURCE: Source = Source { topic: 0, lane: Lane::Live, partition: 0 };

pub(crate) fn small() -> Options {
    Options { file_bytes: 20_000, small_readings: 0, ..Options::default() }
}

pub(crate) fn tenants() -> [TenantId; 2] {
    [TenantId::default_tenant(), TenantId::parse("other").unwrap()]
}

pub(crate) const DEVICES: [&str; 4] = ["a", "b", "größe", "z"];

/// A fleet whose metrics drift.
pub(crate) struct World {
    pub(crate) random: Random,
    metrics: Vec<(String, Taste)>,
    pub(crate) now_ms: i64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let metrics = (0..6).map(|n| (format!("m{n}"), Taste::any(&mut random))).collect();
        Self { random, metrics, now_ms: 1_700_000_000_000 }
    }

    /// A message's readings: some metrics at one moment. Times come again, so that keys meet.
    fn message(&mut self, readings: &mut Vec<Reading>) {
        let random = &mut self.random;
        let device = DeviceId::parse(DEVICES[random.below(4) as usize]).unwrap();
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let time = self.now_ms - random.below(30) as i64 * 1000;
        let time = if random.one_in(8) { time - random.below(5_000_000_000) as i64 } else { time };
        let mut when = When::by_device(at(time), at(self.now_ms + random.below(50) as i64));
        if random.one_in(12) {
            when.time = at(time + random.below(100_000) as i64 - 50_000);
            when.origin = TimeOrigin::Corrected;
        }
        when.seq = if random.one_in(4) { random.below(3) } else { 0 };
        let alone = random.one_in(3);
        let first = random.below(self.metrics.len() as u64) as usize;
        let count = if alone { 1 } else { 1 + random.below(4) as usize };
        for n in first..(first + count).min(self.metrics.len()) {
            let (name, taste) = &self.metrics[n];
            let value = taste.value(random);
            let metric = MetricName::parse(name).unwrap();
            readings.push(Reading { device: device.clone(), metric, when, value });
        }
        if random.one_in(40) {
            let new = format!("m{}", random.below(40));
            let at = random.below(self.metrics.len() as u64) as usize;
            self.metrics[at] = (new, Taste::any(random));
        }
        self.now_ms += random.below(20_000) as i64;
    }

    /// Results as of the windows of a reading. Of sessions some are void, some begin or end otherwise than before.
    fn windows(&mut self, tenant: &TenantId, of: &Reading, batch: &mut WriteBatch) {
        let random = &mut self.random;
        let kind = ["1m", "session 5m"][random.below(2) as usize];
        // A few starts, so that keys meet.
        let minute =
            of.when.time.nanos().div_euclid(60_000_000_000).div_euclid(10) * 10 + random.below(2) as i64;
        let at = |minute: i64| Timestamp::from_nanos(minute * 60_000_000_000);
        let (device, metric) = (of.device.clone(), of.metric.clone());
        let key = |start: i64| WindowKey {
            tenant: tenant.clone(),
            device: device.clone(),
            metric: metric.clone(),
            window: kind.into(),
            start: at(start),
        };
        let mut end = minute + 1;
        if kind != "1m" {
            end += random.below(3) as i64;
            if random.one_in(2) {
                let first = minute - random.below(4) as i64;
                batch.void_windows.push(VoidWindows { key: key(first), until: at(end) });
            }
            if random.one_in(3) {
                return;
            }
        }
        let count = 1 + random.below(6);
        let mut number = || (random.below(9) as f64 - 4.0) / 3.0;
        let mut numbers = [number(), number(), number(), number(), number(), number(), number()];
        if random.one_in(3) {
            numbers = [numbers[0]; 7];
            numbers[3] = 0.0;
        }
        let [sum, min, max, stddev, p95, first, last] = numbers;
        batch.windows.push(WindowRow {
            key: key(minute),
            end: at(end),
            count,
            sum,
            min,
            max,
            stddev,
            p95,
            first,
            last,
            revised: random.one_in(9),
        });
    }

    pub(crate) fn batch(&mut self, from: u64) -> WriteBatch {
        let mut batch = WriteBatch::default();
        for tenant in tenants() {
            let mut readings = Vec::new();
            for _ in 0..self.random.below(30) {
                self.message(&mut readings);
            }
            if readings.is_empty() {
                continue;
            }
            if self.random.one_in(3) {
                let watermark = Timestamp::from_millis(self.now_ms).unwrap();
                let rows = (0..readings.len() as u32).filter(|_| self.random.one_in(3));
                let late: Vec<_> = rows.map(|row| LateRow { row, watermark }).collect();
                batch.late.insert(tenant.clone(), late);
            }
            for reading in &readings {
                if self.random.one_in(3) {
                    self.windows(&tenant, reading, &mut batch);
                }
            }
            batch.readings.insert(tenant, readings.iter().collect());
        }
        batch.windows.sort_by(|a, b| a.key.cmp(&b.key));
        batch.windows.dedup_by(|a, b| a.key == b.key);
        batch.revised_windows = batch.windows.extract_if(.., |_| self.random.one_in(4)).collect();
        batch.spans.push(Span { source: SOURCE, from, to: from + 1 });
        batch
    }
}

fn reading_told(reading: &Reading) -> String {
    format!("{} {:?} {}", reading.metric, reading.when, told(reading.value.as_ref()))
}

pub(crate) fn compare(store: &Parquet, model: &Memory, what: &str) {
    for tenant in tenants() {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        model
            .series(&tenant, &mut |device, metric| {
                all.entry(device.to_owned()).or_default().push(metric.to_owned());
                true
            })
            .unwrap();
        for (device, metrics) in all {
            let device = DeviceId::parse(&device).unwrap();
            let latest = |store: &dyn SeriesReader| {
                store.latest(&tenant, &device).unwrap().iter().map(reading_told).collect::<Vec<_>>()
            };
            assert_eq!(latest(store), latest(model), "{what}: latest of {device}");
            let metrics: Vec<MetricName> = metrics.iter().map(|of| MetricName::parse(of).unwrap()).collect();
            assert_eq!(
                together(store, &tenant, &device, &metrics),
                together(model, &tenant, &device, &metrics)
            );
            for metric in metrics {
                let points = |store: &dyn SeriesReader, range| {
                    let mut points = Vec::new();
                    let mut visit = |point: penstock_series::Point| {
                        points.push((point.time, told(point.value.as_ref())));
                        true
                    };
                    store.points(&tenant, &device, &metric, range, &mut visit).unwrap();
                    points
                };
                let expected = points(model, ALWAYS);
                assert_eq!(points(store, ALWAYS), expected, "{what}: {tenant} {device} {metric}");
                let some = expected[expected.len() / 3].0..expected[expected.len() * 2 / 3].0;
                assert_eq!(
                    points(store, some.clone()),
                    points(model, some.clone()),
                    "{what}: a range of {metric}"
                );
                let windows =
                    |store: &dyn SeriesAudit, range| store.windows(&tenant, &device, &metric, range).unwrap();
                let expected = windows(model, ALWAYS);
                assert_eq!(windows(store, ALWAYS), expected, "{what}: windows of {tenant} {device} {metric}");
                assert_eq!(windows(store, some.clone()), windows(model, some), "{what}: some of {metric}");
            }
        }
        let now = |store: &dyn SeriesScan| scanned(&store.snapshot(&tenant).unwrap());
        assert_eq!(now(store), now(model), "{what}");
        let [latest, of_all] = latest_scanned(&store.snapshot(&tenant).unwrap());
        assert_eq!(latest, of_all, "{what}: latest");
        latest_by_kind(&store.snapshot(&tenant).unwrap());
        let superseded = |store: &dyn SeriesAudit| {
            let old = store.superseded(&tenant, 10_000).unwrap();
            old.iter().map(|old| (reading_told(&old.reading), old.replaced_at)).collect::<Vec<_>>()
        };
        assert_eq!(superseded(store), superseded(model), "{what}");
        let late = |store: &dyn SeriesAudit| {
            let late = store.late(&tenant, 300).unwrap();
            let told = |late: &LateReading| (reading_told(&late.reading), late.watermark, late.times);
            late.iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(late(store), late(model), "{what}");
        assert_eq!(store.cardinality(&tenant).unwrap(), model.cardinality(&tenant).unwrap(), "{what}");
        let devices = |store: &dyn SeriesReader| store.devices(&tenant, None, 99).unwrap();
        assert_eq!(devices(store), devices(model), "{what}");
    }
    assert_eq!(store.audit().unwrap(), model.audit().unwrap(), "{what}");
}

/// The points of all metrics of a device, and those of some of its time; each sorted.
fn together(
    store: &dyn SeriesReader,
    tenant: &TenantId,
    device: &DeviceId,
    metrics: &[MetricName],
) -> Vec<(usize, Timestamp, String)> {
    let mut points = Vec::new();
    for range in [
        ALWAYS,
        Timestamp::from_nanos(1_699_990_000_000_000_000)..Timestamp::from_nanos(1_700_000_300_000_000_000),
    ] {
        let from = points.len();
        let mut visit = |metric, time, value: record::ValueRef<'_>| points.push((metric, time, told(value)));
        store.device_points(tenant, device, metrics, range, &mut visit).unwrap();
        points[from..].sort();
    }
    points
}

/// The latest readings of a snapshot, and of all its readings those that are the latest: both as texts.
fn latest_scanned(snapshot: &Arc<dyn Snapshot>) -> [Vec<String>; 2] {
    let columns = Some(vec![2, 3, 0, 10, 11, 4, 5, 6, 7, 1, 9]);
    let rows = |table: &str| {
        let scan = Scan { columns: columns.clone(), ..Scan::all(table) };
        let batches: Vec<_> = Arc::clone(snapshot).scan(scan).unwrap().collect::<Result<_, _>>().unwrap();
        let mut rows: Vec<Vec<String>> = batches
            .iter()
            .flat_map(crate::scan::told)
            .map(|row| row.split(',').map(str::to_owned).collect())
            .collect();
        let number = |text: &str| text.parse::<i128>().map_or(-1, |number| number + 1);
        rows.sort_by_key(|row| {
            (row[0].clone(), row[1].clone(), number(&row[2]), number(&row[4]), number(&row[3]))
        });
        rows
    };
    let mut of_all: BTreeMap<(String, String), String> = BTreeMap::new();
    for row in rows("telemetry") {
        of_all.insert((row[0].clone(), row[1].clone()), row.join(","));
    }
    [rows("latest").iter().map(|row| row.join(",")).collect(), of_all.into_values().collect()]
}

/// Of the latest readings those of some kinds are as many as there are among all of them.
fn latest_by_kind(snapshot: &Arc<dyn Snapshot>) {
    let rows = |kinds: Option<&[&str]>| {
        let kinds = kinds.map(|kinds| kinds.iter().map(|&kind| kind.to_owned()).collect());
        let scan = Scan { columns: Some(vec![8, 2, 3, 0, 4, 5, 6, 7]), kinds, ..Scan::all("latest") };
        let batches: Vec<_> = Arc::clone(snapshot).scan(scan).unwrap().collect::<Result<_, _>>().unwrap();
        let mut rows: Vec<String> = batches.iter().flat_map(crate::scan::told).collect();
        rows.sort();
        rows
    };
    let all = rows(None);
    for kinds in
        [&["float"][..], &["integer", "text"], &["boolean"], &["text"], &["location"], &["colour"], &[]]
    {
        let mut expected = all.clone();
        expected.retain(|row| kinds.iter().any(|kind| row.starts_with(&format!("{kind},"))));
        assert_eq!(rows(Some(kinds)), expected, "{kinds:?}");
    }
}

/// The readings, windows and devices of a snapshot as texts, sorted, but for what may come back another way: the type of a number.
pub(crate) fn scanned(snapshot: &Arc<dyn Snapshot>) -> Vec<String> {
    let scan = Scan { columns: Some(vec![0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11]), ..Scan::all("telemetry") };
    let batches: Vec<_> = Arc::clone(snapshot).scan(scan).unwrap().collect::<Result<_, _>>().unwrap();
    let mut rows: Vec<String> = batches.iter().flat_map(crate::scan::told).collect();
    let windows: Vec<_> = Arc::clone(snapshot).scan(Scan::all("aggregations")).unwrap().collect();
    rows.extend(windows.iter().flat_map(|batch| crate::scan::told(batch.as_ref().unwrap())));
    let scan = Scan { columns: Some(vec![0, 1, 2, 3]), ..Scan::all("devices") };
    let devices: Vec<_> = Arc::clone(snapshot).scan(scan).unwrap().collect();
    rows.extend(devices.iter().flat_map(|batch| crate::scan::told(batch.as_ref().unwrap())));
    rows.sort();
    rows
}

/// What stands under the keys of a batch.
pub(crate) fn held(store: &dyn SeriesReader, batch: &WriteBatch) -> Vec<Option<String>> {
    let readings =
        batch.readings.iter().flat_map(|(tenant, readings)| readings.iter().map(move |r| (tenant, r)));
    let keys: Vec<_> = readings
        .map(|(tenant, of)| Key {
            tenant: tenant.as_str(),
            device: of.device,
            metric: of.metric,
            claimed: of.when.claimed,
            seq: of.when.seq,
        })
        .collect();
    let held = store.held(&keys).unwrap();
    held.into_iter().map(|value| value.map(|value| told(value.as_ref()))).collect()
}

fn offset(positions: &[Position]) -> u64 {
    positions.first().map_or(0, |at| at.offset)
}

#[test]
fn the_store_says_what_the_memory_store_says_through_crashes_flushes_and_merges() {
    for seed in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(seed);
        let model = Memory::new();
        let mut store = Parquet::open(dir.path(), small()).unwrap();
        let mut batches = Vec::new();
        let mut held_back: Vec<(Arc<dyn Snapshot>, Arc<dyn Snapshot>)> = Vec::new();
        for step in 0..60 {
            let what = format!("seed {seed} step {step}");
            match world.random.below(10) {
                0..5 => {
                    let batch = world.batch(batches.len() as u64);
                    let written = model.write(&batch).unwrap();
                    assert_eq!(store.write(&batch).unwrap(), written, "{what}");
                    assert_eq!(held(&store, &batch), held(&model, &batch), "{what}");
                    batches.push(batch);
                }
                5 => store.roll().unwrap(),
                6 => {
                    for tenant in tenants() {
                        held_back.push((store.snapshot(&tenant).unwrap(), model.snapshot(&tenant).unwrap()));
                    }
                }
                7 => {
                    let quiet = if world.random.one_in(4) { i64::MAX } else { world.now_ms };
                    store.maintain(quiet).unwrap();
                }
                8 => {
                    held_back.clear();
                    drop(store);
                    store = Parquet::open(dir.path(), small()).unwrap();
                    assert_eq!(store.positions().unwrap(), model.positions().unwrap(), "{what}");
                }
                _ => {
                    let refused = world.batch(batches.len() as u64 + 7);
                    if !batches.is_empty() {
                        assert!(matches!(store.write(&refused), Err(Error::Conflict { .. })), "{what}");
                    }
                }
            }
            if step % 10 == 9 {
                for (store, model) in held_back.drain(..) {
                    assert_eq!(scanned(&store), scanned(&model), "{what}: a snapshot of before");
                }
            }
            if step % 20 == 19 {
                compare(&store, &model, &what);
            }
        }
        held_back.clear();
        store.roll().unwrap();
        merge_all(&store);
        compare(&store, &model, &format!("seed {seed}, merged"));
        drop(store);
        compare(&Parquet::open(dir.path(), small()).unwrap(), &model, &format!("seed {seed}, opened again"));
    }
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("runs")).unwrap().count()
}

pub(crate) fn write_one(store: &Parquet, from: u64, readings: &[Reading]) {
    let readings = BTreeMap::from([(TenantId::default_tenant(), readings.iter().collect())]);
    let spans = vec![Span { source: SOURCE, from, to: from + 1 }];
    store.write(&WriteBatch { readings, spans, ..WriteBatch::default() }).unwrap();
}

pub(crate) fn simple(device: &str, metric: &str, millis: i64, value: i64) -> Reading {
    let at = Timestamp::from_millis(millis).unwrap();
    Reading {
        device: DeviceId::parse(device).unwrap(),
        metric: MetricName::parse(metric).unwrap(),
        when: When::by_device(at, at),
        value: Value::Int(value),
    }
}

#[test]
fn weeks_of_one_reading_an_hour_are_a_few_files() {
    hourly(30, 12, 30);
}

#[test]
#[ignore = "takes minutes: 8760 rolls"]
fn a_year_of_one_reading_an_hour_is_a_few_files() {
    hourly(365, 40, 80);
}

/// A roll each hour, as often as there could be one; merges as they fall due.
fn hourly(days: i64, most_runs: usize, most_files: usize) {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    let (start, hour) = (1_700_000_000_000, 3_600_000);
    let mut most = 0;
    for n in 0..days * 24 {
        let now = start + n * hour;
        let readings: Vec<_> = (0..3).map(|device| simple(&format!("d{device}"), "m", now, n)).collect();
        write_one(&store, n as u64, &readings);
        store.maintain(now).unwrap();
        while store.maintain(now + hour - 1).unwrap() {}
        most = most.max(store.run_count());
    }
    store.roll().unwrap();
    assert!(most <= most_runs, "{most} runs at once");
    assert!(files(dir.path()) <= most_files, "{} files are left", files(dir.path()));
    let mut points = 0;
    let (device, metric) = (DeviceId::parse("d1").unwrap(), MetricName::parse("m").unwrap());
    let mut visit = |_| {
        points += 1;
        true
    };
    store.points(&TenantId::default_tenant(), &device, &metric, ALWAYS, &mut visit).unwrap();
    assert_eq!(points, days * 24);
}

/// Names and sizes of the runs' files.
fn listing(dir: &Path) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(dir.join("runs")).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap().len())).collect()
}

#[test]
fn late_data_leaves_the_files_of_other_days_and_devices_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Options { file_bytes: 20_000, ..Options::default() }).unwrap();
    let (start, day) = (1_700_006_400_000, 86_400_000); // a midnight
    let mut random = Random(1);
    let mut offset = 0;
    for at in 0..3 {
        let readings: Vec<_> = (0..40)
            .flat_map(|device| (0..200).map(move |n| (device, n)))
            .map(|(device, n)| {
                simple(&format!("d{device:02}"), "m", start + at * day + n * 1000, random.next() as i64)
            })
            .collect();
        for half in readings.chunks(4001) {
            write_one(&store, offset, half);
            offset += 1;
            store.roll().unwrap();
        }
    }
    let mut now = start + 9 * day;
    while store.maintain(now).unwrap() {}
    now += day;
    while store.maintain(now).unwrap() {}
    store.roll().unwrap();
    let before = listing(dir.path());
    // A device's second day, again and again.
    for n in 0..30 {
        let readings: Vec<_> =
            (0..5000).map(|k| simple("d05", "m", start + day + 300_000 + n * 5000 + k, k)).collect();
        write_one(&store, offset, &readings);
        offset += 1;
        store.roll().unwrap();
        while store.maintain(now).unwrap() {}
        now += day / 24;
    }
    while store.maintain(now).unwrap() {}
    store.roll().unwrap();
    let after = listing(dir.path());
    let gone: Vec<_> = before.keys().filter(|name| !after.contains_key(*name)).collect();
    let runs_of_a_day = before.len() / 2 / 3;
    assert!(runs_of_a_day >= 2, "{before:?}");
    // The run that holds the device's day, one on each side of it at most, and their sidecars.
    assert!(gone.len() <= 6, "{gone:?} of {before:?} were written again");
}

#[test]
fn what_a_crash_left_behind_is_removed_and_what_is_missing_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    assert!(
        matches!(Parquet::open(dir.path(), Options::default()), Err(Error::Database { .. })),
        "two at once"
    );
    write_one(&store, 0, &[simple("a", "m", 1, 1)]);
    store.roll().unwrap();
    write_one(&store, 1, &[simple("a", "m", 2, 2)]);
    drop(store);
    let runs = dir.path().join("runs");
    std::fs::write(runs.join("000000000009.parquet"), b"half").unwrap();
    std::fs::write(runs.join("000000000009.side"), b"").unwrap();
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    assert_eq!(files(dir.path()), 2);
    assert_eq!(offset(&store.positions().unwrap()), 2);
    drop(store);
    std::fs::remove_file(runs.join("000000000001.side")).unwrap();
    let refused = Parquet::open(dir.path(), Options::default());
    assert!(
        matches!(&refused, Err(Error::Damaged { place, .. }) if place.ends_with("000000000001.side")),
        "{refused:?}"
    );
}

#[test]
fn a_damaged_run_fails_the_questions_that_need_it_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    let day = 86_400_000;
    for n in 0..2 {
        let readings: Vec<_> = (0..5000).map(|k| simple("a", "m", n * 40 * day + k, k)).collect();
        write_one(&store, n as u64, &readings);
        store.roll().unwrap();
    }
    drop(store);
    let path = dir.path().join("runs/000000000001.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[4..half].iter_mut().for_each(|byte| *byte = !*byte);
    std::fs::write(&path, bytes).unwrap();
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    let points = |from: i64, to: i64| {
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let (device, metric) = (DeviceId::parse("a").unwrap(), MetricName::parse("m").unwrap());
        let mut count = 0;
        let mut visit = |_| {
            count += 1;
            true
        };
        store
            .points(&TenantId::default_tenant(), &device, &metric, at(from)..at(to), &mut visit)
            .map(|()| count)
    };
    assert_eq!(points(40 * day, 41 * day).unwrap(), 5000);
    let refused = points(0, day);
    assert!(
        matches!(&refused, Err(Error::Damaged { place, .. }) if place.contains("000000000001")),
        "{refused:?}"
    );
    assert_eq!(store.latest(&TenantId::default_tenant(), &DeviceId::parse("a").unwrap()).unwrap().len(), 1);
}

#[test]
fn a_roll_that_fails_loses_nothing_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    write_one(&store, 0, &[simple("a", "m", 1, 1)]);
    let (runs, away) = (dir.path().join("runs"), dir.path().join("away"));
    std::fs::rename(&runs, &away).unwrap();
    assert!(matches!(store.roll(), Err(Error::Database { .. })));
    // A correction of what waits to be rolled, and something new.
    write_one(&store, 1, &[simple("a", "m", 1, 7), simple("a", "m", 2, 2)]);
    store.flush().unwrap();
    let points = |store: &Parquet| store.audit().unwrap().tenants[0].points;
    let latest =
        |store: &Parquet| store.latest(&TenantId::default_tenant(), &DeviceId::parse("a").unwrap()).unwrap();
    assert_eq!((points(&store), latest(&store)), (2, vec![simple("a", "m", 2, 2)]));
    std::fs::rename(&away, &runs).unwrap();
    store.maintain(0).unwrap();
    assert_eq!(store.run_count(), 1, "what had waited");
    assert!(store.buffered_bytes() > 0, "what came meanwhile");
    drop(store);
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    assert_eq!((points(&store), latest(&store)), (2, vec![simple("a", "m", 2, 2)]));
    assert_eq!(store.superseded(&TenantId::default_tenant(), 9).unwrap().len(), 1);
    store.roll().unwrap();
    assert_eq!((points(&store), files(dir.path())), (2, 4));
}

#[test]
fn the_manifest_gives_back_what_fresh_readings_took() {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    for n in 0..20 {
        let readings: Vec<_> = (0..5000).map(|k| simple("a", "m", n * 5000 + k, k)).collect();
        write_one(&store, n as u64, &readings);
    }
    store.roll().unwrap();
    while store.merge_when_due(0).unwrap() {}
    drop(store);
    // The last connection carries everything over.
    let bytes = std::fs::metadata(dir.path().join("manifest.db")).unwrap().len();
    assert!(bytes < 400_000, "{bytes} bytes");
}

#[test]
fn a_damaged_block_of_fresh_readings_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Parquet::open(dir.path(), Options::default()).unwrap();
    write_one(&store, 0, &[reading("a", "m", 1, Value::Text("what stands in it".into()))]);
    drop(store);
    let path = dir.path().join("manifest.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(17).position(|window| window == b"what stands in it").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = Parquet::open(dir.path(), Options::default());
    assert!(
        matches!(&refused, Err(Error::Damaged { at, .. }) if at == "block 1 of fresh readings"),
        "{refused:?}"
    );
}
