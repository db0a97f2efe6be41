//! What clients look at before they ask: `pg_catalog`, and functions about the server.

mod functions;
mod tables;

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider,
};
use datafusion::common::ScalarValue;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::ObjectName;
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::{PgCatalogSchemaProvider, PgCatalogStaticTables, setup_pg_catalog};
use query::{CATALOG, Engine, Error, SCHEMA};
use record::TenantId;

use crate::rewriting::last;
use crate::settings;
use tables::Tables;

/// Whether a name is that of a table of `pg_catalog`.
pub(crate) fn is_catalog(name: &ObjectName) -> bool {
    match name.0.as_slice() {
        [_] => last(name).starts_with("pg_"),
        [.., schema, _] => schema.to_string().eq_ignore_ascii_case("pg_catalog"),
        [] => false,
    }
}

/// Whether a table of `pg_catalog` never has a row.
pub(crate) fn has_no_rows(name: &str) -> bool {
    tables::has_no_rows(name)
}

/// Whether a view of `information_schema` stands in `pg_catalog`, because the engine's own is another or not there.
pub(crate) fn is_own_view(name: &str) -> bool {
    tables::is_view(name)
}

/// What all connections have in common.
pub(crate) struct Catalog {
    tables: Arc<PgCatalogStaticTables>,
}

impl Catalog {
    /// The catalog, and the engine with its functions.
    pub(crate) fn new(engine: &Engine) -> query::Result<(Self, Engine)> {
        let tables = Arc::new(PgCatalogStaticTables::try_new().map_err(broken)?);
        let mut wrong = None;
        let engine = engine.with_template(|state| {
            extended(state.clone(), &tables).unwrap_or_else(|error| {
                wrong = Some(error);
                state
            })
        });
        match wrong {
            Some(error) => Err(error),
            None => Ok((Self { tables }, engine)),
        }
    }

    /// The engine with the catalog of a tenant. Object ids are the connection's own, and stay the same.
    pub(crate) fn of(&self, engine: &Engine, tenant: &TenantId) -> query::Result<Engine> {
        let own = engine.tables(tenant);
        let catalogs = catalogs(Arc::clone(&own))?;
        let given =
            PgCatalogSchemaProvider::try_new(catalogs, Arc::clone(&self.tables), EmptyContextProvider)
                .map_err(broken)?;
        Ok(engine.with_schema("pg_catalog", Arc::new(Tables { given, own })))
    }
}

fn catalogs(tables: Arc<dyn SchemaProvider>) -> query::Result<Arc<dyn CatalogProviderList>> {
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(SCHEMA, tables).map_err(broken)?;
    // What joins to them by number finds them.
    for name in ["pg_catalog", "information_schema"] {
        catalog.register_schema(name, Arc::new(MemorySchemaProvider::new())).map_err(broken)?;
    }
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Ok(Arc::new(catalogs))
}

/// A session's state with the functions of `pg_catalog`.
fn extended(state: SessionState, tables: &PgCatalogStaticTables) -> query::Result<SessionState> {
    let none = Arc::new(MemorySchemaProvider::new());
    let session = SessionContext::new_with_state(state);
    session.register_catalog_list(catalogs(none)?);
    setup_pg_catalog(&session, CATALOG, EmptyContextProvider).map_err(broken)?;
    for function in [version(), ScalarUDF::from(settings::CurrentSetting::new()), set_config()] {
        session.register_udf(function);
    }
    for function in functions::all(&tables.pg_type).map_err(broken)? {
        session.register_udf(function);
    }
    Ok(session.state())
}

fn version() -> ScalarUDF {
    let words = format!("PostgreSQL {} (Penstock)", settings::VERSION);
    let answer = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(words.clone()))));
    create_udf("version", Vec::new(), DataType::Utf8, Volatility::Stable, Arc::new(answer))
}

/// `set_config(name, value, is_local)`: settings change nothing that SQL shows, so it answers the value.
fn set_config() -> ScalarUDF {
    let types = vec![DataType::Utf8, DataType::Utf8, DataType::Boolean];
    let answer = |arguments: &[ColumnarValue]| Ok(arguments[1].clone());
    create_udf("set_config", types, DataType::Utf8, Volatility::Volatile, Arc::new(answer))
}

fn broken(error: impl ToString) -> Error {
    Error::Engine { place: "pg_catalog".into(), reason: error.to_string() }
}
