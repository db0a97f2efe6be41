//! The HTTP API of people and services: questions, devices, the account, dead letters, health, metrics; and the web
//! interface, which is a client of it.
//!
//! Ingest over HTTP belongs to the gateway; `server` merges the two routers into one listener.

mod alerts;
mod cardinality;
mod datasets;
mod devices;
mod dlq;
mod health;
mod ledger;
mod metrics;
mod problem;
mod removals;
mod replay;
mod rules;
mod schemas;
mod sql;
mod stream;
mod trace;
mod value;
mod web;

pub use datasets::{Dataset, DatasetError, DatasetState, Datasets, Order};
pub use health::{Health, State as Readiness, Trouble};
pub use metrics::{Exporter, Figure, Metric, Page, Sample};
pub use problem::Problem;

use std::sync::Arc;
use std::time::Duration;

use alert::{Alerts, Channels, Directory, Rules};
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::http::request::Parts as RequestParts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use log::Log;
use query::{Query, Tail};
use record::TenantId;
use registry::Devices;
use schema::Schemas;
use series::{Cardinality, SeriesRemove};
use wire::template::Templates;

/// Largest request body, bytes: statements are typed by people.
const BODY_BYTES: usize = 1 << 20;

/// Most questions answered at a time. Each holds a blocking thread and may hold an answer of
/// [`query::Limits::bytes`] in memory; more wait their turn.
const QUESTIONS: usize = 8;

/// Longest a request may take, from its head to its answer: the longest answer, and waiting for a turn.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who may ask: takes the request's headers, answers with the tenant whose data may be seen. May block.
pub type Access = Arc<dyn Fn(&HeaderMap) -> Result<TenantId, NoAccess> + Send + Sync>;

/// What a tenant may have, and what it was refused.
pub type Budget = Arc<dyn Fn(&TenantId) -> Allowance + Send + Sync>;

/// How many devices and series a tenant may have; `None`: as many as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Devices.
    pub devices: Option<u64>,
    /// Series, of all its devices.
    pub series: Option<u64>,
    /// Series of one device.
    pub series_per_device: Option<u64>,
    /// How often more were refused since the start.
    pub refused: Cardinality,
}

/// Why somebody may not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAccess {
    /// No credentials, or none that hold: 401.
    Credentials,
    /// Who it is is known, and may not: 403.
    Forbidden,
    /// Credentials cannot be checked now: 503.
    Unavailable,
}

/// What the API stands on.
#[derive(Clone)]
pub struct Parts {
    /// Answers questions; absent on a node without the query role.
    pub query: Option<Query>,
    /// Says what is in flight, and takes replays.
    pub log: Arc<dyn Log>,
    /// Which topics say what; the same that the gateway uses.
    pub templates: Arc<Templates>,
    /// What tenants may have.
    pub budget: Budget,
    /// Whether the node is ready.
    pub health: Health,
    /// Collects what `/metrics` shows.
    pub exporter: Arc<Exporter>,
    /// Who may ask.
    pub access: Access,
    /// The schemas; absent on a node without the control role.
    pub schemas: Option<Schemas>,
    /// The data sets; absent on a node without the stream role.
    pub datasets: Option<Arc<dyn Datasets>>,
    /// What is known of devices apart from their readings.
    pub devices: Arc<Devices>,
    /// Removes from the store on purpose; absent on a node that does not write one.
    pub removes: Option<Arc<dyn SeriesRemove>>,
    /// Shows readings as they are stored; absent on a node that does not write the store.
    pub tail: Option<Arc<Tail>>,
    /// Rules and alerts; absent on a node without the control role.
    pub alerting: Option<Alerting>,
    /// Whether devices may be registered here: on a node with the control role.
    pub registers: bool,
}

/// Rules and alerts of a node.
#[derive(Clone)]
pub struct Alerting {
    /// What was raised, and who is told.
    pub alerts: Arc<Alerts>,
    /// What is evaluated.
    pub rules: Arc<Rules>,
    /// The ways to people, to try them.
    pub channels: Arc<Channels>,
    /// What is known of devices.
    pub directory: Arc<dyn Directory>,
    /// How rules are evaluated.
    pub settings: rule::Settings,
}

#[derive(Clone)]
struct Shared {
    parts: Parts,
    turns: Arc<tokio::sync::Semaphore>,
}

/// All routes of the API.
pub fn router(parts: Parts) -> Router {
    let turns = Arc::new(tokio::sync::Semaphore::new(QUESTIONS));
    let mut routes = web::routes().route("/metrics", get(metrics::show));
    if parts.query.is_some() {
        routes = routes
            .route("/v1/sql", post(sql::run))
            .route("/v1/query", get(sql::points))
            .route("/v1/devices", get(devices::list))
            .route("/v1/devices/{id}/latest", get(devices::latest))
            .route("/v1/trace", get(trace::show))
            .route("/v1/cardinality", get(cardinality::show))
            .route("/v1/ledger", get(ledger::show))
            .route("/v1/ledger/verify", get(ledger::verify))
            .route("/v1/dlq", get(dlq::list))
            .route("/v1/dlq/{id}", get(dlq::show))
            .route("/v1/dlq/replay", post(dlq::replay));
    }
    if parts.query.is_some() && parts.tail.is_some() {
        routes = routes.route("/v1/stream", get(stream::show));
    }
    let mut device = MethodRouter::new();
    if parts.query.is_some() {
        device = device.get(devices::one);
    }
    if parts.registers {
        device = device.put(devices::put).patch(devices::patch);
    }
    if parts.query.is_some() || parts.registers {
        routes = routes.route("/v1/devices/{id}", device);
    }
    if parts.query.is_some() && parts.removes.is_some() {
        routes = routes
            .route("/v1/devices/{id}/data", delete(removals::erase))
            .route("/v1/removals", get(removals::list));
    }
    if parts.datasets.is_some() {
        routes = routes
            .route("/v1/reprocess", get(datasets::list).post(datasets::start))
            .route("/v1/reprocess/{name}", delete(datasets::remove));
    }
    if parts.alerting.is_some() {
        routes = routes.merge(alerting_routes());
    }
    if parts.schemas.is_some() {
        routes = routes.merge(schemas::routes());
    }
    routes
        .route("/v1/openapi.json", get(web::openapi))
        .route("/health", get(health::ready))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(axum::middleware::from_fn(bounded))
        .with_state(Shared { parts, turns })
}

fn alerting_routes() -> Router<Shared> {
    Router::new()
        .route("/v1/rules", get(rules::list).post(rules::add))
        .route("/v1/rules/dry-run", post(rules::dry_run_new))
        .route("/v1/rules/{id}", get(rules::one).put(rules::put).patch(rules::patch).delete(rules::remove))
        .route("/v1/rules/{id}/dry-run", post(rules::dry_run))
        .route("/v1/alerts", get(alerts::list).post(alerts::raise))
        .route("/v1/alerts/test", post(alerts::test))
        .route("/v1/alerts/counts", get(alerts::counts))
        .route("/v1/alerts/{id}", get(alerts::one))
        .route("/v1/alerts/{id}/ack", post(alerts::acknowledge))
        .route("/v1/alerts/{id}/resolve", post(alerts::resolve))
        .route("/v1/people", get(alerts::people))
        .route("/v1/people/{id}", put(alerts::put_person).delete(alerts::remove_person))
        .route("/v1/escalations", get(alerts::escalations))
        .route("/v1/escalations/{id}", put(alerts::put_escalation).delete(alerts::remove_escalation))
        .route("/v1/mutes", get(alerts::mutes))
        .route("/v1/mutes/{id}", put(alerts::mute).delete(alerts::unmute))
}

/// Ends a request whose body never comes, or whose turn.
async fn bounded(request: Request, next: Next) -> Response {
    match tokio::time::timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("the request took longer than {} s; try again", PATIENCE.as_secs());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        }
    }
}

impl Shared {
    /// Asks in turn, on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Query) -> query::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let query = self.parts.query.clone().ok_or_else(Problem::not_here)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let answer = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            question(&query)
        });
        match answer.await {
            Ok(answer) => Ok(answer?),
            Err(died) => {
                tracing::error!(error = %died, "a question ended in a panic");
                Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the question could not be answered"))
            }
        }
    }
}

/// The asker's tenant; without one the request ends here.
struct Asker(TenantId);

impl FromRequestParts<Shared> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut RequestParts, shared: &Shared) -> Result<Self, Problem> {
        let headers = request.headers.clone();
        let access = Arc::clone(&shared.parts.access);
        // Looking up a credential reads the disk.
        let tenant = tokio::task::spawn_blocking(move || access(&headers)).await;
        tenant.unwrap_or(Err(NoAccess::Unavailable)).map(Self).map_err(Problem::no_access)
    }
}

type Ask = State<Shared>;
