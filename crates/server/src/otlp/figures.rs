//! The figures of `/metrics`, under the same names.

use std::sync::Arc;
use std::time::Duration;

use api::{Exporter, Figure, Page, Sample};
use record::Timestamp;
use serde_json::{Value, json};

use super::collector::{Collector, Service};
use super::{attribute, resource, scope};

/// Since the node began: what a backend needs to see a counter that starts anew.
const CUMULATIVE: u8 = 2;

pub(super) async fn tell(exporter: Arc<Exporter>, every: Duration, collector: Collector) {
    let began = Timestamp::now();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let exporter = Arc::clone(&exporter);
        // Some sources read the disk.
        match tokio::task::spawn_blocking(move || exporter.page()).await {
            Ok(page) => collector.tell(Service::Metrics, message(page, began, Timestamp::now())),
            Err(died) => tracing::error!(error = %died, "a source of metrics panicked"),
        }
    }
}

/// An ExportMetricsServiceRequest.
fn message(page: Page, began: Timestamp, now: Timestamp) -> Value {
    let samples = page.into_samples();
    let metrics: Vec<Value> =
        samples.chunk_by(|one, next| one.metric == next.metric).map(|of| metric(of, began, now)).collect();
    json!({ "resourceMetrics": [{
        "resource": resource(),
        "scopeMetrics": [{ "scope": scope(), "metrics": metrics }],
    }] })
}

/// All samples of a metric.
fn metric(samples: &[Sample], began: Timestamp, now: Timestamp) -> Value {
    let (name, kind, help) = samples[0].metric.describe();
    let points: Vec<Value> = samples.iter().map(|sample| point(sample, began, now)).collect();
    let mut metric = json!({ "name": format!("penstock_{name}"), "description": help });
    let (field, data) = match kind {
        "counter" => (
            "sum",
            json!({ "aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points }),
        ),
        "histogram" => ("histogram", json!({ "aggregationTemporality": CUMULATIVE, "dataPoints": points })),
        _ => ("gauge", json!({ "dataPoints": points })),
    };
    metric[field] = data;
    metric
}

/// In OTLP's JSON, 64-bit integers are texts.
fn point(sample: &Sample, began: Timestamp, now: Timestamp) -> Value {
    let attributes: Vec<Value> = sample.labels.iter().map(|(name, text)| attribute(name, text)).collect();
    let mut point = json!({
        "attributes": attributes,
        "startTimeUnixNano": began.nanos().to_string(),
        "timeUnixNano": now.nanos().to_string(),
    });
    match &sample.figure {
        Figure::Number(value) => point["asDouble"] = json!(value),
        Figure::Histogram { bounds, counts, sum } => {
            point["count"] = json!(counts.iter().sum::<u64>().to_string());
            point["sum"] = json!(sum);
            point["bucketCounts"] = counts.iter().map(u64::to_string).collect();
            point["explicitBounds"] = json!(bounds);
        }
    }
    point
}
