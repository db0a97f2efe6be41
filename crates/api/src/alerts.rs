//! `/v1/alerts`, and who is told of them: `/v1/people`, `/v1/escalations`, `/v1/mutes`.

use alert::{
    Address, Alert, AlertId, Alerts, Delivery, Escalation, Filter, How, Kind, Mute, Person, Raise,
    State as Stands, Told,
};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{Path, Query as Parameters, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use query::rfc3339;
use record::{DeviceId, TenantId, Timestamp};
use rule::{RuleId, Severity};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::rules::{alerting, of_alerts, optional, refused, time};
use crate::{Alerting, Ask, Asker, Problem, Shared};

/// Alerts on a page unless the asker says otherwise, and at most.
const PAGE: (usize, usize) = (100, 1000);
/// Who did it, where the asker does not say.
const SOMEBODY: &str = "api";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    device_id: Option<String>,
    rule: Option<String>,
    /// `open`, or the states, with commas.
    state: Option<String>,
    severity: Option<Severity>,
    since: Option<String>,
    until: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    State(shared): Ask,
    Asker(tenant): Asker,
    wanted: Result<Parameters<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Parameters(wanted) = wanted?;
    let filter = Filter {
        device: wanted.device_id,
        rule: wanted.rule,
        states: states(wanted.state.as_deref())?,
        from: wanted.severity,
        since: time("since", wanted.since.as_deref())?,
        until: time("until", wanted.until.as_deref())?,
    };
    let limit = wanted.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let ask =
        move |of: &Alerting, tenant: &_| of.alerts.list(tenant, &filter, wanted.after.as_deref(), limit);
    let page = of_alerts(&shared, tenant, ask).await?;
    let alerts: Vec<Value> = page.alerts.iter().map(|(id, alert)| shown(id, alert).into()).collect();
    Ok(Json(json!({ "alerts": alerts, "next": page.next })).into_response())
}

fn states(text: Option<&str>) -> Result<Vec<Stands>, Problem> {
    let Some(text) = text else { return Ok(Vec::new()) };
    if text == "open" {
        return Ok(vec![Stands::Raised, Stands::Acknowledged]);
    }
    let wrong = |word: &str| {
        let words = "open, raised, acknowledged, resolved or suppressed";
        Problem::bad_request(format!("state {word:?} is none: write {words}"))
    };
    text.split(',').map(|word| serde_json::from_value(word.into()).map_err(|_| wrong(word))).collect()
}

pub(crate) async fn one(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = alert_id(&id)?;
    let ask = move |of: &Alerting, tenant: &_| {
        let Some(alert) = of.alerts.get(tenant, &id)? else {
            return Err(alert::Error::Unknown { what: "alert", id: id.as_str().to_owned() });
        };
        let deliveries = of.alerts.deliveries(tenant, &id)?;
        let mut shown = shown(&id, &alert);
        shown.insert("history".into(), alert.history.iter().map(entry).collect());
        shown.insert("history_more".into(), alert.history_more.into());
        shown.insert("told".into(), json!(alert.told));
        shown.insert("recipients".into(), recipients(&of.alerts.people(tenant)?, &alert, &deliveries));
        shown.insert("deliveries".into(), json!(deliveries));
        Ok(shown)
    };
    Ok(Json(of_alerts(&shared, tenant, ask).await?).into_response())
}

/// Who was told, in each message by each channel; last, who will be in a message that is not written yet.
fn recipients(people: &[(String, Person)], alert: &Alert, deliveries: &[Delivery]) -> Value {
    let name = |id: &str| {
        let known = people.iter().find(|(person, _)| person == id);
        known.map(|(_, person)| person.name.clone())
    };
    let told = deliveries.iter().map(|of| {
        json!({
            "recipient": of.person,
            "name": name(&of.person),
            "what": of.kind,
            "channel": of.channel,
            "to": of.address,
            "at": instant(of.finished_at_ms.unwrap_or(of.created_at_ms)),
            "outcome": of.outcome,
            "attempts": of.attempts,
            "said": of.said,
        })
    });
    let is_written = |told: &Told| deliveries.iter().any(|of| of.message == told.message);
    let gathered = alert.told.iter().filter(|told| !is_written(told)).map(|told| {
        let what = if told.how == How::Digest { Kind::Digest } else { Kind::Group };
        json!({ "recipient": told.person, "name": name(&told.person), "what": what, "outcome": "gathered" })
    });
    told.chain(gathered).collect()
}

pub(crate) async fn counts(State(shared): Ask, Asker(tenant): Asker) -> Result<Response, Problem> {
    let counts = of_alerts(&shared, tenant, |of, tenant| of.alerts.counts(tenant)).await?;
    Ok(Json(counts).into_response())
}

/// An alert that somebody outside raises.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outside {
    device_id: String,
    rule: String,
    severity: Option<Severity>,
    #[serde(default)]
    why: String,
    by: Option<String>,
    /// When it happened; absent: now. The same device, rule and time are the same alert.
    at: Option<String>,
}

pub(crate) async fn raise(
    State(shared): Ask,
    Asker(tenant): Asker,
    body: Result<Json<Outside>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(outside) = body.map_err(refused)?;
    let device =
        DeviceId::parse(&outside.device_id).map_err(|error| Problem::bad_request(error.to_string()))?;
    let raise = Raise {
        tenant: tenant.clone(),
        device,
        rule: RuleId(outside.rule.into()),
        severity: outside.severity,
        why: outside.why,
        by: outside.by,
        at: time("at", outside.at.as_deref())?.unwrap_or_else(Timestamp::now),
    };
    let ask = move |of: &Alerting, _: &_| of.alerts.raise(&raise, Timestamp::now());
    let raised = of_alerts(&shared, tenant, ask).await?;
    let status = if raised.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(shown(&raised.id, &raised.alert))).into_response())
}

/// What somebody says with a change.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Said {
    by: Option<String>,
    remark: Option<String>,
}

pub(crate) async fn acknowledge(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    answer(&shared, tenant, &id, body, Alerts::acknowledge).await
}

pub(crate) async fn resolve(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    answer(&shared, tenant, &id, body, Alerts::resolve).await
}

/// What people do with an alert: who, and with which remark.
type Answer = fn(&Alerts, &TenantId, &AlertId, &str, Option<&str>, Timestamp) -> alert::Result<Alert>;

async fn answer(
    shared: &Shared,
    tenant: TenantId,
    id: &str,
    body: Result<Bytes, BytesRejection>,
    answer: Answer,
) -> Result<Response, Problem> {
    let (id, said) = (alert_id(id)?, optional::<Said>(body)?);
    let of = id.clone();
    let ask = move |alerting: &Alerting, tenant: &_| {
        let by = said.by.as_deref().unwrap_or(SOMEBODY);
        answer(&alerting.alerts, tenant, &of, by, said.remark.as_deref(), Timestamp::now())
    };
    Ok(Json(shown(&id, &of_alerts(shared, tenant, ask).await?)).into_response())
}

pub(crate) async fn people(State(shared): Ask, Asker(tenant): Asker) -> Result<Response, Problem> {
    let people = of_alerts(&shared, tenant, |of, tenant| of.alerts.people(tenant)).await?;
    Ok(Json(json!({ "people": named(people) })).into_response())
}

pub(crate) async fn put_person(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
    body: Result<Json<Person>, JsonRejection>,
) -> Result<Response, Problem> {
    put(&shared, tenant, id, body, Alerts::put_person).await
}

pub(crate) async fn remove_person(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    of_alerts(&shared, tenant, move |of, tenant| of.alerts.remove_person(tenant, &id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn escalations(State(shared): Ask, Asker(tenant): Asker) -> Result<Response, Problem> {
    let lists = of_alerts(&shared, tenant, |of, tenant| of.alerts.escalations(tenant)).await?;
    Ok(Json(json!({ "escalations": named(lists) })).into_response())
}

pub(crate) async fn put_escalation(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
    body: Result<Json<Escalation>, JsonRejection>,
) -> Result<Response, Problem> {
    put(&shared, tenant, id, body, Alerts::put_escalation).await
}

pub(crate) async fn remove_escalation(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    of_alerts(&shared, tenant, move |of, tenant| of.alerts.remove_escalation(tenant, &id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn mutes(State(shared): Ask, Asker(tenant): Asker) -> Result<Response, Problem> {
    let mutes = of_alerts(&shared, tenant, |of, tenant| of.alerts.mutes(tenant)).await?;
    Ok(Json(json!({ "mutes": named(mutes) })).into_response())
}

pub(crate) async fn mute(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
    body: Result<Json<Mute>, JsonRejection>,
) -> Result<Response, Problem> {
    // Shown is what is kept: with the times, where it is set by how long it lasts.
    let body = body.map(|Json(mute)| Json(mute.set_at(Timestamp::now())));
    put(&shared, tenant, id, body, |alerts, tenant, id, mute| alerts.mute(tenant, id, mute, Timestamp::now()))
        .await
}

pub(crate) async fn unmute(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let ask = move |of: &Alerting, tenant: &_| of.alerts.unmute(tenant, &id, Timestamp::now());
    of_alerts(&shared, tenant, ask).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Delivers a test message now, and says what happened.
pub(crate) async fn test(
    State(shared): Ask,
    Asker(tenant): Asker,
    body: Result<Json<Address>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(address) = body.map_err(refused)?;
    let alerting = alerting(&shared)?.clone();
    let now = Timestamp::now();
    let delivery = alerting.alerts.test_delivery(&tenant, &address, now)?;
    let outcome = match alerting.channels.deliver(&tenant, &delivery, now).await {
        Ok(receipt) => json!({ "delivered": true, "said": receipt.said }),
        Err(failure) => json!({ "delivered": false, "said": failure.reason }),
    };
    Ok(Json(outcome).into_response())
}

/// Puts a document under an id, and shows it.
async fn put<T: Serialize + Send + 'static>(
    shared: &Shared,
    tenant: TenantId,
    id: String,
    body: Result<Json<T>, JsonRejection>,
    put: fn(&Alerts, &TenantId, &str, &T) -> alert::Result<()>,
) -> Result<Response, Problem> {
    let Json(document) = body.map_err(refused)?;
    let ask = move |of: &Alerting, tenant: &_| {
        put(&of.alerts, tenant, &id, &document).map(|()| named(vec![(id, document)]).remove(0))
    };
    Ok(Json(of_alerts(shared, tenant, ask).await?).into_response())
}

/// Documents with their ids in them.
fn named<T: Serialize>(of: Vec<(String, T)>) -> Vec<Value> {
    let named = of.into_iter().map(|(id, document)| {
        let mut value = json!(document);
        value["id"] = id.into();
        value
    });
    named.collect()
}

fn shown(id: &AlertId, alert: &Alert) -> Map<String, Value> {
    let at = |ms: Option<i64>| ms.map(instant);
    let shown = json!({
        "id": id.as_str(),
        "device_id": alert.device_id,
        "rule_id": alert.rule_id,
        "rule": alert.rule_name,
        "rule_version": alert.rule_version,
        "severity": alert.severity,
        "state": alert.state,
        "triggered_at": instant(alert.triggered_at_ms),
        "raised_at": instant(alert.raised_at_ms),
        "acknowledged_at": at(alert.acknowledged_at_ms),
        "resolved_at": at(alert.resolved_at_ms),
        "why": alert.why,
        "retrospective": alert.retrospective,
        "suppressed": alert.suppressed,
        "suppressed_by": alert.suppressed_by,
        "muted_by": alert.muted_by,
    });
    match shown {
        Value::Object(shown) => shown,
        _ => unreachable!("it was just written as an object"),
    }
}

fn entry(of: &alert::Entry) -> Value {
    json!({ "at": instant(of.at_ms), "what": of.what, "who": of.who, "remark": of.remark })
}

fn instant(ms: i64) -> String {
    rfc3339(Timestamp::from_nanos(ms.saturating_mul(1_000_000)))
}

fn alert_id(text: &str) -> Result<AlertId, Problem> {
    let unknown = || alert::Error::Unknown { what: "alert", id: text.chars().take(80).collect() };
    AlertId::parse(text).ok_or_else(|| unknown().into())
}
