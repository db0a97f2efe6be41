//! SQL by Apache DataFusion over the seam [`SeriesScan`] (docs/decisions/query-datafusion.md).
//!
//! Each statement gets a session of its own: one catalog, whose tables are those of one tenant at one moment. What is not in
//! the catalog cannot be named, so there is nothing to forbid. Everything runs on threads of the engine's own.

mod answer;
mod catalog;
mod exact;
mod explain;
mod gate;
mod prune;
mod scan;
mod session;
mod statement;
mod workers;
mod yielding;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::SchemaProvider;
use datafusion::common::ScalarValue;
use datafusion::execution::SessionState;
use record::TenantId;
use registry::Devices;
use series::SeriesScan;

use crate::facts::WithFacts;
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
    /// Schemas beside the tenant's own.
    schemas: Vec<(String, Arc<dyn SchemaProvider>)>,
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
        Ok(Self { workers: Arc::new(Workers::start()?), store, template, devices: None, schemas: Vec::new() })
    }

    /// Over another store, on the same threads and within the same bounds.
    #[must_use]
    pub fn over(&self, store: Arc<dyn SeriesScan>) -> Self {
        let store = match &self.devices {
            Some(devices) => Arc::new(WithFacts { store, devices: Arc::clone(devices) }),
            None => store,
        };
        Self { store, ..self.clone() }
    }

    /// With what is known of devices, in the table `devices`.
    #[must_use]
    pub fn with_facts(self, devices: Arc<Devices>) -> Self {
        let store = Arc::clone(&self.store);
        Self { devices: Some(devices), ..self }.over(store)
    }

    /// With more functions or settings in every session.
    #[must_use]
    pub fn with_template(&self, extend: impl FnOnce(SessionState) -> SessionState) -> Self {
        let template = Arc::new(extend(SessionState::clone(&self.template)));
        Self { template, ..self.clone() }
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
        let question = self.question(tenant, limits);
        self.workers.run(tenant, limits, question.answer(statement, params)).await
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
        let statement = statement.to_owned();
        let params = params.iter().map(Cell::to_scalar).collect();
        let question = self.question(tenant, limits);
        self.workers.run_blocking(tenant, limits, async move {
            shape(&question.answer(Statement::one(&statement)?, params).await?)
        })
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
