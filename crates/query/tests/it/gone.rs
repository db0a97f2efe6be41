//! Readings that retention has removed: what the results of their windows still say.

use std::sync::Arc;

use penstock_query::{Aggregate, Every, Limits, Points, Query, Resolution};
use record::{DeviceId, MetricName, TenantId, Timestamp, Value};
use series::{Expiring, Old, SeriesRemove, SeriesWriter, WindowKey, WindowRow, WriteBatch};

use crate::{Rig, reading, rig};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
/// 2026-10-23T00:00:00Z: two days later the clocks in Berlin go back.
const FROM: i64 = 1_792_713_600 * SECOND;
const DAYS: i64 = 4;

/// A reading each half minute.
fn value(n: i64) -> i64 {
    (n * 7919) % 1000 - 300
}

fn windows_of(window: &str, width: i64) -> Vec<WindowRow> {
    let per_window = width / (30 * SECOND);
    let row = |number: i64| {
        let values: Vec<f64> =
            (number * per_window..(number + 1) * per_window).map(|n| value(n) as f64).collect();
        row_of(window, (FROM + number * width, FROM + (number + 1) * width), &values)
    };
    (0..DAYS * 24 * HOUR / width).map(row).collect()
}

fn row_of(window: &str, (start, end): (i64, i64), values: &[f64]) -> WindowRow {
    WindowRow {
        key: WindowKey {
            tenant: TenantId::default_tenant(),
            device: DeviceId::parse("d").unwrap(),
            metric: MetricName::parse("m").unwrap(),
            window: window.into(),
            start: Timestamp::from_nanos(start),
        },
        end: Timestamp::from_nanos(end),
        count: values.len() as u64,
        sum: values.iter().sum(),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        stddev: 0.0,
        p95: 0.0,
        first: values[0],
        last: values[values.len() - 1],
        revised: false,
    }
}

/// Four days of readings and windows, the first two days of readings gone.
fn rig_with_two_days_gone() -> (Rig, Query) {
    rig_with(Limits::default())
}

fn rig_with(limits: Limits) -> (Rig, Query) {
    let rig = rig(limits);
    let all = 0..DAYS * 2880;
    let readings = all.map(|n| reading("default", "d", "m", FROM + n * 30 * SECOND, Value::Int(value(n))));
    rig.write(readings.collect());
    let mut windows = windows_of("5m", 300 * SECOND);
    windows.extend(windows_of("1h", HOUR));
    // Neither of them follows one another: they must not be added up.
    let sliding = windows_of("1h", HOUR).into_iter().map(|row| WindowRow {
        key: WindowKey { window: "2h/1h".into(), ..row.key },
        count: 1_000_000,
        ..row
    });
    windows.extend(sliding);
    rig.store.write(&WriteBatch { windows, ..WriteBatch::default() }).unwrap();
    let query = rig.query.clone().with_removals(rig.store.clone() as Arc<dyn SeriesRemove>);
    (rig, query)
}

fn expire(rig: &Rig) {
    let before = Timestamp::from_nanos(FROM + 48 * HOUR);
    let removal =
        rig.store.expire(&TenantId::default_tenant(), &Old::all(Expiring::Readings, before), before).unwrap();
    assert_eq!(removal.unwrap().removed.readings, 2 * 2880);
}

fn buckets(query: &Query, every: &str, zone: Option<&str>, of: &str) -> (Vec<(i64, Value)>, Option<String>) {
    buckets_from(query, FROM, every, zone, of)
}

fn buckets_from(
    query: &Query,
    from: i64,
    every: &str,
    zone: Option<&str>,
    of: &str,
) -> (Vec<(i64, Value)>, Option<String>) {
    let (every, of) = (Every::parse(every, zone).unwrap(), Aggregate::parse(of).unwrap());
    let (device, metric) = (DeviceId::parse("d").unwrap(), MetricName::parse("m").unwrap());
    let range = Timestamp::from_nanos(from)..Timestamp::from_nanos(i64::MAX);
    let found = query.buckets(&TenantId::default_tenant(), &device, &metric, range, (&every, of), 10_000);
    let found = found.unwrap();
    (found.points.into_iter().map(|point| (point.time.nanos(), point.value)).collect(), found.made_of)
}

fn points(query: &Query, from: i64, most: usize) -> Points {
    let (device, metric) = (DeviceId::parse("d").unwrap(), MetricName::parse("m").unwrap());
    let range = Timestamp::from_nanos(from)..Timestamp::from_nanos(i64::MAX);
    query.points(&TenantId::default_tenant(), &device, &metric, range, most).unwrap()
}

#[test]
fn buckets_say_the_same_as_when_the_readings_were_there() {
    let (rig, query) = rig_with_two_days_gone();
    let asked: Vec<_> = [("1h", None), ("1d", None), ("10m", None), ("1d", Some("Europe/Berlin"))]
        .into_iter()
        .flat_map(|(every, zone)| {
            ["avg", "min", "max", "sum", "count", "first", "last"].map(|of| (every, zone, of))
        })
        .collect();
    let before: Vec<_> = asked.iter().map(|(every, zone, of)| buckets(&query, every, *zone, of)).collect();
    assert!(before.iter().all(|(_, made_of)| made_of.is_none()));
    expire(&rig);
    for ((every, zone, of), (points, _)) in asked.iter().zip(&before) {
        let (now, made_of) = buckets(&query, every, *zone, of);
        assert_eq!(&now, points, "{of} of {every} {zone:?}");
        // The coarsest that lies whole in the bucket.
        assert_eq!(made_of.as_deref(), Some(if *every == "10m" { "5m" } else { "1h" }), "{every}");
    }
    // Nothing lies whole in such buckets: what is there is shown.
    let (points, made_of) = buckets(&query, "7m", None, "count");
    let count: i64 = points.iter().map(|(_, count)| if let Value::Int(n) = count { *n } else { 0 }).sum();
    assert_eq!((count, made_of), (2 * 2880, None));
}

/// The window that the range begins in is left out, and with it a part of the first bucket; no finer ones are read for all of the range,
/// which would be more than a question may.
#[test]
fn a_range_that_begins_within_a_window_has_all_buckets_as_they_were_and_the_first_of_the_windows_in_it() {
    let (rig, query) = rig_with(Limits { rows: 2000, ..Limits::default() });
    let by_minute = windows_of("1m", 60 * SECOND);
    rig.store.write(&WriteBatch { windows: by_minute, ..WriteBatch::default() }).unwrap();
    let from = FROM + 137 * SECOND;
    let asked = ["1h", "10m", "5m"].map(|every| ["avg", "min", "max", "sum", "count"].map(|of| (every, of)));
    let asked = asked.as_flattened();
    let before: Vec<_> =
        asked.iter().map(|(every, of)| buckets_from(&query, from, every, None, of).0).collect();
    let from_window: Vec<_> = asked
        .iter()
        .map(|(every, of)| buckets_from(&query, FROM + 300 * SECOND, every, None, of).0)
        .collect();
    expire(&rig);
    for (((every, of), before), from_window) in asked.iter().zip(&before).zip(&from_window) {
        let (now, made_of) = buckets_from(&query, from, every, None, of);
        let made = if *every == "1h" { "1h" } else { "5m" };
        assert_eq!(made_of.as_deref(), Some(made), "{of} of {every}");
        let whole = |points: &[(i64, Value)]| -> Vec<(i64, Value)> {
            points.iter().filter(|(start, _)| *start >= from).cloned().collect()
        };
        assert_eq!(whole(&now), whole(before), "{of} of {every}");
        let first = |points: &[(i64, Value)]| points.iter().find(|(start, _)| *start < from).cloned();
        // Hours are told by hours, so there is none of the first; of ten minutes the second five are known.
        let expected = if *every == "10m" { first(from_window) } else { None };
        assert_eq!(first(&now), expected, "{of} of {every}");
    }
}

/// A source that is fast in every other ten minutes, whose results of a minute are kept from six readings on: ten seconds apart in
/// the first five, a minute apart in the others.
fn rig_of_a_source_that_rests() -> (Rig, Query, Vec<i64>) {
    let rig = rig(Limits::default());
    let minute = 60 * SECOND;
    let of_minute = |n: i64| if n % 10 < 5 { 6 } else { 1 };
    let times = |n: i64| (0..of_minute(n)).map(move |part| FROM + n * minute + part * 10 * SECOND);
    let all: Vec<i64> = (0..24 * 60).flat_map(times).collect();
    let readings =
        all.iter().map(|&time| reading("default", "d", "m", time, Value::Int(value(time / SECOND))));
    rig.write(readings.collect());
    let windows_of = |name: &str, width: i64, least: usize| {
        let rows = all.chunk_by(|a, b| (a - FROM) / width == (b - FROM) / width);
        let rows = rows.filter(|times| times.len() >= least).map(|times| {
            let start = FROM + (times[0] - FROM) / width * width;
            let values: Vec<f64> = times.iter().map(|time| value(time / SECOND) as f64).collect();
            row_of(name, (start, start + width), &values)
        });
        rows.collect::<Vec<_>>()
    };
    let mut windows = windows_of("1m", minute, 6);
    windows.extend(windows_of("5m", 5 * minute, 1));
    rig.store.write(&WriteBatch { windows, ..WriteBatch::default() }).unwrap();
    let query = rig.query.clone().with_removals(rig.store.clone() as Arc<dyn SeriesRemove>);
    (rig, query, all)
}

#[test]
fn where_results_of_few_readings_were_not_kept_buckets_are_right_or_absent() {
    let (rig, query, all) = rig_of_a_source_that_rests();
    let whole: Vec<_> =
        ["5m", "10m", "1h"].into_iter().map(|every| (every, buckets(&query, every, None, "sum"))).collect();
    let by_minute = buckets(&query, "1m", None, "count").0;
    let odd = buckets(&query, "3m", None, "sum").0;
    let before = Timestamp::from_nanos(FROM + 24 * HOUR);
    rig.store
        .expire(&TenantId::default_tenant(), &Old::all(Expiring::Readings, before), before)
        .unwrap()
        .unwrap();
    for (every, (points, _)) in whole {
        assert_eq!(buckets(&query, every, None, "sum"), (points, Some("5m".to_owned())), "{every}");
    }
    // By the minute: the fast ones, and nothing of the others.
    let (now, made_of) = buckets(&query, "1m", None, "count");
    let fast = |(_, count): &(i64, Value)| *count == Value::Int(6);
    assert_eq!(now, by_minute.into_iter().filter(fast).collect::<Vec<_>>());
    assert_eq!(made_of.as_deref(), Some("1m"));
    // Three minutes: one that is fast as a whole, and not those that the slow five minutes reach into.
    let (now, _) = buckets(&query, "3m", None, "sum");
    assert!(!now.is_empty() && now.iter().all(|point| odd.contains(point)), "{now:?}");
    let minutes = |start: i64| (0..3).map(move |n| (start - FROM) / (60 * SECOND) + n);
    let is_fast = |&(start, _): &(i64, Value)| minutes(start).all(|n| n % 10 < 5);
    assert_eq!(now.len(), odd.iter().filter(|point| is_fast(point)).count());
    // Points: by the minute where it is fast, by five minutes where it rests.
    let found = points(&query, FROM, 10_000);
    assert_eq!((found.points.len(), found.means_of.as_deref()), (144 * (5 + 1), Some("1m")));
    assert!(found.points.is_sorted_by_key(|point| point.time));
    assert_eq!(all.len(), 144 * 5 * 7);
}

/// That readings were removed by age is seen however many removals of devices came after it.
#[test]
fn devices_that_were_removed_since_hide_nothing() {
    let (rig, query) = rig_with_two_days_gone();
    expire(&rig);
    for n in 0..120 {
        let device = DeviceId::parse(&format!("gone-{n}")).unwrap();
        rig.write(vec![reading("default", device.as_str(), "m", FROM + 90 * HOUR, Value::Int(1))]);
        let at = Timestamp::from_nanos(FROM + 95 * HOUR + n);
        rig.store.erase(&TenantId::default_tenant(), &device, "asked for", at).unwrap();
    }
    assert_eq!(points(&query, FROM, 10_000).means_of.as_deref(), Some("5m"));
}

#[test]
fn points_are_means_of_the_finest_windows_that_find_room() {
    let (rig, query) = rig_with_two_days_gone();
    expire(&rig);
    let found = points(&query, FROM, 10_000);
    assert_eq!((found.resolution, found.means_of.as_deref()), (Resolution::Raw, Some("5m")));
    assert_eq!(found.points.len(), 2 * 288 + 2 * 2880);
    assert!(found.points.is_sorted_by_key(|point| point.time));
    let mean = (0..10).map(value).sum::<i64>() as f64 / 10.0;
    assert_eq!(found.points[0].value, Value::Float(mean));
    let found = points(&query, FROM, 200);
    assert_eq!(found.means_of.as_deref(), Some("1h"));
    assert!(found.points.len() <= 200, "{}", found.points.len());
    // Several as one, where even the coarsest are too many.
    let found = points(&query, FROM, 40);
    assert!(found.points.len() <= 40, "{}", found.points.len());
    let first = (0..360).map(value).sum::<i64>() as f64 / 360.0;
    assert_eq!(found.points[0].value, Value::Float(first));
    // What begins where readings are is not asked for twice.
    let found = points(&query, FROM + 48 * HOUR, 10_000);
    assert_eq!((found.points.len(), found.means_of), (2 * 2880, None));
}

/// A metric that is kept for longer is not looked for elsewhere, and one that is not is.
#[test]
fn only_metrics_that_retention_removed_go_on_from_windows() {
    let (rig, query) = rig_with_two_days_gone();
    let before = Timestamp::from_nanos(FROM + 48 * HOUR);
    let expire = |metrics: &str| {
        let old = Old { metrics: metrics.parse().unwrap(), ..Old::all(Expiring::Readings, before) };
        rig.store.expire(&TenantId::default_tenant(), &old, before).unwrap()
    };
    // Of another metric readings went, and the windows of this one say nothing of what is not there: here they are more than that.
    rig.write(vec![reading("default", "d", "other", FROM, Value::Int(1))]);
    assert_eq!(expire("-m\n+*").unwrap().removed.readings, 1);
    assert_eq!(points(&query, FROM - HOUR, 10_000).means_of, None);
    assert_eq!(expire("+m").unwrap().removed.readings, 2 * 2880);
    assert_eq!(points(&query, FROM - HOUR, 10_000).means_of.as_deref(), Some("5m"));
}
