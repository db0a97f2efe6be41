//! What was acknowledged is there after a crash and after a stop.

use crate::served::Served;

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let served = Served::start(dir.path());
        let body = format!(r#"{{"device_id":"d1","metric":"m","value":1,"ts":{}}}"#, 1_700_000_000 + round);
        let answer = served.curl(&["-d", &body], "/v1/telemetry");
        assert!(answer.ends_with("\n200"), "{answer}");
        served.kill(); // most often before the store has it
    }
    let served = Served::start(dir.path());
    assert_eq!(served.eventually("SELECT count(*) FROM telemetry HAVING count(*) >= 5"), "5");
}

#[test]
fn a_stopped_server_has_everything_in_the_store_and_exits_0() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let body: String = (0..5000)
        .map(|n| format!("{{\"device_id\":\"d{n}\",\"metric\":\"m\",\"value\":{n},\"ts\":1700000000}}\n"))
        .collect();
    let file = dir.path().join("body");
    std::fs::write(&file, body).unwrap();
    let data = format!("@{}", file.display());
    let answer =
        served.curl(&["--data-binary", &data, "-H", "content-type: application/x-ndjson"], "/v1/telemetry");
    assert!(answer.contains(r#""accepted":5000"#), "{answer}");
    assert_eq!(served.terminate().code(), Some(0));
    let store = dir.path().join("data/series/manifest.db");
    let series = rusqlite::Connection::open(store).unwrap();
    let stored: i64 = series.query_row("SELECT sum(stored) FROM account", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, 5000, "SIGTERM drains");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let second = crate::served::serve(dir.path()).output().unwrap();
    let words = crate::served::text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{words}");
    assert!(words.contains("in use by process"), "{words}");

    let other = tempfile::tempdir().unwrap();
    let taken = served.http.trim_start_matches("http://");
    for variable in ["PENSTOCK__HTTP__LISTEN", "PENSTOCK__GATEWAY__MQTT__LISTEN"] {
        let refused = crate::served::serve(other.path()).env(variable, taken).output().unwrap();
        let words = crate::served::text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{words}");
        assert!(words.contains(taken) && words.contains("in use"), "{words}");
    }
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let served = Served::with(dir.path(), &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let told = || {
        let mut text = [0; 64];
        let size = socket.recv(&mut text).unwrap();
        crate::served::text(&text[..size])
    };
    assert_eq!(told(), "READY=1");
    assert_eq!(served.terminate().code(), Some(0));
    assert_eq!(told(), "STOPPING=1");
}

#[test]
fn a_look_at_a_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    served.curl(&["-d", r#"{"device_id":"d1","metric":"m","value":1}"#], "/v1/telemetry");
    let log = dir.path().join("data/log");
    let inspected = crate::served::penstock(&["log", "inspect", log.to_str().unwrap(), "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert!(inspected.status.success() && report["damage"] == serde_json::json!([]), "{report}");
    assert!(report["partitions"].to_string().contains("iot-telemetry-raw"), "{report}");

    let data = dir.path().join("data");
    let doctor = ["doctor", "--server", &served.http, "--data", data.to_str().unwrap(), "--format", "json"];
    let findings = crate::served::text(&crate::served::penstock(&doctor).stdout);
    assert!(findings.contains(r#"{"check":"server","finding":"ready","good":true}"#), "{findings}");

    served.hangup();
    crate::served::until("keys are read again", || served.log().contains("read again").then_some(()));
}

#[test]
fn a_node_does_what_its_roles_say() {
    let dir = tempfile::tempdir().unwrap();
    let body = r#"{"device_id":"d1","metric":"m","value":1}"#;
    let served = Served::with(dir.path(), &[("PENSTOCK__ROLES", "[\"gateway\"]")]);
    assert!(served.curl(&["-d", body], "/v1/telemetry").ends_with("\n200"));
    assert!(served.curl(&[], "/v1/devices").ends_with("\n404"), "it answers no questions");
    assert!(!dir.path().join("data/series").exists(), "it has no store");
    assert_eq!(served.terminate().code(), Some(0));

    let served = Served::with(dir.path(), &[("PENSTOCK__ROLES", "[\"stream\", \"store\", \"query\"]")]);
    assert_eq!(served.eventually("SELECT value FROM telemetry"), "1");
    assert_eq!(served.mqtt_port, "", "it takes nothing from devices");
    assert!(served.curl(&["-d", body], "/v1/telemetry").ends_with("\n404"));
    assert!(!served.log().contains("panicked"), "{}", served.log());
}
