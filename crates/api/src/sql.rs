//! `POST /v1/sql` and `GET /v1/query`.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query as Parameters, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use query::{Aggregate, Cell, Every, MAX_POINTS, Resolution, parse_rfc3339};
use record::{DeviceId, MetricName, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Ask, Asker, Problem, datasets, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement {
    query: String,
    #[serde(default)]
    params: Vec<Value>,
    /// The data set to ask instead of the live tables.
    dataset: Option<String>,
}

pub(crate) async fn run(
    State(shared): Ask,
    Asker(tenant): Asker,
    headers: HeaderMap,
    body: Result<Json<Statement>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(Statement { query, params, dataset }) = body?;
    let format = Format::accepted(&headers)?;
    let params =
        params.into_iter().enumerate().map(|(n, value)| cell(n, value)).collect::<Result<Vec<_>, _>>()?;
    let dataset = dataset.map(|name| datasets::sql_over(&shared, &name)).transpose()?;
    if matches!(format, Format::Arrow) {
        let stream = shared.ask(move |q| q.sql_arrow(dataset.as_deref(), &tenant, &query, &params)).await?;
        return Ok(([(CONTENT_TYPE, ARROW)], stream).into_response());
    }
    let table = shared
        .ask(move |q| match dataset {
            None => q.sql(&tenant, &query, &params),
            Some(dataset) => q.sql_over(&*dataset, &tenant, &query, &params),
        })
        .await?;
    Ok(match format {
        Format::Csv => {
            ([(CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], table.to_csv()).into_response()
        }
        Format::Json | Format::Arrow => Json(table).into_response(),
    })
}

/// A stream of Arrow's IPC.
const ARROW: &str = "application/vnd.apache.arrow.stream";

enum Format {
    Json,
    Csv,
    Arrow,
}

impl Format {
    fn accepted(headers: &HeaderMap) -> Result<Self, Problem> {
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
        let media = accept.split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
        for range in media {
            match range {
                "application/json" | "*/*" | "application/*" => return Ok(Self::Json),
                "text/csv" | "text/*" => return Ok(Self::Csv),
                ARROW => return Ok(Self::Arrow),
                _ => {}
            }
        }
        let detail = format!("no answer as {accept:?}: application/json, text/csv and {ARROW} are possible");
        Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail))
    }
}

fn cell(number: usize, value: Value) -> Result<Cell, Problem> {
    Ok(match value {
        Value::Null => Cell::Null,
        Value::Bool(bool) => Cell::Bool(bool),
        Value::String(text) => Cell::Text(text),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(int), _) => Cell::Int(int),
            // An integer beyond 64 bits must not turn into a float in silence.
            (None, Some(float)) if n.is_f64() => Cell::Float(float),
            _ => {
                return Err(Problem::bad_request(format!(
                    "parameter {number}: {n} is beyond 64 signed bits"
                )));
            }
        },
        Value::Array(_) | Value::Object(_) => {
            let detail = format!("parameter {number} is no number, text, boolean or null");
            return Err(Problem::bad_request(detail));
        }
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    device_id: String,
    metric: String,
    start: Option<String>,
    end: Option<String>,
    max_points: Option<usize>,
    /// The width of buckets.
    every: Option<String>,
    /// What is made of a bucket's points.
    agg: Option<String>,
    /// By the clocks of which place buckets are cut.
    tz: Option<String>,
}

pub(crate) async fn points(
    State(shared): Ask,
    Asker(tenant): Asker,
    range: Result<Parameters<Range>, QueryRejection>,
) -> Result<Response, Problem> {
    let Parameters(range) = range?;
    let device =
        DeviceId::parse(&range.device_id).map_err(|error| Problem::bad_request(error.to_string()))?;
    let metric = MetricName::parse(&range.metric).map_err(|error| Problem::bad_request(error.to_string()))?;
    let start = time("start", range.start.as_deref())?.unwrap_or(Timestamp::from_nanos(i64::MIN));
    let end = time("end", range.end.as_deref())?.unwrap_or(Timestamp::from_nanos(i64::MAX));
    if start > end {
        return Err(Problem::bad_request("start lies after end"));
    }
    let max_points = range.max_points.unwrap_or(MAX_POINTS);
    let (whose, from, of) = (tenant.clone(), device.clone(), metric.clone());
    let is_cold = shared.ask(move |q| q.is_cold(&whose, &from, &of, start..end)).await?;
    let (points, resolution, windows) = match buckets(&range)? {
        Some((every, aggregate)) => {
            let asked = move |q: &query::Query| {
                q.buckets(&tenant, &device, &metric, start..end, (&every, aggregate), max_points)
            };
            let name = (range.agg.as_deref().unwrap_or("avg"), range.every.as_deref().unwrap_or_default());
            let found = shared.ask(asked).await?;
            (found.points, format!("{}/{}", name.0, name.1), found.made_of)
        }
        None => {
            let found =
                shared.ask(move |q| q.points(&tenant, &device, &metric, start..end, max_points)).await?;
            let resolution = match found.resolution {
                Resolution::Raw => "raw".to_owned(),
                Resolution::Extremes { bucket_nanos } => {
                    format!("extremes/{}ms", bucket_nanos.div_ceil(1_000_000))
                }
            };
            let resolution = match &found.means_of {
                Some(window) => format!("avg/{window}, {resolution}"),
                None => resolution,
            };
            (found.points, resolution, found.means_of)
        }
    };
    let mut tiers = vec!["hot"];
    tiers.extend(is_cold.then_some("cold"));
    tiers.extend(windows.map(|_| "windows"));
    let points: Vec<_> =
        points.iter().map(|point| json!([point.time.millis(), value::json(&point.value)])).collect();
    Ok(Json(json!({
        "device_id": range.device_id,
        "metric": range.metric,
        "points": points,
        "resolution": resolution,
        "tiers": tiers,
    }))
    .into_response())
}

/// The buckets that are asked for, if any are.
fn buckets(range: &Range) -> Result<Option<(Every, Aggregate)>, Problem> {
    let Some(width) = &range.every else {
        return match range.agg.is_some() || range.tz.is_some() {
            true => {
                Err(Problem::bad_request("agg and tz say how buckets are made: name their width with every"))
            }
            false => Ok(None),
        };
    };
    let every =
        Every::parse(width, range.tz.as_deref()).map_err(|error| Problem::bad_request(error.to_string()))?;
    let name = range.agg.as_deref().unwrap_or("avg");
    let aggregate = Aggregate::parse(name).ok_or_else(|| {
        Problem::bad_request(format!("agg: {name:?} is none of avg, min, max, sum, count, first, last"))
    })?;
    Ok(Some((every, aggregate)))
}

/// RFC 3339, or a number since the epoch whose unit shows from its size.
pub(crate) fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let read = parse_rfc3339(text).map_or_else(|| Timestamp::parse(text, None), Ok);
    read.map(Some).map_err(|error| Problem::bad_request(format!("{name}: the time {text:?} {error}")))
}
