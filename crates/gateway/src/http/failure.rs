//! Why a request was not done, and how that is said: as an RFC 9457 problem, or as InfluxDB 1.x or 2.x says it.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use registry::{Denied, Refusal, RefusalKind};
use serde_json::{Map, Value, json};

/// Why a request was not done.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    /// What failed, on what, what to do.
    pub(super) detail: String,
    /// When to come back, for 429 and 503.
    retry_after_s: Option<u32>,
    /// Further members of the problem document.
    members: Map<String, Value>,
}

/// Whose way of saying no is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// RFC 9457.
    Problem,
    /// `{"error": …}`.
    Influx1,
    /// `{"code": …, "message": …}`.
    Influx2,
}

/// The hint when the log holds too much: a group commit takes milliseconds, a second is ample.
const BUSY_RETRY_S: u32 = 1;
/// The hint when the disk is full: it takes a person or the retention.
const FULL_RETRY_S: u32 = 10;

impl Failure {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry_after_s: None, members: Map::new() }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn internal(detail: String) -> Self {
        tracing::error!(detail, "a request failed inside");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed; nothing is acknowledged, send again")
    }

    pub(super) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    pub(super) fn too_large(what: &str, limit_bytes: usize, setting: &str) -> Self {
        let detail =
            format!("{what}: at most {limit_bytes} bytes are taken ({setting}); send smaller batches");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
            .with("limit", setting.to_owned())
            .with("limit_bytes", limit_bytes)
    }

    pub(super) fn in_flight() -> Self {
        Self::retry(
            StatusCode::SERVICE_UNAVAILABLE,
            BUSY_RETRY_S,
            "too many bytes of other requests are being handled: send again",
        )
    }

    pub(super) fn commit_deadline(waited: Duration) -> Self {
        let detail = format!(
            "not known to be durable after {} s: send again, what is there already is recognised",
            waited.as_secs()
        );
        Self::retry(StatusCode::SERVICE_UNAVAILABLE, BUSY_RETRY_S, detail)
    }

    /// The log did not take it: nothing is acknowledged.
    pub(super) fn log(error: &log::Error) -> Self {
        match error {
            log::Error::Busy { .. } => Self::retry(
                StatusCode::TOO_MANY_REQUESTS,
                BUSY_RETRY_S,
                "more is waiting to be written than the disk can take: slow down and send again",
            ),
            log::Error::Full { .. } => Self::retry(
                StatusCode::SERVICE_UNAVAILABLE,
                FULL_RETRY_S,
                "the server's disk is full: send again, ingest resumes by itself",
            ),
            log::Error::Refused(reason) => Self::internal(reason.clone()),
            // File names are for the operator, whom the log tells itself.
            _ => Self::retry(
                StatusCode::SERVICE_UNAVAILABLE,
                FULL_RETRY_S,
                "the server cannot write now: nothing is acknowledged, send again",
            ),
        }
    }

    pub(super) fn denied(denied: Denied, device: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, format!("readings of {device:?}: {denied}"))
    }

    fn retry(status: StatusCode, after_s: u32, detail: impl Into<String>) -> Self {
        Self { retry_after_s: Some(after_s), ..Self::new(status, detail) }
    }

    pub(super) fn response(&self, dialect: Dialect) -> Response {
        let body = match dialect {
            Dialect::Problem => self.problem(),
            Dialect::Influx1 => json!({ "error": self.detail }),
            Dialect::Influx2 => {
                let mut body = json!({ "code": self.influx_code(), "message": self.detail });
                if let Some(line) = self.members.get("line") {
                    body["line"] = line.clone();
                }
                body
            }
        };
        let content_type = match dialect {
            Dialect::Problem => "application/problem+json",
            Dialect::Influx1 | Dialect::Influx2 => "application/json",
        };
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 11.6.1.
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"penstock\""));
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"penstock\""));
        }
        if dialect == Dialect::Influx1
            && let Ok(text) = HeaderValue::from_str(&self.detail)
        {
            headers.insert(HeaderName::from_static("x-influxdb-error"), text);
        }
        response
    }

    fn problem(&self) -> Value {
        let mut body = Map::new();
        body.insert("title".into(), self.status.canonical_reason().unwrap_or("Error").into());
        body.insert("status".into(), self.status.as_u16().into());
        body.insert("detail".into(), self.detail.clone().into());
        body.extend(self.members.clone());
        Value::Object(body)
    }

    /// InfluxDB 2.x's own words.
    fn influx_code(&self) -> &'static str {
        match self.status {
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::PAYLOAD_TOO_LARGE => "request too large",
            StatusCode::TOO_MANY_REQUESTS => "too many requests",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            StatusCode::INTERNAL_SERVER_ERROR => "internal error",
            _ => "invalid",
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        tracing::info!(reason = refusal.operator, "credentials refused over HTTP");
        match refusal.kind {
            RefusalKind::Unavailable => {
                Self::retry(StatusCode::SERVICE_UNAVAILABLE, BUSY_RETRY_S, refusal.to_string())
            }
            RefusalKind::Missing | RefusalKind::Credentials | RefusalKind::ClientId => {
                Self::new(StatusCode::UNAUTHORIZED, refusal.to_string())
            }
        }
    }
}
