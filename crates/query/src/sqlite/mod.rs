//! SQL over the SQLite store (`series::Sqlite`), until its Parquet successor brings an engine of its own
//! (docs/decisions/0002).
//!
//! Each statement gets a connection of its own, opened read-only, with the public tables as temporary views
//! bound to one tenant, and an authorizer that lets nothing else be read. Opening costs a fraction of a
//! millisecond and nothing can leak from one asker to the next.

mod guard;
mod views;

use std::path::{Path, PathBuf};
use std::time::Instant;

use record::{Envelope, TenantId, Timestamp};
use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::AuthContext;
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};

use crate::{Cell, Error, Limits, Result, Sql, Table, parse_rfc3339, rfc3339};

/// Virtual-machine steps between two looks at the clock: well under a millisecond.
const STEPS_PER_LOOK: i32 = 10_000;

/// Largest single text or blob while a statement runs, bytes: no payload is larger.
const VALUE_BYTES: i32 = 32 << 20;

/// The engine over the file of a [`series::Sqlite`].
#[derive(Debug)]
pub struct SqliteSql {
    path: PathBuf,
    /// The metadata file; without it `devices` knows no facts.
    facts: Option<PathBuf>,
}

impl SqliteSql {
    /// Over the store in this file.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), facts: None }
    }

    /// With the facts of devices, from the metadata in this file (`metadata::Sqlite`).
    #[must_use]
    pub fn with_facts(self, metadata: &Path) -> Self {
        Self { facts: Some(metadata.to_owned()), ..self }
    }

    fn open(&self, tenant: &TenantId, limits: Limits) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(limits.time)?;
        functions(&connection, tenant)?;
        let gate: String = connection.query_row("SELECT 'v' || hex(randomblob(16))", [], |row| row.get(0))?;
        if let Some(facts) = &self.facts {
            // Opened as the store is: read-only.
            let name = facts.to_string_lossy();
            connection.execute(&format!("ATTACH DATABASE ?1 AS {}", views::FACTS), [&*name])?;
        }
        // One moment for everything the statement reads.
        connection.execute_batch("BEGIN")?;
        let corrected = connection.prepare("SELECT 1 FROM main.corrected_point")?.exists([])?;
        connection.execute_batch(&views::create(&gate, corrected, self.facts.is_some()))?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        let stored = tables(&connection, self.facts.is_some())?;
        connection
            .authorizer(Some(move |context: AuthContext<'_>| guard::authorize(&gate, &stored, &context)));
        let deadline = Instant::now() + limits.time;
        connection.progress_handler(STEPS_PER_LOOK, Some(move || Instant::now() > deadline));
        Ok(connection)
    }
}

impl Sql for SqliteSql {
    fn run(&self, tenant: &TenantId, statement: &str, params: &[Cell], limits: Limits) -> Result<Table> {
        let connection = self.open(tenant, limits).map_err(|error| Error::Engine {
            place: self.path.display().to_string(),
            reason: error.to_string(),
        })?;
        answer(&connection, statement, params, limits)
    }
}

/// The names of the tables that no statement may read but through a view.
fn tables(connection: &Connection, facts: bool) -> rusqlite::Result<Vec<String>> {
    let mut found = Vec::new();
    for schema in ["main", views::FACTS].into_iter().take(1 + usize::from(facts)) {
        let mut names = connection.prepare(&format!("SELECT name FROM {schema}.sqlite_schema"))?;
        for name in names.query_map([], |row| row.get(0))? {
            found.push(name?);
        }
    }
    Ok(found)
}

fn answer(connection: &Connection, statement: &str, params: &[Cell], limits: Limits) -> Result<Table> {
    let wrong = |error| explain(&error, limits);
    let mut prepared = connection.prepare(statement).map_err(wrong)?;
    if !prepared.readonly() || prepared.is_explain() != 0 {
        return Err(Error::Statement("only SELECT statements are answered".into()));
    }
    if prepared.column_count() == 0 {
        return Err(Error::Statement("the statement asks for nothing: write a SELECT".into()));
    }
    if prepared.parameter_count() != params.len() {
        let (wanted, got) = (prepared.parameter_count(), params.len());
        return Err(Error::Statement(format!("the statement has {wanted} parameters, {got} were given")));
    }
    let columns: Vec<String> = prepared.column_names().into_iter().map(str::to_owned).collect();
    let mut found = prepared.query(rusqlite::params_from_iter(params)).map_err(wrong)?;
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(row) = found.next().map_err(wrong)? {
        if rows.len() == limits.rows {
            let most = limits.rows;
            return Err(Error::TooMuch(format!(
                "the answer has more than {most} rows: add a LIMIT or a WHERE"
            )));
        }
        let mut cells = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            let cell = cell(row.get_ref(column).map_err(wrong)?);
            bytes += size_of::<Cell>() + if let Cell::Text(text) = &cell { text.len() } else { 0 };
            cells.push(cell);
        }
        if bytes > limits.bytes {
            let most = limits.bytes;
            return Err(Error::TooMuch(format!("the answer is larger than {most} bytes: ask for less")));
        }
        rows.push(cells);
    }
    let names: Vec<&str> = columns.iter().map(String::as_str).collect();
    Ok(Table::new(&names, rows))
}

fn explain(error: &rusqlite::Error, limits: Limits) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => {
            let most = limits.time.as_secs_f64();
            Error::TooMuch(format!("the answer takes longer than {most} s: narrow the statement"))
        }
        Some(ErrorCode::AuthorizationForStatementDenied) => {
            Error::Statement(format!("only SELECT over {} is allowed", views::PUBLIC.join(", ")))
        }
        Some(ErrorCode::TooBig) => Error::TooMuch("a value of the answer is too large".into()),
        _ => match error {
            rusqlite::Error::SqliteFailure(_, Some(words)) => Error::Statement(words.clone()),
            other => Error::Statement(other.to_string()),
        },
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(int) => Cell::Int(int),
        ValueRef::Real(float) => Cell::Float(float),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Text(text_of(bytes)),
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Bool(value) => ToSqlOutput::Owned(Value::Integer(i64::from(*value))),
            Self::Int(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            Self::Float(value) => ToSqlOutput::Owned(Value::Real(*value)),
            Self::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
        })
    }
}

fn functions(connection: &Connection, tenant: &TenantId) -> rusqlite::Result<()> {
    let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let tenant = tenant.as_str().to_owned();
    connection.create_scalar_function("tenant", 0, pure, move |_| Ok(tenant.clone()))?;
    connection.create_scalar_function("rfc3339", 1, pure, |context| {
        Ok(context.get::<Option<i64>>(0)?.map(|nanos| rfc3339(Timestamp::from_nanos(nanos))))
    })?;
    connection.create_scalar_function("sequence", 1, pure, |context| {
        // One more than the number that was sent: see `record::When::seq`.
        let number = context.get::<i64>(0)?.cast_unsigned().saturating_sub(1);
        Ok(match i64::try_from(number) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Text(number.to_string()),
        })
    })?;
    let now = rfc3339(Timestamp::now());
    connection.create_scalar_function("now", 0, pure, move |_| Ok(now.clone()))?;
    connection.create_scalar_function("payload", 1, pure, |context| {
        let record = context.get_raw(0).as_blob().unwrap_or_default();
        Ok(text_of(Envelope::decode(record).map_or(record, |envelope| envelope.payload)))
    })?;
    // Times are texts; as texts `…00.5Z` would come before `…00Z`.
    connection.create_collation("instant", |a, b| match (parse_rfc3339(a), parse_rfc3339(b)) {
        (Some(first), Some(second)) => first.cmp(&second),
        _ => a.cmp(b),
    })
}

/// Bytes as text: as they are when they are UTF-8, else in hexadecimal after `\x`, as PostgreSQL writes them.
fn text_of(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold(String::from("\\x"), |mut text, byte| {
            use std::fmt::Write as _;
            let _ = write!(text, "{byte:02x}"); // writing into a String cannot fail
            text
        }),
    }
}
