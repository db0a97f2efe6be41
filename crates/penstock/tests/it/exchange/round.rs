//! What was exported comes back, reading for reading.

use std::fmt::Write as _;

use serde_json::json;

use super::{ends, import, metric, path, post, rows, stored};
use crate::served::{Served, until};

/// Everything of a reading but when it arrived.
const ALL: &str = "SELECT device_id, metric, time, device_time, seq, kind, clock, value, integer, text, lat, lng \
                   FROM telemetry ORDER BY device_id, metric, time, seq";

/// Readings that a format, a quote or a type could break.
fn awkward() -> (String, u64) {
    let values = [
        json!(i64::MAX),
        json!(i64::MIN),
        json!(9_007_199_254_740_993_i64),
        json!(0),
        json!(-0.0),
        json!(20.0),
        json!(1e300),
        json!(5e-324),
        json!(0.1),
        json!(true),
        json!(false),
        json!(""),
        json!("two\r\nlines, \"quoted\"; and 'more'\ttab \\ back"),
        json!("NaN"),
        json!("007"),
        json!("日本 \u{1f600} \u{202e}"),
        json!({ "lat": -90.0, "lng": 180.0 }),
        json!({ "lat": 53.55, "lng": 9.99 }),
    ];
    let devices = ["o'brien \"x\", ü", "日本 = 50 %", "a\\b;c", "date=2026-01-01", "-", "true"];
    let mut lines = String::new();
    let mut count = 0;
    let mut send = |reading: serde_json::Value| {
        writeln!(lines, "{reading}").unwrap();
        count += 1;
    };
    for (number, value) in values.iter().enumerate() {
        for device in devices {
            let metric = ["a/b c", "'; DROP TABLE telemetry --", "value"][number % 3];
            let ts = format!("2026-11-20T{:02}:59:59.{:09}Z", number + 5, number * 55_555_555 + 1);
            send(json!({ "device_id": device, "metric": metric, "value": value, "ts": ts }));
        }
    }
    for seq in 0..3 {
        let ts = "2026-11-21T00:00:00Z"; // the first instant of a date
        send(json!({ "device_id": "seq", "metric": "m", "value": seq, "ts": ts, "seq": seq }));
    }
    send(json!({ "device_id": "seq", "metric": "m", "value": 1, "ts": "2026-11-20T23:59:59.999999999Z" }));
    (lines, count)
}

#[test]
fn what_was_exported_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (there, here) = (dir.path().join("there"), dir.path().join("here"));
    std::fs::create_dir_all(&there).unwrap();
    let served = Served::start(&there);
    let (lines, count) = awkward();
    post(&served, &lines);
    stored(&served, count);
    let before = rows(&served, ALL);
    for (number, arguments) in
        [&["--format", "parquet"][..], &["--format", "parquet", "--times", "ns"], &["--format", "csv"]]
            .iter()
            .enumerate()
    {
        let to = path(dir.path(), &format!("out{number}"));
        ends(&served, "export", &[&["--to", &to], *arguments].concat(), 0);
        let fresh = here.join(number.to_string());
        std::fs::create_dir_all(&fresh).unwrap();
        let other = Served::start(&fresh);
        ends(&other, "import", &[&to], 0);
        stored(&other, count);
        assert_eq!(rows(&other, ALL), before, "{arguments:?}");
        // Once more: all of it is known.
        ends(&other, "import", &[&to], 0);
        until("duplicates are counted", || {
            (metric(&other, "penstock_readings_duplicate_total") == count).then_some(())
        });
        assert_eq!(rows(&other, ALL), before, "{arguments:?}");
    }
}

#[test]
fn where_they_come_from_readings_are_known_whoever_told_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    post(
        &served,
        "{\"device_id\":\"d\",\"metric\":\"m\",\"value\":1}\n{\"device_id\":\"d\",\"metric\":\"m\",\"value\":2}",
    );
    stored(&served, 2);
    let before = rows(&served, ALL);
    let to = path(dir.path(), "out");
    ends(&served, "export", &["--to", &to, "--format", "csv"], 0);
    let totals = import(&served, &[&to], 0);
    assert_eq!((&totals["rows"], &totals["readings"]), (&json!(2), &json!(2)));
    until("duplicates are counted", || {
        (metric(&served, "penstock_readings_duplicate_total") == 2).then_some(())
    });
    assert_eq!(rows(&served, ALL), before);
}
