//! From words to statements, and from our errors to PostgreSQL's.

use arrow_pg::datatypes::{arrow_schema_to_pg_fields, into_pg_type};
use async_trait::async_trait;
use datafusion::arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use pgwire_protocol::api::portal::Format;
use pgwire_protocol::api::results::FieldInfo;
use pgwire_protocol::api::stmt::QueryParser;
use pgwire_protocol::api::{ClientInfo, Type};
use pgwire_protocol::error::{ErrorInfo, PgWireError, PgWireResult};
use query::{Described, Statement};

use crate::asking::{Asker, Connection};
use crate::settings::Setting;

/// Reads what clients write, which is at times more than SQL.
pub(crate) struct Words(PostgresCompatibilityParser);

impl Words {
    pub(crate) fn new() -> Self {
        Self(PostgresCompatibilityParser::new())
    }

    pub(crate) fn read(&self, text: &str) -> PgWireResult<Vec<ast::Statement>> {
        Statement::check_text(text).map_err(error)?;
        self.0.parse(text).map_err(|error| refused("42601", error.to_string()))
    }
}

/// A statement that was prepared.
#[derive(Clone, Debug)]
pub(crate) enum Prepared {
    Setting(Setting),
    Ask(Statement, Described),
}

pub(crate) struct Parsing(pub(crate) Connection);

#[async_trait]
impl QueryParser for Parsing {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        _: &C,
        sql: &str,
        _: &[Option<Type>],
    ) -> PgWireResult<Option<Self::Statement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut statements = self.0.words().read(sql)?;
        let statement = match (statements.pop(), statements.is_empty()) {
            (Some(statement), true) => statement,
            (None, _) => return Ok(None),
            (Some(_), false) => {
                return Err(refused("42601", "a prepared statement is one statement".into()));
            }
        };
        if let Some(setting) = Setting::of(&statement) {
            return Ok(Some(Prepared::Setting(setting)));
        }
        let statement = Statement::parsed(statement).map_err(error)?;
        let Asker { tenant, engine } = self.0.asker()?;
        let described = engine.describe(tenant, statement.clone(), self.0.limits()).await.map_err(error)?;
        Ok(Some(Prepared::Ask(statement, described)))
    }

    fn get_parameter_types(&self, statement: &Self::Statement) -> PgWireResult<Vec<Type>> {
        match statement {
            Prepared::Setting(_) => Ok(Vec::new()),
            Prepared::Ask(_, described) => parameter_types(&described.params),
        }
    }

    fn get_result_schema(
        &self,
        statement: &Self::Statement,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let format = format.unwrap_or(&Format::UnifiedText);
        match statement {
            Prepared::Setting(setting) => arrow_schema_to_pg_fields(&setting.schema(), format, None),
            Prepared::Ask(_, described) => arrow_schema_to_pg_fields(&described.schema, format, None),
        }
    }
}

/// The types of parameters as clients know them: text, where the statement does not show it.
pub(crate) fn parameter_types(types: &[Option<DataType>]) -> PgWireResult<Vec<Type>> {
    types.iter().map(|kind| kind.as_ref().map_or(Ok(Type::TEXT), into_pg_type)).collect()
}

/// One of ours, with the code by which clients go.
pub(crate) fn error(error: query::Error) -> PgWireError {
    let code = match &error {
        query::Error::Statement(words) if words.contains("not found") => "42P01",
        query::Error::Statement(_) => "42000",
        query::Error::TooMuch(_) => "54000",
        query::Error::Busy(_) => "53300",
        query::Error::Store(_) | query::Error::Engine { .. } => {
            tracing::error!(%error, "a statement could not be answered");
            // The details name files of this machine: they are for the operator's log.
            return refused("58000", "the store cannot be read now; try again".into());
        }
    };
    refused(code, error.to_string())
}

pub(crate) fn unknown_setting(name: &str) -> PgWireError {
    refused("42704", format!("unrecognized configuration parameter {name:?}"))
}

fn refused(code: &str, words: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), words)))
}
