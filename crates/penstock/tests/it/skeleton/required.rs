//! With credentials required.

use std::process::Command;

use crate::served::{Served, penstock, text};

const REQUIRED: &[(&str, &str)] = &[("PENSTOCK__AUTH__MODE", "required")];

fn token(served: &Served, arguments: &[&str]) -> String {
    let data = served.dir.join("data");
    let output = penstock(&[arguments, &["--data", data.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// Whether `mosquitto_pub` with QoS 1 says that it worked.
fn publishes(served: &Served, user: &str, password: &str, topic: &str) -> bool {
    let output = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &served.mqtt_port, "-V", "mqttv5", "-q", "1", "-i", "d1"])
        .args(["-u", user, "-P", password, "-t", topic, "-m", r#"{"m":1}"#])
        .output()
        .unwrap();
    // A refusal of the publish is a warning on stderr and still exit 0.
    output.status.success() && output.stderr.is_empty()
}

#[test]
fn nobody_comes_in_without_credentials_and_a_device_only_to_itself() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with(dir.path(), REQUIRED);
    let device = token(&served, &["device", "add", "d1"]);
    let service = token(&served, &["key", "add", "dashboard", "--subscribe", "#"]);

    assert!(publishes(&served, "default/d1", &device, "devices/d1/telemetry"));
    assert!(!publishes(&served, "default/d1", &device, "devices/d2/telemetry"), "another's topic");
    assert!(!publishes(&served, "default/d1", "wrong", "devices/d1/telemetry"), "a wrong token");
    assert!(!publishes(&served, "default/d2", &device, "devices/d2/telemetry"), "another's name");

    let bearer = |token: &str| format!("authorization: Bearer {token}");
    for (header, status) in [
        ("x-nothing: 1".to_owned(), "401"),
        (bearer("wrong"), "401"),
        (bearer(&device), "403"),
        (bearer(&service), "200"),
    ] {
        for path in ["/v1/devices", "/metrics", "/v1/query?device_id=d1&metric=m", "/subjects"] {
            let answer = served.curl(&["-H", &header], path);
            assert!(answer.ends_with(status), "{path} {header}: {answer}");
        }
    }
    assert!(served.curl(&["-H", &bearer(&device)], "/v1/stream").ends_with("\n403"));
    let answer = served.curl(&["-d", r#"{"device_id":"d1","metric":"m","value":1}"#], "/v1/telemetry");
    assert!(answer.ends_with("\n401"), "{answer}");
    // The pages of the web interface hold no data: what they show, they ask for with credentials.
    for path in ["/", "/licenses.txt", "/health/live", "/health/ready"] {
        assert!(served.curl(&[], path).ends_with("\n200"), "{path}");
    }

    let ask = || {
        let arguments = ["query", "--server", &served.http, "--token", &service, "--format", "csv"];
        text(&penstock(&[&arguments[..], &["SELECT DISTINCT device_id FROM telemetry"]].concat()).stdout)
    };
    crate::served::until("d1's reading is there", || (ask() == "device_id\r\nd1\n").then_some(()));

    // Revoked, it counts at once.
    token(&served, &["device", "revoke", "d1"]);
    assert!(!publishes(&served, "default/d1", &device, "devices/d1/telemetry"), "a revoked token");
}
