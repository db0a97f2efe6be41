//! `/v1/rules`: what must not happen unseen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alert::{Difference, Edit, Episode, Rehearsal, RuleError, Stage, difference, rehearse};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::extract::{Path, State};
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use query::{parse_rfc3339, rfc3339};
use record::{TenantId, Timestamp};
use rule::{Document, Rule, RuleId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Alerting, Ask, Asker, Problem, Shared};

/// How long a rehearsal may take. What it has then is the answer, and says that it is not all.
const REHEARSAL: Duration = Duration::from_secs(45);
/// How far back a rehearsal looks unless it is told, and at most.
const SINCE: Duration = Duration::from_secs(7 * 86_400);
/// Episodes in an answer.
const SHOWN: usize = 1000;

pub(crate) async fn list(State(shared): Ask, Asker(tenant): Asker) -> Result<Response, Problem> {
    let rules: Vec<Value> = alerting(&shared)?.rules.list(&tenant).iter().map(shown).collect();
    Ok(Json(json!({ "rules": rules })).into_response())
}

pub(crate) async fn one(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let rule = alerting(&shared)?.rules.get(&tenant, &id).ok_or_else(|| unknown(&id))?;
    Ok(tagged(&rule))
}

pub(crate) async fn add(
    State(shared): Ask,
    Asker(tenant): Asker,
    body: Result<Json<Document>, JsonRejection>,
) -> Result<Response, Problem> {
    let document = document(body)?;
    let add = move |of: &Alerting| {
        document.compile_for(&*of.settings.detectors)?;
        of.rules.add(&tenant, document)
    };
    let rule = changed(&shared, add).await?;
    Ok((StatusCode::CREATED, tagged(&rule)).into_response())
}

pub(crate) async fn put(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Json<Document>, JsonRejection>,
) -> Result<Response, Problem> {
    let (expected, document) = (expected(&headers)?, document(body)?);
    let edited = move |of: &Alerting| {
        document.compile_for(&*of.settings.detectors)?;
        of.rules.edit_if(&tenant, &id, expected.as_deref(), Edit::Document(Box::new(document)))
    };
    Ok(tagged(&changed(&shared, edited).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    enabled: bool,
}

pub(crate) async fn patch(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Json<Patch>, JsonRejection>,
) -> Result<Response, Problem> {
    let expected = expected(&headers)?;
    let edit = Edit::Enabled(body.map_err(refused)?.0.enabled);
    let edited = move |of: &Alerting| of.rules.edit_if(&tenant, &id, expected.as_deref(), edit);
    Ok(tagged(&changed(&shared, edited).await?))
}

pub(crate) async fn remove(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    changed(&shared, move |of| of.rules.remove(&tenant, &id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What to try over history.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Trial {
    /// RFC 3339; absent: a week ago.
    since: Option<String>,
    /// Absent: now.
    until: Option<String>,
    /// Another version of the rule, to be compared with it.
    document: Option<Document>,
}

/// A rule that is kept, by itself or beside another version of it.
pub(crate) async fn dry_run(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let trial: Trial = optional(body)?;
    let rule = alerting(&shared)?.rules.get(&tenant, &id).ok_or_else(|| unknown(&id))?;
    let other = trial.document.clone().map(|document| Rule { document, ..rule.clone() });
    run(&shared, rule, other, &trial).await
}

/// A rule that is not kept yet.
pub(crate) async fn dry_run_new(
    State(shared): Ask,
    Asker(tenant): Asker,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let mut trial: Trial = optional(body)?;
    let Some(document) = trial.document.take() else {
        return Err(Problem::bad_request("there is no rule: write it as document"));
    };
    let rule = Rule { tenant, id: RuleId("trial".into()), version: 1, enabled: true, document };
    run(&shared, rule, None, &trial).await
}

async fn run(shared: &Shared, rule: Rule, other: Option<Rule>, trial: &Trial) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let week = Timestamp::from_nanos(now.nanos().saturating_sub(SINCE.as_nanos() as i64));
    let range = time("since", trial.since.as_deref())?.unwrap_or(week)
        ..time("until", trial.until.as_deref())?.unwrap_or(now);
    if range.is_empty() {
        return Err(Problem::bad_request("until is not after since: there is nothing in between"));
    }
    let alerting = alerting(shared)?.clone();
    let tried = shared.ask(move |query| {
        let began = Instant::now();
        let stage = Stage {
            history: query.history(),
            directory: &*alerting.directory,
            settings: &alerting.settings,
            suppress_ms: alerting.alerts.suppress_ms(),
        };
        let goes_on = |_| began.elapsed() < REHEARSAL;
        let try_out = |rule: &Rule| rehearse(stage, rule, &range, &goes_on);
        let found = try_out(&rule);
        let answer = found.and_then(|found| {
            let mut answer = told(&rule, &found);
            answer["since"] = rfc3339(range.start).into();
            answer["until"] = rfc3339(range.end).into();
            if let Some(other) = &other {
                let after = try_out(other)?;
                answer["difference"] = compared(&difference(&found, &after));
                answer["other"] = told(other, &after);
            }
            Ok(answer)
        });
        Ok(answer)
    });
    Ok(Json(tried.await??).into_response())
}

fn told(rule: &Rule, found: &Rehearsal) -> Value {
    let by_hour: Vec<Value> =
        found.by_hour.iter().map(|(&hour, &count)| json!([hour / 1_000_000, count])).collect();
    json!({
        "rule": shown(rule),
        "devices": found.devices,
        "devices_concerned": found.concerned,
        "readings": found.readings,
        "alerts": found.alerts,
        "suppressed": found.suppressed,
        "by_hour": by_hour,
        "episodes": found.episodes.iter().take(SHOWN).map(episode).collect::<Vec<_>>(),
        "is_partial": found.is_partial,
    })
}

fn compared(of: &Difference) -> Value {
    let some = |episodes: &[Episode]| episodes.iter().take(SHOWN).map(episode).collect::<Vec<_>>();
    json!({
        "both": of.both,
        "only_before": of.only_before.len(),
        "only_after": of.only_after.len(),
        "before": some(&of.only_before),
        "after": some(&of.only_after),
    })
}

fn episode(of: &Episode) -> Value {
    json!({
        "device_id": of.device.as_str(),
        "cause": rfc3339(of.cause),
        "triggered_at": rfc3339(of.began),
        "resolved_at": of.ended.map(rfc3339),
        "why": of.why,
        "suppressed": of.suppressed,
    })
}

/// A rule as it is shown: its document, with its id, version and whether it is evaluated.
fn shown(rule: &Rule) -> Value {
    let mut shown = json!(rule.document);
    shown["id"] = json!(rule.id);
    shown["version"] = rule.version.into();
    shown["enabled"] = rule.enabled.into();
    shown
}

/// A rule, with its version as the tag of what is shown (RFC 9110, section 8.8.3).
fn tagged(rule: &Rule) -> Response {
    ([(ETAG, format!("\"{}\"", rule.version))], Json(shown(rule))).into_response()
}

/// The versions that the asker expects the rule to have (RFC 9110, section 13.1.1); `None`: any.
fn expected(headers: &HeaderMap) -> Result<Option<Vec<u32>>, Problem> {
    let mut versions = Vec::new();
    for value in headers.get_all(IF_MATCH) {
        for tag in value.to_str().unwrap_or_default().split(',').map(str::trim) {
            if tag == "*" {
                return Ok(None);
            }
            let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let wrong =
                || Problem::bad_request(format!("If-Match {tag:?} is no version: write \"3\", in quotes"));
            versions.push(version.and_then(|version| version.parse().ok()).ok_or_else(wrong)?);
        }
    }
    Ok((!versions.is_empty()).then_some(versions))
}

pub(crate) fn alerting(shared: &Shared) -> Result<&Alerting, Problem> {
    let here = shared.parts.alerting.as_ref();
    here.ok_or_else(|| Problem::not_found("this node does not have the control role"))
}

async fn changed<T: Send + 'static>(
    shared: &Shared,
    change: impl FnOnce(&Alerting) -> Result<T, RuleError> + Send + 'static,
) -> Result<T, Problem> {
    let alerting = alerting(shared)?.clone();
    let changed = tokio::task::spawn_blocking(move || change(&alerting)).await;
    let changed = changed.map_err(|died| {
        tracing::error!(error = %died, "a change of a rule ended in a panic");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the rule could not be changed")
    })?;
    changed.map_err(Problem::from)
}

pub(crate) fn time(key: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || Problem::bad_request(format!("{key} {text:?} is no time: write 2026-01-31T08:00:00Z"));
    parse_rfc3339(text).map(Some).ok_or_else(wrong)
}

fn document(body: Result<Json<Document>, JsonRejection>) -> Result<Document, Problem> {
    body.map(|Json(document)| document).map_err(refused)
}

/// A body that may be left out: an empty one stands for the defaults.
pub(crate) fn optional<T: Default + DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    let body = body?;
    if body.is_empty() {
        return Ok(T::default());
    }
    let wrong =
        |wrong: serde_json::Error| Problem::bad_request(format!("the body is not as it should be: {wrong}"));
    serde_json::from_slice(&body).map_err(wrong)
}

pub(crate) fn refused(wrong: JsonRejection) -> Problem {
    let problem = Problem::from(wrong);
    // What is JSON and no rule is as much the asker's mistake as what is none.
    match problem.status() {
        StatusCode::UNPROCESSABLE_ENTITY => Problem::bad_request(problem.detail()),
        _ => problem,
    }
}

fn unknown(id: &str) -> Problem {
    Problem::from(RuleError::Unknown(id.to_owned()))
}

impl From<RuleError> for Problem {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::Compile(error) => Self::compile(&error),
            RuleError::Address(_) => Self::bad_request(error.to_string()),
            RuleError::Changed { .. } => Self::new(StatusCode::PRECONDITION_FAILED, error.to_string()),
            RuleError::Unknown(_) => Self::not_found(error.to_string()),
            RuleError::TooMany(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            RuleError::Metadata(error) => {
                tracing::error!(%error, "rules cannot be read or written");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "rules cannot be read or written now: try again")
            }
        }
    }
}

/// Of what is asked of a tenant's alerting, on a thread that may block.
pub(crate) async fn of_alerts<T: Send + 'static>(
    shared: &Shared,
    tenant: TenantId,
    ask: impl FnOnce(&Alerting, &TenantId) -> alert::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let alerting = Arc::new(alerting(shared)?.clone());
    let asked = tokio::task::spawn_blocking(move || ask(&alerting, &tenant)).await;
    let asked = asked.map_err(|died| {
        tracing::error!(error = %died, "a question about alerts ended in a panic");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "alerts could not be asked")
    })?;
    asked.map_err(Problem::from)
}

impl From<alert::Error> for Problem {
    fn from(error: alert::Error) -> Self {
        let status = match &error {
            alert::Error::Unknown { .. } => StatusCode::NOT_FOUND,
            alert::Error::State { .. } => StatusCode::CONFLICT,
            alert::Error::Refused { .. } => StatusCode::BAD_REQUEST,
            alert::Error::Rule(error) => return Self::compile(error),
            error => {
                tracing::error!(%error, "alerts cannot be read or written");
                let detail = "alerts cannot be read or written now: try again";
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
            }
        };
        Self::new(status, error.to_string())
    }
}
