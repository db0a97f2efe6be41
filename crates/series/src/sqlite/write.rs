//! One batch, one transaction.

use std::path::PathBuf;

use record::Lane;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::names::Names;
use super::{Books, Sqlite, books, fault, points};
use crate::{Error, Note, Position, Result, SeriesWriter, Source, Span, WriteBatch, Written};

#[derive(Debug)]
pub(crate) struct Writer {
    connection: Connection,
    path: PathBuf,
    names: Names,
}

impl Writer {
    pub(crate) fn new(connection: Connection, path: PathBuf) -> Self {
        Self { connection, path, names: Names::default() }
    }

    /// For who changes more than a batch does.
    pub(super) fn parts(&mut self) -> (&mut Connection, &mut Names) {
        (&mut self.connection, &mut self.names)
    }

    fn write(&mut self, batch: &WriteBatch) -> Result<Written> {
        let failed = |error| fault("writing a batch", &self.path, error);
        let transaction = self.connection.transaction().map_err(failed)?;
        for span in &batch.spans {
            if let Some(held) = position(&transaction, span.source).map_err(failed)?
                && held != span.from
            {
                return Err(Error::Conflict { source_partition: span.source, held, from: span.from });
            }
        }
        let outcome = write_all(&transaction, &mut self.names, batch)
            .and_then(|written| transaction.commit().map(|()| written));
        if outcome.is_err() {
            // They may hold numbers that were rolled back.
            self.names = Names::default();
        }
        outcome.map_err(failed)
    }
}

impl SeriesWriter for Sqlite {
    fn write(&self, batch: &WriteBatch) -> Result<Written> {
        let written = self.writer.lock().write(batch)?;
        let readings: usize = batch.readings.values().map(record::Readings::len).sum();
        self.durable.committed((readings + batch.windows.len()) as u64);
        Ok(written)
    }

    fn flush(&self) -> Result<()> {
        self.durable.sync()
    }

    fn positions(&self) -> Result<Vec<Position>> {
        self.with_reader("reading the positions", positions)
    }

    fn notes(&self) -> Result<Vec<Note>> {
        notes_of(self)
    }
}

/// The next offset of each partition.
pub(crate) fn positions(connection: &Connection) -> rusqlite::Result<Vec<Position>> {
    let mut rows = connection.prepare("SELECT topic, lane, partition, \"offset\" FROM position")?;
    let positions = rows.query_map([], |row| {
        let source = source_of(row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Position { source, offset: row.get::<_, i64>(3)?.cast_unsigned() })
    })?;
    positions.collect()
}

pub(crate) fn notes_of(store: &impl Books) -> Result<Vec<Note>> {
    store.with_books("reading the notes", |connection| {
        let mut rows =
            connection.prepare("SELECT partition, number, bytes FROM note ORDER BY partition, number")?;
        let notes = rows.query_map([], |row| {
            let number = row.get::<_, i64>(1)?.cast_unsigned();
            Ok(Note { partition: row.get(0)?, number, bytes: row.get(2)? })
        })?;
        notes.collect()
    })
}

pub(crate) fn source_of(topic: u8, lane: u8, partition: u16) -> Source {
    let lane = if lane == Lane::Live as u8 { Lane::Live } else { Lane::Backfill };
    Source { topic, lane, partition }
}

fn position(transaction: &Transaction<'_>, source: Source) -> rusqlite::Result<Option<u64>> {
    transaction
        .prepare_cached("SELECT \"offset\" FROM position WHERE topic = ? AND lane = ? AND partition = ?")?
        .query_row(params![source.topic, source.lane as u8, source.partition], |row| row.get::<_, i64>(0))
        .optional()
        .map(|offset| offset.map(i64::cast_unsigned))
}

fn write_all(connection: &Connection, names: &mut Names, batch: &WriteBatch) -> rusqlite::Result<Written> {
    let mut written = Written::default();
    for (tenant, readings) in &batch.readings {
        let late = batch.late.get(tenant).map_or(&[][..], Vec::as_slice);
        points::write(connection, names, tenant, readings, late, &mut written)?;
    }
    let replaced = books::void_windows(connection, names, &batch.void_windows)?;
    books::windows(connection, names, &batch.windows, &replaced)?;
    let revised = books::that_are_there(connection, names, &batch.revised_windows)?;
    books::windows(connection, names, revised, &replaced)?;
    written.dead_letters = write_books(connection, batch)?;
    Ok(written)
}

/// Everything of a batch but its readings and windows. Returns how many dead letters there were.
pub(crate) fn write_books(connection: &Connection, batch: &WriteBatch) -> rusqlite::Result<u64> {
    let dead_letters = books::dead(connection, &batch.dead)?;
    books::resolve(connection, &batch.resolved)?;
    books::account(connection, &batch.account)?;
    books::clocks(connection, &batch.clocks)?;
    books::notes(connection, &batch.notes, &batch.forget)?;
    for &Span { source, from, to } in &batch.spans {
        connection
            .prepare_cached(
                "INSERT INTO position (topic, lane, partition, \"offset\", first) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET \"offset\" = ?4",
            )?
            .execute(params![
                source.topic,
                source.lane as u8,
                source.partition,
                to.cast_signed(),
                from.cast_signed()
            ])?;
    }
    Ok(dead_letters)
}
