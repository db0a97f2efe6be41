//! What it costs to ask what is known of a device.
//!
//! `cargo bench -p penstock-registry --bench devices [-- DEVICES]`
//!
//! All devices of a fleet are asked for, one after the other: first from a file, then from memory; half of them are
//! registered, and something was learned of each.

#![allow(clippy::print_stdout)] // a benchmark's figures are its output

use std::sync::Arc;
use std::time::Instant;

use metadata::{Change, Metadata, Row, Sqlite, Table};
use penstock_registry::{Devices, News};
use record::{DeviceId, Said, TenantId};

fn main() {
    let devices = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let metadata: Arc<dyn Metadata> =
        Arc::new(Sqlite::open(&dir.path().join("metadata.db")).expect("a new database"));
    let (tenant, ids) = (TenantId::default_tenant(), (0..devices).map(|n: usize| format!("device-{n:06}")));
    let ids: Vec<String> = ids.collect();
    let body = r#"{"type":"pump","site":"hamburg","location":{"lat":53.5,"lng":9.75},"tags":{"line":"4"}}"#;
    let row = |id: &String| Row { tenant: tenant.to_string(), id: id.clone(), body: body.into() };
    let rows: Vec<Change> = ids.iter().step_by(2).map(|id| Change::Put(Table::Devices, row(id))).collect();
    metadata.commit(&rows).expect("it can be written");

    let registry = Devices::new(Arc::clone(&metadata), None);
    let show = |what: &str, began: Instant| {
        println!("{what:<32} {:>10.2} µs/device", began.elapsed().as_secs_f64() * 1e6 / devices as f64);
    };
    let news = |id: &String| News {
        tenant: tenant.clone(),
        device: DeviceId::parse(id).expect("an id"),
        learned: Said::new(None, None, Some("2.1.0")).to_learned(),
    };
    let all: Vec<News> = ids.iter().map(news).collect();
    let began = Instant::now();
    registry.learn(&all).expect("it can be written");
    show("learned, all in one commit", began);
    for what in ["asked for, from the file", "asked for, from memory"] {
        let began = Instant::now();
        for id in &ids {
            registry.known(&tenant, id).expect("it can be read");
        }
        show(what, began);
    }
}
