//! Names of devices and tenants that look like something else: paths, ends of texts, other letters. They are stored under exactly
//! that name or refused, over HTTP and MQTT, and make no file outside the data directory.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rigs::outcome::Result;

use crate::{MARKS, Site, TENANTS, ensure_promise, over_http, post};

const ODD: [&str; 20] = [
    "..",
    "../..",
    "../other/telemetry",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..\\..\\x",
    ".",
    " ",
    "a\u{0}b",
    "%2e%2e%2f",
    "CON",
    "d1\n",
    "ünïcödé-設備-🦀",
    "\u{202e}gnp",
    "'; DROP TABLE telemetry; --",
    "\"",
    "$(reboot)",
    "+",
    "#",
];

pub(crate) fn check(site: &Site) -> Result<()> {
    let long = ["x".repeat(100), "x".repeat(128), "x".repeat(10_000), "🦀".repeat(300)];
    let names: Vec<&str> = ODD.iter().copied().chain(long.iter().map(String::as_str)).collect();
    let mut taken = Vec::new();
    for name in &names {
        let body =
            serde_json::json!({"device_id": name, "metric": "odd", "value": 1, "ts": "2026-11-20T12:00:00Z"});
        let (status, said) = post(site, 0, "/v1/telemetry", &body.to_string(), "application/json", "*/*")?;
        ensure_promise([200, 400, 413, 422].contains(&status), || {
            format!("device {name:?}: {status} {said}")
        })?;
        if status == 200 {
            taken.push(*name);
        }
        let line = name.replace([' ', ',', '=', '\n'], "\\ ");
        let line = format!("odd,device_id={line} value=1 1795262400000000000");
        let (status, said) = post(site, 0, "/write?db=x", &line, "text/plain", "*/*")?;
        ensure_promise([204, 400, 413, 422].contains(&status), || format!("tag {name:?}: {status} {said}"))?;
        over_mqtt(site, name);
    }
    // What was taken is there under its name, and nobody else's rows with it.
    let deadline = Instant::now() + Duration::from_secs(30);
    for name in taken {
        let sql = format!(
            "SELECT DISTINCT device_id FROM telemetry WHERE device_id = '{}'",
            name.replace('\'', "''")
        );
        loop {
            let (status, said) = over_http(site, 0, &sql, "application/json")?;
            let expected = serde_json::json!([{ "device_id": name }]);
            let rows: serde_json::Value = serde_json::from_str(&said)?;
            if status == 200 && rows["rows"] == expected {
                break;
            }
            ensure_promise(Instant::now() < deadline, || {
                format!("device {name:?} is not there: {status} {said}")
            })?;
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let (_, said) = over_http(site, 1, "SELECT DISTINCT device_id FROM telemetry", "application/json")?;
    ensure_promise(!said.contains(MARKS[0]) && !said.contains("etc"), || {
        format!("another tenant's device: {said}")
    })?;
    // Tenants are made by operators, and still are no paths.
    for name in &names {
        let user = format!("{name}/rig");
        let refused = crate::wire::Wire::open(site.pgwire, &user.replace('\0', ""), &site.tokens[0]);
        ensure_promise(refused.is_err() || *name == TENANTS[0], || format!("tenant {name:?} is let in"))?;
    }
    Ok(())
}

/// Over MQTT, as topic and in the payload; an odd name may be refused, or the connection ended.
fn over_mqtt(site: &Site, name: &str) {
    let port = site.mqtt.port().to_string();
    let payload = serde_json::json!({"device_id": name, "metric": "odd", "value": 2}).to_string();
    let user = format!("{}/rig", TENANTS[0]);
    for topic in [format!("devices/{}/telemetry", name.replace('\0', "")), "telemetry".to_owned()] {
        // Where the client is not installed, HTTP has tried the same names.
        let _ = Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-u", &user, "-P", &site.tokens[0]])
            .args(["-t", &topic, "-m", &payload])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
