//! In over MQTT, with the clients that everybody has.

use std::process::Command;

use crate::served::{Served, run};

/// `mosquitto_pub` with QoS 1: returns once the message is acknowledged.
pub(super) fn publish(served: &Served, version: &str, topic: &str, payload: &str) {
    run(Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &served.mqtt_port, "-V", version, "-q", "1"])
        .args(["-t", topic, "-m", payload]));
}

#[test]
fn a_reading_published_with_mosquitto_pub_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for (version, device) in [("mqttv311", "d1"), ("mqttv5", "d2")] {
        let payload = r#"{"ts":1700000000,"metrics":{"temperature":21.5}}"#;
        publish(&served, version, &format!("devices/{device}/telemetry"), payload);
        let rows = served
            .eventually(&format!("SELECT time, metric, value FROM telemetry WHERE device_id = '{device}'"));
        assert_eq!(rows, "2023-11-14T22:13:20Z,temperature,21.5");
        let curl = served.curl(&[], &format!("/v1/query?device_id={device}&metric=temperature"));
        assert!(curl.contains("[[1700000000000,21.5]]"), "{curl}");
    }
}

#[test]
fn what_cannot_be_read_is_acknowledged_on_3_1_1_and_a_dead_letter() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    publish(&served, "mqttv311", "devices/d1/telemetry", "21.5 degrees");
    let rows = served.eventually("SELECT device_id, topic, payload FROM dlq");
    assert_eq!(rows, "d1,devices/d1/telemetry,21.5 degrees");
    assert_eq!(served.query(&["--format", "csv", "SELECT count(*) AS n FROM telemetry"]), "n\r\n0\n");
}

#[test]
fn a_subscriber_gets_what_is_published() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    // Retained, so that it does not matter who is first.
    run(Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &served.mqtt_port, "-q", "1", "-r"])
        .args(["-t", "chat/room", "-m", "hello"]));
    let heard = run(Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &served.mqtt_port])
        .args(["-t", "chat/+", "-C", "1", "-W", "20"]));
    assert_eq!(heard.stdout, b"hello\n");
}

#[test]
fn what_was_acknowledged_over_mqtt_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let served = Served::start(dir.path());
        let payload = format!(r#"{{"ts":{},"metrics":{{"m":1}}}}"#, 1_700_000_000 + round);
        publish(&served, "mqttv5", "devices/d1/telemetry", &payload);
        served.kill(); // most often before the store has it
    }
    let served = Served::start(dir.path());
    assert_eq!(served.eventually("SELECT count(*) FROM telemetry HAVING count(*) >= 5"), "5");
}
