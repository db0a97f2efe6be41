//! A batch: into the books of the open transaction and into the buffer, or not at all.

use std::collections::{BTreeMap, HashSet};

use parking_lot::MutexGuard;
use record::{ReadingRef, Timestamp};
use rusqlite::{Connection, params};

use super::buffer::{row_key, same};
use super::manifest::Metrics;
use super::read::Found;
use super::{Parquet, Visible, load};
use crate::parquet::{ColumnNo, Entity};
use crate::sqlite::fault;
use crate::sqlite::names::Names;
use crate::sqlite::points::{columns, write_late};
use crate::sqlite::write::{notes_of, write_books};
use crate::{Error, Note, Position, Result, SeriesWriter, WriteBatch, Written};

#[derive(Debug)]
pub(super) struct Writer {
    /// With a transaction that is open from one flush to the next.
    pub(super) connection: Connection,
    pub(super) names: Names,
    /// Device and column of series that are in the books.
    pub(super) known_series: HashSet<u64>,
    /// Whether anything was written since the last flush.
    pub(super) dirty: bool,
    /// When the first of it was noticed, by the clock of [`Parquet::maintain`].
    pub(super) dirty_since_ms: Option<i64>,
    /// Runs that go with the next commit.
    pub(super) leaving: Vec<std::sync::Arc<super::RunEntry>>,
    /// Runs that a compaction made and no commit holds yet.
    pub(super) uncommitted: Vec<std::sync::Arc<super::RunEntry>>,
}

impl Writer {
    pub(super) fn begin(connection: Connection) -> rusqlite::Result<Self> {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Self {
            connection,
            names: Names::default(),
            known_series: HashSet::new(),
            dirty: false,
            dirty_since_ms: None,
            leaving: Vec::new(),
            uncommitted: Vec::new(),
        })
    }
}

impl Parquet {
    /// The writer, in the open transaction. Without one a savepoint would commit by itself, and the books would be durable
    /// without their readings.
    pub(super) fn writer(&self) -> Result<MutexGuard<'_, Writer>> {
        let writer = self.writer.lock();
        if writer.connection.is_autocommit() {
            let begun = writer.connection.execute_batch("BEGIN IMMEDIATE");
            begun.map_err(|error| fault("beginning a transaction", &self.manifest, error))?;
        }
        Ok(writer)
    }
}

/// A reading on its way into the buffer.
pub(super) struct Incoming<'b> {
    pub(super) reading: ReadingRef<'b>,
    pub(super) device: u32,
    pub(super) table: u32,
    pub(super) entity: Entity,
    pub(super) column: ColumnNo,
}

/// First and last claimed time and the metrics of keys that are looked for.
type Wanted = (i64, i64, Vec<ColumnNo>);

/// A value that another took the place of, as the books keep it.
struct Old<'b> {
    device: u32,
    metric: &'b str,
    when: record::When,
    value: record::Value,
    replaced_at: Timestamp,
}

impl SeriesWriter for Parquet {
    fn write(&self, batch: &WriteBatch) -> Result<Written> {
        if self.buffered_bytes() >= self.options.buffer_bytes {
            // The disk may be full: then no more is taken than the limit, and the batch waits in the log.
            self.flush()?;
        }
        let mut writer = self.writer()?;
        for span in &batch.spans {
            match self.visible.read().positions.get(&span.source) {
                Some(&held) if held != span.from => {
                    return Err(Error::Conflict { source_partition: span.source, held, from: span.from });
                }
                _ => {}
            }
        }
        let failed = |error| fault("writing a batch", &self.manifest, error);
        writer.connection.execute_batch("SAVEPOINT batch").map_err(failed)?;
        let outcome = self.take(&mut writer, batch);
        match outcome {
            Ok(written) => {
                writer.dirty = true;
                if let Err(error) = writer.connection.execute_batch("RELEASE batch") {
                    self.take_back(&mut writer, true)?;
                    return Err(failed(error));
                }
                Ok(written)
            }
            Err(refusal) => {
                self.take_back(&mut writer, refusal.in_buffer)?;
                Err(refusal.error)
            }
        }
    }

    fn positions(&self) -> Result<Vec<Position>> {
        let visible = self.visible.read();
        Ok(visible.positions.iter().map(|(&source, &offset)| Position { source, offset }).collect())
    }

    fn flush(&self) -> Result<()> {
        self.flush_all()
    }

    fn notes(&self) -> Result<Vec<Note>> {
        notes_of(self)
    }
}

/// Why a batch was not taken, and whether the buffer has some of it.
struct Refusal {
    error: Error,
    in_buffer: bool,
}

impl Parquet {
    fn take(&self, writer: &mut Writer, batch: &WriteBatch) -> std::result::Result<Written, Refusal> {
        let before = |error| Refusal { error, in_buffer: false };
        let failed = |error| fault("writing a batch", &self.manifest, error);
        let mut written = Written::default();
        let mut incoming = Vec::new();
        for (tenant, readings) in &batch.readings {
            let named = self.name(writer, tenant, readings).map_err(|error| before(failed(error)))?;
            let held = self.held_in_runs(&named).map_err(before)?;
            incoming.push((tenant, named, held));
        }
        let Writer { connection, names, .. } = writer;
        written.dead_letters =
            write_books(connection, names, batch).map_err(|error| before(failed(error)))?;
        for (tenant, named, _) in &incoming {
            for late in batch.late.get(*tenant).into_iter().flatten() {
                let of = &named[late.row as usize];
                let series = names.series(connection, i64::from(of.device), of.reading.metric);
                series
                    .and_then(|series| write_late(connection, series.no, &of.reading, late.watermark))
                    .map_err(|error| before(failed(error)))?;
            }
        }
        let mut old = Vec::new();
        {
            let mut visible = self.visible.write();
            for (_, named, held) in &incoming {
                for reading in named.iter() {
                    visible.put(reading, held, &mut old, &mut written);
                }
            }
            for span in &batch.spans {
                visible.positions.insert(span.source, span.to);
            }
        }
        supersede(connection, names, &old)
            .map_err(|error| Refusal { error: failed(error), in_buffer: true })?;
        Ok(written)
    }

    /// Undoes a batch. Where that cannot be done alone, everything since the last flush goes, as after a crash.
    fn take_back(&self, writer: &mut Writer, in_buffer: bool) -> Result<()> {
        let failed = |error| fault("taking a batch back", &self.manifest, error);
        writer.names = Names::default();
        writer.known_series.clear();
        // On some errors SQLite rolls the whole transaction back by itself.
        if in_buffer || writer.connection.is_autocommit() {
            return self.reset(writer);
        }
        writer.connection.execute_batch("ROLLBACK TO batch; RELEASE batch").map_err(failed)?;
        self.visible.write().metrics = Metrics::load(&writer.connection).map_err(failed)?;
        Ok(())
    }

    /// Back to the last commit: what came after it is to be written again.
    pub(super) fn reset(&self, writer: &mut Writer) -> Result<()> {
        let failed = |error| fault("going back to the last flush", &self.manifest, error);
        if !writer.connection.is_autocommit() {
            writer.connection.execute_batch("ROLLBACK").map_err(failed)?;
        }
        writer.connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        writer.names = Names::default();
        writer.known_series.clear();
        writer.dirty = false;
        writer.dirty_since_ms = None;
        writer.leaving.clear();
        writer.uncommitted.drain(..).for_each(|run| run.doom());
        let mut visible = self.visible.write();
        // Entries of runs that stay are taken over, so that nobody dooms a file that another entry stands for.
        let mut fresh = load(&writer.connection, &self.runs).map_err(failed)?;
        for run in &mut fresh.runs {
            if let Some(known) = visible.runs.iter().find(|known| known.facts.no == run.facts.no) {
                *run = std::sync::Arc::clone(known);
            }
        }
        *visible = fresh;
        Ok(())
    }

    /// The values that runs hold under the keys of these readings. Nearly always none: the sidecars say so.
    fn held_in_runs(&self, named: &[Incoming<'_>]) -> Result<BTreeMap<Entity, Found>> {
        let mut wanted: BTreeMap<(u32, Entity, i64), Wanted> = BTreeMap::new();
        let runs = self.visible.read().runs.clone();
        let mut last: Option<(Entity, i64, bool)> = None;
        for reading in named {
            let claimed = reading.reading.when.claimed.nanos();
            let may = match last {
                Some((entity, at, may)) if (entity, at) == (reading.entity, claimed) => may,
                _ => self.may_be_in(&runs, reading.table, reading.entity, claimed)?,
            };
            last = Some((reading.entity, claimed, may));
            if may {
                let day = super::period::day(claimed);
                let span = wanted.entry((reading.table, reading.entity, day)).or_insert((
                    claimed,
                    claimed,
                    Vec::new(),
                ));
                *span = (span.0.min(claimed), span.1.max(claimed), std::mem::take(&mut span.2));
                if !span.2.contains(&reading.column) {
                    span.2.push(reading.column);
                }
            }
        }
        let mut held: BTreeMap<Entity, Found> = BTreeMap::new();
        for ((table, entity, _), (first, last, columns)) in wanted {
            held.entry(entity).or_default().extend(self.find(table, entity, &columns, &(first..=last))?);
        }
        Ok(held)
    }

    fn may_be_in(
        &self,
        runs: &[std::sync::Arc<super::RunEntry>],
        table: u32,
        entity: Entity,
        claimed: i64,
    ) -> Result<bool> {
        for entry in runs {
            if entry.facts.table != table || !entry.facts.may_hold(entity, &(claimed..=claimed)) {
                continue;
            }
            let run = self.cache.open(entry)?;
            if run
                .sidecar()
                .entity(entity)
                .is_some_and(|(_, known)| known.first <= claimed && claimed <= known.last)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Visible {
    fn put<'b>(
        &mut self,
        incoming: &Incoming<'b>,
        held: &BTreeMap<Entity, Found>,
        old: &mut Vec<Old<'b>>,
        written: &mut Written,
    ) {
        let Incoming { reading, device, table, entity, column } = *incoming;
        let metric = reading.metric;
        let buffer = self.buffers.entry(table).or_default();
        let when = reading.when;
        let key = row_key(entity, when.claimed, when.seq);
        let replaced_at = when.arrived_at;
        if let Some(place) = buffer.find(key, column) {
            let value = buffer.value(place).expect("it was found there");
            if same(value, reading.value) {
                written.duplicates += 1;
                return;
            }
            old.push(Old { device, metric, when: buffer.when(place), value: value.to_value(), replaced_at });
            buffer.remove(place);
            written.corrections += 1;
        } else if let Some((before, value)) =
            held.get(&entity).and_then(|found| found.get(&(key.claimed, key.seq, column)))
        {
            if same(value.as_ref(), reading.value) {
                written.duplicates += 1;
                return;
            }
            old.push(Old { device, metric, when: *before, value: value.clone(), replaced_at });
            written.corrections += 1;
        } else {
            written.stored += 1;
        }
        buffer.put(entity, column, when, reading.value);
    }
}

fn supersede(connection: &Connection, names: &mut Names, old: &[Old<'_>]) -> rusqlite::Result<()> {
    let mut keep = connection.prepare_cached(
        "INSERT INTO superseded (series, claimed, seq, time, arrived_at, clock, kind, value, lng, replaced_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for Old { device, metric, when, value, replaced_at } in old {
        let series = names.series(connection, i64::from(*device), metric)?.no;
        let (kind, value, lng) = columns(value.as_ref());
        keep.execute(params![
            series,
            when.claimed.nanos(),
            when.seq.cast_signed(),
            when.time.nanos(),
            when.arrived_at.nanos(),
            when.origin as u8,
            kind,
            value,
            lng,
            replaced_at.nanos(),
        ])?;
    }
    Ok(())
}
