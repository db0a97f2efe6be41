//! `GET /v1/dlq`, `/v1/dlq/{id}`, `POST /v1/dlq/replay`: dead letters, looked at, mended and tried again.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query as Parameters, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use log::{Batch, Topic};
use query::{DeadId, Query, Table, rfc3339};
use record::{Envelope, TenantId};
use serde::Deserialize;
use serde_json::{Value, json};
use series::{Completeness, DeadMessage};
use wire::template::Templates;

use crate::ledger::log_problem;
use crate::{Ask, Asker, Problem, Shared, replay as tried_again};

/// Dead letters in a list unless the asker says otherwise, and at most.
const LISTED: (u32, u32) = (100, 10_000);

/// Messages replayed by one request unless the asker says otherwise, and at most: their names are held in memory, and
/// the request must end in time. Who has more asks again, with the same condition once the first are through.
const REPLAYED: (u32, u32) = (1_000, 10_000);

/// Records of one append to the log, bytes, about.
const APPENDED_BYTES: usize = 4 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(rename = "where")]
    condition: Option<String>,
    limit: Option<u32>,
}

pub(crate) async fn list(
    State(shared): Ask,
    Asker(tenant): Asker,
    wanted: Result<Parameters<Wanted>, QueryRejection>,
) -> Result<Json<Table>, Problem> {
    let Parameters(wanted) = wanted?;
    let limit = wanted.limit.unwrap_or(LISTED.0).min(LISTED.1);
    let table =
        shared.ask(move |query| query.dead_letters(&tenant, wanted.condition.as_deref(), limit)).await?;
    Ok(Json(table))
}

pub(crate) async fn show(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let missing =
        || Problem::not_found(format!("there is no dead message {id:?}; it may have been replayed"));
    let name = DeadId::parse(&id).ok_or_else(missing)?;
    let found = shared.ask(move |query| query.dead_message(&tenant, name)).await?;
    found.map(|message| Json(describe(name, &message))).ok_or_else(missing)
}

fn describe(id: DeadId, message: &DeadMessage) -> Value {
    let envelope = Envelope::decode(&message.record).ok();
    let bytes = envelope.map_or(&message.record[..], |envelope| envelope.payload);
    let (payload, encoding) = match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (BASE64_STANDARD.encode(bytes), "base64"),
    };
    let reasons =
        message.letters.iter().map(|letter| json!({ "reading": letter.index, "reason": letter.reason }));
    json!({
        "id": id.to_string(),
        "device_id": message.device,
        "topic": message.topic,
        "stage": message.stage,
        "lost": if message.completeness == Completeness::Whole { "whole" } else { "part" },
        "attempts": message.attempts,
        "first_at": rfc3339(message.arrived_at),
        "last_at": rfc3339(message.last_at),
        "reasons": reasons.collect::<Vec<_>>(),
        "payload": payload,
        "payload_encoding": encoding,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Again {
    #[serde(rename = "where")]
    condition: Option<String>,
    limit: Option<u32>,
    /// What stands in the place of the one message's payload.
    payload: Option<String>,
    /// The same, for what is no UTF-8.
    payload_base64: Option<String>,
}

impl Again {
    fn mended(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        match (self.payload.take(), self.payload_base64.take()) {
            (Some(_), Some(_)) => Err(Problem::bad_request("payload and payload_base64: one of them")),
            (Some(text), None) => Ok(Some(text.into_bytes())),
            (None, Some(text)) => BASE64_STANDARD
                .decode(text)
                .map(Some)
                .map_err(|error| Problem::bad_request(format!("payload_base64: {error}"))),
            (None, None) => Ok(None),
        }
    }
}

/// Answers once the replays are durable. What becomes of them shows in the table: they leave it, or have one attempt
/// more. Replaying a message twice changes nothing: the stream knows what it has put right.
pub(crate) async fn replay(
    State(shared): Ask,
    Asker(tenant): Asker,
    body: Result<Json<Again>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(mut asked) = body?;
    let payload = asked.mended()?;
    let Again { condition, limit, .. } = asked;
    let limit = limit.unwrap_or(REPLAYED.0).min(REPLAYED.1);
    let owner = tenant.clone();
    // One more than is replayed, to know whether there are more.
    let mut ids = shared.ask(move |query| query.dead_ids(&owner, condition.as_deref(), limit + 1)).await?;
    if payload.is_some() && ids.len() != 1 {
        let found = if ids.is_empty() { "none" } else { "several" };
        let detail = format!("a mended payload is for exactly one message; the condition holds for {found}");
        return Err(Problem::bad_request(detail));
    }
    let more = ids.len() > limit as usize;
    ids.truncate(limit as usize);
    let (mut replayed, mut skipped) = (0, Vec::new());
    while !ids.is_empty() {
        let bite = bite(&shared, tenant.clone(), ids, payload.clone()).await?;
        let records = bite.records;
        if records > 0 {
            shared.parts.log.append(bite.batch).await.map_err(|error| {
                let problem = log_problem(&error);
                if replayed == 0 { problem } else { cut_short(replayed) }
            })?;
        }
        replayed += records;
        skipped.extend(bite.skipped);
        ids = bite.rest;
    }
    Ok(Json(json!({ "replayed": replayed, "skipped": skipped, "more": more })))
}

fn cut_short(replayed: usize) -> Problem {
    let detail = format!(
        "{replayed} messages were replayed, then the log could not be written; try again for the rest"
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// What goes to the log at once.
#[derive(Default)]
struct Bite {
    batch: Batch,
    records: usize,
    skipped: Vec<Value>,
    rest: Vec<DeadId>,
}

async fn bite(
    shared: &Shared,
    tenant: TenantId,
    ids: Vec<DeadId>,
    payload: Option<Vec<u8>>,
) -> Result<Bite, Problem> {
    let templates = shared.parts.templates.clone();
    let partitions = shared.parts.log.partitions(Topic::Raw);
    let schemas = shared.parts.schemas.clone();
    let mended = move |query: &Query| {
        read(query, &tenant, ids, payload.as_deref(), &templates, schemas.as_ref(), partitions)
    };
    shared.ask(mended).await
}

fn read(
    query: &Query,
    tenant: &TenantId,
    mut ids: Vec<DeadId>,
    mended: Option<&[u8]>,
    templates: &Templates,
    schemas: Option<&schema::Schemas>,
    partitions: u16,
) -> query::Result<Bite> {
    let mut bite = Bite::default();
    let (mut bytes, mut taken) = (0, 0);
    for &id in &ids {
        if bytes >= APPENDED_BYTES {
            break;
        }
        taken += 1;
        let outcome = match query.dead_message(tenant, id)? {
            Some(message) => tried_again::record(&message, mended, templates, schemas, partitions),
            None => Err("it is no longer there".to_owned()),
        };
        match outcome {
            Ok((partition, record)) => {
                bytes += record.len();
                bite.batch.push(partition, &record);
                bite.records += 1;
            }
            Err(reason) => bite.skipped.push(json!({ "id": id.to_string(), "reason": reason })),
        }
    }
    bite.rest = ids.split_off(taken);
    Ok(bite)
}
