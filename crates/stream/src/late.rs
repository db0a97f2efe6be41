//! Late readings as records of `Topic::Late`: for who wants to hear of them as they come. The table `late` is the
//! truth; here one may stand twice after a crash.
//!
//! Each is a [`record::Envelope`] of kind *part*, encoding JSON: `{"ts": nanoseconds, "metric": …, "value": …,
//! "watermark": nanoseconds}`, of the device that the envelope names.

use log::{Batch, Log, PartitionId, Topic};
use record::{Encoding, Envelope, Kind, Lane, Protocol, Qos, ValueRef, partition_of};
use serde_json::json;
use series::WriteBatch;

/// Appends the late readings of `batch`.
pub(crate) fn records(log: &dyn Log, batch: &WriteBatch, out: &mut Batch) {
    for (tenant, rows) in &batch.late {
        let Some(readings) = batch.readings.get(tenant) else { continue };
        for late in rows {
            let reading = readings.get(late.row as usize).expect("a late row is a row of its batch");
            let value = match reading.value {
                ValueRef::Float(float) => json!(float),
                ValueRef::Int(int) => json!(int),
                ValueRef::Bool(bool) => json!(bool),
                ValueRef::Text(text) => json!(text),
                ValueRef::Location { lat, lng } => json!({ "lat": lat, "lng": lng }),
            };
            let payload = json!({
                "ts": reading.when.time.nanos(),
                "metric": reading.metric,
                "value": value,
                "watermark": late.watermark.nanos(),
            });
            let payload = payload.to_string();
            let index = partition_of(tenant.as_str(), reading.device, log.partitions(Topic::Late));
            let partition = PartitionId { topic: Topic::Late, lane: Lane::Live, index };
            let envelope = Envelope {
                kind: Kind::Part,
                protocol: Protocol::Internal,
                encoding: Encoding::Json,
                qos: Qos::AtLeastOnce,
                retain: false,
                refused: None,
                arrived_at: reading.when.arrived_at,
                tenant: tenant.as_str(),
                device: reading.device,
                topic: "$late",
                origin: None,
                properties: &[],
                payload: payload.as_bytes(),
            };
            out.push_with(partition, |out| envelope.encode(out));
        }
    }
}
