//! `[series.cold]` in the real binary: old readings move, and are there for every question.

use std::collections::BTreeMap;
use std::path::Path;

use record::{DeviceId, Lane, MetricName, Reading, TenantId, Timestamp, Value, When};
use series::parquet::store::Options;
use series::{Parquet, SeriesWriter, Source, Span, WriteBatch};

use crate::served::{Served, until};

const DAY: i64 = 86_400_000_000_000;
/// A midnight of long ago.
const OLD: i64 = 19_676 * DAY;

/// A day of a device as a server before this one left it.
pub(super) fn write_a_day(dir: &Path, devices: &[&str]) {
    let store = Parquet::open(&dir.join("data/series"), Options::default()).unwrap();
    let of_device = |id: &&str| {
        let (device, metric) = (DeviceId::parse(id).unwrap(), MetricName::parse("speed").unwrap());
        (0..5000).map(move |n| {
            let at = Timestamp::from_nanos(OLD + n * 1_000_000_000);
            let (device, metric, when) = (device.clone(), metric.clone(), When::by_device(at, at));
            Reading { device, metric, when, value: Value::Int(n % 200) }
        })
    };
    let readings: Vec<Reading> = devices.iter().flat_map(of_device).collect();
    let source = Source { topic: 0, lane: Lane::Backfill, partition: 77 };
    let spans = vec![Span { source, from: 0, to: 1 }];
    let readings = BTreeMap::from([(TenantId::default_tenant(), readings.iter().collect())]);
    store.write(&WriteBatch { readings, spans, ..WriteBatch::default() }).unwrap();
    store.roll().unwrap();
}

#[test]
fn old_readings_move_to_the_cold_tier_and_are_there_for_every_question() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("data")).unwrap();
    write_a_day(dir.path(), &["car"]);
    let url = format!("file://{}/cold", dir.path().display());
    let environment = [("PENSTOCK__SERIES__COLD__URL", &*url), ("PENSTOCK__SERIES__COLD__AFTER_DAYS", "7")];
    let served = Served::with(dir.path(), &environment);
    let moved = |served: &Served| {
        until("the run is cold", || {
            served.curl(&[], "/metrics").contains("\npenstock_store_cold_objects 1\n").then_some(())
        });
    };
    moved(&served);
    let file = dir.path().join("data/series/runs/000000000001.parquet");
    until("the local file is gone", || (!file.exists()).then_some(()));
    let ask = |served: &Served| {
        let sql = "SELECT count(*), min(value), max(value) FROM telemetry WHERE device_id = 'car' AND metric = 'speed'";
        let answer = served.query(&["--format", "csv", sql]);
        let path = "/v1/query?device_id=car&metric=speed&every=1%20hour&agg=max";
        (
            answer.lines().last().unwrap().to_owned(),
            served.curl(&[], path),
            served.curl(&[], "/v1/devices/car/latest"),
        )
    };
    let (sql, points, latest) = ask(&served);
    assert!(sql.starts_with("5000,0") && sql.contains(",199"), "{sql}");
    assert!(points.contains("\"tiers\":[\"hot\",\"cold\"]") && points.contains(",199"), "{points}");
    assert!(latest.contains("199"), "{latest}");
    served.kill();
    let served = Served::with(dir.path(), &environment);
    moved(&served);
    assert_eq!(ask(&served), (sql, points, latest));
    // A device that is to be forgotten is forgotten there too.
    let objects = || walk(&dir.path().join("cold")).into_iter().filter(|of| of.ends_with(".parquet")).count();
    assert_eq!(objects(), 1);
    let erased = served.curl(&["-X", "DELETE"], "/v1/devices/car/data?reason=asked");
    assert!(erased.contains("5000") && erased.ends_with("200"), "{erased}");
    assert_eq!(objects(), 0);
    // Without the cold tier: there is nothing in it any more.
    assert!(served.terminate().success());
    drop(Served::start(dir.path()));
}

fn walk(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(walk(&path)),
            false => found.push(path.display().to_string()),
        }
    }
    found
}
