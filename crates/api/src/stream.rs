//! `GET /v1/stream`: readings as they are stored, as server-sent events (WHATWG HTML, section 9.2).

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as Parameters, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use query::{WATCHERS, Watch, Watching, rfc3339};
use record::{DeviceId, MetricName, Reading, TenantId, TimeOrigin};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Interval;

use crate::{Ask, Asker, NoAccess, Problem, Readiness, Shared, value};

/// Most readings in one write to the socket.
const AT_ONCE: usize = 256;

/// How often the connection shows that it is alive, and looks whether the node drains.
const BEAT: Duration = Duration::from_secs(1);

/// A comment every so many beats: proxies end a connection on which nothing happens for half a minute or more.
const COMMENT_EVERY: u32 = 10;

/// Credentials are looked at again every so many beats: what is revoked sees no more.
const LOOK_EVERY: u32 = 30;

/// How long a browser waits before it asks again, milliseconds.
const RETRY_MS: u32 = 2_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    device_id: Option<String>,
    metric: Option<String>,
}

pub(crate) async fn show(
    State(shared): Ask,
    Asker(tenant): Asker,
    headers: HeaderMap,
    wanted: Result<Parameters<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Parameters(wanted) = wanted?;
    let device = wanted.device_id.map(|id| DeviceId::parse(&id)).transpose();
    let metric = wanted.metric.map(|name| MetricName::parse(&name)).transpose();
    let watch = Watch {
        tenant: tenant.clone(),
        device: device.map_err(|error| Problem::bad_request(error.to_string()))?,
        metric: metric.map_err(|error| Problem::bad_request(error.to_string()))?,
    };
    let tail = shared.parts.tail.clone().ok_or_else(Problem::not_here)?;
    let watching = tail.watch(watch).ok_or_else(|| {
        let detail =
            format!("{WATCHERS} streams are open, which is as many as there may be: close one, or try later");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
    })?;
    let beat = tokio::time::interval(BEAT);
    let open = Open { shared, tenant, headers, watching, beat, beats: 0 };
    // The first line goes out at once, so that whoever waits knows that it is open.
    let first = format!("retry: {RETRY_MS}\n\n");
    let events = unfold((Some(first), open), |(first, mut open)| async move {
        let text = match first {
            Some(first) => first,
            None => open.next().await?,
        };
        Some((Ok::<_, Infallible>(text), (None, open)))
    });
    let kind = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((kind, Body::from_stream(events)).into_response())
}

/// A stream that somebody reads.
struct Open {
    shared: Shared,
    tenant: TenantId,
    headers: HeaderMap,
    watching: Watching,
    beat: Interval,
    beats: u32,
}

impl Open {
    /// What to write next; `None`: the stream ends. The client then asks again, and is told why if it may not.
    async fn next(&mut self) -> Option<String> {
        let mut readings = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = self.beat.tick() => {
                    self.beats += 1;
                    if !self.goes_on().await {
                        return None;
                    }
                    if self.beats.is_multiple_of(COMMENT_EVERY) {
                        return Some(":\n\n".to_owned());
                    }
                }
                more = self.watching.next(&mut readings, AT_ONCE) => {
                    return more.then(|| events(self.watching.missed(), &readings));
                }
            }
        }
    }

    async fn goes_on(&self) -> bool {
        if self.shared.parts.health.get() == Readiness::Draining {
            return false;
        }
        if !self.beats.is_multiple_of(LOOK_EVERY) {
            return true;
        }
        let (access, headers) = (Arc::clone(&self.shared.parts.access), self.headers.clone());
        let tenant = tokio::task::spawn_blocking(move || access(&headers)).await;
        // Where credentials cannot be looked at for a moment, those that held still do.
        match tenant {
            Ok(Ok(tenant)) => tenant == self.tenant,
            Ok(Err(why)) => why == NoAccess::Unavailable,
            Err(_) => false,
        }
    }
}

/// One event for each reading; before them, how many could not be shown.
fn events(missed: u64, readings: &[Reading]) -> String {
    let mut text = String::with_capacity(200 * readings.len());
    if missed > 0 {
        let _ = write!(text, "event: missed\ndata: {{\"readings\":{missed}}}\n\n");
    }
    for reading in readings {
        let shown = json!({
            "device_id": reading.device.as_str(),
            "metric": reading.metric.as_str(),
            "value": value::json(&reading.value),
            "time": rfc3339(reading.when.time),
            "arrived_at": rfc3339(reading.when.arrived_at),
            "clock": clock(reading.when.origin),
        });
        let _ = write!(text, "data: {shown}\n\n");
    }
    text
}

/// As the column `clock` of `telemetry` has it.
fn clock(origin: TimeOrigin) -> &'static str {
    match origin {
        TimeOrigin::Device => "device",
        TimeOrigin::Server => "server",
        TimeOrigin::Corrected => "corrected",
        TimeOrigin::Suspect => "suspect",
    }
}
