//! Errors as RFC 9457 problem documents.

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::NoAccess;

/// What went wrong with a request. The type is `about:blank`: the status says the kind, the detail the case
/// (RFC 9457, section 4.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
}

/// Where in what was asked it went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Place {
    /// The key of the document.
    place: &'static str,
    /// In its text, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// Characters from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
}

impl Problem {
    /// A problem of this kind; `detail` says what failed, on what, and what to do.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { title, status: status.as_u16(), detail: detail.into(), place: None }
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// A rule does not compile: the detail for people, the place for programs.
    pub(crate) fn compile(error: &rule::CompileError) -> Self {
        let known = |number: u64| (number > 0).then_some(number);
        let place = Place { place: error.key, line: known(error.line), column: known(error.column) };
        Self { place: Some(place), ..Self::bad_request(error.to_string()) }
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn no_access(why: NoAccess) -> Self {
        match why {
            NoAccess::Credentials => {
                let detail = "this needs credentials: send `Authorization: Bearer <token>`";
                Self::new(StatusCode::UNAUTHORIZED, detail)
            }
            NoAccess::Forbidden => {
                Self::new(StatusCode::FORBIDDEN, "these credentials may not read everything of their tenant")
            }
            NoAccess::Unavailable => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "credentials cannot be checked now: try again")
            }
        }
    }

    /// The details name files of this machine: they are for the operator's log.
    pub(crate) fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "what is known of devices cannot be read or written now: try again",
        )
    }

    pub(crate) fn not_here() -> Self {
        Self::new(StatusCode::NOT_FOUND, "this node does not have the query role")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")); // RFC 9110, section 11.6.1
        }
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(refused: JsonRejection) -> Self {
        let words = refused.body_text();
        let words = match &refused {
            JsonRejection::MissingJsonContentType(_) => {
                "the body is JSON and has to say so: send Content-Type: application/json (curl --json)".into()
            }
            JsonRejection::JsonDataError(_) => in_our_words(&words, DOES_NOT_FIT),
            JsonRejection::JsonSyntaxError(_) => in_our_words(&words, "the body is no JSON"),
            _ => words,
        };
        Self::new(refused.status(), words)
    }
}

impl From<QueryRejection> for Problem {
    fn from(refused: QueryRejection) -> Self {
        Self::bad_request(in_our_words(&refused.body_text(), "the parameters do not fit"))
    }
}

impl From<BytesRejection> for Problem {
    fn from(refused: BytesRejection) -> Self {
        Self::new(refused.status(), refused.body_text())
    }
}

/// JSON, but not what was asked for. The web interface looks for it (web/src/pages/rule/draft.ts).
const DOES_NOT_FIT: &str = "the body does not fit";

/// What a library says begins with where in its work it was, up to the first colon. That is of no use to who asked.
fn in_our_words(theirs: &str, ours: &str) -> String {
    format!("{ours}: {}", theirs.split_once(": ").map_or(theirs, |(_, what)| what))
}

impl From<registry::Error> for Problem {
    fn from(error: registry::Error) -> Self {
        match error {
            registry::Error::Refused(reason) => Self::bad_request(reason),
            error => {
                tracing::error!(%error, "the registry cannot be used");
                Self::unavailable()
            }
        }
    }
}

impl From<query::Error> for Problem {
    fn from(error: query::Error) -> Self {
        let status = match &error {
            query::Error::Statement(_) => StatusCode::BAD_REQUEST,
            query::Error::TooMuch(_) => StatusCode::UNPROCESSABLE_ENTITY,
            query::Error::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            query::Error::Store(_) | query::Error::Engine { .. } => {
                tracing::error!(%error, "a question could not be answered");
                // The details name files of this machine: they are for the operator's log.
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read now; try again");
            }
        };
        Self::new(status, error.to_string())
    }
}

/// Where other servers say how they are.
const HEALTH_ELSEWHERE: [&str; 6] = ["/livez", "/readyz", "/live", "/ready", "/alive", "/status"];

pub(crate) async fn no_such_path(uri: Uri) -> Problem {
    let path = uri.path();
    let instead = match path.starts_with("/health") || HEALTH_ELSEWHERE.contains(&path) {
        true => "/health/ready says whether messages are taken, /health/live whether the process serves",
        false => "/v1/openapi.json lists what there is",
    };
    Problem::not_found(format!("there is nothing at {path}; {instead}"))
}

pub(crate) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not answer {method}", uri.path()))
}
