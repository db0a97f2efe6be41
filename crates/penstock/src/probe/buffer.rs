//! The buffer on disk: one SQLite file (docs/formats/probe-buffer.md). A message is in it from before it is sent
//! until it is acknowledged; what must be dropped is written down in the same commit.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

/// "PSPB".
const APPLICATION_ID: i64 = 0x5053_5042;
const VERSION: i64 = 1;
/// How long to wait for another process that holds the file, for instance a probe that is just ending.
const PATIENCE: Duration = Duration::from_secs(2);

const SCHEMA: &str = "
    CREATE TABLE message (seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL) STRICT;
    CREATE TABLE book (
        made INTEGER NOT NULL, dropped INTEGER NOT NULL, refused INTEGER NOT NULL, missed INTEGER NOT NULL
    ) STRICT;
    INSERT INTO book VALUES (0, 0, 0, 0);
";

/// Why the buffer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// SQLite's words.
    #[error(
        "the buffer {file}: {source}: free space on its disk, stop who else uses it, or name another with --buffer"
    )]
    Sqlite { file: String, source: rusqlite::Error },
    /// A file of something else, or of a later version.
    #[error(
        "{file} is no buffer of this version (application {application:#x}, version {version}): name another with --buffer"
    )]
    NotOurs { file: String, application: i64, version: i64 },
}

/// What became of measurements, since the file is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Books {
    /// Measured. Also the number of the latest one.
    pub(super) made: u64,
    /// Dropped, because the buffer was full or could not be written. The server may have got one of them whose
    /// acknowledgement did not come back.
    pub(super) dropped: u64,
    /// The server had them and will never take them.
    pub(super) refused: u64,
    /// Times that passed without a measurement.
    pub(super) missed: u64,
    /// Not yet acknowledged, the latest included.
    pub(super) waiting: u64,
    /// Bytes of them, without the latest.
    pub(super) waiting_bytes: u64,
}

/// A message that is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) seq: i64,
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
}

pub(super) struct Buffer {
    file: String,
    sqlite: Connection,
    limit_bytes: u64,
    books: Books,
    /// What was given out and may be on its way is not dropped: it would be counted although it arrives.
    given_out: i64,
}

impl Buffer {
    /// Opens or creates the file, for this process alone. `limit_bytes` bounds the payloads in it.
    pub(super) fn open(file: &Path, limit_bytes: u64) -> Result<Self, Error> {
        let name = file.display().to_string();
        let failed = |source| Error::Sqlite { file: name.clone(), source };
        let sqlite = Connection::open(file).map_err(failed)?;
        prepare(&sqlite).map_err(failed)?;
        let pragma = |name| sqlite.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        let (application, version) =
            (pragma("application_id").map_err(failed)?, pragma("user_version").map_err(failed)?);
        let tables = sqlite.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
        if (application, version, tables.map_err(failed)?) == (0, 0, 0) {
            let pragmas = format!("PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION};");
            sqlite.execute_batch(&format!("BEGIN;{SCHEMA}{pragmas}COMMIT;")).map_err(failed)?;
        } else if (application, version) != (APPLICATION_ID, VERSION) {
            return Err(Error::NotOurs { file: name, application, version });
        }
        let books = read_books(&sqlite).map_err(failed)?;
        Ok(Self { file: name, sqlite, limit_bytes, books, given_out: 0 })
    }

    /// Writes a message down, durably. `message` is told the books with it in them; `lost` measurements before it
    /// could not be written, `missed` were not made.
    pub(super) fn append(
        &mut self,
        topic: &str,
        lost: u64,
        missed: u64,
        message: impl FnOnce(&Books) -> Vec<u8>,
    ) -> Result<(), Error> {
        let mut books = self.books.clone();
        books.made += lost + 1;
        books.dropped += lost;
        books.missed += missed;
        books.waiting += 1;
        let payload = message(&books);
        books.waiting_bytes += payload.len() as u64;
        let (limit_bytes, given_out) = (self.limit_bytes, self.given_out);
        books = self.commit(|sqlite| {
            let mut keeps_new = true;
            while books.waiting_bytes > limit_bytes && keeps_new {
                keeps_new = drop_oldest(sqlite, &mut books, given_out)?;
            }
            if keeps_new {
                sqlite
                    .prepare_cached("INSERT INTO message VALUES (?, ?, ?)")?
                    .execute(params![books.made, topic, payload])?;
            } else {
                // All that waits is on its way: the new one is what can be dropped.
                books.dropped += 1;
                books.waiting -= 1;
                books.waiting_bytes -= payload.len() as u64;
            }
            write_books(sqlite, &books)?;
            Ok(books)
        })?;
        self.books = books;
        Ok(())
    }

    /// The oldest messages, in order; they count as on their way from now on.
    pub(super) fn oldest(&mut self, most: u32) -> Result<Vec<Waiting>, Error> {
        let read = || {
            let mut select =
                self.sqlite.prepare_cached("SELECT seq, topic, payload FROM message ORDER BY seq LIMIT ?")?;
            let rows = select.query_map([most], |row| {
                Ok(Waiting { seq: row.get(0)?, topic: row.get(1)?, payload: row.get(2)? })
            })?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        let oldest = read().map_err(|source| self.failed(source))?;
        self.given_out = oldest.last().map_or(0, |last| last.seq);
        Ok(oldest)
    }

    /// Removes what the server has, and what it will never take.
    pub(super) fn settle(&mut self, acknowledged: &[i64], refused: &[i64]) -> Result<(), Error> {
        self.given_out = 0;
        if acknowledged.is_empty() && refused.is_empty() {
            return Ok(());
        }
        let mut books = self.books.clone();
        books = self.commit(|sqlite| {
            for seq in acknowledged.iter().chain(refused) {
                let bytes = sqlite
                    .prepare_cached("DELETE FROM message WHERE seq = ? RETURNING length(payload)")?
                    .query_row([seq], |row| row.get::<_, u64>(0))
                    .optional()?;
                if let Some(bytes) = bytes {
                    books.waiting -= 1;
                    books.waiting_bytes -= bytes;
                }
            }
            books.refused += refused.len() as u64;
            write_books(sqlite, &books)?;
            Ok(books)
        })?;
        self.books = books;
        Ok(())
    }

    /// How many are not yet acknowledged.
    pub(super) fn waiting(&self) -> u64 {
        self.books.waiting
    }

    fn commit<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Error> {
        let outcome = (|| {
            let transaction = self.sqlite.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        outcome.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> Error {
        Error::Sqlite { file: self.file.clone(), source }
    }
}

fn prepare(sqlite: &Connection) -> Result<(), rusqlite::Error> {
    sqlite.busy_timeout(PATIENCE)?;
    // Exclusive: a second probe on the same file would send everything twice and number it twice.
    sqlite.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // An fsync for each commit: what is in the buffer survives a power cut.
    sqlite.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    sqlite.pragma_update(None, "synchronous", "FULL")?;
    sqlite.pragma_update(None, "journal_size_limit", 1 << 20)?;
    // The lock is taken by the first write, not by the pragma.
    sqlite.execute_batch("BEGIN EXCLUSIVE; COMMIT;")
}

fn read_books(sqlite: &Connection) -> Result<Books, rusqlite::Error> {
    let waiting = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM message";
    let (waiting, waiting_bytes) = sqlite.query_row(waiting, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    sqlite.query_row("SELECT made, dropped, refused, missed FROM book", [], |row| {
        let (made, dropped, refused, missed) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(Books { made, dropped, refused, missed, waiting, waiting_bytes })
    })
}

fn write_books(sqlite: &Connection, books: &Books) -> Result<(), rusqlite::Error> {
    let values = params![books.made, books.dropped, books.refused, books.missed];
    sqlite
        .prepare_cached("UPDATE book SET made = ?, dropped = ?, refused = ?, missed = ?")?
        .execute(values)
        .map(drop)
}

/// Whether there was one that may be dropped.
fn drop_oldest(sqlite: &Connection, books: &mut Books, given_out: i64) -> Result<bool, rusqlite::Error> {
    let oldest = "SELECT min(seq) FROM message WHERE seq > ?";
    let bytes = sqlite
        .prepare_cached(&format!("DELETE FROM message WHERE seq = ({oldest}) RETURNING length(payload)"))?
        .query_row([given_out], |row| row.get::<_, u64>(0))
        .optional()?;
    if let Some(bytes) = bytes {
        books.dropped += 1;
        books.waiting -= 1;
        books.waiting_bytes -= bytes;
    }
    Ok(bytes.is_some())
}

#[cfg(test)]
mod tests;
