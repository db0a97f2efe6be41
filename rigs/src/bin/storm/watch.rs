//! The server, looked at each second.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use rigs::metrics::{named, page, resident_bytes};
use serde::Serialize;

const LOOK: Duration = Duration::from_secs(1);
/// Rules that have not come to the end by then will not.
const PATIENCE: Duration = Duration::from_secs(600);

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) looks: Vec<Look>,
    /// From the last reading's acknowledgement until all that came of it was kept.
    pub(crate) behind_s: f64,
}

/// At one moment.
#[derive(Debug, Serialize)]
pub(crate) struct Look {
    resident_bytes: u64,
    /// Alerts raised since the start.
    raised: f64,
    /// Clean records that rules have not taken.
    rules_lag: f64,
    /// Messages that wait for delivery.
    outbox: f64,
}

impl Seen {
    /// The most resident memory.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.looks.iter().map(|look| look.resident_bytes).max().unwrap_or_default()
    }
}

/// Looks until it is over.
///
/// # Errors
/// The server does not answer.
pub(crate) fn watch(http: SocketAddr, pid: u32, over: &AtomicBool) -> anyhow::Result<Seen> {
    let mut looks = Vec::new();
    loop {
        let page = page(http, None)?;
        looks.push(Look {
            resident_bytes: resident_bytes(pid)?,
            raised: named(&page, "penstock_alerts_raised_total"),
            rules_lag: rules_lag(&page),
            outbox: named(&page, "penstock_alert_outbox_messages"),
        });
        if over.load(Ordering::Relaxed) {
            return Ok(Seen { looks, behind_s: 0.0 });
        }
        std::thread::sleep(LOOK);
    }
}

/// Waits until rules have taken all that was acknowledged, and the book what came of it. Says how many seconds.
///
/// # Errors
/// They do not come to the end.
pub(crate) fn await_rules(http: SocketAddr) -> anyhow::Result<f64> {
    let began = Instant::now();
    loop {
        let page = page(http, None)?;
        if rigs::metrics::lag(&page, None) == Some(0) && rules_lag(&page) == 0.0 {
            return Ok(began.elapsed().as_secs_f64());
        }
        ensure!(began.elapsed() < PATIENCE, "rules are still behind after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn rules_lag(page: &str) -> f64 {
    named(page, "penstock_reader_lag_records{reader=\"rules\"")
}
