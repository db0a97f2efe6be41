//! `GET /v1/devices`, `/v1/devices/{id}`, `/v1/devices/{id}/latest`.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as Parameters, State};
use axum::response::{IntoResponse, Response};
use query::rfc3339;
use record::{DeviceId, TenantId};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use series::Device;

use crate::{Ask, Asker, Problem, Shared, value};

/// Devices on a page unless the asker says otherwise, and at most.
const PAGE: (u32, u32) = (100, 1000);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    after: Option<String>,
    limit: Option<u32>,
}

pub(crate) async fn list(
    State(shared): Ask,
    Asker(tenant): Asker,
    page: Result<Parameters<Page>, QueryRejection>,
) -> Result<Response, Problem> {
    let Parameters(page) = page.map_err(|refused| Problem::bad_request(refused.body_text()))?;
    let limit = page.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let devices = shared.ask(move |q| q.devices(&tenant, page.after.as_deref(), limit)).await?;
    let full = devices.len() == limit as usize;
    let next = devices.last().filter(|_| full).map(|device| device.id.to_string());
    let devices: Vec<_> = devices.iter().map(describe).collect();
    Ok(Json(json!({ "devices": devices, "next": next })).into_response())
}

pub(crate) async fn one(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (_, device) = find(&shared, tenant, &id).await?;
    Ok(Json(describe(&device)).into_response())
}

pub(crate) async fn latest(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (tenant, device) = find(&shared, tenant, &id).await?;
    let readings = shared.ask(move |q| q.latest(&tenant, &device.id)).await?;
    let metrics = readings.iter().map(|reading| {
        let latest = json!({
            "value": value::json(&reading.value),
            "time": rfc3339(reading.when.time),
            "arrived_at": rfc3339(reading.when.arrived_at),
        });
        (reading.metric.to_string(), latest)
    });
    let metrics: Map<String, Value> = metrics.collect();
    Ok(Json(json!({ "device_id": id, "metrics": metrics })).into_response())
}

async fn find(shared: &Shared, tenant: TenantId, id: &str) -> Result<(TenantId, Device), Problem> {
    // A text that is no id is answered like an id that is not there: both name no device.
    let missing = || Problem::not_found(format!("no device {id:?} has sent a reading"));
    let device = DeviceId::parse(id).map_err(|_| missing())?;
    let owner = tenant.clone();
    let found = shared.ask(move |q| q.device(&owner, &device)).await?;
    found.map(|device| (tenant, device)).ok_or_else(missing)
}

fn describe(device: &Device) -> Value {
    json!({
        "id": device.id.as_str(),
        "created_at": rfc3339(device.created_at),
        "last_seen": rfc3339(device.last_seen),
    })
}
