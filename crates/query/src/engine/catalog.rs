//! A tenant's tables as DataFusion's catalog.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use record::TenantId;
use series::scan::Shape;
use series::{SeriesScan, Snapshot};

use super::{prune, scan::Scanning};

/// The tables of a tenant at one moment: that of the first look at one of them.
pub(super) struct Tables {
    store: Arc<dyn SeriesScan>,
    tenant: TenantId,
    snapshot: OnceLock<Arc<dyn Snapshot>>,
    taking: Mutex<()>,
}

impl Tables {
    pub(super) fn new(store: Arc<dyn SeriesScan>, tenant: TenantId) -> Self {
        Self { store, tenant, snapshot: OnceLock::new(), taking: Mutex::new(()) }
    }

    fn snapshot(&self) -> Result<&Arc<dyn Snapshot>> {
        let _alone = self.taking.lock();
        if let Some(snapshot) = self.snapshot.get() {
            return Ok(snapshot);
        }
        let taken = self.store.snapshot(&self.tenant).map_err(external)?;
        Ok(self.snapshot.get_or_init(|| taken))
    }

    fn shape(&self, name: &str) -> Result<Option<Shape>> {
        self.snapshot()?.table(name).map_err(external)
    }
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let tables = self.snapshot().and_then(|snapshot| snapshot.tables().map_err(external));
        // A store that cannot be read says so when a table of it is asked for.
        tables.unwrap_or_default().iter().map(|shape| shape.name.to_string()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let snapshot = Arc::clone(self.snapshot()?);
        let table =
            self.shape(name)?.map(|shape| Arc::new(Table { snapshot, shape }) as Arc<dyn TableProvider>);
        Ok(table)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.shape(name).is_ok_and(|shape| shape.is_some())
    }
}

/// What tables a tenant has, for those who only want to know what there is: looked up whenever it is asked, so that nothing
/// is held between two questions.
pub(super) struct Names {
    store: Arc<dyn SeriesScan>,
    tenant: TenantId,
}

impl Names {
    pub(super) fn new(store: Arc<dyn SeriesScan>, tenant: TenantId) -> Self {
        Self { store, tenant }
    }

    fn now(&self) -> Tables {
        Tables::new(Arc::clone(&self.store), self.tenant.clone())
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for Names {
    fn table_names(&self) -> Vec<String> {
        self.now().table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let shape = self.now().shape(name)?;
        Ok(shape.map(|shape| Arc::new(EmptyTable::new(shape.schema)) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.now().table_exist(name)
    }
}

/// One table at that moment.
pub(super) struct Table {
    snapshot: Arc<dyn Snapshot>,
    pub(super) shape: Shape,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("name", &self.shape.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shape.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let kept = filters.iter().map(|filter| match prune::narrows(filter, &self.shape) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        });
        Ok(kept.collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut scan = series::Scan::all(&self.shape.name);
        scan.columns = projection.cloned();
        scan.limit = limit;
        for filter in filters {
            prune::narrow(&mut scan, filter, &self.shape);
        }
        let schema = match projection {
            Some(columns) => Arc::new(self.shape.schema.project(columns)?),
            None => Arc::clone(&self.shape.schema),
        };
        Ok(Arc::new(Scanning::new(Arc::clone(&self.snapshot), scan, schema)))
    }
}

pub(super) fn external(error: series::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Whether a table is one of ours.
pub(super) fn as_table(provider: &dyn TableProvider) -> Option<&Table> {
    (provider as &dyn Any).downcast_ref()
}
