//! `POST /v1/telemetry`: one reading, an array of them, or one per line.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use record::{Encoding, Lane, Protocol};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Ingest;
use super::body::Body;
use super::credentials::identify;
use super::failure::{Dialect, Failure};
use super::plan::{Arrival, Plan, Rejection};

/// The header that names the lane, for clients that cannot set parameters.
const LANE_HEADER: &str = "penstock-lane";

#[derive(Debug, Deserialize)]
struct Parameters {
    lane: Option<String>,
}

pub(super) async fn post(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    match handle(&ingest, request).await {
        Ok(plan) => accepted(&plan),
        Err(failure) => {
            ingest.counters.telemetry.failed(failure.status.as_u16());
            failure.response(Dialect::Problem)
        }
    }
}

async fn handle(ingest: &Arc<Ingest>, request: Request) -> Result<Plan, Failure> {
    let (parts, stream) = request.into_parts();
    let now = ingest.now();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let identity = identify(&ingest.parts.authenticator, &parts.headers, None, peer, now)?;
    let parameters: Query<Parameters> = Query::try_from_uri(&parts.uri)
        .map_err(|e| Failure::bad_request(format!("the parameters cannot be read: {e}")))?;
    let lane = lane(parameters.lane.as_deref(), &parts.headers)?;
    let declared = media_type(&parts.headers)?;
    let body = Body::read(&parts.headers, stream, &ingest.in_flight, &ingest.parts.limits).await?;
    let arrival = Arrival {
        protocol: Protocol::Http,
        encoding: declared,
        topic: "$http/v1/telemetry",
        time_unit: None,
        lane,
        now,
    };
    let plan = ingest.commit(identity, arrival, body).await?;
    if plan.accepted == 0 { Err(unusable(&plan)) } else { Ok(plan) }
}

/// What the body is said to be.
fn media_type(headers: &HeaderMap) -> Result<Encoding, Failure> {
    let declared = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let essence =
        declared.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/json-lines" => {
            Ok(Encoding::Ndjson)
        }
        // `curl -d` says it sends a form; a device developer's first try should not fail on that.
        "" | "application/json" | "text/json" | "text/plain" | "application/x-www-form-urlencoded" => {
            Ok(Encoding::Json)
        }
        "application/avro" | "application/vnd.apache.avro" | "avro/binary" => Ok(Encoding::Avro),
        "application/protobuf" | "application/x-protobuf" | "application/vnd.google.protobuf" => {
            Ok(Encoding::Protobuf)
        }
        other => Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "the Content-Type {other:?} is not taken: send application/json or application/x-ndjson, or by a \
                 schema application/avro or application/protobuf"
            ),
        )),
    }
}

pub(super) fn lane(parameter: Option<&str>, headers: &HeaderMap) -> Result<Option<Lane>, Failure> {
    let named = parameter.or_else(|| headers.get(LANE_HEADER).and_then(|value| value.to_str().ok()));
    match named {
        None => Ok(None),
        Some("live") => Ok(Some(Lane::Live)),
        Some("backfill") => Ok(Some(Lane::Backfill)),
        Some(other) => Err(Failure::bad_request(format!("the lane {other:?} is neither live nor backfill"))),
    }
}

fn accepted(plan: &Plan) -> Response {
    let mut body = json!({ "accepted": plan.accepted, "rejected": listed(&plan.listed) });
    if plan.rejected > plan.listed.len() {
        body["rejected_count"] = plan.rejected.into();
    }
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn unusable(plan: &Plan) -> Failure {
    let first = plan.listed.first().map_or("there is no reading in it", |first| &first.reason);
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, format!("no reading is usable: {first}"))
        .with("accepted", 0)
        .with("rejected", listed(&plan.listed))
}

fn listed(rejections: &[Rejection]) -> Vec<Value> {
    let one = |rejection: &Rejection| json!({ "index": rejection.index, "reason": rejection.reason });
    rejections.iter().map(one).collect()
}
