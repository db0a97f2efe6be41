//! How a reading is known again, and what becomes of the value it replaces: asked of every backend.

use penstock_series::{Cardinality, Key, Point, Written};
use record::{DeviceId, Reading, TenantId, TimeOrigin, Timestamp, Value, When};

use crate::conformance::{ALWAYS, Store, batch, on_all, points, reading};

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

/// A reading that claims one time and was put right to another.
fn corrected(claimed: i64, time: i64, value: i64) -> Reading {
    let when = When::by_device(at(claimed), at(1_000)).corrected_to(at(time));
    Reading { when, ..reading("d", "m", 0, Value::Int(value)) }
}

fn with_seq(nanos: i64, seq: u64, value: i64) -> Reading {
    let plain = reading("d", "m", nanos, Value::Int(value));
    Reading { when: plain.when.with_seq(seq), ..plain }
}

/// Event times and values.
fn told(store: &dyn Store) -> Vec<(i64, Value)> {
    points(store, "d", "m", ALWAYS).into_iter().map(|point| (point.time.nanos(), point.value)).collect()
}

fn held(store: &dyn Store, key: (&str, &str, i64, u64)) -> Option<Value> {
    let (device, metric, claimed, seq) = key;
    let key = Key { tenant: "default", device, metric, claimed: at(claimed), seq };
    store.held(&[key]).unwrap().pop().unwrap()
}

#[test]
fn a_sequence_number_tells_readings_of_one_instant_apart() {
    on_all(|store| {
        let readings =
            vec![with_seq(5, 2, 20), with_seq(5, 0, 0), with_seq(5, u64::MAX, 99), with_seq(5, 2, 20)];
        let written = store.write(&batch(0, 1, readings)).unwrap();
        assert_eq!(written, Written { stored: 3, duplicates: 1, ..Written::default() });
        assert_eq!(points(store, "d", "m", ALWAYS).len(), 3);
        assert_eq!(held(store, ("d", "m", 5, 2)), Some(Value::Int(20)));
        assert_eq!(held(store, ("d", "m", 5, u64::MAX)), Some(Value::Int(99)));
        assert_eq!(held(store, ("d", "m", 5, 3)), None);
    });
}

#[test]
fn the_key_holds_the_claimed_time_and_the_range_the_event_time() {
    on_all(|store| {
        // The clock is an hour ahead: 3600 is claimed where 100 is meant. A neighbour's is right.
        let readings = vec![
            reading("d", "m", 90, Value::Int(1)),
            corrected(3_600, 100, 2),
            reading("d", "m", 110, Value::Int(3)),
            corrected(50, 120, 4),
        ];
        store.write(&batch(0, 1, readings)).unwrap();
        assert_eq!(
            told(store),
            [(90, Value::Int(1)), (100, Value::Int(2)), (110, Value::Int(3)), (120, Value::Int(4))]
        );
        let some = points(store, "d", "m", at(100)..at(120));
        assert_eq!(some.iter().map(|point| point.time.nanos()).collect::<Vec<_>>(), [100, 110]);
        assert_eq!(held(store, ("d", "m", 3_600, 0)), Some(Value::Int(2)));
        assert_eq!(held(store, ("d", "m", 100, 0)), None, "an event time is no key");
        let latest = store.latest(&TenantId::default_tenant(), &DeviceId::parse("d").unwrap()).unwrap();
        assert_eq!(latest, [corrected(50, 120, 4)]);
        assert_eq!(latest[0].when.origin, TimeOrigin::Corrected);
    });
}

#[test]
fn a_reading_is_known_again_however_its_time_was_put_right() {
    on_all(|store| {
        let plain = reading("d", "m", 3_600, Value::Int(7));
        store.write(&batch(0, 1, vec![plain.clone(), corrected(40, 30, 1)])).unwrap();
        // The same value under the same key: nothing changes, not even the time.
        let again =
            vec![corrected(3_600, 100, 7), corrected(40, 31, 1), reading("d", "m", 40, Value::Int(1))];
        let written = store.write(&batch(1, 2, again)).unwrap();
        assert_eq!(written, Written { duplicates: 3, ..Written::default() });
        assert_eq!(told(store), [(30, Value::Int(1)), (3_600, Value::Int(7))]);
        // Another value: it takes the old one's place, at its own time, in both directions.
        let other = vec![corrected(3_600, 100, 8), reading("d", "m", 40, Value::Int(2))];
        let written = store.write(&batch(2, 3, other)).unwrap();
        assert_eq!(written, Written { corrections: 2, ..Written::default() });
        assert_eq!(told(store), [(40, Value::Int(2)), (100, Value::Int(8))]);
        // And within the corrected ones.
        store.write(&batch(3, 4, vec![corrected(3_600, 101, 9)])).unwrap();
        assert_eq!(told(store), [(40, Value::Int(2)), (101, Value::Int(9))]);
        let old = store.superseded(&TenantId::default_tenant(), 10).unwrap();
        let old: Vec<_> = old.into_iter().map(|old| (old.reading, old.replaced_at.nanos())).collect();
        let expected = [(corrected(40, 30, 1), 45), (plain, 1_000), (corrected(3_600, 100, 8), 1_000)];
        assert_eq!(old, expected);
    });
}

#[test]
fn a_replaced_value_is_kept_and_a_duplicate_is_not() {
    on_all(|store| {
        let first = reading("d", "m", 1, Value::Text("a".into()));
        let second = reading("d", "m", 1, Value::Location { lat: 1.0, lng: -0.0 });
        let third = reading("d", "m", 1, Value::Float(f64::NAN));
        let readings = vec![first.clone(), second.clone(), second.clone(), third.clone(), third];
        let written = store.write(&batch(0, 1, readings)).unwrap();
        assert_eq!(written, Written { stored: 1, duplicates: 2, corrections: 2, dead_letters: 0 });
        let old = store.superseded(&TenantId::default_tenant(), 10).unwrap();
        assert_eq!(old.iter().map(|old| &old.reading).collect::<Vec<_>>(), [&first, &second]);
        assert!(old.iter().all(|old| old.replaced_at == at(6)), "{old:?}");
        assert_eq!(store.superseded(&TenantId::default_tenant(), 1).unwrap().len(), 1);
        assert_eq!(store.superseded(&TenantId::parse("other").unwrap(), 9).unwrap(), []);
    });
}

#[test]
fn held_answers_in_the_order_of_the_keys() {
    on_all(|store| {
        store
            .write(&batch(
                0,
                1,
                vec![reading("a", "m", 1, Value::Int(1)), reading("b", "n", 1, Value::Bool(true))],
            ))
            .unwrap();
        let key = |tenant, device, metric| Key { tenant, device, metric, claimed: at(1), seq: 0 };
        let keys = [
            key("default", "b", "n"),
            key("default", "b", "m"),
            key("other", "b", "n"),
            key("default", "a", "m"),
            key("default", "a", "m"),
        ];
        let one = Some(Value::Int(1));
        assert_eq!(store.held(&keys).unwrap(), [Some(Value::Bool(true)), None, None, one.clone(), one]);
        assert_eq!(store.held(&[]).unwrap(), []);
    });
}

#[test]
fn devices_and_series_are_counted_per_tenant() {
    on_all(|store| {
        let readings = [("a", "m"), ("a", "n"), ("b", "m"), ("a", "m")]
            .map(|(device, metric)| reading(device, metric, 1, Value::Int(1)));
        store.write(&batch(0, 1, readings.into())).unwrap();
        let count = |tenant| store.cardinality(&TenantId::parse(tenant).unwrap()).unwrap();
        assert_eq!(count("default"), Cardinality { devices: 2, series: 3 });
        assert_eq!(count("other"), Cardinality::default());
        let mut pairs = Vec::new();
        let mut visit = |most: usize, tenant| {
            pairs.clear();
            let mut take = |device: &str, metric: &str| {
                pairs.push(format!("{device} {metric}"));
                pairs.len() < most
            };
            store.series(&TenantId::parse(tenant).unwrap(), &mut take).unwrap();
            pairs.join(", ")
        };
        assert_eq!(visit(9, "default"), "a m, a n, b m");
        assert_eq!(visit(2, "default"), "a m, a n");
        assert_eq!(visit(9, "other"), "");
    });
}

#[test]
fn a_refused_batch_leaves_no_mark_on_the_series_either() {
    on_all(|store| {
        store.write(&batch(0, 1, vec![reading("d", "m", 1, Value::Int(1))])).unwrap();
        assert!(store.write(&batch(9, 10, vec![corrected(50, 5, 2)])).is_err());
        store.write(&batch(1, 2, vec![corrected(50, 5, 2)])).unwrap();
        store.write(&batch(2, 3, vec![reading("d", "m", 50, Value::Int(2))])).unwrap();
        let expected =
            [Point { time: at(1), value: Value::Int(1) }, Point { time: at(5), value: Value::Int(2) }];
        assert_eq!(points(store, "d", "m", ALWAYS), expected);
    });
}
