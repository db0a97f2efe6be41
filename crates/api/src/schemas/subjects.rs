//! Subjects, their versions, and whether a schema may become the next one.

use axum::extract::Path;
use axum::response::Response;
use schema::{Selector, Version};
use serde_json::json;

use super::{Answer, Asked, Body, Desk, Refused, Sent, Switches, answer, subject, switches};

pub(crate) async fn list(desk: Desk, asked: Asked) -> Result<Answer, Refused> {
    let asked = switches(asked)?;
    let Switches { deleted, deleted_only, .. } = asked;
    let all = desk
        .ask(move |catalog, tenant| {
            let mut all = catalog.subjects(tenant, deleted || deleted_only);
            if deleted_only {
                let there = catalog.subjects(tenant, false);
                all.retain(|subject| !there.contains(subject));
            }
            Ok(all)
        })
        .await?;
    let all = all.into_iter().filter(|subject| subject.starts_with(&asked.subject_prefix)).collect();
    Ok(Answer(json!(asked.page(all))))
}

pub(crate) async fn find(
    desk: Desk,
    Path(name): Path<String>,
    asked: Asked,
    body: Body,
) -> Result<Answer, Refused> {
    let (name, asked, sent) = (subject(&name)?, switches(asked)?, Sent::read(body)?);
    let found = desk.ask(move |catalog, tenant| catalog.find(tenant, &name, &sent, asked.deleted)).await?;
    Ok(Answer(answer::version(&found)))
}

pub(crate) async fn delete(desk: Desk, Path(name): Path<String>, asked: Asked) -> Result<Answer, Refused> {
    let (name, how) = (subject(&name)?, switches(asked)?.deletion());
    let versions = desk.ask(move |catalog, tenant| catalog.delete_subject(tenant, &name, how)).await?;
    Ok(Answer(json!(versions)))
}

pub(crate) async fn versions(desk: Desk, Path(name): Path<String>, asked: Asked) -> Result<Answer, Refused> {
    let (name, asked) = (subject(&name)?, switches(asked)?);
    let deleted = asked.deleted;
    let versions = desk.ask(move |catalog, tenant| catalog.versions(tenant, &name, deleted)).await?;
    Ok(Answer(json!(asked.page(versions))))
}

pub(crate) async fn register(desk: Desk, Path(name): Path<String>, body: Body) -> Result<Answer, Refused> {
    let (name, sent) = (subject(&name)?, Sent::read(body)?);
    let registered = desk
        .ask(move |catalog, tenant| {
            let registered = catalog.register(tenant, &name, sent)?;
            let schema = catalog.schema(tenant, registered.id)?;
            Ok(Version { subject: name.to_string(), version: registered.version, id: registered.id, schema })
        })
        .await?;
    Ok(Answer(answer::version(&registered)))
}

pub(crate) async fn version(
    desk: Desk,
    Path((name, which)): Path<(String, String)>,
    asked: Asked,
) -> Result<Answer, Refused> {
    let found = one(desk, &name, &which, switches(asked)?.deleted).await?;
    Ok(Answer(answer::version(&found)))
}

pub(crate) async fn version_text(
    desk: Desk,
    Path((name, which)): Path<(String, String)>,
    asked: Asked,
) -> Result<Response, Refused> {
    let found = one(desk, &name, &which, switches(asked)?.deleted).await?;
    Ok(answer::text(&found.schema))
}

async fn one(desk: Desk, name: &str, which: &str, deleted: bool) -> Result<Version, Refused> {
    let (name, which) = (subject(name)?, which.parse::<Selector>()?);
    desk.ask(move |catalog, tenant| catalog.version(tenant, &name, which, deleted)).await
}

pub(crate) async fn delete_version(
    desk: Desk,
    Path((name, which)): Path<(String, String)>,
    asked: Asked,
) -> Result<Answer, Refused> {
    let (name, which, how) = (subject(&name)?, which.parse::<Selector>()?, switches(asked)?.deletion());
    let deleted = desk.ask(move |catalog, tenant| catalog.delete_version(tenant, &name, which, how)).await?;
    Ok(Answer(json!(deleted)))
}

pub(crate) async fn referenced_by(
    desk: Desk,
    Path((name, which)): Path<(String, String)>,
) -> Result<Answer, Refused> {
    let (name, which) = (subject(&name)?, which.parse::<Selector>()?);
    let users = desk.ask(move |catalog, tenant| catalog.used_by(tenant, &name, which)).await?;
    Ok(Answer(json!(users)))
}

pub(crate) async fn compatible(
    desk: Desk,
    Path(name): Path<String>,
    asked: Asked,
    body: Body,
) -> Result<Answer, Refused> {
    judge(desk, &name, None, asked, body).await
}

pub(crate) async fn compatible_with(
    desk: Desk,
    Path((name, which)): Path<(String, String)>,
    asked: Asked,
    body: Body,
) -> Result<Answer, Refused> {
    judge(desk, &name, Some(which.parse::<Selector>()?), asked, body).await
}

async fn judge(
    desk: Desk,
    name: &str,
    against: Option<Selector>,
    asked: Asked,
    body: Body,
) -> Result<Answer, Refused> {
    let (name, asked, sent) = (subject(name)?, switches(asked)?, Sent::read(body)?);
    let found =
        desk.ask(move |catalog, tenant| catalog.incompatibilities(tenant, &name, against, &sent)).await?;
    let mut verdict = json!({ "is_compatible": found.is_empty() });
    if asked.verbose {
        let told = found.iter().map(|(version, found)| format!("version {version}: {found}"));
        verdict["messages"] = told.collect::<Vec<_>>().into();
    }
    Ok(Answer(verdict))
}
