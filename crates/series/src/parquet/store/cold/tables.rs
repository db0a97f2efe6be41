//! What the manifest knows of the cold tier.

use std::collections::HashMap;

use rusqlite::{Connection, params};

/// `cold`: runs whose file is in an object store; `object`: its key there, without the ending. `unwanted`: objects of runs
/// that are gone, to be removed. `counter.store`: this store among others in a bucket; `cold`: how often the tables changed;
/// `catalogue`: which of those states was written down beside the objects.
pub(in super::super) const TABLES: &str = "
CREATE TABLE cold (run INTEGER PRIMARY KEY, object TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE unwanted (object TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('store', random()), ('cold', 0), ('catalogue', 0);
";

/// The key of each cold run's object.
pub(super) fn objects(connection: &Connection) -> rusqlite::Result<HashMap<u64, String>> {
    let mut statement = connection.prepare("SELECT run, object FROM cold")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))?;
    rows.collect()
}

/// Notes that a run is in an object.
pub(super) fn add(connection: &Connection, run: u64, object: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO cold VALUES (?, ?)")?
        .execute(params![run.cast_signed(), object])?;
    changed(connection)
}

/// A run goes: its object, if it has one, is no longer wanted.
pub(in super::super) fn unwant(connection: &Connection, run: u64) -> rusqlite::Result<()> {
    let object = connection
        .prepare_cached("DELETE FROM cold WHERE run = ? RETURNING object")?
        .query_map([run.cast_signed()], |row| row.get::<_, String>(0))?
        .next()
        .transpose()?;
    match object {
        Some(object) => unwant_object(connection, &object),
        None => Ok(()),
    }
}

pub(super) fn unwant_object(connection: &Connection, object: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT OR IGNORE INTO unwanted VALUES (?)")?.execute([object])?;
    changed(connection)
}

pub(super) fn changed(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE counter SET value = value + 1 WHERE name = 'cold'")?
        .execute([])
        .map(|_| ())
}

pub(super) fn unwanted(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT object FROM unwanted ORDER BY object")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}

/// An object is gone, or is wanted again.
pub(super) fn forget_unwanted(connection: &Connection, object: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM unwanted WHERE object = ?")?.execute([object]).map(|_| ())
}
