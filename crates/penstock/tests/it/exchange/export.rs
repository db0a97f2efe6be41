//! Pages, dates, folders.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use super::{ends, path, post, stored};
use crate::served::{Served, penstock};

/// Rows by date, as the manifests have it and as the files hold it.
fn exported(served: &Served, to: &str, arguments: &[&str]) -> Vec<(String, usize)> {
    let all = [&["--to", to, "--format", "csv", "--summary", "json"], arguments].concat();
    let summary: Value = serde_json::from_str(&ends(served, "export", &all, 0).0).unwrap();
    let dates = summary["dates"].as_array().unwrap().iter();
    let told: Vec<_> = dates
        .map(|date| (date["date"].as_str().unwrap().to_owned(), date["rows"].as_u64().unwrap() as usize))
        .collect();
    for (date, rows) in &told {
        let mut found = 0;
        let folder = fs::read_dir(format!("{to}/telemetry/date={date}")).unwrap();
        for file in
            folder.map(|entry| entry.unwrap().path()).filter(|file| file.extension().unwrap() == "csv")
        {
            found += csv::Reader::from_path(file).unwrap().records().map(Result::unwrap).count();
        }
        assert_eq!(found, *rows, "{date}");
    }
    told
}

fn reading(day: u32, second: u32) -> String {
    let ts = format!("2026-11-{day}T00:{:02}:{:02}Z", second / 60, second % 60);
    json!({ "device_id": "d", "metric": "m", "value": second, "ts": ts }).to_string()
}

#[test]
fn a_rerun_replaces_its_dates_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let to = path(dir.path(), "out");
    post(&served, &[reading(20, 1), reading(20, 2), reading(21, 1)].join("\n"));
    stored(&served, 3);
    let dates = |rows: &[(&str, usize)]| {
        rows.iter().map(|(date, rows)| ((*date).to_owned(), *rows)).collect::<Vec<_>>()
    };
    let expect = dates(&[("2026-11-20", 2), ("2026-11-21", 1)]);
    assert_eq!(exported(&served, &to, &[]), expect);
    assert_eq!(exported(&served, &to, &[]), expect);
    post(&served, &[reading(20, 3), reading(21, 2), reading(22, 1)].join("\n"));
    stored(&served, 6);
    // A part of a date is the whole of it; its end is not in it.
    let only = ["--since", "2026-11-21T12:00:00Z", "--until", "2026-11-22"];
    assert_eq!(exported(&served, &to, &only), dates(&[("2026-11-21", 2)]));
    let lines = |date: &str| {
        fs::read_to_string(format!("{to}/telemetry/date={date}/part-000.csv")).unwrap().lines().count()
    };
    assert_eq!(lines("2026-11-20"), 3, "not asked for, so as it was");
    // What the server has lost, or has less of, stays in the files unless it is said otherwise.
    fs::create_dir(format!("{to}/telemetry/date=2026-11-23")).unwrap();
    fs::write(format!("{to}/telemetry/date=2026-11-23/part-000.csv"), "x").unwrap();
    let manifest = format!("{to}/telemetry/date=2026-11-21/_manifest.json");
    let more = fs::read_to_string(&manifest).unwrap().replace("\"rows\": 2", "\"rows\": 9");
    fs::write(&manifest, more).unwrap();
    let (_, said) = ends(&served, "export", &["--to", &to, "--format", "csv"], 1);
    assert!(
        said.contains("2026-11-21 has 9 rows") && said.contains("from 2026-11-23 to 2026-11-23"),
        "{said}"
    );
    assert!(fs::exists(format!("{to}/telemetry/date=2026-11-23")).unwrap());
    let all = dates(&[("2026-11-20", 3), ("2026-11-21", 2), ("2026-11-22", 1)]);
    assert_eq!(exported(&served, &to, &["--shrink"]), all);
    assert!(!fs::exists(format!("{to}/telemetry/date=2026-11-23")).unwrap());
    // What somebody else put there is not touched.
    fs::write(format!("{to}/telemetry/date=2026-11-22/notes.txt"), "mine").unwrap();
    let (_, said) = ends(&served, "export", &["--to", &to, "--format", "csv"], 1);
    assert!(said.contains("notes.txt"), "{said}");
    assert!(!fs::exists(format!("{to}/telemetry/_SUCCESS")).unwrap(), "it did not end well");
}

#[test]
fn more_than_an_answer_may_hold_is_exported_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    // More rows in one second of one device than an answer may have, besides others.
    let file = dir.path().join("burst.csv");
    let mut csv = String::from("time,device_id,m\n");
    for n in 0..110_000 {
        writeln!(csv, "2026-11-20T12:00:00.{n:06}Z,burst,{n}").unwrap();
    }
    for n in 0..3_000 {
        writeln!(csv, "2026-11-20T12:00:00Z,d{n},{n}").unwrap();
    }
    fs::write(&file, csv).unwrap();
    ends(&served, "import", &[file.to_str().unwrap()], 0);
    // More bytes in one instant of one device.
    let long = "x".repeat(64_000);
    for part in 0..11 {
        let metrics: serde_json::Map<_, _> =
            (0..100).map(|n| (format!("m{}", part * 100 + n), json!(format!("{n}{long}")))).collect();
        post(
            &served,
            &json!({ "device_id": "wide", "ts": "2026-11-20T12:00:00Z", "metrics": metrics }).to_string(),
        );
    }
    stored(&served, 114_100);
    let to = path(dir.path(), "out");
    assert_eq!(exported(&served, &to, &[]), [("2026-11-20".to_owned(), 114_100)]);
    let mut reader = csv::Reader::from_path(format!("{to}/telemetry/date=2026-11-20/part-000.csv")).unwrap();
    let keys: Vec<_> = reader
        .records()
        .map(|record| record.unwrap())
        .map(|record| (record[2].to_owned(), query::parse_rfc3339(&record[0]).unwrap(), record[3].to_owned()))
        .collect();
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "in order, and none twice");
    let narrowed = path(dir.path(), "narrowed");
    let only = ["--device", "wide", "--device", "d7", "--metric", "m", "--metric", "m3"];
    assert_eq!(exported(&served, &narrowed, &only), [("2026-11-20".to_owned(), 2)]);
}

#[test]
fn every_table_can_be_exported() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    post(&served, &(0..180).map(|n| reading(20, n)).collect::<Vec<_>>().join("\n"));
    stored(&served, 180);
    served.curl(&["-d", r#"{"device_id":"d","metric":"m","value":[]}"#], "/v1/telemetry");
    served.eventually("SELECT id FROM dlq");
    served.eventually("SELECT count(*) FROM aggregations HAVING count(*) > 0");
    let to = path(dir.path(), "out");
    for table in ["telemetry", "aggregations", "late", "corrections", "dlq", "ledger", "devices"] {
        for format in ["parquet", "csv", "avro"] {
            let to = format!("{to}/{format}");
            let arguments = ["--to", &to, "--table", table, "--format", format, "--summary", "json"];
            let summary: Value = serde_json::from_str(&ends(&served, "export", &arguments, 0).0).unwrap();
            let some = !["late", "corrections"].contains(&table);
            assert_eq!(summary["rows"].as_u64().unwrap() > 0, some, "{table} {summary}");
            assert!(fs::exists(format!("{to}/{table}/_SUCCESS")).unwrap());
        }
    }
}

#[test]
fn wrong_use_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    post(&served, &reading(20, 1));
    stored(&served, 1);
    let to = path(dir.path(), "out");
    let file = path(dir.path(), "file");
    fs::write(&file, "").unwrap();
    let foreign = path(dir.path(), "foreign");
    fs::create_dir_all(format!("{foreign}/telemetry/things")).unwrap();
    ends(&served, "export", &["--to", &to], 0);
    for (arguments, words) in [
        (&["--to", &*to, "--format", "csv"][..], "--format"),
        (&["--to", &to, "--device", "d"], "--device"),
        (&["--to", &to, "--times", "ns"], "--times"),
        (&["--to", &to, "--table", "ledger", "--metric", "m"], "no metrics"),
        (&["--to", &to, "--table", "dlq", "--device", "d"], "--device"),
        (&["--to", &to, "--table", "devices", "--since", "2026-11-20"], "as it is now"),
        (&["--to", &to, "--since", "2026-11-21", "--until", "2026-11-20"], "--since"),
        (&["--to", &to, "--since", "yesterday"], "yesterday"),
        (&["--to", &to, "--table", "nothing"], "telemetry"),
        (&["--to", &file], "no folder"),
        (&["--to", &foreign], "not of an export"),
        (&[], "--to"),
    ] {
        let (out, said) = ends(&served, "export", arguments, 2);
        assert!(said.contains(words) && out.is_empty(), "{arguments:?}: {said}");
    }
    let output = penstock(&["export", "--to", &to, "--server", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(fs::exists(format!("{to}/telemetry/_SUCCESS")).unwrap(), "nothing was touched");
}
