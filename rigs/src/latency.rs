//! From the publish of a reading to the moment a query returns it.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::ensure;
use record::Timestamp;
use serde::Serialize;

use crate::swarm::{Outgoing, Publisher};

/// How often a probe is sent: well above what is asked of live data (a second).
const EVERY: Duration = Duration::from_millis(100);
/// The pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// A reading not seen by then is lost.
const LOST: Duration = Duration::from_secs(120);

/// Sends probes and looks for them.
#[derive(Debug)]
pub struct Probe {
    publisher: Publisher,
    agent: ureq::Agent,
    http: SocketAddr,
    devices: Vec<String>,
    sent: u64,
}

/// How long probes took.
#[derive(Debug, Clone, Serialize)]
pub struct Took {
    /// Until they were acknowledged.
    pub acknowledged: Latencies,
    /// Until a query returned them.
    pub queryable: Latencies,
}

/// Latencies, milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Latencies {
    /// How many.
    pub count: usize,
    /// The median.
    pub p50_ms: f64,
    /// The 95th percentile.
    pub p95_ms: f64,
    /// The 99th.
    pub p99_ms: f64,
    /// The largest.
    pub max_ms: f64,
}

impl Probe {
    /// Probes with these devices in turn: one in each partition of the log, say.
    ///
    /// # Errors
    /// The server does not let us in.
    pub async fn start(mqtt: SocketAddr, http: SocketAddr, devices: Vec<String>) -> anyhow::Result<Self> {
        let publisher = Publisher::connect(mqtt, "probe").await?;
        let config = ureq::Agent::config_builder().timeout_global(Some(LOST)).http_status_as_error(false);
        Ok(Self { publisher, agent: config.build().into(), http, devices, sent: 0 })
    }

    /// Probes until `done` says so. Every latency counts from when the probe was to be sent, so that a stall is felt by
    /// all the probes that fall into it.
    ///
    /// # Errors
    /// A probe is not seen within two minutes.
    pub async fn measure(&mut self, mut done: impl FnMut() -> bool) -> anyhow::Result<Took> {
        let (mut acknowledged, mut queryable) = (Vec::new(), Vec::new());
        let mut intended = Instant::now();
        let millis = |intended: Instant| intended.elapsed().as_secs_f64() * 1e3;
        while !done() {
            tokio::time::sleep_until(intended.into()).await;
            let (device, value) = self.publish().await?;
            acknowledged.push(millis(intended));
            self.see(&device, value).await?;
            queryable.push(millis(intended));
            intended += EVERY;
        }
        let (acknowledged, queryable) = (latencies(acknowledged), latencies(queryable));
        let (Some(acknowledged), Some(queryable)) = (acknowledged, queryable) else {
            anyhow::bail!("no probe was sent");
        };
        Ok(Took { acknowledged, queryable })
    }

    /// How many were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    async fn publish(&mut self) -> anyhow::Result<(String, u64)> {
        let device = self.devices[self.sent as usize % self.devices.len()].clone();
        self.sent += 1;
        let value = self.sent;
        let message = Outgoing {
            topic: format!("devices/{device}/telemetry"),
            payload: format!("{{\"ts\":{},\"metrics\":{{\"probe\":{value}}}}}", Timestamp::now().nanos())
                .into(),
        };
        self.publisher.publish(&message, &AtomicU64::new(0)).await?;
        Ok((device, value))
    }

    async fn see(&self, device: &str, value: u64) -> anyhow::Result<()> {
        let url = format!("http://{}/v1/devices/{device}/latest", self.http);
        let (agent, wanted) = (self.agent.clone(), format!("\"value\":{value}"));
        let look = move || -> anyhow::Result<()> {
            let began = Instant::now();
            loop {
                let text = agent.get(&url).call()?.body_mut().read_to_string()?;
                // Behind the number stands a comma or a brace, never another digit.
                let is_it = |at: usize| !text[at + wanted.len()..].starts_with(|c: char| c.is_ascii_digit());
                if text.find(&wanted).is_some_and(is_it) {
                    return Ok(());
                }
                ensure!(began.elapsed() < LOST, "{url} does not show {wanted} after {LOST:?}: {text}");
                std::thread::sleep(LOOK_AGAIN);
            }
        };
        tokio::task::spawn_blocking(look).await?
    }
}

fn latencies(mut took: Vec<f64>) -> Option<Latencies> {
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| Some(took[(percent * took.len()).div_ceil(100).checked_sub(1)?]);
    Some(Latencies { count: took.len(), p50_ms: at(50)?, p95_ms: at(95)?, p99_ms: at(99)?, max_ms: at(100)? })
}

#[cfg(test)]
mod tests {
    use super::latencies;

    #[test]
    fn percentiles_by_nearest_rank() {
        let of = latencies((1..=200).rev().map(f64::from).collect()).expect("some");
        assert_eq!((of.p50_ms, of.p95_ms, of.p99_ms, of.max_ms), (100.0, 190.0, 198.0, 200.0));
        assert!(latencies(Vec::new()).is_none());
    }
}
