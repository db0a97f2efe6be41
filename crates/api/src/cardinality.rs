//! `GET /v1/cardinality`: how many devices and series, and what makes them up (R4.7).

use axum::Json;
use axum::extract::State;
use query::Counted;
use serde_json::{Value, json};

use crate::{Ask, Asker, Problem};

pub(crate) async fn show(State(shared): Ask, Asker(tenant): Asker) -> Result<Json<Value>, Problem> {
    let budget = (shared.parts.budget)(&tenant);
    let makeup = shared.ask(move |query| query.makeup(&tenant)).await?;
    let list = |counted: &[Counted], name: &str, of: &str| {
        let entry = |(text, count): &Counted| json!({ name: text, of: count });
        counted.iter().map(entry).collect::<Vec<_>>()
    };
    Ok(Json(json!({
        "devices": makeup.total.devices,
        "series": makeup.total.series,
        "budget": {
            "devices": budget.devices,
            "series": budget.series,
            "series_per_device": budget.series_per_device,
        },
        "refused": { "devices": budget.refused.devices, "series": budget.refused.series },
        "metrics_with_most_devices": list(&makeup.metrics, "metric", "devices"),
        "devices_with_most_metrics": list(&makeup.devices, "device_id", "metrics"),
        "device_patterns": list(&makeup.device_patterns, "pattern", "devices"),
        "metric_patterns": list(&makeup.metric_patterns, "pattern", "series"),
        "undercount": makeup.undercount,
    })))
}
