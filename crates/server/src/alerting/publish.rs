//! Messages of alerts and of routing rules, to the tenant's own MQTT topics.

use std::sync::Arc;

use alert::{Alerts, Forward, Publish};
use async_trait::async_trait;
use bytes::Bytes;
use log::{Batch, EmbeddedLog, Lane, Log as _, PartitionId, Topic};
use record::{Encoding, Envelope, Kind, Protocol, Qos, TenantId, Timestamp, ValueRef, partition_of};
use rule::{Route, Routed, Severity};
use serde_json::{Map, Value, json};

/// Publishes as clients do: over the log, from which subscribers are served. Whatever the topic, a message of ours is no telemetry.
#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) log: Arc<EmbeddedLog>,
}

/// Where routing rules pass readings on to.
pub(crate) struct Routes {
    pub(crate) publisher: Publisher,
    pub(crate) alerts: Arc<Alerts>,
}

impl Publisher {
    fn push(&self, tenant: &str, topic: &str, payload: &[u8], batch: &mut Batch) {
        let index = partition_of(tenant, topic, self.log.partitions(Topic::Messages));
        let envelope = Envelope {
            kind: Kind::Message,
            protocol: Protocol::Internal,
            encoding: Encoding::Opaque,
            qos: Qos::AtLeastOnce,
            retain: false,
            refused: None,
            arrived_at: Timestamp::now(),
            tenant,
            device: "",
            topic,
            origin: None,
            properties: &[],
            payload,
        };
        let partition = PartitionId { topic: Topic::Messages, lane: Lane::Live, index };
        batch.push_with(partition, |out| envelope.encode(out));
    }
}

#[async_trait]
impl Publish for Publisher {
    async fn publish(&self, tenant: &TenantId, topic: &str, payload: Bytes) -> Result<(), String> {
        let mut batch = Batch::new();
        self.push(tenant.as_str(), topic, &payload, &mut batch);
        self.log.append(batch).await.map(drop).map_err(|error| error.to_string())
    }
}

#[async_trait]
impl alert::Routes for Routes {
    /// One commit of the log for all that go to topics, one of the outbox for all that go to webhooks.
    async fn pass_on(&self, routed: &[Routed]) -> Result<(), String> {
        let (mut batch, mut forwards) = (Batch::new(), Vec::new());
        for routed in routed {
            match &routed.route {
                Route::Mqtt(topic) => {
                    let payload = body(routed).to_string();
                    self.publisher.push(routed.tenant.as_str(), topic, payload.as_bytes(), &mut batch);
                }
                Route::Log(severity) => say(routed, *severity),
                Route::Webhook(_) => forwards.push(Forward { routed, body: body(routed).to_string() }),
            }
        }
        if !forwards.is_empty() {
            self.alerts.forward(&forwards, Timestamp::now()).map_err(|error| error.to_string())?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.publisher.log.append(batch).await.map(drop).map_err(|error| error.to_string())
    }
}

/// What subscribers get.
fn body(routed: &Routed) -> Value {
    let values: Map<String, Value> =
        routed.values.iter().map(|(metric, value)| (metric.to_string(), json_of(value.as_ref()))).collect();
    json!({
        "rule": routed.rule.0,
        "version": routed.version,
        "device_id": routed.device.as_str(),
        "ts": query::rfc3339(routed.at),
        "metrics": values,
    })
}

fn json_of(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Float(float) => json!(float),
        ValueRef::Int(int) => json!(int),
        ValueRef::Bool(bool) => json!(bool),
        ValueRef::Text(text) => json!(text),
        ValueRef::Location { lat, lng } => json!({ "lat": lat, "lng": lng }),
    }
}

fn say(routed: &Routed, severity: Severity) {
    let (tenant, device, rule) = (routed.tenant.as_str(), routed.device.as_str(), &*routed.rule.0);
    let body = body(routed);
    match severity {
        Severity::Info => tracing::info!(tenant, device, rule, %body, "a rule wants this reading to be said"),
        Severity::Warning => {
            tracing::warn!(tenant, device, rule, %body, "a rule wants this reading to be said")
        }
        Severity::Critical => {
            tracing::error!(tenant, device, rule, %body, "a rule wants this reading to be said");
        }
    }
}
