//! What the contract promises, asked of every backend.

use std::ops::Range;

use penstock_series::{Error, Point, Position, SeriesWriter, Source, Span, Sqlite, WriteBatch, Written};
use record::{DeviceId, Lane, MetricName, Reading, TenantId, Timestamp, Value, When};

pub(crate) use crate::stores::{Store, on_all};

pub(crate) const LIVE: Source = Source { topic: 0, lane: Lane::Live, partition: 3 };
pub(crate) const ALWAYS: Range<Timestamp> = Timestamp::from_nanos(i64::MIN)..Timestamp::from_nanos(i64::MAX);

pub(crate) fn reading(device: &str, metric: &str, nanos: i64, value: Value) -> Reading {
    Reading {
        device: DeviceId::parse(device).unwrap(),
        metric: MetricName::parse(metric).unwrap(),
        when: When::by_device(Timestamp::from_nanos(nanos), Timestamp::from_nanos(nanos + 5)),
        value,
    }
}

pub(crate) fn batch(from: u64, to: u64, readings: Vec<Reading>) -> WriteBatch {
    let readings = [(TenantId::default_tenant(), readings.iter().collect())].into();
    WriteBatch { readings, spans: vec![Span { source: LIVE, from, to }], ..WriteBatch::default() }
}

pub(crate) fn points(store: &dyn Store, device: &str, metric: &str, range: Range<Timestamp>) -> Vec<Point> {
    let mut found = Vec::new();
    let (device, metric) = (DeviceId::parse(device).unwrap(), MetricName::parse(metric).unwrap());
    store
        .points(&TenantId::default_tenant(), &device, &metric, range, &mut |point| {
            found.push(point);
            true
        })
        .unwrap();
    found
}

/// A number, whatever type it came back as.
pub(crate) fn number(value: &Value) -> f64 {
    value.as_ref().as_f64().unwrap()
}

#[test]
fn values_come_back_with_their_type_and_bits() {
    let values = [
        Value::Float(0.1),
        Value::Float(2.0),
        Value::Float(-0.0),
        Value::Float(f64::INFINITY),
        Value::Float(f64::MIN_POSITIVE / 2.0),
        Value::Int((1 << 53) + 1),
        Value::Int(i64::MIN),
        Value::Int(i64::MAX),
        Value::Bool(true),
        Value::Bool(false),
        Value::Text(String::new()),
        Value::Text("größe \u{0} 7".into()),
        Value::Location { lat: 52.52, lng: -0.0 },
    ];
    on_all(|store| {
        let readings: Vec<_> =
            values.iter().zip(0..).map(|(value, at)| reading("d", "m", at, value.clone())).collect();
        store.write(&batch(0, 1, readings)).unwrap();
        let found = points(store, "d", "m", ALWAYS);
        // Tells -0.0 from 0.0; an integer that is a float too may come back as one among floats.
        let debug = |value: &Value| match value {
            Value::Int(int) if int.unsigned_abs() <= 1 << 53 => format!("{:?}", Value::Float(*int as f64)),
            other => format!("{other:?}"),
        };
        assert_eq!(
            found.iter().map(|point| debug(&point.value)).collect::<Vec<_>>(),
            values.iter().map(debug).collect::<Vec<_>>(),
        );
        store.write(&batch(1, 2, vec![reading("d", "nan", 1, Value::Float(f64::NAN))])).unwrap();
        assert!(
            matches!(points(store, "d", "nan", ALWAYS)[..], [Point { value: Value::Float(v), .. }] if v.is_nan())
        );
    });
}

#[test]
fn the_same_value_is_a_duplicate_and_another_a_correction() {
    on_all(|store| {
        let first = vec![reading("d", "m", 1, Value::Int(1)), reading("d", "m", 2, Value::Float(f64::NAN))];
        assert_eq!(
            store.write(&batch(0, 1, first.clone())).unwrap(),
            Written { stored: 2, ..Default::default() }
        );
        assert_eq!(
            store.write(&batch(1, 2, first)).unwrap(),
            Written { duplicates: 2, ..Default::default() }
        );
        // An integer and a float of the same size are the same value; next to 2^53 they are told apart.
        let large = 9_007_199_254_740_993;
        let second = vec![
            reading("d", "m", 1, Value::Float(1.0)),
            reading("d", "m", 1, Value::Int(large)),
            reading("d", "m", 1, Value::Float(large as f64)),
            reading("d", "m", 1, Value::Bool(true)),
            reading("d", "m", 1, Value::Int(1)),
        ];
        let written = store.write(&batch(2, 3, second)).unwrap();
        assert_eq!(written, Written { duplicates: 1, corrections: 4, ..Default::default() });
        assert_eq!(number(&points(store, "d", "m", ALWAYS)[0].value), 1.0);
    });
}

#[test]
fn a_batch_is_written_at_most_once() {
    on_all(|store| {
        let old = batch(0, 5, vec![reading("d", "m", 1, Value::Int(1))]);
        store.write(&old).unwrap();
        store.write(&batch(5, 6, vec![reading("d", "m", 1, Value::Int(2))])).unwrap();
        for wrong in [&old, &batch(7, 8, vec![])] {
            let refused = store.write(wrong);
            assert!(matches!(refused, Err(Error::Conflict { held: 6, .. })), "{refused:?}");
        }
        assert_eq!(points(store, "d", "m", ALWAYS)[0].value, Value::Int(2), "a replay undid a correction");
        assert_eq!(store.positions().unwrap(), [Position { source: LIVE, offset: 6 }]);
    });
}

#[test]
fn a_refused_batch_leaves_nothing_of_itself() {
    on_all(|store| {
        store.write(&batch(0, 1, vec![])).unwrap();
        let other = Source { lane: Lane::Backfill, ..LIVE };
        let mut mixed = batch(9, 10, vec![reading("d", "m", 1, Value::Int(1))]);
        mixed.spans.insert(0, Span { source: other, from: 0, to: 4 });
        assert!(store.write(&mixed).is_err());
        assert_eq!(store.positions().unwrap(), [Position { source: LIVE, offset: 1 }]);
        assert!(points(store, "d", "m", ALWAYS).is_empty());
        assert!(store.devices(&TenantId::default_tenant(), None, 10).unwrap().is_empty());
    });
}

#[test]
fn ranges_include_their_start_and_exclude_their_end() {
    on_all(|store| {
        let readings = (0..10).map(|at| reading("d", "m", at, Value::Int(at))).collect();
        store.write(&batch(0, 1, readings)).unwrap();
        let range = |from, to| {
            let found = points(store, "d", "m", Timestamp::from_nanos(from)..Timestamp::from_nanos(to));
            found.iter().map(|point| point.time.nanos()).collect::<Vec<_>>()
        };
        assert_eq!(range(3, 6), [3, 4, 5]);
        assert_eq!(range(6, 6), [0; 0]);
        assert_eq!(range(8, 3), [0; 0]);
    });
}

#[test]
fn the_latest_is_by_event_time_and_not_by_arrival() {
    on_all(|store| {
        let readings = vec![
            reading("d", "b", 7, Value::Int(7)),
            reading("d", "b", 3, Value::Int(3)),
            reading("d", "a", -4, Value::Bool(true)),
            reading("e", "a", 99, Value::Int(0)),
        ];
        store.write(&batch(0, 1, readings.clone())).unwrap();
        let latest = store.latest(&TenantId::default_tenant(), &DeviceId::parse("d").unwrap()).unwrap();
        assert_eq!(latest, [readings[2].clone(), readings[0].clone()]);
    });
}

#[test]
fn devices_are_listed_by_id_page_by_page_and_per_tenant() {
    on_all(|store| {
        let mut readings: Vec<_> = ["c", "a", "b"].map(|d| reading(d, "m", 1, Value::Int(1))).into();
        readings.push(reading("a", "m", 50, Value::Int(1)));
        let mut batch = batch(0, 1, readings);
        let others = [&reading("x", "m", 1, Value::Int(1))].into_iter().collect();
        batch.readings.insert(TenantId::parse("other").unwrap(), others);
        store.write(&batch).unwrap();
        let page = |after, limit| {
            let devices = store.devices(&TenantId::default_tenant(), after, limit).unwrap();
            devices.iter().map(|device| device.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(page(None, 2), ["a", "b"]);
        assert_eq!(page(Some("b"), 2), ["c"]);
        let a = store.device(&TenantId::default_tenant(), &DeviceId::parse("a").unwrap()).unwrap().unwrap();
        assert_eq!((a.created_at.nanos(), a.last_seen.nanos()), (6, 55));
        assert_eq!(store.device(&TenantId::default_tenant(), &DeviceId::parse("x").unwrap()).unwrap(), None);
    });
}

#[test]
fn the_durable_store_is_the_same_after_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("series.db");
    let store = Sqlite::open(&path).unwrap();
    store.write(&batch(0, 7, vec![reading("d", "m", 1, Value::Int(1))])).unwrap();
    drop(store);
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.positions().unwrap(), [Position { source: LIVE, offset: 7 }]);
    assert_eq!(points(&store, "d", "m", ALWAYS).len(), 1);
    let again = store.write(&batch(7, 8, vec![reading("d", "m", 1, Value::Int(1))])).unwrap();
    assert_eq!(again.duplicates, 1);
}

#[test]
fn a_store_of_a_later_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("series.db");
    drop(Sqlite::open(&path).unwrap());
    let later = rusqlite::Connection::open(&path).unwrap();
    later.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Sqlite::open(&path), Err(Error::Newer { found: 99, .. })));
}
