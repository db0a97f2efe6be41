//! From a reading to whoever is told, through the real binary, across kill -9.

use std::collections::BTreeMap;

use log::{EmbeddedLog, Lane, Log as _, PartitionId, Position, Topic};
use serde_json::{Value, json};

use super::receiver::{Receiver, post};
use crate::served::{Served, penstock, text, until};

fn reading(served: &Served, value: f64) {
    let (status, said) = post(
        served,
        "/v1/telemetry",
        &json!({ "device_id": "m-1", "metric": "temperature", "value": value }),
    );
    assert_eq!((status, &said["accepted"]), (200, &json!(1)), "{said}");
}

fn states(served: &Served) -> String {
    served.query(&["--format", "csv", "SELECT rule_id, device_id, severity, state FROM alerts"])
}

#[test]
fn a_reading_becomes_an_alert_once_and_is_over_once() {
    let dir = tempfile::tempdir().unwrap();
    let (receiver, url) = Receiver::listen();
    let private = [("PENSTOCK__ALERT__WEBHOOK__ALLOW_PRIVATE", "true")];
    let served = Served::with(dir.path(), &private);
    let rule = |arguments: &[&str]| penstock(&[&["rule"], arguments, &["--server", &served.http]].concat());

    // A mistake is shown where it is, and nothing is kept.
    let wrong = rule(&["add", "--name", "wrong", "--when", "temperature > > 80"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains('^'), "{}", text(&wrong.stderr));

    let added = rule(&[
        "add",
        "--name",
        "Too hot!",
        "--when",
        "temperature > 80",
        "--severity",
        "critical",
        "--notify",
        &url,
    ]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    assert_eq!(
        (&added["id"], &added["version"], &added["enabled"]),
        (&json!("too-hot"), &json!(1), &json!(true))
    );

    reading(&served, 20.0);
    reading(&served, 81.5);
    until("the webhook hears of it", || receiver.kinds().contains_key("alert.raised").then_some(()));
    assert_eq!(states(&served).trim_end(), "rule_id,device_id,severity,state\r\ntoo-hot,m-1,critical,raised");

    // What is given again after a crash, and what is still too hot, is the same alert.
    served.kill();
    let served = Served::with(dir.path(), &private);
    reading(&served, 90.0);
    let alerts =
        penstock(&["alert", "list", "--state", "open", "--format", "json", "--server", &served.http]);
    let alerts: Value = serde_json::from_slice(&alerts.stdout).unwrap();
    let id = alerts["alerts"][0]["id"].as_str().unwrap().to_owned();
    assert!(alerts["alerts"][0]["why"].as_str().unwrap().contains("81.5"), "{alerts}");
    let acked =
        penstock(&["alert", "ack", &id, "--by", "ann", "--remark", "on my way", "--server", &served.http]);
    assert!(acked.status.success(), "{}", text(&acked.stderr));
    assert!(states(&served).contains("acknowledged"));

    served.kill();
    let served = Served::with(dir.path(), &private);
    reading(&served, 30.0);
    until("the webhook hears that it is over", || {
        receiver.kinds().contains_key("alert.resolved").then_some(())
    });
    assert_eq!(
        states(&served).trim_end(),
        "rule_id,device_id,severity,state\r\ntoo-hot,m-1,critical,resolved"
    );
    let expected = BTreeMap::from([("alert.raised".to_owned(), 1), ("alert.resolved".to_owned(), 1)]);
    assert_eq!(receiver.kinds(), expected);
    let shown = penstock(&["alert", "show", &id, "--server", &served.http]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let who: Vec<_> = shown["history"].as_array().unwrap().iter().map(|entry| entry["who"].clone()).collect();
    assert!(who.contains(&json!("ann")), "{shown}");

    // The same over history.
    let tried =
        penstock(&["rule", "test", "too-hot", "--since", "1h", "--format", "csv", "--server", &served.http]);
    let tried = text(&tried.stdout);
    assert_eq!(tried.lines().count(), 2, "{tried}");
    assert!(tried.contains("m-1") && tried.contains("81.5"), "{tried}");
    let (status, compared) = post(
        &served,
        "/v1/rules/too-hot/dry-run",
        &json!({ "document": { "name": "Too hot!", "when": "temperature > 85" } }),
    );
    assert_eq!(
        (status, &compared["alerts"], &compared["other"]["alerts"]),
        (200, &json!(1), &json!(1)),
        "{compared}"
    );
    assert_eq!(compared["difference"]["both"], json!(1), "{compared}");
    assert!(served.terminate().success());
    assert_eq!(
        steps(&dir.path().join("data/log")),
        ["raised too-hot", "acknowledged too-hot", "resolved too-hot"]
    );
}

#[test]
fn a_new_rule_looks_back_over_what_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for value in [90.0, 91.0, 92.0, 93.0] {
        reading(&served, value);
    }
    // No rule has seen these.
    let stored = "SELECT count(*) FROM telemetry HAVING count(*) = 4";
    assert_eq!(served.eventually(stored), "4");
    let (status, rule) =
        post(&served, "/v1/rules", &json!({ "name": "long hot", "when": "avg(temperature, '1 hour') > 60" }));
    assert_eq!(status, 201, "{rule}");
    // Without the hour before, the average would be this one.
    reading(&served, 10.0);
    until("the hour is hot", || states(&served).contains("long-hot,m-1,warning,raised").then_some(()));
    assert!(served.terminate().success());
}

/// What a reader of the topic of alerts takes: what happened, of which rule.
fn steps(log: &std::path::Path) -> Vec<String> {
    let log = EmbeddedLog::open(log, log::Options::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut steps, mut last) = (Vec::new(), 0);
    for index in 0..log.partitions(Topic::Alerts) {
        let partition = PartitionId { topic: Topic::Alerts, lane: Lane::Live, index };
        let (mut next, end) = (0, log.extent(partition).unwrap().end);
        while next < end {
            let mut reader = log.read(&[Position { partition, offset: next }]).unwrap();
            for record in
                runtime.block_on(reader.next(1 << 20)).unwrap().runs.iter().flat_map(|run| &run.records)
            {
                next += 1;
                let step: Value = serde_json::from_slice(&record.value).unwrap();
                // A crash may repeat one, with its number.
                if step["seq"].as_u64().unwrap() > last {
                    last = step["seq"].as_u64().unwrap();
                    steps.push(format!(
                        "{} {}",
                        step["step"].as_str().unwrap(),
                        step["rule_id"].as_str().unwrap()
                    ));
                }
            }
        }
    }
    runtime.block_on(log.close()).unwrap();
    steps
}

#[test]
fn alerts_from_outside_and_rules_that_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let outside = json!({ "device_id": "m-2", "rule": "smoke", "severity": "critical", "why": "seen by a camera",
                          "at": "2026-11-29T08:00:00Z" });
    let (first, raised) = post(&served, "/v1/alerts", &outside);
    let (again, same) = post(&served, "/v1/alerts", &outside);
    assert_eq!((first, again, &raised["id"]), (201, 200, &same["id"]), "{raised} {same}");
    let (status, said) =
        post(&served, &format!("/v1/alerts/{}/resolve", raised["id"].as_str().unwrap()), &json!({}));
    assert_eq!((status, &said["state"]), (200, &json!("resolved")));
    let (status, said) = post(&served, "/v1/alerts/none/ack", &json!({}));
    assert_eq!(status, 404, "{said}");

    let (status, rule) = post(&served, "/v1/rules", &json!({ "name": "cold", "when": "temperature < 5" }));
    assert_eq!((status, &rule["id"]), (201, &json!("cold")), "{rule}");
    reading(&served, 1.0);
    until("it is raised", || states(&served).contains("cold,m-1,warning,raised").then_some(()));
    let removed = penstock(&["rule", "remove", "cold", "--server", &served.http]);
    assert!(removed.status.success());
    until("it is over with its rule", || states(&served).contains("cold,m-1,warning,resolved").then_some(()));
    for (path, body) in [
        ("/v1/rules", json!({ "name": "x" })),
        ("/v1/rules", json!({ "name": "x", "when": "avg(temperature, '5 minutes') > 'hot'" })),
        ("/v1/rules", json!({ "name": "x", "when": "t > 1", "color": "red" })),
        ("/v1/alerts", json!({ "rule": "x" })),
    ] {
        let (status, said) = post(&served, path, &body);
        assert_eq!(status, 400, "{path} {body}: {said}");
        assert!(said["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    }
}
