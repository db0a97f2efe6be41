//! The embedded backend: one SQLite file.
//!
//! Format (also in `docs/formats/metadata.md`): one table per [`Table`], `(tenant TEXT, id TEXT, body ANY)` with the primary key `(tenant, id)`;
//! `PRAGMA user_version` counts the migrations applied. Bodies of JSON tables are TEXT where they are UTF-8,
//! so that `sqlite3` shows them and its JSON functions read them; everything else is BLOB.
//!
//! Write-ahead logging with `synchronous=FULL`: a commit is one fsync of the WAL, readers never wait for the
//! writer, and a torn tail of the WAL is dropped at the next open.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};

use crate::{Change, Error, Metadata, Result, Row, Table};

/// What each version adds to the one before; the position in the list plus one is its number. Never edited,
/// only added to.
const MIGRATIONS: [&str; 4] = [
    "
    CREATE TABLE sessions    (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE retained    (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE offsets     (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE devices     (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE credentials (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE revocations (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE tenants     (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE schemas     (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE learned     (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE changes     (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE rules        (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE alerts       (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE alert_pairs  (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE alert_causes (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE alert_due    (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE alert_state  (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox       (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE deliveries   (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE people       (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE mutes        (tenant TEXT NOT NULL, id TEXT NOT NULL, body ANY NOT NULL, PRIMARY KEY (tenant, id)) STRICT, WITHOUT ROWID;
",
];

/// How long a commit waits for another process (the CLI, a backup) that holds the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Read connections kept open between calls, enough for the gateway's workers. A read beyond them opens its own
/// and closes it again.
const IDLE_READERS: usize = 16;
/// Page cache of a read connection, KiB. The system's cache is behind it.
const READER_CACHE_KIB: i32 = 512;
/// Prepared statements kept per connection: four for each table.
const STATEMENTS: usize = Table::ALL.len() * 4;

/// Metadata in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Sqlite {
    /// Opens the database at `path`, creating it (and its directory) where it is missing and bringing its
    /// schema up to date.
    ///
    /// # Errors
    /// [`Error::Newer`] when a later build wrote it, [`Error::Database`] when it cannot be opened or is not
    /// a database.
    pub fn open(path: &Path) -> Result<Self> {
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).map_err(|e| failed("creating the directory", directory, &e))?;
        let mut writer = Connection::open(path).map_err(|e| failed("opening the database", path, &e))?;
        prepare(&mut writer, path)?;
        migrate(&mut writer, path)?;
        // SQLite syncs the directory for its journals; the name of a file just created is ours to keep.
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|e| failed("syncing the directory", directory, &e))?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), readers: Mutex::new(Vec::new()) })
    }

    /// Runs `read` on a connection of its own, so that reads wait neither for a commit nor for each other,
    /// and `read` may itself call any method.
    fn reading<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let idle = self.readers.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open_reader().map_err(|e| failed("opening the database", &self.path, &e))?,
        };
        let outcome = read(&connection).map_err(|e| failed(operation, &self.path, &e));
        if outcome.is_ok() {
            let mut readers = self.readers.lock();
            if readers.len() < IDLE_READERS {
                readers.push(connection);
            }
        }
        outcome
    }

    fn open_reader(&self) -> rusqlite::Result<Connection> {
        // Not `READ_ONLY`: a reader of a WAL must be able to write its shared-memory index.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    }
}

impl Metadata for Sqlite {
    fn get(&self, table: Table, tenant: &str, id: &str) -> Result<Option<Row>> {
        self.reading("reading a row", |connection| {
            let sql = format!("SELECT tenant, id, body FROM {} WHERE tenant = ?1 AND id = ?2", table.name());
            connection.prepare_cached(&sql)?.query_row(params![tenant, id], row).optional()
        })
    }

    fn scan(&self, table: Table, tenant: Option<&str>, visit: &mut dyn FnMut(Row) -> bool) -> Result<()> {
        self.reading("reading a table", |connection| {
            let name = table.name();
            let mut statement;
            let mut rows = match tenant {
                Some(tenant) => {
                    let sql = format!("SELECT tenant, id, body FROM {name} WHERE tenant = ?1 ORDER BY id");
                    statement = connection.prepare_cached(&sql)?;
                    statement.query(params![tenant])?
                }
                None => {
                    let sql = format!("SELECT tenant, id, body FROM {name} ORDER BY tenant, id");
                    statement = connection.prepare_cached(&sql)?;
                    statement.query([])?
                }
            };
            while let Some(found) = rows.next()? {
                if !visit(row(found)?) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn scan_after(
        &self,
        table: Table,
        tenant: &str,
        after: &str,
        visit: &mut dyn FnMut(Row) -> bool,
    ) -> Result<()> {
        self.reading("reading a table", |connection| {
            let name = table.name();
            let sql =
                format!("SELECT tenant, id, body FROM {name} WHERE tenant = ?1 AND id > ?2 ORDER BY id");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params![tenant, after])?;
            while let Some(found) = rows.next()? {
                if !visit(row(found)?) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn commit(&self, changes: &[Change]) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer.lock();
        // An error drops the transaction, which rolls it back.
        let write = |writer: &mut Connection| {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for change in changes {
                apply(&transaction, change)?;
            }
            transaction.commit()
        };
        write(&mut writer).map_err(|e| failed("committing", &self.path, &e))
    }
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<()> {
    let mode = settings(connection).map_err(|e| failed("opening the database", path, &e))?;
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    let reason = format!("its file system has no shared memory for a write-ahead log (journal mode {mode})");
    Err(Error::Database { operation: "opening the database", place: path.display().to_string(), reason })
}

/// Returns the journal mode that SQLite could get.
fn settings(connection: &Connection) -> rusqlite::Result<String> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let mode = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(mode)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let known = MIGRATIONS.len() as u32;
    let found = upgrade(connection).map_err(|e| failed("migrating the schema", path, &e))?;
    if found > known {
        return Err(Error::Newer { place: path.display().to_string(), found, known });
    }
    Ok(())
}

/// Applies what is missing; returns the version found.
fn upgrade(connection: &mut Connection) -> rusqlite::Result<u32> {
    // The write lock first: two processes that start at once must not both migrate.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (before, sql) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", before as u32 + 1)?;
    }
    transaction.commit()?;
    Ok(found)
}

fn apply(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Put(table, row) => {
            let sql = format!(
                "INSERT INTO {} (tenant, id, body) VALUES (?1, ?2, ?3)
                 ON CONFLICT (tenant, id) DO UPDATE SET body = excluded.body",
                table.name()
            );
            let body = ToSqlOutput::Borrowed(stored(*table, &row.body));
            transaction.prepare_cached(&sql)?.execute(params![row.tenant, row.id, body])?;
        }
        Change::Delete { table, tenant, id } => {
            let sql = format!("DELETE FROM {} WHERE tenant = ?1 AND id = ?2", table.name());
            transaction.prepare_cached(&sql)?.execute(params![tenant, id])?;
        }
    }
    Ok(())
}

/// TEXT where a person is to read it. A NUL would end the text for SQLite's own functions.
fn stored(table: Table, body: &[u8]) -> ValueRef<'_> {
    if table.is_json() && std::str::from_utf8(body).is_ok() && !body.contains(&0) {
        ValueRef::Text(body)
    } else {
        ValueRef::Blob(body)
    }
}

fn row(found: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let body = match found.get_ref(2)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
        other => return Err(rusqlite::Error::InvalidColumnType(2, "body".into(), other.data_type())),
    };
    Ok(Row { tenant: found.get(0)?, id: found.get(1)?, body })
}

fn failed<E: std::error::Error + 'static>(operation: &'static str, path: &Path, error: &E) -> Error {
    let error: &(dyn std::error::Error + 'static) = error;
    let hint = match error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code) {
        Some(ErrorCode::DatabaseBusy) => ": another process holds it",
        Some(ErrorCode::DiskFull) => ": free some space",
        Some(ErrorCode::NotADatabase) => ": move it away or name another file",
        _ => "",
    };
    Error::Database { operation, place: path.display().to_string(), reason: format!("{error}{hint}") }
}
