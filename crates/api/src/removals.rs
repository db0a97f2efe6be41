//! `DELETE /v1/devices/{id}/data`, `GET /v1/removals`: what is removed from the store on purpose, and the records of it.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::StatusCode;
use query::rfc3339;
use record::{DeviceId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use series::{Removal, SeriesRemove};

use crate::{Ask, Asker, Problem, Shared};

/// Longest reason, bytes: words for those who look at the record.
const REASON_BYTES: usize = 1024;

/// A device that has sent something within this time may have windows open, and readings on their way.
const QUIET: Duration = Duration::from_secs(600);

/// Records on a page unless the asker says otherwise, and at most.
const PAGE: (u32, u32) = (100, 1000);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    reason: Option<String>,
}

pub(crate) async fn erase(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
    why: Result<Parameters<Why>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Parameters(Why { reason }) = why?;
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    let reason =
        reason.ok_or_else(|| Problem::bad_request("reason: say why, it stands in the record: ?reason=…"))?;
    if reason.len() > REASON_BYTES {
        return Err(Problem::bad_request(format!("reason: longer than {REASON_BYTES} bytes")));
    }
    let missing = || Problem::not_found(format!("no device {id:?} has sent a reading"));
    let device = DeviceId::parse(&id).map_err(|_| missing())?;
    let (asker, named) = (tenant.clone(), device.clone());
    let known = shared.ask(move |query| query.device(&asker, &named)).await?;
    let known = known.ok_or_else(missing)?;
    let now = Timestamp::now();
    if now.nanos() - known.last_seen.nanos() < i64::try_from(QUIET.as_nanos()).unwrap_or(i64::MAX) {
        let detail = format!(
            "device {id:?} has sent something at {}: stop it, wait ten minutes, then erase it, or readings on their way would stay",
            rfc3339(known.last_seen)
        );
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let removal = removing(&shared, move |store| store.erase(&tenant, &device, &reason, now)).await?;
    Ok(Json(describe(&removal)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    limit: Option<u32>,
}

pub(crate) async fn list(
    State(shared): Ask,
    Asker(tenant): Asker,
    page: Result<Parameters<Page>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Parameters(Page { limit }) = page?;
    let limit = limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let removals = removing(&shared, move |store| store.removals(&tenant, limit)).await?;
    Ok(Json(json!({ "removals": removals.iter().map(describe).collect::<Vec<_>>() })))
}

async fn removing<T: Send + 'static>(
    shared: &Shared,
    call: impl FnOnce(&dyn SeriesRemove) -> series::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let Some(store) = shared.parts.removes.clone() else {
        return Err(Problem::not_found("this node does not write a store"));
    };
    let outcome = tokio::task::spawn_blocking(move || call(&*store)).await;
    let outcome = outcome.map_err(|error| {
        tracing::error!(%error, "a removal ended before its time");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the removal ended before its time")
    })?;
    outcome.map_err(|error| {
        tracing::error!(%error, "a removal failed");
        let detail = "the store could not do it, and nothing was removed: the server's log says why";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })
}

fn describe(removal: &Removal) -> Value {
    let Removal { no, device, metrics, before, reason, at, removed } = removal;
    let metrics = (!metrics.is_all()).then(|| metrics.to_string());
    json!({
        "no": no,
        "device_id": device.as_ref().map(DeviceId::as_str),
        "metrics": metrics.as_ref().map(|metrics| metrics.lines().collect::<Vec<_>>()),
        "before": before.map(rfc3339),
        "reason": reason,
        "at": rfc3339(*at),
        "removed": {
            "readings": removed.readings,
            "corrections": removed.superseded,
            "late": removed.late,
            "windows": removed.windows,
            "dead_letters": removed.dead_letters,
        },
    })
}
