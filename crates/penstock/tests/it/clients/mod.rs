//! The clients that devices and tools really use, against the real binary: MQTT with persistent sessions, reconnects and
//! QoS 2; the schema registry of confluent-kafka; SQL by psql and psycopg.

mod pgwire;

use std::process::Command;

use crate::house::root;
use crate::served::{Served, run, text};

/// Where paho-mqtt, confluent-kafka and mqtt.js are; installs them where `make test` has not.
fn deps() -> String {
    match std::env::var("PENSTOCK_TEST_DEPS") {
        Ok(deps) => deps,
        Err(_) => text(&run(Command::new("scripts/install-test-deps.sh").current_dir(root())).stdout)
            .trim()
            .to_owned(),
    }
}

fn script(name: &str) -> String {
    format!("{}/tests/it/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn paho_for_python() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let python = format!("{}/venv/bin/python3", deps());
    run(Command::new(python).arg(script("with_paho.py")).args([&served.mqtt_port, &served.websocket_port]));
    let rows = served.eventually("SELECT value FROM telemetry WHERE device_id = 'paho-ws' AND metric = 'm'");
    assert_eq!(rows, "1");
}

#[test]
fn mqtt_js() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    run(Command::new("node")
        .arg(script("with_mqttjs.cjs"))
        .args([&served.mqtt_port, &served.websocket_port])
        .env("PENSTOCK_TEST_DEPS", deps()));
    let rows = served.eventually("SELECT value FROM telemetry WHERE device_id = 'js-ws' AND metric = 'm'");
    assert_eq!(rows, "1");
}

#[test]
fn schema_registry_client_of_confluent_kafka() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let python = format!("{}/venv/bin/python3", deps());
    run(Command::new(python).arg(script("with_confluent.py")).arg(&served.http));
    served.kill();
    // What was registered is there after a kill.
    let served = Served::start(dir.path());
    let answer = served.curl(&[], "/subjects/protobuf-value/versions/latest");
    assert!(answer.contains(r#""schemaType":"PROTOBUF""#) && answer.ends_with("\n200"), "{answer}");
}
