//! Readings that rules pass on (R9.7), through the real binary: to a topic, to a webhook, into the server's log.

use std::process::Command;

use serde_json::{Value, json};

use super::receiver::{Receiver, post};
use crate::served::{Served, run, text, until};

/// A subscriber whose session stays on the server while it is away.
fn subscriber(served: &Served) -> Command {
    let mut command = Command::new("mosquitto_sub");
    command.args(["-h", "127.0.0.1", "-p", &served.mqtt_port, "-c", "-i", "line-display", "-q", "1"]);
    command.args(["-t", "lines/hot"]);
    command
}

/// What a route passes on of the readings over 80.
fn expected(rule: &str) -> Vec<Value> {
    let body = |value: f64| json!({ "rule": rule, "version": 1, "device_id": "m-1", "metrics": { "temperature": value } });
    [81.5, 90.0].map(body).to_vec()
}

/// In the order of their times, which are taken out: they are the server's.
fn without_times(mut bodies: Vec<Value>) -> Vec<Value> {
    bodies.sort_by_key(|body| body["ts"].as_str().unwrap().to_owned());
    for body in &mut bodies {
        body.as_object_mut().unwrap().remove("ts");
    }
    bodies
}

#[test]
fn readings_are_passed_on_to_a_topic_a_webhook_and_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (receiver, url) = Receiver::listen();
    let served = Served::with(dir.path(), &[("PENSTOCK__ALERT__WEBHOOK__ALLOW_PRIVATE", "true")]);
    run(subscriber(&served).arg("-E"));
    let routes = [
        ("to topic", json!({ "mqtt": "lines/hot" })),
        ("to hook", json!({ "webhook": url })),
        ("to log", json!({ "log": "warning" })),
    ];
    for (name, route) in routes {
        let rule = json!({ "name": name, "when": "temperature > 80", "route": route });
        let (status, said) = post(&served, "/v1/rules", &rule);
        assert_eq!(status, 201, "{said}");
    }
    for value in [20.0, 81.5, 90.0] {
        let reading = json!({ "device_id": "m-1", "metric": "temperature", "value": value });
        let (status, said) = post(&served, "/v1/telemetry", &reading);
        assert_eq!((status, &said["accepted"]), (200, &json!(1)), "{said}");
    }
    let heard = run(subscriber(&served).args(["-C", "2", "-W", "20"]));
    let heard = text(&heard.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(without_times(heard), expected("to-topic"));
    let bodies = until("the webhook has both", || Some(receiver.bodies()).filter(|all| all.len() == 2));
    assert_eq!(without_times(bodies), expected("to-hook"));
    let log = until("the log says both", || {
        Some(served.log()).filter(|log| log.matches("a rule wants this reading to be said").count() == 2)
    });
    let said: Vec<&str> = log.lines().filter(|line| line.contains("a rule wants this")).collect();
    for (line, value) in said.iter().zip(["81.5", "90.0"]) {
        assert!(line.contains("to-log") && line.contains("m-1") && line.contains(value), "{line}");
        assert!(line.contains("WARN"), "{line}");
    }
    // None of it raises an alert.
    assert_eq!(served.query(&["--format", "csv", "SELECT count(*) AS n FROM alerts"]).trim_end(), "n\r\n0");
    assert!(served.terminate().success());
}
