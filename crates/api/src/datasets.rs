//! `/v1/reprocess`: data sets, history under another configuration (R5.8).

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use query::{Sql, rfc3339};
use record::{TenantId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use series::Amounts;

use crate::{Ask, Asker, Problem, Shared, ledger, sql};

/// Longest name of a data set, bytes: it becomes the name of a file.
const NAME_BYTES: usize = 40;

/// The data sets of a node. Calls block.
pub trait Datasets: Send + Sync + 'static {
    /// Makes a data set and sets it to work.
    ///
    /// # Errors
    /// [`DatasetError`], but not [`DatasetError::Missing`].
    fn start(&self, order: Order) -> Result<Dataset, DatasetError>;

    /// All of them, by name.
    fn list(&self) -> Vec<Dataset>;

    /// Stops a data set if it is at work, and deletes it.
    ///
    /// # Errors
    /// [`DatasetError`].
    fn remove(&self, name: &str) -> Result<(), DatasetError>;

    /// What answers SQL over a data set; `None` when there is none of that name.
    fn sql(&self, name: &str) -> Option<Arc<dyn Sql>>;
}

/// A data set that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its name: lowercase letters, digits and `-`, at most 40.
    pub name: String,
    /// From which time on, by when messages came into the log; `None`: from the first there is.
    pub since: Option<Timestamp>,
    /// The `[stream]` of a configuration, TOML.
    pub config: String,
}

/// A data set as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Whether it is done.
    pub state: DatasetState,
    /// From which time on.
    pub since: Option<Timestamp>,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// When it was done, or failed.
    pub ended_at: Option<Timestamp>,
    /// Records of the log that are done.
    pub done: u64,
    /// Records of the log it is made of.
    pub total: u64,
    /// Its account, of all tenants.
    pub amounts: Amounts,
}

/// Whether a data set is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetState {
    /// At work.
    Running,
    /// All of it is there.
    Done,
    /// It will not be done; why. What is there can be asked.
    Failed(String),
}

/// Why something could not be done with a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetError {
    /// What was asked for is wrong: 400.
    Refused(String),
    /// Not now, as things stand: 409.
    Conflict(String),
    /// There is none of that name: 404.
    Missing,
    /// It could not be done: 503.
    Failed(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    since: Option<String>,
    config: String,
}

pub(crate) async fn start(
    State(shared): Ask,
    Asker(tenant): Asker,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    may_administer(&tenant)?;
    let Json(wanted) = body?;
    if !is_name(&wanted.name) {
        let detail = format!(
            "{:?} cannot name a data set: write 1 to {NAME_BYTES} lowercase letters, digits and -, not a - first",
            wanted.name
        );
        return Err(Problem::bad_request(detail));
    }
    let since = sql::time("since", wanted.since.as_deref())?;
    let order = Order { name: wanted.name.clone(), since, config: wanted.config };
    let started = with(&shared, move |datasets| datasets.start(order)).await?;
    let started = started.map_err(|error| problem(&wanted.name, error))?;
    Ok((StatusCode::ACCEPTED, Json(describe(&started))))
}

pub(crate) async fn list(State(shared): Ask, Asker(tenant): Asker) -> Result<Json<Value>, Problem> {
    may_administer(&tenant)?;
    let datasets = with(&shared, |datasets| datasets.list()).await?;
    Ok(Json(json!({ "datasets": datasets.iter().map(describe).collect::<Vec<_>>() })))
}

pub(crate) async fn remove(
    State(shared): Ask,
    Asker(tenant): Asker,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    may_administer(&tenant)?;
    let named = name.clone();
    let removed = with(&shared, move |datasets| datasets.remove(&named)).await?;
    removed.map_err(|error| problem(&name, error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// What answers SQL over a data set.
pub(crate) fn sql_over(shared: &Shared, name: &str) -> Result<Arc<dyn Sql>, Problem> {
    let found = shared.parts.datasets.as_ref().and_then(|datasets| datasets.sql(name));
    found.ok_or_else(|| problem(name, DatasetError::Missing))
}

/// A data set is made of everything in the log, whosever it is: the installation's own tenant alone makes and removes
/// them. Any tenant may ask for its rows.
fn may_administer(tenant: &TenantId) -> Result<(), Problem> {
    if tenant.as_str() == TenantId::DEFAULT {
        return Ok(());
    }
    let detail = format!("data sets are made and removed by the tenant {:?} alone", TenantId::DEFAULT);
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

fn is_name(name: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(is_fine) && !name.starts_with('-')
}

async fn with<T: Send + 'static>(
    shared: &Shared,
    job: impl FnOnce(&dyn Datasets) -> T + Send + 'static,
) -> Result<T, Problem> {
    let datasets = shared.parts.datasets.clone().ok_or_else(Problem::not_here)?;
    tokio::task::spawn_blocking(move || job(&*datasets)).await.map_err(|error| {
        tracing::error!(%error, "work on a data set ended in a panic");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "it could not be done")
    })
}

fn problem(name: &str, error: DatasetError) -> Problem {
    match error {
        DatasetError::Refused(detail) => Problem::bad_request(detail),
        DatasetError::Conflict(detail) => Problem::new(StatusCode::CONFLICT, detail),
        DatasetError::Missing => {
            Problem::not_found(format!("there is no data set {name:?}; GET /v1/reprocess lists them"))
        }
        DatasetError::Failed(detail) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail),
    }
}

fn describe(dataset: &Dataset) -> Value {
    let (state, reason) = match &dataset.state {
        DatasetState::Running => ("running", None),
        DatasetState::Done => ("done", None),
        DatasetState::Failed(reason) => ("failed", Some(reason)),
    };
    json!({
        "name": dataset.name,
        "state": state,
        "reason": reason,
        "since": dataset.since.map(rfc3339),
        "started_at": rfc3339(dataset.started_at),
        "ended_at": dataset.ended_at.map(rfc3339),
        "progress": { "done": dataset.done, "total": dataset.total },
        "counts": ledger::amounts(&dataset.amounts),
    })
}
