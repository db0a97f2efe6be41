//! The web interface in Debian's Chromium, against the real binary: what people do there, page by page.
//!
//! `flows.mjs` and `alerts.mjs` are what they do; `feed.mjs` what the fleet sends. Chromium, playwright-core and axe-core come by
//! scripts/install-test-deps.sh.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::served::{Served, penstock, run, text};

const REQUIRED: &[(&str, &str)] = &[("PENSTOCK__AUTH__MODE", "required")];

/// The receiver of webhooks is on the same machine.
const TO_OURSELVES: &[(&str, &str)] = &[("PENSTOCK__ALERT__WEBHOOK__ALLOW_PRIVATE", "true")];

fn script(name: &str) -> String {
    format!("{}/tests/it/web/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Where the tools are; `None`, said aloud, where nobody installed them.
fn deps() -> Option<String> {
    let deps = std::env::var("PENSTOCK_TEST_DEPS").ok();
    let deps = deps.filter(|deps| Path::new(deps).join("node_modules/playwright-core").exists());
    if deps.is_none() {
        eprintln!(
            "skipped: PENSTOCK_TEST_DEPS names no folder with a browser's driver; `make test` installs it"
        );
    }
    deps
}

#[test]
fn people_find_their_way() {
    let Some(deps) = deps() else { return };
    let (open, closed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let served = Served::start(open.path());
    let guarded = Served::with(closed.path(), REQUIRED);
    let data = guarded.dir.join("data");
    let key = ["key", "add", "dashboard", "--subscribe", "#", "--data", data.to_str().unwrap()];
    let key = text(&penstock(&key).stdout).trim().to_owned();

    let said = run(Command::new("node")
        .arg(script("flows.mjs"))
        .args([&served.http, &served.mqtt_port, &guarded.http, &key])
        .env("PENSTOCK_TEST_DEPS", deps));
    // Each flow is a line, with how long it took.
    print!("{}", text(&said.stdout));

    // What was mended in the browser is stored, and the account balances.
    let mended = served.query(&["--format", "csv", "SELECT value FROM telemetry WHERE device_id = 'pump-7'"]);
    assert!(mended.contains("21.5"), "{mended}");
    let verdict = served.curl(&[], "/v1/ledger/verify");
    let verdict: Value = serde_json::from_str(verdict.lines().next().unwrap()).unwrap();
    assert_eq!(verdict["balanced"], true, "{verdict}");
}

#[test]
fn people_write_rules_and_answer_alerts() {
    let Some(deps) = deps() else { return };
    let dir = tempfile::tempdir().unwrap();
    let served = Served::with(dir.path(), TO_OURSELVES);
    let said =
        run(Command::new("node").arg(script("alerts.mjs")).arg(&served.http).env("PENSTOCK_TEST_DEPS", deps));
    print!("{}", text(&said.stdout));

    // What was said in the browser is what the server keeps.
    let kept = served.query(&[
        "--format",
        "csv",
        "SELECT rule, state, count(*) FROM alerts WHERE device_id = 'oven-1' GROUP BY rule, state",
    ]);
    assert!(kept.contains("Oven too hot,resolved,2"), "{kept}");
}
