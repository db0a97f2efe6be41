//! Devices that become hot, dusty, wet and loud all at once, and a second later are well again.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::Context;
use record::Timestamp;
use rigs::swarm::{Outgoing, Publisher};

use crate::people::RULES;

/// Connections; each has its share of the devices behind it.
const CONNECTIONS: usize = 10;
/// Messages of a connection on their way.
const WINDOW: usize = 256;
/// A tenth of the devices is due every so often.
const SLICE: Duration = Duration::from_millis(100);
/// So many slices well, so many not.
const HALF: usize = 10;

/// What the devices measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Values that change and begin nothing.
    Calm,
    /// Values that begin every rule's condition, and then end it.
    Storm,
}

/// What was sent, and acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    /// How often all conditions of a device began.
    pub(crate) causes: u64,
    /// Readings.
    pub(crate) readings: u64,
    /// Until the last message was acknowledged but those that end what has begun.
    pub(crate) took_s: f64,
    /// How far acknowledgements were behind the pace at most.
    pub(crate) late_s: f64,
}

/// Sends at a pace, whatever the server does, unless acknowledgements take longer than a slice: then as fast as they come.
///
/// # Errors
/// The server closes a connection, or acknowledges nothing.
pub(crate) async fn run(
    mqtt: SocketAddr,
    devices: usize,
    weather: Weather,
    lasts: Duration,
) -> anyhow::Result<Sent> {
    let began = Instant::now();
    let connections = (0..CONNECTIONS).map(|number| {
        let devices = (number..devices).step_by(CONNECTIONS).collect();
        tokio::spawn(Site { number, devices, weather }.run(mqtt, began, lasts))
    });
    let mut all = Sent::default();
    for connection in connections.collect::<Vec<_>>() {
        let sent = connection.await.context("a connection")??;
        all.causes += sent.causes;
        all.readings += sent.readings;
        all.late_s = all.late_s.max(sent.late_s);
        all.took_s = all.took_s.max(sent.took_s);
    }
    Ok(all)
}

/// A connection and the devices behind it.
struct Site {
    number: usize,
    devices: Vec<usize>,
    weather: Weather,
}

impl Site {
    async fn run(self, mqtt: SocketAddr, began: Instant, lasts: Duration) -> anyhow::Result<Sent> {
        let mut publisher =
            Publisher::connect(mqtt, &format!("site-{:?}-{}", self.weather, self.number)).await?;
        let (mut sent, mut last_ms) = (Sent::default(), 0);
        // Whole turns of both halves, and one half in which everything is well again.
        let turns = lasts.as_millis().div_ceil(SLICE.as_millis() * 2 * HALF as u128) as usize;
        let end = turns * 2 * HALF;
        for slice in 0..end + HALF {
            let due = began + SLICE * u32::try_from(slice)?;
            tokio::time::sleep_until(due.into()).await;
            let ts_ms = Timestamp::now().millis().max(last_ms + 1);
            last_ms = ts_ms;
            // Half of the devices are well while the others are not, so that each second is like the next.
            let is_bad =
                |device: usize| slice < end && (slice / HALF + device / CONNECTIONS).is_multiple_of(2);
            let mut of_slice = self.devices.iter().skip(slice % HALF).step_by(HALF);
            publisher
                .drain(WINDOW, &AtomicU64::new(0), |out| {
                    let Some(device) = of_slice.next() else { return false };
                    let is_bad = is_bad(*device);
                    self.write(out, *device, ts_ms, is_bad);
                    sent.readings += RULES.len() as u64;
                    sent.causes += u64::from(is_bad && self.weather == Weather::Storm);
                    true
                })
                .await?;
            sent.late_s = sent.late_s.max(due.elapsed().as_secs_f64());
            if slice < end {
                sent.took_s = began.elapsed().as_secs_f64();
            }
        }
        Ok(sent)
    }

    fn write(&self, out: &mut Outgoing, device: usize, ts_ms: i64, is_bad: bool) {
        use std::io::Write as _;
        let value = match (is_bad, self.weather) {
            (true, Weather::Storm) => 90,
            (true, Weather::Calm) => 21,
            (false, _) => 20,
        };
        out.topic = format!("devices/storm-{device:05}/telemetry");
        let mut begin = '{';
        // Writing to memory does not fail.
        let _ = write!(out.payload, "{{\"ts\":{ts_ms},\"metrics\":");
        for rule in &RULES {
            let _ = write!(out.payload, "{begin}\"{}\":{value}", rule.metric);
            begin = ',';
        }
        out.payload.extend(b"}}");
    }
}
