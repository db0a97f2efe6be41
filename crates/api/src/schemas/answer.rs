//! Answers and errors in the interface's shapes.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schema::{Schema, SchemaType, Version};
use serde_json::{Value, json};

use crate::Problem;

const JSON: HeaderValue = HeaderValue::from_static("application/vnd.schemaregistry.v1+json");

/// An answer.
pub(crate) struct Answer(pub(super) Value);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, JSON)], self.0.to_string()).into_response()
    }
}

/// An error: a status, the interface's number of the case, and a message.
pub(crate) struct Refused {
    status: StatusCode,
    code: u32,
    message: String,
}

impl Refused {
    pub(super) fn status(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, code: status.as_u16().into(), message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::status(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_here() -> Self {
        Self::status(StatusCode::NOT_FOUND, "this node does not have the control role")
    }

    pub(super) fn broken() -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: 50001, message: "error in the store".into() }
    }

    pub(super) fn problem(problem: &Problem) -> Self {
        Self::status(problem.status(), problem.detail())
    }
}

impl From<schema::Error> for Refused {
    fn from(error: schema::Error) -> Self {
        let code = error.code();
        let status = if code < 1000 { code } else { code / 100 };
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::error!(%error, "the schemas could not be read or written");
            return Self::broken(); // the details name files of this machine
        }
        Self { status, code, message: error.to_string() }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error_code": self.code, "message": self.message }));
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        if self.status == StatusCode::UNAUTHORIZED {
            // The interface's clients send user and password, or a token.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"schemas\", Bearer"));
        }
        response
    }
}

/// A version; of Avro, the type is left out, as it was before there were types.
pub(super) fn version(version: &Version) -> Value {
    let mut answer = schema(&version.schema);
    answer["subject"] = version.subject.clone().into();
    answer["version"] = version.version.into();
    answer["id"] = version.id.0.into();
    answer
}

pub(super) fn schema(schema: &Schema) -> Value {
    let mut answer = json!({ "schema": schema.schema });
    if schema.schema_type != SchemaType::Avro {
        answer["schemaType"] = schema.schema_type.word().into();
    }
    if !schema.references.is_empty() {
        answer["references"] = json!(schema.references);
    }
    answer
}

/// A schema's text by itself: for Avro and JSON Schema it is JSON.
pub(super) fn text(schema: &Schema) -> Response {
    let content = if schema.schema_type == SchemaType::Protobuf {
        HeaderValue::from_static("text/plain; charset=utf-8")
    } else {
        JSON
    };
    ([(CONTENT_TYPE, content)], schema.schema.clone()).into_response()
}
