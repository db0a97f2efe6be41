//! The stream between a log and a store.

#![allow(clippy::unwrap_used)] // in a test a panic is the verdict

mod enrich;
mod faults;
mod lanes;
mod messages;
mod recovery;
mod reprocess;
mod shedding;
mod windows;

use std::sync::Arc;

use log::{Batch, Lane, Log, MemoryLog, PartitionId, Partitions, Topic};
use penstock_stream::window::Plan;
use penstock_stream::{Parts, Settings};
use record::{
    DeviceId, Encoding, Envelope, Kind, MetricName, Protocol, Qos, TenantId, Timestamp, Value, partition_of,
};
use series::{Memory, SeriesReader};
use wire::template::Templates;

const ARRIVED: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

fn message<'a>(device: &'a str, topic: &'a str, payload: &'a str) -> Envelope<'a> {
    Envelope {
        kind: Kind::Telemetry,
        protocol: Protocol::Mqtt5,
        encoding: Encoding::Json,
        qos: Qos::AtLeastOnce,
        retain: false,
        refused: None,
        arrived_at: ARRIVED,
        tenant: TenantId::DEFAULT,
        device,
        topic,
        origin: None,
        properties: &[],
        payload: payload.as_bytes(),
    }
}

fn memory_log() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(Partitions::uniform(4).unwrap()))
}

fn partition(log: &dyn Log, lane: Lane, device: &str) -> PartitionId {
    let index = partition_of(TenantId::DEFAULT, device, log.partitions(Topic::Raw));
    PartitionId { topic: Topic::Raw, lane, index }
}

async fn append(log: &dyn Log, lane: Lane, envelope: &Envelope<'_>) {
    let mut batch = Batch::new();
    batch.push_with(partition(log, lane, envelope.device), |out| envelope.encode(out));
    log.append(batch).await.unwrap();
}

async fn reading(log: &dyn Log, lane: Lane, device: &str, second: i64, value: i64) {
    let payload = format!(r#"{{"ts":{},"metrics":{{"m":{value}}}}}"#, 1_700_000_000 + second);
    append(log, lane, &message(device, "devices/x/telemetry", &payload)).await;
}

/// Windows for every metric.
fn plan(windows: &[&str]) -> Plan {
    Plan::parse(windows.iter().map(|window| (*window, &[] as &[&str]))).unwrap()
}

fn parts(log: &Arc<MemoryLog>, store: &Arc<Memory>) -> Parts {
    Parts {
        log: log.clone(),
        store: store.clone(),
        reader: store.clone(),
        templates: Arc::new(Templates::shipped()),
        settings: Arc::new(Settings::default()),
        facts: None,
        checkpoints: None,
        clock: Arc::new(|| ARRIVED),
    }
}

fn values(store: &Memory, device: &str) -> Vec<Value> {
    let (device, metric) = (DeviceId::parse(device).unwrap(), MetricName::parse("m").unwrap());
    let all = Timestamp::from_nanos(i64::MIN)..Timestamp::from_nanos(i64::MAX);
    let mut found = Vec::new();
    store
        .points(&TenantId::default_tenant(), &device, &metric, all, &mut |point| {
            found.push(point.value);
            true
        })
        .unwrap();
    found
}
