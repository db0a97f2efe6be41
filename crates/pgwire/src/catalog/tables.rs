//! The tables of `pg_catalog`, as they are for somebody who may only read.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::{LogicalPlanBuilder, cast, ident, lit};
use query::{CATALOG, SCHEMA};

use crate::settings;

/// What there is none of here. As they come they hold what a new server of PostgreSQL has for its own tables, which are not
/// here either.
const NOTHING_OF: [&str; 23] = [
    "pg_attrdef",
    "pg_constraint",
    "pg_default_acl",
    "pg_event_trigger",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_index",
    "pg_inherits",
    "pg_init_privs",
    "pg_partitioned_table",
    "pg_policy",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_replication_origin",
    "pg_rewrite",
    "pg_seclabel",
    "pg_sequence",
    "pg_statistic_ext",
    "pg_statistic_ext_data",
    "pg_trigger",
    "pg_user_mapping",
];

/// Columns that PostgreSQL's have and these lack: the number of the table that a row stands in.
const NUMBERS: [(&str, i32); 11] = [
    ("pg_class", 1259),
    ("pg_constraint", 2606),
    ("pg_language", 2612),
    ("pg_namespace", 2615),
    ("pg_opclass", 2616),
    ("pg_operator", 2617),
    ("pg_opfamily", 2753),
    ("pg_proc", 1255),
    ("pg_rewrite", 2618),
    ("pg_trigger", 2620),
    ("pg_type", 1247),
];

/// Views of `information_schema` without rows.
const EMPTY_VIEWS: [(&str, &[&str]); 8] = [
    ("check_constraints", &["constraint_catalog", "constraint_schema", "constraint_name", "check_clause"]),
    (
        "constraint_column_usage",
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
        ],
    ),
    (
        "key_column_usage",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
            "position_in_unique_constraint",
        ],
    ),
    (
        "referential_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "unique_constraint_catalog",
            "unique_constraint_schema",
            "unique_constraint_name",
            "match_option",
            "update_rule",
            "delete_rule",
        ],
    ),
    ("sequences", &["sequence_catalog", "sequence_schema", "sequence_name", "data_type"]),
    (
        "table_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "constraint_type",
            "is_deferrable",
            "initially_deferred",
        ],
    ),
    (
        "table_privileges",
        &["grantor", "grantee", "table_catalog", "table_schema", "table_name", "privilege_type"],
    ),
    ("triggers", &["trigger_catalog", "trigger_schema", "trigger_name", "event_object_table"]),
];

/// The view `information_schema.columns`: the types by PostgreSQL's names.
const COLUMNS: &str = "columns";

/// Whether a table of the catalog never has a row.
pub(super) fn has_no_rows(name: &str) -> bool {
    NOTHING_OF.contains(&name) || EMPTY_VIEWS.iter().any(|(view, _)| *view == name)
}

/// Whether a view of `information_schema` is one of these.
pub(super) fn is_view(name: &str) -> bool {
    name == COLUMNS || EMPTY_VIEWS.iter().any(|(view, _)| *view == name)
}

/// The catalog of a tenant.
#[derive(Debug)]
pub(super) struct Tables<P> {
    pub(super) given: P,
    /// The tenant's tables.
    pub(super) own: Arc<dyn SchemaProvider>,
}

#[async_trait]
impl<P: SchemaProvider> SchemaProvider for Tables<P> {
    fn table_names(&self) -> Vec<String> {
        self.given.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let name = name.to_ascii_lowercase();
        if name == COLUMNS {
            return Ok(Some(self.columns().await?));
        }
        if let Some((_, names)) = EMPTY_VIEWS.iter().find(|(view, _)| *view == name) {
            let fields: Vec<Field> =
                names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
            return Ok(Some(Arc::new(EmptyTable::new(Arc::new(Schema::new(fields))))));
        }
        if name == "pg_settings" {
            return Ok(Some(settings_table()?));
        }
        let Some(given) = self.given.table(&name).await? else { return Ok(None) };
        if has_no_rows(&name) {
            let schema = with_more(&name, given)?.schema();
            return Ok(Some(Arc::new(EmptyTable::new(schema))));
        }
        Ok(Some(with_more(&name, given)?))
    }

    fn table_exist(&self, name: &str) -> bool {
        is_view(name) || self.given.table_exist(name)
    }
}

/// A table with the columns that it lacks.
fn with_more(name: &str, given: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let mut more = Vec::new();
    if let Some((_, number)) = NUMBERS.iter().find(|(table, _)| *table == name) {
        more.push(lit(*number).alias("tableoid"));
    }
    if name == "pg_class" {
        let none = ScalarValue::new_null_list(DataType::Utf8, true, 1);
        more.push(lit(none.clone()).alias("relacl"));
        more.push(lit(none).alias("reloptions"));
    }
    if name == "pg_collation" {
        more.push(ident("colllocale").alias("colliculocale")); // its name until version 16
    }
    let schema = given.schema();
    let missing = |more: &datafusion::logical_expr::Expr| {
        schema.field_with_name(&more.schema_name().to_string()).is_err()
    };
    more.retain(missing);
    if more.is_empty() {
        return Ok(given);
    }
    let columns = schema.fields().iter().map(|field| match (name, field.name().as_str()) {
        // Functions of PostgreSQL's are in no schema here: types name some of them, and that is all there is to them.
        ("pg_proc", "pronamespace") => cast(lit(0), field.data_type().clone()).alias("pronamespace"),
        (_, column) => ident(column),
    });
    let columns = columns.chain(more);
    let plan = LogicalPlanBuilder::scan(name, provider_as_source(given), None)?.project(columns)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

impl<P: SchemaProvider> Tables<P> {
    async fn columns(&self) -> Result<Arc<dyn TableProvider>> {
        let (mut tables, mut names, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let (mut nullable, mut kinds, mut shorts) = (Vec::new(), Vec::new(), Vec::new());
        for table in self.own.table_names() {
            let Some(provider) = self.own.table(&table).await? else { continue };
            for (place, field) in (1..).zip(provider.schema().fields()) {
                let (kind, short) = type_names(field.data_type());
                tables.push(table.clone());
                names.push(field.name().clone());
                places.push(place);
                nullable.push(if field.is_nullable() { "YES" } else { "NO" });
                kinds.push(kind);
                shorts.push(short);
            }
        }
        let rows = names.len();
        let same = |text: Option<&'static str>| Arc::new(StringArray::from(vec![text; rows])) as ArrayRef;
        let texts = |texts: &[&'static str]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
        let none = || Arc::new(Int32Array::from(vec![None; rows])) as ArrayRef;
        table(vec![
            ("table_catalog", same(Some(CATALOG))),
            ("table_schema", same(Some(SCHEMA))),
            ("table_name", Arc::new(StringArray::from(tables))),
            ("column_name", Arc::new(StringArray::from(names))),
            ("ordinal_position", Arc::new(Int32Array::from(places))),
            ("column_default", same(None)),
            ("is_nullable", texts(&nullable)),
            ("data_type", texts(&kinds)),
            ("character_maximum_length", none()),
            ("character_octet_length", none()),
            ("numeric_precision", none()),
            ("numeric_precision_radix", none()),
            ("numeric_scale", none()),
            ("datetime_precision", none()),
            ("interval_type", same(None)),
            ("character_set_name", same(None)),
            ("collation_name", same(None)),
            ("domain_name", same(None)),
            ("udt_catalog", same(Some(CATALOG))),
            ("udt_schema", same(Some("pg_catalog"))),
            ("udt_name", texts(&shorts)),
            ("is_identity", same(Some("NO"))),
            ("identity_generation", same(None)),
            ("is_generated", same(Some("NEVER"))),
            ("generation_expression", same(None)),
            ("is_updatable", same(Some("NO"))),
        ])
    }
}

/// A type's name in the language and in the catalog.
fn type_names(kind: &DataType) -> (&'static str, &'static str) {
    match kind {
        DataType::Boolean => ("boolean", "bool"),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => ("smallint", "int2"),
        DataType::Int32 | DataType::UInt16 => ("integer", "int4"),
        DataType::Int64 | DataType::UInt32 => ("bigint", "int8"),
        DataType::UInt64 | DataType::Decimal128(..) | DataType::Decimal256(..) => ("numeric", "numeric"),
        DataType::Float32 => ("real", "float4"),
        DataType::Float64 => ("double precision", "float8"),
        DataType::Timestamp(_, Some(_)) => ("timestamp with time zone", "timestamptz"),
        DataType::Timestamp(_, None) => ("timestamp without time zone", "timestamp"),
        DataType::Date32 => ("date", "date"),
        _ => ("text", "text"),
    }
}

fn settings_table() -> Result<Arc<dyn TableProvider>> {
    let (names, values): (Vec<_>, Vec<_>) = settings::all().unzip();
    let rows = names.len();
    let same = |text: Option<&'static str>| Arc::new(StringArray::from(vec![text; rows])) as ArrayRef;
    let values = || Arc::new(StringArray::from(values.clone())) as ArrayRef;
    table(vec![
        ("name", Arc::new(StringArray::from(names))),
        ("setting", values()),
        ("unit", same(None)),
        ("category", same(Some("Preset Options"))),
        ("short_desc", same(None)),
        ("extra_desc", same(None)),
        ("context", same(Some("internal"))),
        ("vartype", same(Some("string"))),
        ("source", same(Some("default"))),
        ("min_val", same(None)),
        ("max_val", same(None)),
        ("enumvals", same(None)),
        ("boot_val", values()),
        ("reset_val", values()),
        ("sourcefile", same(None)),
        ("sourceline", same(None)),
        ("pending_restart", same(Some("f"))),
    ])
}

fn table(columns: Vec<(&str, ArrayRef)>) -> Result<Arc<dyn TableProvider>> {
    let fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}
