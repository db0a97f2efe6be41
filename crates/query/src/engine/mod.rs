//! SQL by Apache DataFusion over the seam [`SeriesScan`] (docs/decisions/query-datafusion.md).
//!
//! Each statement gets a session of its own: one catalog, whose tables are those of one tenant at one moment. What is not in
//! the catalog cannot be named, so there is nothing to forbid. Everything runs on threads of the engine's own.

mod answer;
mod catalog;
mod exact;
mod explain;
mod gate;
mod lasting;
mod placeholders;
mod prune;
mod scan;
mod session;
mod statement;
mod tables;
mod workers;
mod yielding;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::SchemaProvider;
use datafusion::common::ScalarValue;
use datafusion::execution::SessionState;
use record::TenantId;
use registry::Devices;
use series::SeriesScan;

use crate::alerts::{Alerts, WithAlerts};
use crate::cache::{Cache, Kept, Key, State};
use crate::facts::WithFacts;
use crate::types::WithTypes;
use crate::{Cell, Error, Limits, Result, Sql, Table};
pub use answer::Answer;
use session::Question;
pub use session::{CATALOG, SCHEMA};
pub use statement::Statement;
pub use workers::THREADS;
use workers::Workers;

/// The engine over a store.
#[derive(Clone)]
pub struct Engine {
    workers: Arc<Workers>,
    store: Arc<dyn SeriesScan>,
    /// Functions and settings of every session.
    template: Arc<SessionState>,
    /// What is known of devices.
    devices: Option<Arc<Devices>>,
    /// Where alerts are.
    alerts: Option<Arc<dyn Alerts>>,
    /// Schemas beside the tenant's own.
    schemas: Vec<(String, Arc<dyn SchemaProvider>)>,
    /// Answers, where somebody counts what is written.
    cache: Option<Arc<Cache>>,
    /// Engines with other functions answer otherwise.
    variant: u64,
}

/// The next engine's number.
static VARIANTS: AtomicU64 = AtomicU64::new(0);

fn next_variant() -> u64 {
    VARIANTS.fetch_add(1, Ordering::Relaxed)
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// What a statement will answer.
#[derive(Clone, Debug)]
pub struct Described {
    /// The columns.
    pub schema: SchemaRef,
    /// The types of the parameters in their order, as far as the statement shows them.
    pub params: Vec<Option<DataType>>,
}

impl Engine {
    /// Over a store, with threads of its own.
    ///
    /// # Errors
    /// [`Error::Engine`] when the system gives no threads.
    pub fn new(store: Arc<dyn SeriesScan>) -> Result<Self> {
        let template = Arc::new(session::template());
        Ok(Self {
            workers: Arc::new(Workers::start()?),
            store,
            template,
            devices: None,
            alerts: None,
            schemas: Vec::new(),
            cache: None,
            variant: next_variant(),
        })
    }

    /// Over another store, on the same threads and within the same bounds. Nobody counts what is written there, so no answer is
    /// kept.
    #[must_use]
    pub fn over(&self, store: Arc<dyn SeriesScan>) -> Self {
        Self { cache: None, variant: next_variant(), ..self.joined(store) }
    }

    fn joined(&self, store: Arc<dyn SeriesScan>) -> Self {
        let store = match &self.devices {
            Some(devices) => {
                let store = Arc::new(WithFacts { store, devices: Arc::clone(devices) });
                Arc::new(WithTypes::new(store, Arc::clone(devices))) as Arc<dyn SeriesScan>
            }
            None => store,
        };
        let store = match &self.alerts {
            Some(alerts) => Arc::new(WithAlerts { store, alerts: Arc::clone(alerts) }),
            None => store,
        };
        Self { store, ..self.clone() }
    }

    /// With what is known of devices, in the table `devices`, and a table for each type of them.
    #[must_use]
    pub fn with_facts(self, devices: Arc<Devices>) -> Self {
        let store = Arc::clone(&self.store);
        Self { devices: Some(devices), ..self }.joined(store)
    }

    /// With the table `alerts`.
    #[must_use]
    pub fn with_alerts(self, alerts: Arc<dyn Alerts>) -> Self {
        let store = Arc::clone(&self.store);
        let store = Arc::new(WithAlerts { store, alerts: Arc::clone(&alerts) });
        Self { alerts: Some(alerts), store, ..self }
    }

    /// Keeps answers, as long as `cache` hears of every write of this engine's store ([`crate::Watched`]).
    #[must_use]
    pub fn with_cache(self, cache: Arc<Cache>) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// With more functions or settings in every session.
    #[must_use]
    pub fn with_template(&self, extend: impl FnOnce(SessionState) -> SessionState) -> Self {
        let template = Arc::new(extend(SessionState::clone(&self.template)));
        Self { template, variant: next_variant(), ..self.clone() }
    }

    /// With another schema beside the tenant's own.
    #[must_use]
    pub fn with_schema(&self, name: &str, schema: Arc<dyn SchemaProvider>) -> Self {
        let mut schemas = self.schemas.clone();
        schemas.push((name.to_owned(), schema));
        Self { schemas, ..self.clone() }
    }

    /// What tables a tenant has; they have columns and no rows.
    #[must_use]
    pub fn tables(&self, tenant: &TenantId) -> Arc<dyn SchemaProvider> {
        Arc::new(catalog::Names::new(Arc::clone(&self.store), tenant.clone()))
    }

    /// Answers a statement, `params` in the place of `$1`, `$2`, ….
    ///
    /// # Errors
    /// As [`Sql::run`].
    pub async fn ask(
        &self,
        tenant: &TenantId,
        statement: Statement,
        params: Vec<ScalarValue>,
        limits: Limits,
    ) -> Result<Answer> {
        let keeping = self.keeping(tenant, || format!("ast {} {params:?} {limits:?}", statement.0));
        if let Some(kept) = keeping.as_ref().and_then(Keeping::find) {
            return Ok(Answer::clone(&kept));
        }
        let question = self.question(tenant, limits);
        let job = async move {
            let (answer, lasts) = question.answer(statement, params).await?;
            if let Some(keeping) = keeping.filter(|_| lasts) {
                keeping.keep(&answer);
            }
            Ok(answer)
        };
        self.workers.run(tenant, limits, job).await
    }

    /// What a statement will answer, without asking it.
    ///
    /// # Errors
    /// As [`Sql::run`].
    pub async fn describe(
        &self,
        tenant: &TenantId,
        statement: Statement,
        limits: Limits,
    ) -> Result<Described> {
        self.workers.run(tenant, limits, self.question(tenant, limits).describe(statement)).await
    }

    /// The engine's threads, for those who handle what strangers write: what goes wrong there ends nothing else.
    #[must_use]
    pub fn threads(&self) -> &tokio::runtime::Handle {
        self.workers.front()
    }

    /// All of it, reading the statement included, is done on the engine's threads.
    fn ask_blocking<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        statement: &str,
        params: &[Cell],
        limits: Limits,
        shape: impl FnOnce(&Answer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let keeping = self.keeping(tenant, || format!("text {statement} {params:?} {limits:?}"));
        if let Some(kept) = keeping.as_ref().and_then(Keeping::find) {
            return shape(&kept);
        }
        let statement = statement.to_owned();
        let params = params.iter().map(Cell::to_scalar).collect();
        let question = self.question(tenant, limits);
        self.workers.run_blocking(tenant, limits, async move {
            let (answer, lasts) = question.answer(Statement::one(&statement)?, params).await?;
            if let Some(keeping) = keeping.filter(|_| lasts) {
                keeping.keep(&answer);
            }
            shape(&answer)
        })
    }

    /// Where the answer to a question is kept, as of now.
    fn keeping(&self, tenant: &TenantId, words: impl FnOnce() -> String) -> Option<Keeping> {
        let cache = Arc::clone(self.cache.as_ref()?);
        let key = Key::new(tenant, format!("{} {}", self.variant, words()));
        Some(Keeping { state: cache.state(tenant), key, cache })
    }

    fn question(&self, tenant: &TenantId, limits: Limits) -> Question {
        Question {
            tenant: tenant.clone(),
            store: Arc::clone(&self.store),
            template: Arc::clone(&self.template),
            schemas: self.schemas.clone(),
            limits,
        }
    }
}

/// A question and the state it is asked in.
struct Keeping {
    cache: Arc<Cache>,
    key: Key,
    state: State,
}

impl Keeping {
    fn find(&self) -> Option<Arc<Answer>> {
        match self.cache.get(&self.key, self.state)? {
            Kept::Rows(answer) => Some(answer),
            Kept::Points(_) | Kept::Buckets(_) => None,
        }
    }

    fn keep(self, answer: &Answer) {
        let bytes = answer.bytes();
        self.cache.put(self.key, self.state, Kept::Rows(Arc::new(answer.clone())), bytes);
    }
}

impl Sql for Engine {
    fn run(&self, tenant: &TenantId, statement: &str, params: &[Cell], limits: Limits) -> Result<Table> {
        self.ask_blocking(tenant, statement, params, limits, move |answer| answer.to_table(limits))
    }

    fn arrow(&self, tenant: &TenantId, statement: &str, params: &[Cell], limits: Limits) -> Result<Vec<u8>> {
        self.ask_blocking(tenant, statement, params, limits, Answer::to_arrow)
    }
}

impl Cell {
    fn to_scalar(&self) -> ScalarValue {
        match self {
            Self::Null => ScalarValue::Null,
            Self::Bool(value) => ScalarValue::Boolean(Some(*value)),
            Self::Int(value) => ScalarValue::Int64(Some(*value)),
            Self::Float(value) => ScalarValue::Float64(Some(*value)),
            Self::Text(value) => ScalarValue::Utf8(Some(value.clone())),
        }
    }
}

/// The engine's own failures, with where.
fn broken(reason: impl ToString) -> Error {
    Error::Engine { place: "the SQL engine".into(), reason: reason.to_string() }
}
