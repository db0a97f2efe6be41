//! A check finds what is wrong with a server that is not to be trusted.

use std::time::Duration;

use penstock_fleet::content::Devices;
use penstock_fleet::device::{Maker, Sample, Spec};
use penstock_fleet::report::{Acked, Stats};
use penstock_fleet::verify::{Server, Verdict, ask};
use serde_json::{Value, json};

use crate::web::answers;

const BEGAN_MS: i64 = 1_790_000_000_000;
const MESSAGES: i64 = 10;

fn devices(faults: &str) -> Devices {
    Devices {
        behind: 1,
        topic: "devices/d{i}/telemetry".into(),
        spec: Spec::simple(1, 5),
        faults: faults.parse().unwrap(),
        lasts: Some(Duration::from_secs(60)),
    }
}

/// What is in the table `telemetry` of an honest server: a row for each message of device 0.
fn honest(devices: &Devices) -> Vec<Value> {
    let (device, disorder) = (Maker::new(devices.spec).device(0), devices.disorder(BEGAN_MS));
    let mut sample = Sample::default();
    let mut row = |at_ms: i64| {
        device.measure(at_ms, &disorder.schedule, &mut sample);
        let claimed_ns = disorder.claimed_ms(0, at_ms) * 1_000_000;
        json!({
            "metric": "temperature", "value": device.shape().values(0, &sample).0, "lat": null, "lng": null,
            "clock": "device", "claimed_ns": claimed_ns, "time_ns": claimed_ns, "arrived_ns": (at_ms + 5) * 1_000_000,
        })
    };
    (0..MESSAGES).map(|n| row(BEGAN_MS + n * 100)).collect()
}

/// The verdict on a server whose tables hold `rows` and `dead`; message `broken` was broken on purpose.
fn verdict(devices: &Devices, rows: Vec<Value>, dead: Vec<Value>, broken: Option<i64>) -> Verdict {
    let answer = move |body: &str| {
        let rows = if body.contains("FROM dlq") { &dead } else { &rows };
        json!({ "columns": [], "rows": rows }).to_string()
    };
    let server = Server::new(&format!("http://{}", answers(answer)), None);
    let disorder = devices.disorder(BEGAN_MS);
    let mut stats = Stats::default();
    for n in 0..MESSAGES {
        let measured_ms = BEGAN_MS + n * 100;
        let stamp_ms = disorder.claimed_ms(0, measured_ms);
        let acked = Acked { connection: 0, sequence: n as u64, stamp_ms, measured_ms, acked_ns: 1 };
        if broken == Some(n) { stats.broken.push(acked) } else { stats.acked.push(acked) }
    }
    ask(&server, devices, BEGAN_MS, &stats, Duration::ZERO).unwrap()
}

#[test]
fn an_honest_server_passes_and_each_lie_is_found() {
    let devices = devices("");
    let with = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut rows = honest(&devices);
        change(&mut rows);
        verdict(&devices, rows, vec![], None)
    };
    let good = with(&|_| {});
    assert!(good.is_good() && (good.acknowledged, good.found) == (10, 10), "{good:?}");

    let lost = with(&|rows| drop(rows.remove(3)));
    assert!(!lost.is_good() && (lost.missing, lost.found) == (1, 9), "{lost:?}");
    let changed = with(&|rows| rows[4]["value"] = json!(1.5));
    assert!(!changed.is_good() && (changed.different, changed.found) == (1, 9), "{changed:?}");
    let doubled = with(&|rows| rows.push(rows[5].clone()));
    assert!(!doubled.is_good() && (doubled.doubled, doubled.found) == (1, 10), "{doubled:?}");
    for (column, value) in [("time_ns", json!(BEGAN_MS * 1_000_000)), ("clock", json!("server"))] {
        let moved = with(&|rows| rows[6][column] = value.clone());
        assert!(!moved.is_good() && moved.mistimed == 1, "{moved:?}");
    }
    // This device's clock is right: nothing is to be put right or marked.
    for clock in ["corrected", "suspect"] {
        let wronged = with(&|rows| rows[7]["clock"] = json!(clock));
        assert!(!wronged.is_good() && wronged.mistimed == 1, "{wronged:?}");
    }
    assert!(lost.examples[0].contains("d0 temperature") && lost.examples[0].contains("missing"), "{lost:?}");
}

#[test]
fn a_clock_that_is_off_may_be_put_right_but_never_into_the_future() {
    let devices = devices("skew=1");
    let corrected = |time_of: &dyn Fn(i64) -> i64| {
        let mut rows = honest(&devices);
        for row in &mut rows {
            row["clock"] = json!("corrected");
            row["time_ns"] = json!(time_of(row["arrived_ns"].as_i64().unwrap()));
        }
        verdict(&devices, rows, vec![], None)
    };
    let right = corrected(&|arrived_ns| arrived_ns);
    assert!(right.is_good() && (right.found, right.corrected) == (10, 10), "{right:?}");
    let ahead = corrected(&|arrived_ns| arrived_ns + 1_000_000);
    assert!(!ahead.is_good() && ahead.mistimed == 10, "{ahead:?}");
}

#[test]
fn what_was_broken_must_be_dead_and_not_alive() {
    let devices = devices("");
    let dead = |ts: i64| {
        let payload = format!("{{\"ts\":{ts},\"metrics\":{{\"temp");
        vec![
            json!({"id": "0-live-1-1", "device_id": "d0", "topic": "devices/d0/telemetry", "payload": payload}),
        ]
    };
    let without = |n: usize| {
        let mut rows = honest(&devices);
        rows.remove(n);
        rows
    };
    let good = verdict(&devices, without(2), dead(BEGAN_MS + 200), Some(2));
    assert!(good.is_good() && (good.broken, good.found) == (1, 9), "{good:?}");
    let gone = verdict(&devices, without(2), dead(BEGAN_MS + 300), Some(2));
    assert!(!gone.is_good() && gone.not_dead == 1, "{gone:?}");
    let alive = verdict(&devices, honest(&devices), dead(BEGAN_MS + 200), Some(2));
    assert!(!alive.is_good() && alive.revived == 1, "{alive:?}");
}

#[test]
fn a_server_that_answers_something_else_is_an_error_that_names_it() {
    let server = Server::new(&format!("http://{}", answers(|_| "<html>".to_owned())), None);
    let mut stats = Stats::default();
    let stamp_ms = BEGAN_MS;
    stats.acked.push(Acked { connection: 0, sequence: 0, stamp_ms, measured_ms: BEGAN_MS, acked_ns: 1 });
    let error = ask(&server, &devices(""), BEGAN_MS, &stats, Duration::ZERO).unwrap_err();
    assert!(format!("{error:#}").contains("/v1/sql"), "{error:#}");
}
