//! In and out over HTTP.

use crate::served::{Served, penstock, text};

const ALL: &str = "SELECT device_id, metric, value FROM telemetry ORDER BY device_id, metric";

#[test]
fn a_reading_sent_over_http_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let body = r#"[{"device_id":"d1","metric":"temperature","value":21.5,"ts":1700000000},
        {"device_id":"d1","ts":"2023-11-14T22:13:21Z","metrics":{"count":9007199254740993,"open":true}},
        {"device_id":"d1","metric":"state","value":"idle, \"ok\"","ts":1700000000000}]"#;
    let answer = served.curl(&["-d", body, "-H", "content-type: application/json"], "/v1/telemetry");
    assert!(answer.ends_with("\n200"), "{answer}");
    assert!(answer.contains(r#""accepted":4"#), "{answer}");
    served.eventually("SELECT 1 FROM telemetry WHERE metric = 'state'");

    // 2^53+1 would come back even or rounded if it had passed through a float anywhere.
    let json = served.query(&["--format", "json", &format!("{ALL} LIMIT 1")]);
    assert_eq!(
        json.trim(),
        r#"{"columns":["device_id","metric","value"],"rows":[{"device_id":"d1","metric":"count","value":9007199254740993}]}"#
    );
    let csv = served.query(&["--format", "csv", "SELECT time, text FROM telemetry WHERE text IS NOT NULL"]);
    assert_eq!(csv.lines().collect::<Vec<_>>(), ["time,text", "2023-11-14T22:13:20Z,\"idle, \"\"ok\"\"\""]);
    let table = served.query(&["-p", "\"temperature\"", "SELECT value FROM telemetry WHERE metric = ?"]);
    assert!(table.contains("21.5"), "{table}");

    let points =
        served.curl(&[], "/v1/query?device_id=d1&metric=temperature&start=2023-11-14&end=2023-11-15");
    assert_eq!(
        points,
        "{\"device_id\":\"d1\",\"metric\":\"temperature\",\"points\":[[1700000000000,21.5]],\
         \"resolution\":\"raw\",\"tiers\":[\"hot\"]}\n200"
    );
    let latest = served.curl(&[], "/v1/devices/d1/latest");
    assert!(latest.contains(r#""open":{"arrived_at":"#) && latest.contains(r#""value":true"#), "{latest}");
    let devices = served.curl(&[], "/v1/devices");
    assert!(devices.contains(r#""id":"d1""#), "{devices}");
    let metrics = served.curl(&[], "/metrics");
    assert!(metrics.contains("\npenstock_readings_stored_total 4\n"), "{metrics}");
}

#[test]
fn the_same_reading_sent_again_is_stored_once_and_another_value_corrects_it() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for value in [1, 1, 2] {
        let body = format!(r#"{{"device_id":"d1","metric":"m","value":{value},"ts":1700000000}}"#);
        let answer = served.curl(&["-d", &body], "/v1/telemetry");
        assert!(answer.ends_with("\n200"), "{answer}");
    }
    let rows = served.eventually("SELECT value FROM telemetry WHERE value = 2");
    assert_eq!(rows, "2");
    assert_eq!(served.query(&["--format", "csv", "SELECT count(*) AS n FROM telemetry"]), "n\r\n1\n");
    let metrics = served.curl(&[], "/metrics");
    assert!(metrics.contains("\npenstock_readings_duplicate_total 1\n"), "{metrics}");
    assert!(metrics.contains("\npenstock_readings_corrected_total 1\n"), "{metrics}");
}

#[test]
fn what_is_refused_of_a_batch_is_a_dead_letter_of_the_device_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let batch = r#"[{"device_id":"d1","metric":"m","value":1},{"device_id":"d2","metric":"m","value":{}},
        {"metric":"m","value":2},{"device_id":"d3","metric":"m"}]"#;
    let answer = served.curl(&["-d", batch], "/v1/telemetry");
    assert!(answer.ends_with("\n200"), "{answer}");
    let alone = served.curl(&["-d", r#"{"id":"d4","metric":"m","value":NaN}"#], "/v1/telemetry");
    assert!(alone.ends_with("\n422"), "{alone}");
    let lines = "m,host=w1 ok=1\nm,host=w2 bad=";
    let answer = served.curl(&["--data-binary", lines], "/write?db=x");
    assert!(answer.ends_with("\n400"), "{answer}");
    let dead = served
        .eventually("SELECT string_agg(device_id, ' ' ORDER BY device_id) FROM dlq HAVING count(*) = 5");
    assert_eq!(dead, " d2 d3 d4 w2");
    // Tried again as it is, it is refused as it was.
    let again = penstock(&["dlq", "replay", "--server", &served.http, "--where", "device_id = 'd3'"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let tried = served.eventually("SELECT attempts FROM dlq WHERE device_id = 'd3' AND attempts > 1");
    assert_eq!(tried, "2");
}

#[test]
fn line_protocol_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let line = "weather,host=w1 temperature=82.5,humidity=71i 1465839830100400200";
    for path in ["/write?db=x&precision=ns", "/api/v2/write?bucket=x&precision=ns"] {
        let answer = served.curl(&["--data-binary", line], path);
        assert!(answer.ends_with("\n204"), "{answer}");
    }
    let rows = served.eventually("SELECT time, value FROM telemetry WHERE value = 71");
    assert_eq!(rows, "2016-06-13T17:43:50.100400200Z,71");
}

/// A measurement is a table with its tags and fields as columns.
#[test]
fn a_measurement_is_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let lines = "cpu,cpu=cpu0,host=h usage_idle=91.5,usage_user=3i 1465839830000000000\n\
                 cpu,cpu=cpu1,host=h usage_idle=42,usage_user=9i 1465839830000000000";
    let answer = served.curl(&["--data-binary", lines], "/api/v2/write?bucket=x");
    assert!(answer.ends_with("\n204"), "{answer}");
    served.eventually("SELECT time, value FROM telemetry WHERE value = 42");
    let asked = "SELECT device_id, cpu, usage_idle, usage_user + 1 AS user FROM cpu
                 WHERE time >= '2016-06-13' AND usage_idle > 0 ORDER BY cpu";
    let rows = served.query(&["--format", "csv", asked]);
    assert_eq!(rows.trim_end(), "device_id,cpu,usage_idle,user\r\nh,cpu0,91.5,4\r\nh,cpu1,42.0,10");
    let tables = served.query(&[
        "--format",
        "csv",
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'cpu' ORDER BY ordinal_position",
    ]);
    let columns = ["time", "arrived_at", "device_id", "cpu", "usage_idle", "usage_user"];
    assert_eq!(tables.trim_end(), format!("column_name\r\n{}", columns.join("\r\n")));
}

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for (arguments, path, status, words) in [
        (&["-d", "{"][..], "/v1/sql", "415", "application/json"),
        (&["-d", "{", "-H", "content-type: application/json"], "/v1/sql", "400", "JSON"),
        (
            &["-d", r#"{"query":"DELETE FROM telemetry"}"#, "-H", "content-type: application/json"],
            "/v1/sql",
            "400",
            "only SELECT",
        ),
        (
            &["-d", r#"{"query":"SELECT 1","x":1}"#, "-H", "content-type: application/json"],
            "/v1/sql",
            "422",
            "unknown field",
        ),
        (&[], "/v1/query?device_id=d1", "400", "metric"),
        (&[], "/v1/query?device_id=d1&metric=m&start=yesterday", "400", "yesterday"),
        (&[], "/v1/query?device_id=d1&metric=m&step=1", "400", "step"),
        (&[], "/v1/devices/nobody", "404", "nobody"),
        (&[], "/v1/devices/nobody/latest", "404", "nobody"),
        (&[], "/v2", "404", "/v2"),
        (&["-X", "DELETE"], "/v1/devices", "405", "DELETE"),
        (&["-d", "not json"], "/v1/telemetry", "422", ""),
    ] {
        let answer = served.curl(arguments, path);
        let (body, got) = answer.rsplit_once('\n').unwrap();
        assert_eq!(got, status, "{path}: {body}");
        assert!(body.contains(words), "{path}: {body}");
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["status"].to_string(), status, "{path}: RFC 9457");
    }
    for path in ["/", "/health/live", "/health/ready"] {
        assert!(served.curl(&[], path).ends_with("\n200"), "{path}");
    }
}

#[test]
fn every_path_of_the_openapi_document_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let answer = served.curl(&[], "/v1/openapi.json");
    let document: serde_json::Value = serde_json::from_str(answer.rsplit_once('\n').unwrap().0).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 10);
    for path in paths.keys() {
        // TRACE is answered nowhere: 405 where there is a path, 404 where there is none.
        let answer = served.curl(&["-X", "TRACE"], &path.replace(['{', '}'], ""));
        assert!(answer.ends_with("\n405"), "{path}: {answer}");
    }
}
