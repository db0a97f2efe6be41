//! From the publish of a reading to the moment a query returns it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use record::Timestamp;
use serde::Serialize;

use crate::swarm::{Outgoing, Publisher};

/// How often a probe is sent, by all probers together, unless the rig says otherwise.
const EVERY: Duration = Duration::from_millis(50);
/// The shortest pause between two looks; it grows with the time that has gone by, or a stalled server would be busy
/// with looks.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// A reading not seen by then is lost, unless the rig says otherwise.
const LOST: Duration = Duration::from_secs(120);

/// Probers that send a reading and look for it, each in its turn: one that waits holds no other up.
#[derive(Debug)]
pub struct Probe {
    probers: Vec<Prober>,
    every: Duration,
}

#[derive(Debug)]
struct Prober {
    publisher: Publisher,
    agent: ureq::Agent,
    http: SocketAddr,
    device: String,
    sent: u64,
    patience: Duration,
}

/// How long probes took.
#[derive(Debug, Clone, Serialize)]
pub struct Took {
    /// Until they were acknowledged.
    pub acknowledged: Latencies,
    /// Until a query returned them.
    pub queryable: Latencies,
    /// Every probe: seconds from the first, and both in milliseconds.
    pub probes: Vec<(f64, f64, f64)>,
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
    /// Probes with each of these devices on a connection of its own: some in each partition of the log, say.
    ///
    /// # Errors
    /// The server does not let us in.
    pub async fn start(mqtt: SocketAddr, http: SocketAddr, devices: Vec<String>) -> anyhow::Result<Self> {
        let mut probers = Vec::new();
        for device in devices {
            let publisher = Publisher::connect(mqtt, &device).await?;
            let config = ureq::Agent::config_builder().timeout_global(Some(LOST)).http_status_as_error(false);
            probers.push(Prober {
                publisher,
                agent: config.build().into(),
                http,
                device,
                sent: 0,
                patience: LOST,
            });
        }
        Ok(Self { probers, every: EVERY })
    }

    /// With one so often by all probers together. Where each waits long it looks many times, which costs the server as well.
    #[must_use]
    pub fn with_pace(self, every: Duration) -> Self {
        Self { every, ..self }
    }

    /// With another limit than two minutes: where the server may fall behind by more, and it is to be told by how much.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.probers.iter_mut().for_each(|prober| prober.patience = patience);
        self
    }

    /// Probes until `done` says so. A latency counts from when the probe was to be sent, so that a stall is felt by all
    /// the probes that fall into it.
    ///
    /// # Errors
    /// A probe is not seen within two minutes, or the [patience](Probe::with_patience) that there is.
    pub async fn measure(&mut self, mut done: impl FnMut() -> bool) -> anyhow::Result<Took> {
        let (began, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let (every, period) = (self.every, self.every * u32::try_from(self.probers.len())?);
        let running: Vec<_> = std::mem::take(&mut self.probers)
            .into_iter()
            .zip(0_u32..)
            .map(|(prober, n)| tokio::spawn(prober.run(began, began + every * n, period, stop.clone())))
            .collect();
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.store(true, Ordering::Relaxed);
        let mut probes = Vec::new();
        for prober in running {
            let (prober, of) = prober.await??;
            self.probers.push(prober);
            probes.extend(of);
        }
        probes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let of = |which: fn(&(f64, f64, f64)) -> f64| latencies(probes.iter().map(which).collect());
        let (acknowledged, queryable) = (of(|probe| probe.1), of(|probe| probe.2));
        let (Some(acknowledged), Some(queryable)) = (acknowledged, queryable) else {
            anyhow::bail!("no probe was sent");
        };
        Ok(Took { acknowledged, queryable, probes })
    }

    /// How many were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.probers.iter().map(|prober| prober.sent).sum()
    }
}

impl Prober {
    async fn run(
        mut self,
        began: Instant,
        mut intended: Instant,
        period: Duration,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<(Self, Vec<(f64, f64, f64)>)> {
        let mut probes = Vec::new();
        let millis = |intended: Instant| intended.elapsed().as_secs_f64() * 1e3;
        loop {
            tokio::time::sleep_until(intended.into()).await;
            if stop.load(Ordering::Relaxed) {
                return Ok((self, probes));
            }
            self.publish().await?;
            let acknowledged = millis(intended);
            self.see().await?;
            probes.push(((intended - began).as_secs_f64(), acknowledged, millis(intended)));
            intended += period;
        }
    }

    async fn publish(&mut self) -> anyhow::Result<()> {
        self.sent += 1;
        let (ts, value) = (Timestamp::now().nanos(), self.sent);
        let message = Outgoing {
            topic: format!("devices/{}/telemetry", self.device),
            payload: format!("{{\"ts\":{ts},\"metrics\":{{\"probe\":{value}}}}}").into(),
        };
        self.publisher.publish(&message, &AtomicU64::new(0)).await
    }

    async fn see(&self) -> anyhow::Result<()> {
        let url = format!("http://{}/v1/devices/{}/latest", self.http, self.device);
        let (agent, wanted) = (self.agent.clone(), format!("\"value\":{}", self.sent));
        let patience = self.patience;
        let look = move || -> anyhow::Result<()> {
            let began = Instant::now();
            loop {
                let text = agent.get(&url).call()?.body_mut().read_to_string()?;
                // Behind the number stands a comma or a brace, never another digit.
                let is_it = |at: usize| !text[at + wanted.len()..].starts_with(|c: char| c.is_ascii_digit());
                if text.find(&wanted).is_some_and(is_it) {
                    return Ok(());
                }
                ensure!(
                    began.elapsed() < patience,
                    "{url} does not show {wanted} after {patience:?}: {text}"
                );
                std::thread::sleep(LOOK_AGAIN.max(began.elapsed() / 10));
            }
        };
        tokio::task::spawn_blocking(look).await?
    }
}

/// Of some latencies, milliseconds; `None`: there are none.
pub(crate) fn latencies(mut took: Vec<f64>) -> Option<Latencies> {
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
