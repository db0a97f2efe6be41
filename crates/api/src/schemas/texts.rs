//! Schemas by their numbers.

use axum::extract::Path;
use axum::response::Response;
use schema::{Catalog, Schema, SchemaId, SchemaType, Selector, Subject};
use serde_json::{Value, json};

use super::{Answer, Asked, Desk, Refused, answer, switches};
use record::TenantId;

fn id(text: &str) -> Result<SchemaId, Refused> {
    let number = text.parse().map_err(|_| Refused::from(schema::Error::SchemaNotFound))?;
    Ok(SchemaId(number))
}

pub(crate) async fn by_id(desk: Desk, Path(number): Path<String>, asked: Asked) -> Result<Answer, Refused> {
    let (number, asked) = (id(&number)?, switches(asked)?);
    let serialized = asked.format == "serialized";
    desk.ask(move |catalog, tenant| {
        let mut schema = catalog.schema(tenant, number)?;
        if serialized && let Some(descriptor) = catalog.compiled(tenant, number)?.serialized() {
            schema.schema = descriptor;
        }
        Ok(Answer(answer::schema(&schema)))
    })
    .await
}

pub(crate) async fn text_by_id(desk: Desk, Path(number): Path<String>) -> Result<Response, Refused> {
    let number = id(&number)?;
    let schema: Schema = desk.ask(move |catalog, tenant| catalog.schema(tenant, number)).await?;
    Ok(answer::text(&schema))
}

pub(crate) async fn subjects_of(
    desk: Desk,
    Path(number): Path<String>,
    asked: Asked,
) -> Result<Answer, Refused> {
    let (number, asked) = (id(&number)?, switches(asked)?);
    let places = desk.ask(move |catalog, tenant| catalog.places(tenant, number, asked.deleted)).await?;
    let mut subjects: Vec<_> = places.into_iter().map(|(subject, _)| subject).collect();
    subjects.dedup();
    Ok(Answer(json!(subjects)))
}

pub(crate) async fn versions_of(
    desk: Desk,
    Path(number): Path<String>,
    asked: Asked,
) -> Result<Answer, Refused> {
    let (number, asked) = (id(&number)?, switches(asked)?);
    let deleted = asked.deleted;
    let places = desk.ask(move |catalog, tenant| catalog.places(tenant, number, deleted)).await?;
    let wanted = |name: &str| asked.subject.as_ref().is_none_or(|subject| subject == name);
    let versions = places.into_iter().filter(|(name, _)| wanted(name));
    Ok(Answer(versions.map(|(subject, version)| json!({ "subject": subject, "version": version })).collect()))
}

pub(crate) async fn list(desk: Desk, asked: Asked) -> Result<Answer, Refused> {
    let asked = switches(asked)?;
    desk.ask(move |catalog, tenant| {
        let mut all = Vec::new();
        let subjects = catalog.subjects(tenant, asked.deleted);
        for name in subjects.iter().filter(|name| name.starts_with(&asked.subject_prefix)) {
            all.extend(versions_under(catalog, tenant, name, asked.deleted, asked.latest_only)?);
        }
        Ok(Answer(json!(asked.page(all))))
    })
    .await
}

fn versions_under(
    catalog: &Catalog,
    tenant: &TenantId,
    name: &str,
    deleted: bool,
    latest_only: bool,
) -> schema::Result<Vec<Value>> {
    let subject = Subject::parse(name)?;
    let mut versions = catalog.versions(tenant, &subject, deleted)?;
    if latest_only {
        versions.drain(..versions.len() - 1);
    }
    let one = |version| catalog.version(tenant, &subject, Selector::Number(version), deleted);
    versions.into_iter().map(|version| one(version).map(|found| answer::version(&found))).collect()
}

pub(crate) async fn types(_desk: Desk) -> Answer {
    Answer(SchemaType::ALL.iter().map(|schema_type| schema_type.word()).collect())
}

/// There is the default one.
pub(crate) async fn contexts(_desk: Desk) -> Answer {
    Answer(json!(["."]))
}
