//! The way of a reading, from the command line.

use std::process::Output;

use serde_json::Value;

use super::mqtt::publish;
use crate::served::{Served, penstock, text};

fn trace(served: &Served, arguments: &[&str]) -> Output {
    penstock(&[&["trace"], arguments, &["--server", &served.http]].concat())
}

#[test]
fn a_reading_is_told_hop_by_hop_and_one_that_is_not_there_with_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let payload = r#"{"ts":1700000000,"seq":7,"metrics":{"temperature":21.5,"state":"on"}}"#;
    publish(&served, "mqttv5", "devices/d1/telemetry", payload);
    served.eventually("SELECT value FROM telemetry WHERE device_id = 'd1' AND value = 21.5");
    for arguments in [&["d1", "7"][..], &["d1"], &["d1", "--at", "2023-11-14T22:13:20Z"]] {
        let told = trace(&served, arguments);
        assert_eq!(told.status.code(), Some(0), "{arguments:?}: {}", text(&told.stderr));
        let told = text(&told.stdout);
        for part in [
            "state = on, temperature = 21.5 (time by device, number 7)",
            "MQTT 5, devices/d1/telemetry, QoS 1, client ",
            &format!("{} bytes of JSON", payload.len()),
            "iot-telemetry-raw, ",
            "2 reading(s) stored",
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }
    let json = trace(&served, &["d1", "7", "--format", "json"]);
    let json: Value = serde_json::from_str(&text(&json.stdout)).unwrap();
    let place = &json["messages"][0]["log"][0];
    assert_eq!((&place["topic"], place["offset"].as_u64()), (&"iot-telemetry-raw".into(), Some(0)), "{json}");
    assert!(place["committed_at"].as_str().unwrap() >= json["messages"][0]["arrived_at"].as_str().unwrap());

    // Another value under the same key: what it replaced is told.
    publish(&served, "mqttv311", "devices/d1/telemetry", &payload.replace("21.5", "22.5"));
    served.eventually("SELECT value FROM telemetry WHERE device_id = 'd1' AND value = 22.5");
    let told = text(&trace(&served, &["d1", "7"]).stdout);
    assert!(told.contains("temperature = 22.5") && told.contains("MQTT 3.1.1"), "{told}");
    // Told of the message that has it, and not of the one that still has the state.
    assert_eq!(told.matches("temperature replaced 21.5").count(), 1, "{told}");

    publish(&served, "mqttv311", "devices/d1/telemetry", "{");
    served.eventually("SELECT id FROM dlq WHERE device_id = 'd1'");
    let none = trace(&served, &["d1", "8"]);
    let (code, said) = (none.status.code(), text(&none.stderr));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no reading of d1 with sequence number 8 is stored"), "{said}");
    assert!(said.contains("dead letters") && said.contains(" gateway: byte 1: not JSON"), "{said}");
    assert_eq!(trace(&served, &["nobody"]).status.code(), Some(1));
    assert_eq!(trace(&served, &["d1", "--at", "yesterday"]).status.code(), Some(2));
    assert_eq!(trace(&served, &["d1", "7", "--at", "2023-11-14"]).status.code(), Some(2));
}
