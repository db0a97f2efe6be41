//! How long it takes from a transition to the receiver of its webhook, on this machine.
//!
//! `cargo bench -p penstock-alert --bench delivery [-- ALERTS]`
//!
//! One alert after the other: taken, committed to SQLite, found by the courier, sent over a connection of its own, received. The pause
//! between them is that of 100 alerts a second.

#![allow(clippy::print_stdout)] // a benchmark's figures are its output

use std::sync::Arc;
use std::time::{Duration, Instant};

use metadata::{Metadata, Sqlite};
use penstock_alert::{Alerts, Channels, Config, Courier, Directory, Person, Raise, Terms};
use record::{DeviceId, Facts, TenantId, Timestamp};
use rule::RuleId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

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

#[tokio::main]
async fn main() {
    let number: usize = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(500);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let metadata: Arc<dyn Metadata> =
        Arc::new(Sqlite::open(&dir.path().join("metadata.db")).expect("a new database"));
    let mut config = Config::default();
    config.webhook.allow_private = true;
    let settings = config.validate().expect("the defaults are possible");
    let alerts = Arc::new(Alerts::open(metadata, Arc::new(Plain), settings.clone()).expect("it is empty"));
    let (url, mut received) = receiver().await;
    let tenant = TenantId::default_tenant();
    let json =
        format!(r#"{{"name":"Bus","channels":{{"hook":{{"kind":"webhook","url":"{url}"}}}},"per_hour":0}}"#);
    let bus: Person = serde_json::from_str(&json).expect("a person");
    alerts.put_person(&tenant, "bus", &bus).expect("it can be written");
    let channels = Arc::new(Channels::new(&settings, None));
    let courier = Courier::new(Arc::clone(&alerts), channels, Arc::new(Timestamp::now), Arc::new(|| 0.5));
    let task = tokio::spawn(courier.run(std::future::pending()));
    let mut took = Vec::new();
    for n in 0..number {
        let raise = raise(&tenant, n);
        let (alerts, start) = (Arc::clone(&alerts), Instant::now());
        let raised = tokio::task::spawn_blocking(move || alerts.raise(&raise, Timestamp::now()));
        raised.await.expect("it does not panic").expect("it can be written");
        received.recv().await.expect("the receiver is there");
        took.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(10).saturating_sub(start.elapsed())).await;
    }
    task.abort();
    took.sort();
    for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("most", 1.0)] {
        let at = ((took.len() as f64 * share) as usize).min(took.len() - 1);
        println!("{name:<5} {:>8.2} ms", took[at].as_secs_f64() * 1e3);
    }
}

fn raise(tenant: &TenantId, n: usize) -> Raise {
    Raise {
        tenant: tenant.clone(),
        device: DeviceId::parse(&format!("device-{n}")).expect("a good id"),
        rule: RuleId("too-hot".into()),
        severity: None,
        why: "temperature 81.25 over 80 for 2 minutes".into(),
        by: None,
        at: Timestamp::now(),
    }
}

/// Says when a request came, and answers it.
async fn receiver() -> (String, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    let (came, received) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut some = [0; 8192];
            if stream.read(&mut some).await.is_ok_and(|bytes| bytes > 0) {
                let _ = came.send(()).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
            }
        }
    });
    (url, received)
}
