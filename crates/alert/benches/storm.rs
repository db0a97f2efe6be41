//! How fast a storm of alerts is taken, and what an alert takes on disk.
//!
//! `cargo bench -p penstock-alert --bench storm [-- ALERTS]`
//!
//! Conditions begin on ever new devices, in batches; ten people hear of them, within their limits. Then all of them end. Then
//! everything is given again, as after a crash.

#![allow(clippy::print_stdout)] // a benchmark's figures are its output

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use metadata::{Metadata, Sqlite};
use penstock_alert::{Alerts, Config, Directory, Person, Terms};
use record::{DeviceId, Facts, TenantId, Timestamp};
use rule::{Kind, RuleId, Transition};

/// Transitions of a commit: what 50 ms of a storm of 5 000 a second bring, and what a longer queue is cut into.
const BATCHES: [usize; 2] = [250, 1000];
/// People who hear of everything.
const PEOPLE: usize = 10;

/// Rules and devices of which nothing is known.
struct Plain;

impl Directory for Plain {
    fn terms(&self, _: &TenantId, _: &RuleId, _: u32) -> Result<Option<Terms>, String> {
        Ok(None)
    }

    fn facts(&self, _: &TenantId, _: &DeviceId) -> Result<Facts, String> {
        Ok(Facts::default())
    }
}

fn main() {
    let alerts = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    for batch in BATCHES {
        println!("batches of {batch}:");
        storm(alerts, batch);
    }
}

fn storm(number: usize, batch: usize) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("metadata.db");
    let metadata: Arc<dyn Metadata> = Arc::new(Sqlite::open(&path).expect("a new database"));
    let settings = Config::default().validate().expect("the defaults are possible");
    let alerts = Alerts::open(metadata, Arc::new(Plain), settings).expect("a new database is empty");
    let tenant = TenantId::default_tenant();
    for n in 0..PEOPLE {
        let json = r#"{"name":"Ann","channels":{"hook":{"kind":"webhook","url":"https://example.com/"}}}"#;
        let person: Person = serde_json::from_str(json).expect("a person");
        alerts.put_person(&tenant, &format!("person-{n}"), &person).expect("a person");
    }
    for (what, kind) in [("begin", Kind::Began), ("end", Kind::Ended), ("begin, given again", Kind::Began)] {
        let start = Instant::now();
        for first in (0..number).step_by(batch) {
            let last = number.min(first + batch);
            let batch: Vec<Transition> = (first..last).map(|n| transition(&tenant, n, kind)).collect();
            let now = batch.last().expect("steps are not empty").at;
            alerts.take(&batch, &[("live/0".into(), last as u64)], now).expect("it can be written");
            alerts.tick(now).expect("it can be written");
        }
        let per_second = number as f64 / start.elapsed().as_secs_f64();
        println!("  {what:<20} {per_second:>10.0} transitions/s");
    }
    if let Some(kib) = most_memory_kib() {
        println!("  {:<20} {:>10} KiB of memory at most, so far", "", kib);
    }
    drop(alerts);
    let bytes = size(&path) as f64 / number as f64;
    println!("  {:<20} {bytes:>10.0} bytes/alert in the database, all told", "");
}

/// 5 000 a second.
fn transition(tenant: &TenantId, n: usize, kind: Kind) -> Transition {
    let start_ms = 1_767_225_600_000;
    let at_ms = start_ms + n as i64 / 5;
    let cause = Timestamp::from_millis(at_ms).expect("a time of this century");
    let ended = Timestamp::from_millis(at_ms + 60_000).expect("a time of this century");
    Transition {
        tenant: tenant.clone(),
        device: DeviceId::parse(&format!("device-{n:07}")).expect("a good id"),
        rule: RuleId("too-hot".into()),
        version: 1,
        kind,
        cause,
        at: if kind == Kind::Began { cause } else { ended },
        retrospective: false,
        why: "temperature 81.25 over 80 for 2 minutes".into(),
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).expect("the database was closed and is there").len()
}

/// The most memory that this process had at any time, where the system says it.
fn most_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
