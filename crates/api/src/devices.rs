//! `GET /v1/devices`, `/v1/devices/{id}`, `/v1/devices/{id}/latest`, `PUT` and `PATCH /v1/devices/{id}`: devices, what is
//! known of them, and what they last sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query as Parameters, State};
use axum::response::{IntoResponse, Response};
use query::{Query, rfc3339};
use record::{DeviceId, TenantId, Timestamp};
use registry::{DeviceEntry, Devices, FactsDocument};
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
    let Parameters(page) = page?;
    let limit = page.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let registry = Arc::clone(&shared.parts.devices);
    let found = move |query: &Query| Ok(found(query, &registry, &tenant, page.after.as_deref(), limit));
    let devices = shared.ask(found).await??;
    let full = devices.len() == limit as usize;
    let next = devices.last().filter(|_| full).map(|device| device.id.to_string());
    let devices: Vec<_> = devices.iter().map(|device| Value::from(device.describe())).collect();
    Ok(Json(json!({ "devices": devices, "next": next })).into_response())
}

pub(crate) async fn one(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    // A text that is no id is answered like an id that is not there: both name no device.
    let missing = || Problem::not_found(format!("no device {id:?} is registered or has sent a reading"));
    let device = DeviceId::parse(&id).map_err(|_| missing())?;
    let registry = Arc::clone(&shared.parts.devices);
    let question = move |query: &Query| {
        let sent = query.device(&tenant, &device)?;
        Ok(registry.find(&tenant, &device).map(|entry| Found { id: device, sent, entry }))
    };
    let found = shared.ask(question).await??;
    if found.sent.is_none() && found.entry.is_none() {
        return Err(missing());
    }
    let mut described = found.describe();
    described.extend(found.entry.as_ref().map(whose).unwrap_or_default());
    Ok(Json(described).into_response())
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

/// Registers exactly these facts.
pub(crate) async fn put(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
    body: Result<Json<FactsDocument>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(facts) = body?;
    change(shared, id, move |devices, device| devices.put(&tenant, device, &facts, Timestamp::now())).await
}

/// Changes the registered facts that are named (RFC 7396).
pub(crate) async fn patch(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
    body: Result<axum::body::Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Problem> {
    let body = body?;
    // Not `Json`: a merge patch has a content type of its own.
    let patch: Value = serde_json::from_slice(&body)
        .map_err(|wrong| Problem::bad_request(format!("the body is no JSON: {wrong}")))?;
    change(shared, id, move |devices, device| devices.patch(&tenant, device, &patch, Timestamp::now())).await
}

async fn change(
    shared: Shared,
    id: String,
    change: impl FnOnce(&Devices, &DeviceId) -> Result<DeviceEntry, registry::Error> + Send + 'static,
) -> Result<Response, Problem> {
    let device = DeviceId::parse(&id).map_err(|error| Problem::bad_request(error.to_string()))?;
    let devices = Arc::clone(&shared.parts.devices);
    // Not in turn with questions: an administrator does not wait for a long report.
    let changed = tokio::task::spawn_blocking(move || change(&devices, &device)).await;
    let entry = changed.map_err(|died| {
        tracing::error!(error = %died, "a change of a device ended in a panic");
        Problem::unavailable()
    })??;
    let mut described = known(&entry);
    described.extend(whose(&entry));
    Ok(Json(described).into_response())
}

/// A device that has sent something, or is registered.
struct Found {
    id: DeviceId,
    sent: Option<Device>,
    entry: Option<DeviceEntry>,
}

/// A page of them.
fn found(
    query: &Query,
    registry: &Devices,
    tenant: &TenantId,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Found>, Problem> {
    let mut found: BTreeMap<DeviceId, Found> = BTreeMap::new();
    for entry in registry.registered(tenant, after, limit as usize)? {
        found.insert(entry.id.clone(), Found { id: entry.id.clone(), sent: None, entry: Some(entry) });
    }
    for sent in query.devices(tenant, after, limit)? {
        match found.get_mut(&sent.id) {
            Some(found) => found.sent = Some(sent),
            None => {
                let (id, entry) = (sent.id.clone(), registry.find(tenant, &sent.id)?);
                found.insert(id.clone(), Found { id, sent: Some(sent), entry });
            }
        }
    }
    Ok(found.into_values().take(limit as usize).collect())
}

impl Found {
    fn describe(&self) -> Map<String, Value> {
        let mut described = match &self.entry {
            Some(entry) => known(entry),
            None => facts(&FactsDocument::default()),
        };
        described.insert("id".into(), self.id.as_str().into());
        let sent = self.sent.as_ref();
        described.insert("last_seen".into(), sent.map(|device| rfc3339(device.last_seen)).into());
        let registered_at = self.entry.as_ref().and_then(|entry| entry.registered_at);
        let created_at = sent.map(|device| device.created_at).or(registered_at);
        described.insert("created_at".into(), created_at.map(rfc3339).into());
        described
    }
}

/// What holds of a device.
fn known(entry: &DeviceEntry) -> Map<String, Value> {
    let mut described = facts(&FactsDocument::from(&entry.facts()));
    described.insert("id".into(), entry.id.as_str().into());
    described.insert("registered_at".into(), entry.registered_at.map(rfc3339).into());
    described
}

fn facts(facts: &FactsDocument) -> Map<String, Value> {
    let FactsDocument { device_type, site, location, firmware, tags } = facts;
    let facts = json!({
        "type": device_type, "site": site, "location": location, "firmware": firmware, "tags": tags,
        "registered_at": null,
    });
    match facts {
        Value::Object(facts) => facts,
        _ => unreachable!("it was just written as an object"),
    }
}

/// What of it people said, and what data.
fn whose(entry: &DeviceEntry) -> Map<String, Value> {
    let registered = entry.registered_at.map(|_| FactsDocument::from(&entry.registered));
    let parts = [
        ("registered", json!(registered)),
        ("learned", json!(FactsDocument::from(&entry.learned))),
        ("changed_at", entry.changed_at.map(rfc3339).into()),
    ];
    parts.into_iter().map(|(name, part)| (name.to_owned(), part)).collect()
}

async fn find(shared: &Shared, tenant: TenantId, id: &str) -> Result<(TenantId, Device), Problem> {
    let missing = || Problem::not_found(format!("no device {id:?} has sent a reading"));
    let device = DeviceId::parse(id).map_err(|_| missing())?;
    let owner = tenant.clone();
    let found = shared.ask(move |q| q.device(&owner, &device)).await?;
    found.map(|device| (tenant, device)).ok_or_else(missing)
}
