//! InfluxDB's line protocol and what its clients ask before they begin: `/write` (1.x), `/api/v2/write` (2.x),
//! `/ping` and the few statements of `/query` that create databases.
//!
//! A request with a bad line commits the good ones and answers 400 naming the bad ones, as InfluxDB 1.x does for
//! a partial write: Telegraf then drops the batch instead of sending it for ever, and the bad lines are dead
//! letters. Database, bucket and organization mean nothing here: the tenant comes from the credential.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use record::{Encoding, Protocol, TimeUnit};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Ingest;
use super::body::Body;
use super::credentials::identify;
use super::failure::{Dialect, Failure};
use super::plan::{Arrival, Plan};
use super::telemetry::lane;

/// What we say we are: clients compare versions to know what they may send.
const VERSION: HeaderValue = HeaderValue::from_static("1.8.10");
const BUILD: HeaderValue = HeaderValue::from_static("Penstock");
/// Largest `/query` form, bytes: a statement and credentials.
const FORM_BYTES: usize = 64 << 10;

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    precision: Option<String>,
    lane: Option<String>,
    /// User and password of InfluxDB 1.x.
    u: Option<String>,
    p: Option<String>,
    /// The statement, for `/query`.
    q: Option<String>,
    #[serde(default)]
    verbose: Option<String>,
}

pub(super) async fn write(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    answer(&ingest, handle(&ingest, request, "$http/write").await, Dialect::Influx1)
}

pub(super) async fn write_v2(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    answer(&ingest, handle(&ingest, request, "$http/api/v2/write").await, Dialect::Influx2)
}

fn answer(ingest: &Ingest, outcome: Result<(), Failure>, dialect: Dialect) -> Response {
    let mut response = match outcome {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(failure) => {
            ingest.counters.influx.failed(failure.status.as_u16());
            failure.response(dialect)
        }
    };
    introduce(response.headers_mut());
    response
}

async fn handle(ingest: &Arc<Ingest>, request: Request, topic: &'static str) -> Result<(), Failure> {
    let (parts, stream) = request.into_parts();
    let now = ingest.now();
    let parameters = parameters(&parts.uri)?;
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let identity = identify(&ingest.parts.authenticator, &parts.headers, parameters.user(), peer, now)?;
    let time_unit = match parameters.precision.as_deref() {
        None | Some("") => None,
        Some(name) => Some(TimeUnit::from_precision(name).ok_or_else(|| {
            Failure::bad_request(format!("invalid precision {name:?} (use ns, us, ms, s, m or h)"))
        })?),
    };
    let lane = lane(parameters.lane.as_deref(), &parts.headers)?;
    let body = Body::read(&parts.headers, stream, &ingest.in_flight, &ingest.parts.limits).await?;
    if body.size_bytes() == 0 {
        return Ok(()); // InfluxDB takes an empty body, and clients probe with one.
    }
    let arrival =
        Arrival { protocol: Protocol::Influx, encoding: Encoding::Influx, topic, time_unit, lane, now };
    let plan = ingest.commit(identity, arrival, body).await?;
    if plan.rejected == 0 { Ok(()) } else { Err(partial(&plan)) }
}

fn partial(plan: &Plan) -> Failure {
    /// Lines named in the message; all are in the dead letters.
    const NAMED: usize = 5;
    let reasons: Vec<&str> =
        plan.listed.iter().take(NAMED).map(|rejection| rejection.reason.as_str()).collect();
    let reasons = reasons.join("; ");
    let more = plan.rejected.saturating_sub(NAMED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let detail = if plan.accepted > 0 {
        format!("partial write: unable to parse {reasons}{more} dropped={}", plan.rejected)
    } else {
        format!("unable to parse {reasons}{more}")
    };
    let line = plan.listed.first().map_or(0, |rejection| rejection.line);
    Failure::bad_request(detail).with("line", line)
}

/// `GET` and `HEAD /ping`.
pub(super) async fn ping(method: Method, uri: Uri) -> Response {
    let verbose = parameters(&uri).ok().and_then(|p| p.verbose).is_some_and(|v| v != "false" && v != "0");
    let mut response = if verbose && method == Method::GET {
        let body = json!({ "version": "1.8.10" }).to_string();
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    } else {
        StatusCode::NO_CONTENT.into_response()
    };
    introduce(response.headers_mut());
    response
}

/// `/query`: the statements with which clients prepare a database.
pub(super) async fn query(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let mut response = match statements(&ingest, request).await {
        Ok(results) => {
            let body = format!("{}\n", json!({ "results": results }));
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(failure) => {
            ingest.counters.influx.failed(failure.status.as_u16());
            failure.response(Dialect::Influx1)
        }
    };
    introduce(response.headers_mut());
    response
}

async fn statements(ingest: &Arc<Ingest>, request: Request) -> Result<Vec<Value>, Failure> {
    let (parts, stream) = request.into_parts();
    let mut asked = parameters(&parts.uri)?;
    if parts.method == Method::POST {
        let form = axum::body::to_bytes(stream, FORM_BYTES)
            .await
            .map_err(|_| Failure::too_large("the form is too large", FORM_BYTES, "form"))?;
        let form = std::str::from_utf8(&form).map_err(|_| Failure::bad_request("the form is not UTF-8"))?;
        if form.contains('=') {
            let uri =
                format!("/?{form}").parse().map_err(|_| Failure::bad_request("the form cannot be read"))?;
            let form = parameters(&uri)?;
            asked.q = asked.q.or(form.q);
            (asked.u, asked.p) = (asked.u.or(form.u), asked.p.or(form.p));
        }
    }
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    identify(&ingest.parts.authenticator, &parts.headers, asked.user(), peer, ingest.now())?;
    let text = asked.q.unwrap_or_default();
    let all: Vec<&str> = text.split(';').map(str::trim).filter(|text| !text.is_empty()).collect();
    if all.is_empty() {
        return Err(Failure::bad_request("missing required parameter \"q\""));
    }
    all.iter().enumerate().map(|(id, text)| statement(id, text)).collect()
}

fn statement(id: usize, text: &str) -> Result<Value, Failure> {
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let series = |name: &str, columns: &[&str], values: Value| json!({"statement_id": id, "series": [{"name": name, "columns": columns, "values": values}]});
    Ok(match words.as_slice() {
        ["SHOW", "DATABASES", ..] => series("databases", &["name"], json!([["penstock"]])),
        ["SHOW", "RETENTION", "POLICIES", ..] => json!({"statement_id": id, "series": [{
            "columns": ["name", "duration", "shardGroupDuration", "replicaN", "default"],
            "values": [["autogen", "0s", "168h0m0s", 1, true]],
        }]}),
        ["SHOW", ..] | ["CREATE", "DATABASE" | "RETENTION", _, ..] => json!({ "statement_id": id }),
        ["DROP", "DATABASE", _, ..] => json!({"statement_id": id, "messages": [{
            "level": "warning",
            "text": "there are no databases here: nothing was dropped, data ends by its retention",
        }]}),
        ["SELECT", ..] => json!({
            "statement_id": id,
            "error": "InfluxQL is not answered here: ask SQL at POST /v1/sql",
        }),
        _ => return Err(Failure::bad_request(format!("error parsing query: {text:?} is not answered here"))),
    })
}

fn parameters(uri: &Uri) -> Result<Parameters, Failure> {
    match Query::try_from_uri(uri) {
        Ok(Query(parameters)) => Ok(parameters),
        Err(error) => Err(Failure::bad_request(format!("the parameters cannot be read: {error}"))),
    }
}

impl Parameters {
    fn user(&self) -> Option<(&str, &str)> {
        Some((self.u.as_deref()?, self.p.as_deref()?))
    }
}

fn introduce(headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static("x-influxdb-version"), VERSION);
    headers.insert(HeaderName::from_static("x-influxdb-build"), BUILD);
}
