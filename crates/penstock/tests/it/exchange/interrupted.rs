//! Broken off in the middle, by kill -9 of either side.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{command, ends, import, path, rows, stored};
use crate::served::{Served, text, until};

/// Readings, and a row without a device after each thousand.
fn history(dir: &Path, readings: usize) -> String {
    let mut csv = String::from("time,device_id,m\n");
    for n in 0..readings {
        let (minute, milli) = (n / 60_000, n % 60_000);
        writeln!(csv, "2026-11-20T10:{minute:02}:{:02}.{:03}Z,d{},{n}", milli / 1000, milli % 1000, n % 7)
            .unwrap();
        if n % 1_000 == 999 {
            writeln!(csv, "2026-11-20T10:00:00Z,,{n}").unwrap();
        }
    }
    let file = path(dir, "history.csv");
    fs::write(&file, csv).unwrap();
    file
}

#[test]
fn an_export_that_cannot_write_says_so_and_leaves_nothing_half() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = history(dir.path(), 5_000);
    import(&served, &[&file], 1);
    stored(&served, 5_000);
    let to = path(dir.path(), "out");
    // The system lets no file grow beyond a few kilobytes, as a full disk does.
    let limited = format!(
        "trap '' XFSZ; ulimit -f 64; exec {} export --to {to} --format csv --server {}",
        crate::served::PENSTOCK,
        served.http
    );
    let output = Command::new("bash").args(["-c", &limited]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be written") && said.contains("part-000.csv"), "{said}");
    assert!(!fs::exists(format!("{to}/telemetry/date=2026-11-20")).unwrap());
    assert!(!fs::exists(format!("{to}/.penstock/telemetry")).unwrap());
}

#[test]
fn where_its_place_cannot_be_noted_an_import_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = path(dir.path(), "history.csv");
    fs::write(&file, "time,device_id,m\n2026-11-20T10:00:00Z,d1,1\n").unwrap();
    fs::create_dir(format!("{file}.import.json")).unwrap(); // stands for a folder nobody may write to
    let (_, said) = ends(&served, "import", &[&file], 0);
    assert!(said.contains("history.csv.import.json cannot be written"), "{said}");
    stored(&served, 1);
}

fn started(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = history(dir.path(), 150_000);
    let mut first = started(command(&served, "import", &[&file, "--in-flight", "2"]));
    let note = format!("{file}.import.json");
    until("it has noted how far it is", || {
        assert!(first.try_wait().unwrap().is_none(), "it ended before it was killed");
        fs::exists(&note).unwrap().then_some(())
    });
    first.kill().unwrap();
    first.wait().unwrap();
    let noted: Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
    let before = noted["totals"]["rows"].as_u64().unwrap();
    assert!((1..150_150).contains(&before), "{noted}");
    // Torn: rows that were listed after the place was noted.
    let list = format!("{file}.rejected.csv");
    let mut torn = fs::read(&list).unwrap_or_default();
    torn.extend_from_slice(b"999,torn,2026");
    fs::write(&list, torn).unwrap();

    let (out, said) = ends(&served, "import", &[&file, "--in-flight", "2", "--format", "json"], 1);
    assert!(said.contains("goes on where it was broken off"), "{said}");
    let summary: Value = serde_json::from_str(&out).unwrap();
    let totals = &summary["files"][0];
    assert_eq!((totals["rows"].as_u64(), totals["rejected_rows"].as_u64()), (Some(150_150), Some(150)));
    assert_eq!(totals["readings"], 150_000);
    assert!(!fs::exists(&note).unwrap());
    let lines: Vec<u64> = csv::Reader::from_path(&list)
        .unwrap()
        .records()
        .map(|record| record.unwrap()[0].parse().unwrap())
        .collect();
    let expect: Vec<u64> = (1..=150).map(|n| n * 1_001 + 1).collect();
    assert_eq!(lines, expect, "each once");
    stored(&served, 150_000);
    assert_eq!(rows(&served, "SELECT sum(integer) FROM telemetry"), (149_999_u64 * 75_000).to_string());
    served.query(&["SELECT 1"]);
    ends(&served, "ledger", &["verify"], 0);
}

#[test]
fn an_import_waits_for_a_server_that_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = history(dir.path(), 60_000);
    let importing = started(command(&served, "import", &[&file, "--in-flight", "2"]));
    served.eventually("SELECT count(*) FROM telemetry HAVING count(*) > 0");
    let address = served.http.trim_start_matches("http://").to_owned();
    served.kill();
    let served = Served::with(dir.path(), &[("PENSTOCK__HTTP__LISTEN", &address)]);
    let output = importing.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    stored(&served, 60_000);
    assert_eq!(rows(&served, "SELECT sum(integer) FROM telemetry"), (59_999_u64 * 30_000).to_string());
}

#[test]
fn an_export_that_was_killed_leaves_the_dates_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = history(dir.path(), 60_000);
    import(&served, &[&file], 1);
    stored(&served, 60_000);
    let to = path(dir.path(), "out");
    let arguments = ["--to", &to, "--format", "csv"];
    ends(&served, "export", &arguments, 0);
    let part = format!("{to}/telemetry/date=2026-11-20/part-000.csv");
    let before = fs::read(&part).unwrap();
    let mut exporting = started(command(&served, "export", &arguments));
    let staged = format!("{to}/.penstock/telemetry/date=2026-11-20");
    until("it is in the middle of a date", || {
        assert!(exporting.try_wait().unwrap().is_none(), "it ended before it was killed");
        fs::exists(&staged).unwrap().then_some(())
    });
    exporting.kill().unwrap();
    exporting.wait().unwrap();
    assert_eq!(fs::read(&part).unwrap(), before);
    assert!(!fs::exists(format!("{to}/telemetry/_SUCCESS")).unwrap());
    ends(&served, "export", &arguments, 0);
    assert_eq!(fs::read(&part).unwrap(), before, "the same rows in the same order");
    assert!(!fs::exists(&staged).unwrap() && fs::exists(format!("{to}/telemetry/_SUCCESS")).unwrap());
}
