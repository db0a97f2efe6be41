//! Levels of compatibility and modes, of the tenant and of subjects.

use axum::extract::Path;
use schema::{Error, Level, Mode, Subject};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Asked, Body, Desk, Refused, read, subject, switches};

#[derive(Deserialize)]
struct Compatibility {
    compatibility: String,
}

#[derive(Deserialize)]
struct Wanted {
    mode: String,
}

pub(crate) async fn level(desk: Desk) -> Result<Answer, Refused> {
    let level = desk.ask(|catalog, tenant| Ok(catalog.level(tenant, None))).await?;
    Ok(level_answer(level.unwrap_or_default()))
}

pub(crate) async fn level_of(desk: Desk, Path(name): Path<String>, asked: Asked) -> Result<Answer, Refused> {
    let (name, asked) = (subject(&name)?, switches(asked)?);
    let level = desk
        .ask(move |catalog, tenant| {
            let own = catalog.level(tenant, Some(&name));
            let or_tenants =
                || asked.default_to_global.then(|| catalog.level(tenant, None).unwrap_or_default());
            own.or_else(or_tenants).ok_or_else(|| Error::LevelNotSet(name.to_string()))
        })
        .await?;
    Ok(level_answer(level))
}

pub(crate) async fn set_level(desk: Desk, body: Body) -> Result<Answer, Refused> {
    put_level(desk, None, body).await
}

pub(crate) async fn set_level_of(
    desk: Desk,
    Path(name): Path<String>,
    body: Body,
) -> Result<Answer, Refused> {
    put_level(desk, Some(subject(&name)?), body).await
}

async fn put_level(desk: Desk, of: Option<Subject>, body: Body) -> Result<Answer, Refused> {
    let level: Level = read::<Compatibility>(body)?.compatibility.parse()?;
    desk.ask(move |catalog, tenant| catalog.set_level(tenant, of.as_ref(), Some(level))).await?;
    Ok(Answer(json!({ "compatibility": level })))
}

pub(crate) async fn unset_level(desk: Desk) -> Result<Answer, Refused> {
    let before = desk.ask(|catalog, tenant| catalog.set_level(tenant, None, None)).await?;
    Ok(level_answer(before.unwrap_or_default()))
}

pub(crate) async fn unset_level_of(desk: Desk, Path(name): Path<String>) -> Result<Answer, Refused> {
    let name = subject(&name)?;
    let before = desk
        .ask(move |catalog, tenant| match catalog.level(tenant, Some(&name)) {
            None => Err(Error::LevelNotSet(name.to_string())),
            Some(before) => catalog.set_level(tenant, Some(&name), None).map(|_| before),
        })
        .await?;
    Ok(level_answer(before))
}

fn level_answer(level: Level) -> Answer {
    Answer(json!({ "compatibilityLevel": level }))
}

pub(crate) async fn mode(desk: Desk) -> Result<Answer, Refused> {
    let mode = desk.ask(|catalog, tenant| Ok(catalog.mode(tenant, None))).await?;
    Ok(mode_answer(mode.unwrap_or_default()))
}

pub(crate) async fn mode_of(desk: Desk, Path(name): Path<String>, asked: Asked) -> Result<Answer, Refused> {
    let (name, asked) = (subject(&name)?, switches(asked)?);
    let mode = desk
        .ask(move |catalog, tenant| {
            let own = catalog.mode(tenant, Some(&name));
            let or_tenants =
                || asked.default_to_global.then(|| catalog.mode(tenant, None).unwrap_or_default());
            own.or_else(or_tenants).ok_or_else(|| Error::ModeNotSet(name.to_string()))
        })
        .await?;
    Ok(mode_answer(mode))
}

pub(crate) async fn set_mode(desk: Desk, body: Body) -> Result<Answer, Refused> {
    put_mode(desk, None, body).await
}

pub(crate) async fn set_mode_of(desk: Desk, Path(name): Path<String>, body: Body) -> Result<Answer, Refused> {
    put_mode(desk, Some(subject(&name)?), body).await
}

async fn put_mode(desk: Desk, of: Option<Subject>, body: Body) -> Result<Answer, Refused> {
    let mode: Mode = read::<Wanted>(body)?.mode.parse()?;
    desk.ask(move |catalog, tenant| catalog.set_mode(tenant, of.as_ref(), Some(mode))).await?;
    Ok(mode_answer(mode))
}

pub(crate) async fn unset_mode(desk: Desk) -> Result<Answer, Refused> {
    let before = desk.ask(|catalog, tenant| catalog.set_mode(tenant, None, None)).await?;
    Ok(mode_answer(before.unwrap_or_default()))
}

pub(crate) async fn unset_mode_of(desk: Desk, Path(name): Path<String>) -> Result<Answer, Refused> {
    let name = subject(&name)?;
    let before = desk
        .ask(move |catalog, tenant| match catalog.mode(tenant, Some(&name)) {
            None => Err(Error::ModeNotSet(name.to_string())),
            Some(before) => catalog.set_mode(tenant, Some(&name), None).map(|_| before),
        })
        .await?;
    Ok(mode_answer(before))
}

fn mode_answer(mode: Mode) -> Answer {
    Answer(Value::from_iter([("mode", mode.word())]))
}
