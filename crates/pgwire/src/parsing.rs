//! From words to statements, and from our errors to PostgreSQL's.

use arrow_pg::datatypes::{arrow_schema_to_pg_fields, into_pg_type};
use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{self, Query};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use pgwire_protocol::api::portal::Format;
use pgwire_protocol::api::results::FieldInfo;
use pgwire_protocol::api::stmt::QueryParser;
use pgwire_protocol::api::{ClientInfo, Type};
use pgwire_protocol::error::{ErrorInfo, PgWireError, PgWireResult};
use query::{Described, Statement};

use crate::asking::Connection;
use crate::copying::{self, Shape};
use crate::cursors;
use crate::nothing;
use crate::rewriting::{self, Pieces};
use crate::settings::Setting;

/// Reads what clients write, which is at times more than SQL.
pub(crate) struct Words {
    parser: PostgresCompatibilityParser,
    pieces: Pieces,
}

impl Words {
    pub(crate) fn new() -> Self {
        Self { parser: PostgresCompatibilityParser::new(), pieces: Pieces::new() }
    }

    pub(crate) fn read(&self, text: &str) -> PgWireResult<Vec<ast::Statement>> {
        Statement::check_text(text).map_err(error)?;
        let replaced = self.pieces.replace(text);
        let statements = self.parser.parse(replaced.as_deref().unwrap_or(text));
        let mut statements = statements.map_err(|error| refused("42601", error.to_string()))?;
        statements.iter_mut().for_each(rewriting::rewrite);
        Ok(statements)
    }
}

/// A query that is one of ours.
pub(crate) fn query(text: &str) -> PgWireResult<Box<Query>> {
    let parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text);
    let query = parser.and_then(|mut parser| parser.parse_query());
    query.map_err(|error| refused("42601", error.to_string()))
}

/// A question.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) statement: Statement,
    /// What it shows, where it is certain that there is no row of it.
    pub(crate) nothing: Option<SchemaRef>,
    /// How many parameters it has, as far as it is written.
    pub(crate) parameters: usize,
}

impl Asked {
    fn of(ast: ast::Statement) -> PgWireResult<Self> {
        let (nothing, parameters) = (nothing::columns(&ast), nothing::parameters(&ast));
        Ok(Self { statement: Statement::parsed(ast).map_err(error)?, nothing, parameters })
    }
}

/// What a statement wants.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Set(Setting),
    Ask(Asked),
    Copy(Asked, Shape),
    Declare { name: String, hold: bool, asked: Asked },
    Fetch { name: String, most: usize },
    Close { name: Option<String> },
    Deallocate { name: Option<String> },
}

impl Order {
    pub(crate) fn of(ast: ast::Statement) -> PgWireResult<Self> {
        if let ast::Statement::Deallocate { name, .. } = &ast {
            let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            return Ok(Self::Deallocate { name: (!all).then(|| name.value.clone()) });
        }
        if let Some(setting) = Setting::of(&ast) {
            return Ok(Self::Set(setting));
        }
        if let Some(copied) = copying::out(&ast) {
            let (query, shape) = copied?;
            return Ok(Self::Copy(Asked::of(ast::Statement::Query(query))?, shape));
        }
        if let Some(order) = cursors::order(&ast) {
            return Ok(match order? {
                cursors::Order::Declare { name, hold, query } => {
                    Self::Declare { name, hold, asked: Asked::of(ast::Statement::Query(query))? }
                }
                cursors::Order::Fetch { name, most } => Self::Fetch { name, most },
                cursors::Order::Close { name } => Self::Close { name },
            });
        }
        Asked::of(ast).map(Self::Ask)
    }
}

/// A statement that was prepared, and what will come of it where it is a question.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) order: Order,
    pub(crate) described: Option<Described>,
}

impl Prepared {
    /// The types of the parameters. Of those that play no part in the answer there is none.
    pub(crate) fn params(&self) -> Vec<Option<DataType>> {
        let mut types = self.described.as_ref().map(|described| described.params.clone()).unwrap_or_default();
        if let Order::Ask(asked) | Order::Copy(asked, _) | Order::Declare { asked, .. } = &self.order {
            types.resize(types.len().max(asked.parameters), None);
        }
        types
    }
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
        let order = Order::of(statement)?;
        let described = match &order {
            Order::Ask(asked) | Order::Copy(asked, _) | Order::Declare { asked, .. } => {
                Some(self.0.describe(asked).await?)
            }
            Order::Fetch { name, .. } => Some(Described { schema: self.0.cursor(name)?, params: Vec::new() }),
            _ => None,
        };
        Ok(Some(Prepared { order, described }))
    }

    fn get_parameter_types(&self, statement: &Self::Statement) -> PgWireResult<Vec<Type>> {
        parameter_types(&statement.params())
    }

    fn get_result_schema(
        &self,
        statement: &Self::Statement,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let format = format.unwrap_or(&Format::UnifiedText);
        let schema = match (&statement.order, &statement.described) {
            (Order::Set(setting), _) => &setting.schema(),
            (Order::Ask(_) | Order::Fetch { .. }, Some(described)) => &*described.schema,
            _ => &Schema::empty(),
        };
        arrow_schema_to_pg_fields(schema, format, None)
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
        query::Error::Statement(words) if words.starts_with("No field named") => "42703",
        query::Error::Statement(words) if words.starts_with("Invalid function") => "42883",
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

pub(crate) fn refused(code: &str, words: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), words)))
}
