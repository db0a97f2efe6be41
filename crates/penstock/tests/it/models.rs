//! A user's model, as its owner meets it: a file in the folder, a rule that names it, a reading that is like none before (feature
//! `onnx`).

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::served::{Served, run, until};

/// The last eight values: how far the farthest is from the mean of all.
const FARTHEST: &[u8] = include_bytes!("../../../detect/tests/it/models/farthest.onnx");

/// A value every five minutes, for ten days.
const EVERY_MS: u64 = 300_000;
const VALUES: u64 = 10 * 288;

fn served(dir: &Path, models: &Path) -> Served {
    let models = ("PENSTOCK__ALERT__MODELS__DIR", models.to_str().unwrap());
    // Ten days come at once, and are to be judged as they would have been day by day.
    Served::with(dir, &[models, ("PENSTOCK__GATEWAY__TOPICS__BACKFILL_AFTER_S", "0")])
}

/// Posts JSON, and says what the answer was; its status is the last line.
fn post(served: &Served, path: &str, body: &Value) -> String {
    let file = served.dir.join("body.json");
    std::fs::write(&file, body.to_string()).unwrap();
    served.curl(&["--json", &format!("@{}", file.display())], path)
}

/// Values of a bearing from then on.
fn send(served: &Served, from_ms: u64, values: &[f64]) {
    for (part, values) in values.chunks(500).enumerate() {
        let readings = (part as u64 * 500..).zip(values).map(|(n, value)| {
            json!({"device_id": "fan-1", "ts": from_ms + n * EVERY_MS, "metrics": {"vibration": value}})
        });
        let said = post(served, "/v1/telemetry", &readings.collect());
        assert!(said.ends_with("200"), "{said}");
    }
}

fn alerts(served: &Served) -> Vec<Value> {
    let page = served.curl(&[], "/v1/alerts");
    let page: Value = serde_json::from_str(page.lines().next().unwrap()).unwrap();
    page["alerts"].as_array().unwrap().clone()
}

#[test]
fn a_model_raises_an_alert_and_says_why() {
    let (dir, models) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(models.path().join("bearing.onnx"), FARTHEST).unwrap();
    let server = served(dir.path(), models.path());

    let rule = |model: &str| {
        let when = format!("anomalous(vibration, '30 days', 'model:{model}')");
        json!({"name": "Bearing", "when": when, "severity": "critical"})
    };
    let refused = post(&server, "/v1/rules", &rule("gearbox"));
    assert!(
        refused.contains("there is no model gearbox: put gearbox.onnx into the folder of models"),
        "{refused}"
    );
    let said = post(&server, "/v1/rules", &rule("bearing"));
    assert!(said.ends_with("201"), "{said}");

    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let from_ms = now_ms - VALUES * EVERY_MS;
    // Between 1 and 2, and never the same way twice.
    let values: Vec<f64> = (0..VALUES).map(|n| 1.0 + (n * 7919 % 10_007) as f64 / 10_007.0).collect();
    send(&server, from_ms, &values);
    server.eventually(&format!("SELECT count(*) FROM telemetry HAVING count(*) = {VALUES}"));
    assert_eq!(alerts(&server), [0; 0], "nothing is unusual yet");

    // What was learned survives a restart.
    assert!(server.terminate().success());
    let server = served(dir.path(), models.path());
    send(&server, now_ms, &[50.0]);
    let alert = until("the model's rule is raised", || alerts(&server).pop());
    assert_eq!(
        (&alert["device_id"], &alert["rule"], &alert["severity"]),
        (&json!("fan-1"), &json!("Bearing"), &json!("critical"))
    );
    let why = alert["why"].as_str().unwrap();
    assert!(
        why.contains("anomalous(vibration, '30 days', 'model:bearing') = true (the model says 4"),
        "{why}"
    );
    let shown = run(std::process::Command::new(crate::served::PENSTOCK).args([
        "alert",
        "list",
        "--server",
        &server.http,
    ]));
    assert!(crate::served::text(&shown.stdout).contains("the model says 4"), "{shown:?}");
}
