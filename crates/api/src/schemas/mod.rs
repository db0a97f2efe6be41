//! The Confluent Schema Registry interface, so that its clients and tools work unchanged: paths, shapes, error codes
//! and content type are theirs. Subjects are those of the asker's tenant.
//!
//! There is one context, the default one, and `normalize` changes nothing: schemas are always told apart by what they
//! mean (docs/decisions/schemas.md).

mod answer;
mod settings;
mod subjects;
mod texts;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequestParts, Query as Parameters};
use axum::http::request::Parts as RequestParts;
use axum::routing::{get, post};
use record::TenantId;
use schema::{Catalog, Schema, SchemaType, Subject};
use serde::Deserialize;

use crate::Shared;
use answer::{Answer, Refused};

/// Its paths.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/subjects", get(subjects::list))
        .route("/subjects/{subject}", post(subjects::find).delete(subjects::delete))
        .route("/subjects/{subject}/versions", get(subjects::versions).post(subjects::register))
        .route(
            "/subjects/{subject}/versions/{version}",
            get(subjects::version).delete(subjects::delete_version),
        )
        .route("/subjects/{subject}/versions/{version}/schema", get(subjects::version_text))
        .route("/subjects/{subject}/versions/{version}/referencedby", get(subjects::referenced_by))
        .route("/schemas", get(texts::list))
        .route("/schemas/types", get(texts::types))
        .route("/schemas/ids/{id}", get(texts::by_id))
        .route("/schemas/ids/{id}/schema", get(texts::text_by_id))
        .route("/schemas/ids/{id}/subjects", get(texts::subjects_of))
        .route("/schemas/ids/{id}/versions", get(texts::versions_of))
        .route("/compatibility/subjects/{subject}/versions", post(subjects::compatible))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(subjects::compatible_with))
        .route("/config", get(settings::level).put(settings::set_level).delete(settings::unset_level))
        .route(
            "/config/{subject}",
            get(settings::level_of).put(settings::set_level_of).delete(settings::unset_level_of),
        )
        .route("/mode", get(settings::mode).put(settings::set_mode).delete(settings::unset_mode))
        .route(
            "/mode/{subject}",
            get(settings::mode_of).put(settings::set_mode_of).delete(settings::unset_mode_of),
        )
        .route("/contexts", get(texts::contexts))
}

/// The catalog, and whose part of it is asked for. Without credentials the request ends here.
pub(crate) struct Desk {
    catalog: Arc<Catalog>,
    tenant: TenantId,
}

impl FromRequestParts<Shared> for Desk {
    type Rejection = Refused;

    async fn from_request_parts(request: &mut RequestParts, shared: &Shared) -> Result<Self, Refused> {
        let asker = crate::Asker::from_request_parts(request, shared).await;
        let tenant = asker.map_err(|problem| Refused::problem(&problem))?.0;
        let schemas = shared.parts.schemas.as_ref().ok_or_else(Refused::not_here)?;
        let catalog = Arc::clone(schemas.catalog());
        Ok(Self { catalog, tenant })
    }
}

impl Desk {
    /// Asks on a thread that may block: schemas are compiled, and what changes is written to disk.
    async fn ask<T: Send + 'static>(
        self,
        question: impl FnOnce(&Catalog, &TenantId) -> schema::Result<T> + Send + 'static,
    ) -> Result<T, Refused> {
        let answer = tokio::task::spawn_blocking(move || question(&self.catalog, &self.tenant)).await;
        answer
            .map_err(|died| {
                tracing::error!(error = %died, "a question about schemas ended in a panic");
                Refused::broken()
            })?
            .map_err(Refused::from)
    }
}

/// The switches of the interface; those that mean nothing here are taken all the same.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Switches {
    #[serde(deserialize_with = "truth")]
    deleted: bool,
    #[serde(deserialize_with = "truth")]
    deleted_only: bool,
    #[serde(deserialize_with = "truth")]
    permanent: bool,
    #[serde(deserialize_with = "truth")]
    verbose: bool,
    #[serde(deserialize_with = "truth")]
    latest_only: bool,
    #[serde(deserialize_with = "truth")]
    default_to_global: bool,
    subject_prefix: String,
    subject: Option<String>,
    format: String,
    offset: usize,
    limit: Option<i64>,
}

/// Clients write `true` and `True`.
fn truth<'de, D: serde::Deserializer<'de>>(text: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(text)?.eq_ignore_ascii_case("true"))
}

impl Switches {
    fn page<T>(&self, all: Vec<T>) -> Vec<T> {
        let limit = self.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        all.into_iter().skip(self.offset).take(limit).collect()
    }

    fn deletion(&self) -> schema::Deletion {
        if self.permanent { schema::Deletion::Permanent } else { schema::Deletion::Soft }
    }
}

type Asked = Result<Parameters<Switches>, QueryRejection>;
type Body = Result<Bytes, BytesRejection>;

fn switches(asked: Asked) -> Result<Switches, Refused> {
    asked.map(|Parameters(switches)| switches).map_err(|wrong| Refused::bad_request(wrong.body_text()))
}

fn subject(text: &str) -> Result<Subject, Refused> {
    Ok(Subject::parse(text)?)
}

fn read<T: for<'b> Deserialize<'b>>(body: Body) -> Result<T, Refused> {
    let bytes = body.map_err(|wrong| Refused::status(wrong.status(), wrong.body_text()))?;
    serde_json::from_slice(&bytes)
        .map_err(|wrong| Refused::bad_request(format!("the body is no such JSON: {wrong}")))
}

/// A schema as it is sent. Without a type it is Avro, as it was before there were types.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    schema: String,
    schema_type: Option<String>,
    references: Option<Vec<schema::Reference>>,
}

impl Sent {
    fn read(body: Body) -> Result<Schema, Refused> {
        let sent: Self = read(body)?;
        let schema_type = sent.schema_type.as_deref().map_or(Ok(SchemaType::Avro), str::parse)?;
        let references = sent.references.unwrap_or_default();
        Ok(Schema { schema_type, schema: sent.schema, references })
    }
}
