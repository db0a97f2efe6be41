//! psql and psycopg, over the PostgreSQL wire.

use std::process::{Command, Output};

use super::{deps, script};
use crate::served::{Served, penstock, run, text};

fn psql(served: &Served, user: &str, password: &str, sql: &str) -> Output {
    Command::new("psql")
        .args([
            "-X",
            "-A",
            "-t",
            "-w",
            "-h",
            "127.0.0.1",
            "-p",
            &served.pgwire_port,
            "-U",
            user,
            "-d",
            "penstock",
        ])
        .args(["-c", sql])
        .env("PGPASSWORD", password)
        .env("PGCONNECT_TIMEOUT", "20")
        .output()
        .unwrap()
}

fn filled(served: &Served) {
    let body = r#"[{"device_id":"d1","metric":"t","value":21.5,"ts":"2026-11-20T12:00:00Z"},
        {"device_id":"d1","metric":"n","value":9007199254740993,"ts":"2026-11-20T12:07:00.123456Z"},
        {"device_id":"d2","metric":"s","value":"o'pen","ts":"2026-11-20T12:07:00Z"}]"#;
    let answer = served.curl(&["-d", body, "-H", "content-type: application/json"], "/v1/telemetry");
    assert!(answer.ends_with("200"), "{answer}");
    assert_eq!(served.eventually("SELECT count(*) FROM telemetry HAVING count(*) = 3"), "3");
}

#[test]
fn psql_shows_tables_asks_and_is_told_what_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    filled(&served);
    for (sql, expected) in [
        ("SELECT device_id, integer FROM telemetry WHERE metric = 'n'", "d1|9007199254740993"),
        ("SELECT time FROM telemetry WHERE metric = 'n'", "2026-11-20 12:07:00.123456+00"),
        (
            "SELECT text, value, metrics > 1 FROM telemetry JOIN devices ON id = device_id WHERE metric = 's'",
            "o'pen||f",
        ),
        ("BEGIN; SELECT 1; COMMIT", "BEGIN\n1\nCOMMIT"),
        ("SHOW server_version", "16.6"),
        ("SELECT current_setting('server_version_num')::int / 10000", "16"),
        (
            "SELECT time_bucket('10 minutes', time) AS t, count(*) FROM telemetry GROUP BY 1",
            "2026-11-20 12:00:00.000000+00|3",
        ),
        (
            "SELECT device_id, time_bucket_gapfill('6 minutes', time) AS t, locf(count(*)) FROM telemetry
             WHERE metric = 't' AND time >= '2026-11-20T12:00:00Z' AND time < '2026-11-20T12:12:00Z' GROUP BY 1, t ORDER BY t",
            "d1|2026-11-20 12:00:00.000000+00|1\nd1|2026-11-20 12:06:00.000000+00|1",
        ),
    ] {
        let output = psql(&served, "anybody", "", sql);
        assert_eq!(text(&output.stdout).trim(), expected, "{sql}: {}", text(&output.stderr));
    }
    for (command, words) in [
        ("\\dt", "public|telemetry|table"),
        ("\\d aggregations", "window_start|timestamp with time zone"),
        ("\\d", "public|ledger|table"),
    ] {
        let output = psql(&served, "anybody", "", command);
        assert!(
            text(&output.stdout).contains(words),
            "{command}: {} {}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
    for (sql, words) in [
        ("DROP TABLE telemetry", "only SELECT"),
        ("INSERT INTO telemetry VALUES (1)", "only SELECT"),
        ("COPY telemetry TO '/tmp/x'", "only SELECT"),
        ("COPY telemetry TO STDOUT", "only SELECT"),
        ("SELECT * FROM nothing", "not found"),
        ("SELECT * FROM generate_series(1, 100000000)", "more than 100000 rows"),
        ("SELEC 1", "ERROR"),
    ] {
        let output = psql(&served, "anybody", "", sql);
        assert!(
            !output.status.success() && text(&output.stderr).contains(words),
            "{sql}: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn psycopg_prepares_and_binds_every_type() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    filled(&served);
    let python = format!("{}/venv/bin/python3", deps());
    run(Command::new(python).arg(script("with_psycopg.py")).arg(&served.pgwire_port));
    assert_eq!(
        text(&psql(&served, "a", "", "SELECT 1").stdout).trim(),
        "1",
        "it is there after what was sent to it"
    );
}

#[test]
fn who_has_no_credential_does_not_come_in_and_each_sees_its_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with(dir.path(), &[("PENSTOCK__AUTH__MODE", "required")]);
    let data = served.dir.join("data");
    let token = |arguments: &[&str]| {
        let output = penstock(&[arguments, &["--data", data.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    };
    let service = token(&["key", "add", "dashboard", "--subscribe", "#"]);
    let device = token(&["device", "add", "d1"]);
    for (user, password, words) in [
        ("default/dashboard", "wrong", "password authentication failed"),
        ("nobody", service.as_str(), "password authentication failed"),
        ("default/d1", device.as_str(), "may not read everything"),
    ] {
        let output = psql(&served, user, password, "SELECT 1");
        assert!(
            text(&output.stderr).contains(words),
            "{user}: {} {}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
    let output = psql(&served, "default/dashboard", &service, "SELECT count(*) FROM telemetry");
    assert_eq!(text(&output.stdout).trim(), "0", "{}", text(&output.stderr));
}
