//! A fleet's messages, and a store that keeps nothing: what the benchmarks of the stream share.

#![allow(dead_code)] // not each benchmark uses all of it

use record::{
    DeviceId, Encoding, Envelope, Kind, MetricName, Protocol, Qos, Reading, TenantId, Timestamp, Value,
};
use rustix::time::{ClockId, clock_gettime};
use series::{
    Cardinality, DeadMessage, Device, Key, Note, Point, Position, SeriesReader, SeriesWriter, Source,
};
use series::{WriteBatch, Written};

pub(crate) const METRICS: usize = 20;
pub(crate) const BEGIN_NANOS: i64 = 1_700_000_000_000_000_000;

const EVERY_NANOS: i64 = 10_000_000_000;

/// Device, payload and arrival of the `n`-th message: each device sends one every ten seconds, the fleet's spread over them.
pub(crate) fn message(n: usize, devices: usize) -> (String, String, Timestamp) {
    let (device, round) = (n % devices, (n / devices) as i64);
    let at = BEGIN_NANOS + round * EVERY_NANOS + device as i64 * EVERY_NANOS / devices as i64;
    let mut payload = format!(r#"{{"ts":{},"metrics":{{"#, at / 1_000_000);
    for metric in 0..METRICS {
        let value = ((device * 7 + metric * 13 + round as usize * (metric % 5)) % 1000) as f64 / 10.0;
        payload += &format!(r#"{}"metric_{metric:02}":{value:.1}"#, if metric == 0 { "" } else { "," });
    }
    payload += "}}";
    (format!("device-{device:06}"), payload, Timestamp::from_nanos(at + 50_000_000))
}

/// The record of a message.
pub(crate) fn envelope<'a>(device: &'a str, payload: &'a str, arrived_at: Timestamp) -> Envelope<'a> {
    Envelope {
        kind: Kind::Telemetry,
        protocol: Protocol::Mqtt5,
        encoding: Encoding::Json,
        qos: Qos::AtLeastOnce,
        retain: false,
        refused: None,
        arrived_at,
        tenant: TenantId::DEFAULT,
        device,
        topic: "devices/x/telemetry",
        origin: None,
        properties: &[],
        payload: payload.as_bytes(),
    }
}

/// Processor time of this process so far, seconds.
pub(crate) fn cpu_s() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// A store that takes everything and keeps nothing.
pub(crate) struct Nowhere;

impl SeriesWriter for Nowhere {
    fn write(&self, batch: &WriteBatch) -> series::Result<Written> {
        let stored = batch.readings.values().map(|readings| readings.len() as u64).sum();
        let dead_letters = batch.dead.iter().map(|message| message.letters.len() as u64).sum();
        Ok(Written { stored, dead_letters, ..Written::default() })
    }
    fn flush(&self) -> series::Result<()> {
        Ok(())
    }
    fn positions(&self) -> series::Result<Vec<Position>> {
        Ok(Vec::new())
    }
    fn notes(&self) -> series::Result<Vec<Note>> {
        Ok(Vec::new())
    }
}

impl SeriesReader for Nowhere {
    fn points(
        &self,
        _: &TenantId,
        _: &DeviceId,
        _: &MetricName,
        _: std::ops::Range<Timestamp>,
        _: &mut dyn FnMut(Point) -> bool,
    ) -> series::Result<()> {
        Ok(())
    }
    fn latest(&self, _: &TenantId, _: &DeviceId) -> series::Result<Vec<Reading>> {
        Ok(Vec::new())
    }
    fn device(&self, _: &TenantId, _: &DeviceId) -> series::Result<Option<Device>> {
        Ok(None)
    }
    fn devices(&self, _: &TenantId, _: Option<&str>, _: u32) -> series::Result<Vec<Device>> {
        Ok(Vec::new())
    }
    fn held(&self, keys: &[Key<'_>]) -> series::Result<Vec<Option<Value>>> {
        Ok(vec![None; keys.len()])
    }
    fn cardinality(&self, _: &TenantId) -> series::Result<Cardinality> {
        Ok(Cardinality::default())
    }
    fn dead_message(&self, _: Source, _: u64) -> series::Result<Option<DeadMessage>> {
        Ok(None)
    }
    fn dead_messages(&self, _: &str, _: u32) -> series::Result<Vec<DeadMessage>> {
        Ok(Vec::new())
    }
}
