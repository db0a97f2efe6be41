//! One statement's session: plan it, hold it to what it may do, run it.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::CatalogProviderList;
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, SchemaProvider,
};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SQLOptions, SessionConfig};
use futures_util::StreamExt;
use record::TenantId;
use series::SeriesScan;

use super::answer::{Answer, Collecting};
use super::{Described, Statement, catalog, exact, explain, lasting, placeholders};
use crate::{Error, Limits, Result, functions, gapfill};

/// The catalog's name, as `information_schema` and clients of PostgreSQL show it.
pub const CATALOG: &str = "penstock";

/// The schema of the tenant's tables.
pub const SCHEMA: &str = "public";

/// Most parameters: as many as the PostgreSQL wire can count. `$4000000000` would be a long list of nothing.
const MOST_PARAMETERS: usize = 65_535;

/// Partitions of a plan's middle: a question may use two cores and leaves the others alone.
const PARTITIONS: usize = 2;

pub(super) struct Question {
    pub(super) tenant: TenantId,
    pub(super) store: Arc<dyn SeriesScan>,
    pub(super) template: Arc<SessionState>,
    pub(super) schemas: Vec<(String, Arc<dyn SchemaProvider>)>,
    pub(super) limits: Limits,
}

/// What all sessions have in common.
pub(super) fn template() -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(PARTITIONS)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    let options = config.options_mut();
    options.sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
    // Texts stay texts: clients of PostgreSQL know no views of them.
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.time_zone = Some(series::scan::UTC.to_owned());
    let state = gapfill::register(SessionStateBuilder::new_with_default_features())
        .with_config(config)
        // Nothing reads or writes files.
        .with_table_factories(Default::default())
        .with_file_formats(Vec::new())
        .with_physical_optimizer_rule(Arc::new(super::yielding::Yielding))
        .build();
    functions::register(state)
}

impl Question {
    /// Runs a statement to its end, within the limits. `true`: the answer holds until something is written.
    pub(super) async fn answer(
        self,
        statement: Statement,
        params: Vec<ScalarValue>,
    ) -> Result<(Answer, bool)> {
        let limits = self.limits;
        let state = self.session()?;
        let outcome = async {
            let plan = plan(&state, statement).await?;
            let plan = with_params(plan, params)?;
            let lasts = lasting::lasts(&plan)?;
            let exact = exact::carry(plan)?;
            let physical = state.create_physical_plan(&exact.plan).await?;
            let mut collecting = Collecting::new(exact, limits);
            let mut batches = execute_stream(physical, state.task_ctx())?;
            while let Some(batch) = batches.next().await {
                collecting.push(batch?)?;
            }
            Ok::<_, Failure>((collecting.finish(), lasts))
        };
        outcome.await.map_err(|failure| failure.explain(limits))
    }

    /// Plans a statement and says what would come of it.
    pub(super) async fn describe(self, statement: Statement) -> Result<Described> {
        let limits = self.limits;
        let state = self.session()?;
        let outcome = async {
            let plan = plan(&state, statement).await?;
            let params = params(&plan)?;
            // The types of the columns are those after the parameters' types are settled.
            let schema = Arc::clone(state.optimize(&plan).as_ref().unwrap_or(&plan).schema().inner());
            Ok::<_, Failure>(Described { schema, params })
        };
        outcome.await.map_err(|failure| failure.explain(limits))
    }

    fn session(&self) -> Result<SessionState> {
        let tenants = MemoryCatalogProvider::new();
        let tables = catalog::Tables::new(Arc::clone(&self.store), self.tenant.clone());
        let mut schemas: Vec<(&str, Arc<dyn SchemaProvider>)> = vec![(SCHEMA, Arc::new(tables))];
        schemas.extend(self.schemas.iter().map(|(name, schema)| (name.as_str(), Arc::clone(schema))));
        for (name, schema) in schemas {
            tenants.register_schema(name, schema).map_err(super::broken)?;
        }
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(tenants));
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(self.limits.memory)))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(super::broken)?;
        let mut state = SessionStateBuilder::new_from_existing(SessionState::clone(&self.template))
            .with_catalog_list(Arc::new(catalogs))
            .with_runtime_env(environment)
            .build();
        // `now()` is now.
        state.mark_start_execution();
        Ok(state)
    }
}

async fn plan(state: &SessionState, statement: Statement) -> Attempt<LogicalPlan> {
    let plan = state.statement_to_plan(statement.0).await?;
    // What a statement may do is asked of its plan, whatever its words are.
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)?;
    Ok(plan)
}

/// The parameters' types in their order, `$1` first.
fn params(plan: &LogicalPlan) -> Attempt<Vec<Option<DataType>>> {
    let mut types = plan.get_parameter_types()?;
    if types.values().any(Option::is_none) {
        let shown = placeholders::shown(plan)?;
        for (name, kind) in types.iter_mut().filter(|(_, kind)| kind.is_none()) {
            *kind = shown.get(name).cloned();
        }
    }
    let places = types.into_iter().map(|(name, kind)| {
        let place = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok()).filter(|n| *n > 0);
        place
            .map(|place| (place - 1, kind))
            .ok_or_else(|| Error::Statement(format!("parameters are written ? or $1, $2, …, not {name}")))
    });
    let places = places.collect::<Result<Vec<_>>>()?;
    let count = places.iter().map(|(place, _)| place + 1).max().unwrap_or(0);
    if count > MOST_PARAMETERS {
        return Err(Error::Statement(format!("a statement has at most {MOST_PARAMETERS} parameters")).into());
    }
    // One that is not asked for any more has no type.
    let mut types = vec![None; count];
    for (place, kind) in places {
        types[place] = kind;
    }
    Ok(types)
}

fn with_params(plan: LogicalPlan, given: Vec<ScalarValue>) -> Attempt<LogicalPlan> {
    let wanted = params(&plan)?.len();
    if wanted != given.len() {
        let got = given.len();
        return Err(
            Error::Statement(format!("the statement has {wanted} parameters, {got} were given")).into()
        );
    }
    if given.is_empty() {
        return Ok(plan);
    }
    Ok(plan.replace_params_with_values(&ParamValues::from(given))?)
}

/// What was tried within a session.
pub(super) type Attempt<T> = std::result::Result<T, Failure>;

/// Ours, or the engine's.
pub(super) enum Failure {
    Own(Error),
    Engine(Box<DataFusionError>),
}

impl Failure {
    fn explain(self, limits: Limits) -> Error {
        match self {
            Self::Own(error) => error,
            Self::Engine(error) => explain::explain(&error, limits),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(Box::new(error))
    }
}
