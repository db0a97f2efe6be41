//! Readings of routing rules go to webhooks (R9.7): each with a key, and never in the way of alerts.

use std::collections::BTreeSet;

use penstock_alert::{Forward, Kind, OUTBOX_ROWS};
use record::{MetricName, Value};
use rule::{Route, Routed};

use crate::house::{House, at, at_ms, began, device, rule, tenant};

fn routed(device_id: &str, ms: i64) -> Routed {
    Routed {
        tenant: tenant(),
        device: device(device_id),
        rule: rule("hot-line"),
        version: 1,
        route: Route::Webhook("https://hooks.example.com/line".into()),
        at: at_ms(ms),
        values: vec![(MetricName::parse("temperature").unwrap(), Value::Float(81.5))],
    }
}

fn forward(house: &House, readings: &[Routed]) {
    let forwards: Vec<Forward<'_>> = readings
        .iter()
        .map(|routed| Forward { routed, body: format!("{{\"at\":{}}}", routed.at.millis()) })
        .collect();
    house.alerts.forward(&forwards, at(0)).unwrap();
}

#[test]
fn a_reading_given_again_has_the_same_key_and_other_readings_have_others() {
    let house = House::new();
    let readings = [routed("m-1", 0), routed("m-1", 1), routed("m-2", 0)];
    forward(&house, &readings);
    let first = house.outbox();
    let keys: BTreeSet<&str> = first.iter().map(|delivery| delivery.key.as_str()).collect();
    assert_eq!((first.len(), keys.len()), (3, 3));
    assert!(first.iter().all(|delivery| delivery.kind == Kind::Routed));
    // As after a crash.
    forward(&house, &readings);
    assert_eq!(house.outbox(), first);
    // A topic is not the outbox's.
    forward(&house, &[Routed { route: Route::Mqtt("out".into()), ..routed("m-3", 0) }]);
    assert_eq!(house.outbox().len(), 3);
}

#[test]
fn readings_for_which_the_outbox_has_no_room_are_given_up_and_counted() {
    let house = House::new();
    house.person("ann", |ann| ann.per_hour = Some(0));
    let readings: Vec<Routed> = (0..OUTBOX_ROWS as i64 + 7).map(|ms| routed("m-1", ms)).collect();
    forward(&house, &readings);
    assert_eq!(house.alerts.outbox_len(), OUTBOX_ROWS);
    assert_eq!(house.alerts.counters().failed, 7);
    forward(&house, &readings[..1]);
    assert_eq!(house.alerts.counters().failed, 8);
    // Alerts are kept all the same, and told when there is room.
    assert_eq!(house.take(&[began("hot", "pump-1", 0)], at(0)).new, 1);
    assert_eq!(house.alerts.counters().held_back, 1);
}
