//! A batch: one commit of the manifest, and into the buffer, or neither.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use record::{Readings, TenantId, Timestamp, When};
use rusqlite::{Connection, params};

use super::buffer::{Buffer, row_key};
use super::fresh::Block;
use super::known::KnownSeries;
use super::metrics::Metrics;
use super::read::Found;
use super::{Parquet, Visible};
use super::{device_series, heard, manifest};
use crate::parquet::{ColumnNo, Entity, RowKey};
use crate::sqlite::fault;
use crate::sqlite::names::Names;
use crate::sqlite::points::columns;
use crate::sqlite::write::{notes_of, write_books};
use crate::{Error, LateReading, Note, Position, Result, SeriesWriter, WriteBatch, Written, same};

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) names: Names,
    pub(super) known_series: KnownSeries,
    /// The last block of the buffer.
    pub(super) last_block: i64,
    /// Emptied and filled by each batch.
    block: Block,
}

impl Writer {
    pub(super) fn new(connection: Connection, last_block: i64) -> Self {
        let (names, known_series) = (Names::default(), KnownSeries::default());
        Self { connection, names, known_series, last_block, block: Block::default() }
    }
}

/// The readings of a tenant on their way into the buffer.
pub(super) struct Incoming<'b> {
    pub(super) tenant: &'b TenantId,
    pub(super) readings: &'b Readings,
    /// The rows of tables that they become part of, in the order of the readings.
    pub(super) rows: Vec<IncomingRow>,
    /// The column of each reading.
    pub(super) columns: Vec<ColumnNo>,
}

/// Readings of one device and time that belong into one row of a table.
pub(super) struct IncomingRow {
    /// Which of them.
    pub(super) readings: Range<usize>,
    pub(super) device: u32,
    pub(super) table: u32,
    pub(super) entity: Entity,
    pub(super) when: When,
}

impl Incoming<'_> {
    /// The device of a reading.
    pub(super) fn device(&self, reading: usize) -> u32 {
        self.rows[self.rows.partition_point(|row| row.readings.end <= reading)].device
    }

    fn sought(&self) -> impl Iterator<Item = Sought<impl Iterator<Item = u32>>> {
        self.rows.iter().map(|row| Sought {
            table: row.table,
            entity: row.entity,
            claimed: row.when.claimed.nanos(),
            columns: self.columns[row.readings.clone()].iter().map(|column| column.0),
        })
    }
}

/// A key that may be held, and of which columns.
pub(super) struct Sought<C> {
    pub(super) table: u32,
    pub(super) entity: Entity,
    pub(super) claimed: i64,
    pub(super) columns: C,
}

/// What runs hold under keys that were sought.
pub(super) type Held = BTreeMap<Entity, Found>;

/// First and last claimed time and the columns of keys that are looked for.
type Wanted = (i64, i64, BTreeSet<ColumnNo>);

/// A value that another took the place of, as the books keep it.
struct Old {
    device: u32,
    column: ColumnNo,
    when: When,
    value: record::Value,
    replaced_at: Timestamp,
}

impl SeriesWriter for Parquet {
    fn write(&self, batch: &WriteBatch) -> Result<Written> {
        self.write_beside(batch, &Beside { late: &[], change: &|_| Ok(()) })
    }

    fn positions(&self) -> Result<Vec<Position>> {
        let visible = self.visible.read();
        Ok(visible.positions.iter().map(|(&source, &offset)| Position { source, offset }).collect())
    }

    fn flush(&self) -> Result<()> {
        self.durable.sync()
    }

    fn notes(&self) -> Result<Vec<Note>> {
        notes_of(self)
    }
}

/// What is done in the transaction of a batch that no writer of the seam asks for.
pub(super) struct Beside<'b> {
    /// Late readings that are listed, and are not stored.
    pub(super) late: &'b [(TenantId, LateReading)],
    /// A change of the manifest.
    pub(super) change: &'b dyn Fn(&Connection) -> rusqlite::Result<()>,
}

impl Parquet {
    /// Writes a batch, and does something else in its transaction.
    pub(super) fn write_beside(&self, batch: &WriteBatch, beside: &Beside<'_>) -> Result<Written> {
        if self.buffered_bytes() >= self.options.buffer_bytes {
            // The disk may be full: then no more is taken than the limit, and the batch waits in the log.
            self.roll()?;
        }
        self.look_up_before(batch)?;
        let mut writer = self.writer.lock();
        for span in &batch.spans {
            match self.visible.read().positions.get(&span.source) {
                Some(&held) if held != span.from => {
                    return Err(Error::Conflict { source_partition: span.source, held, from: span.from });
                }
                _ => {}
            }
        }
        let failed = |error| fault("writing a batch", &self.manifest, error);
        writer.connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        let outcome = self.take(&mut writer, batch, beside);
        if outcome.is_err() {
            self.take_back(&mut writer)?;
        }
        outcome
    }

    /// Everything of a batch, and the commit.
    fn take(&self, writer: &mut Writer, batch: &WriteBatch, beside: &Beside<'_>) -> Result<Written> {
        let failed = |error| fault("writing a batch", &self.manifest, error);
        let mut written = Written::default();
        let mut incoming = Vec::new();
        for (tenant, readings) in &batch.readings {
            let named = self.name(writer, tenant, readings).map_err(failed)?;
            let held = self.held_in_runs(named.sought())?;
            incoming.push((named, held));
        }
        let late = self.place_late(writer, batch, &incoming, beside)?;
        let windows = self.place_windows(writer, batch)?;
        let Writer { connection, block, last_block, .. } = writer;
        (beside.change)(connection).map_err(failed)?;
        written.dead_letters = write_books(connection, batch).map_err(failed)?;
        block.clear();
        let (mut old, mut again) = (Vec::new(), BTreeMap::new());
        // Held until the commit: nobody sees a part of it.
        let mut visible = self.visible.write();
        visible.buffers.values().for_each(|buffer| buffer.write().seal());
        for (named, held) in &incoming {
            let (old, again, written) = (&mut old, &mut again, &mut written);
            visible.put_all(named, held, &mut Effects { block, old, again, written });
        }
        visible.put_late(&late, block);
        visible.put_windows(&windows, block);
        let kept = supersede(connection, &old)
            .and_then(|()| heard::note(connection, again))
            .and_then(|()| block.seal().map(|bytes| manifest::add_fresh(connection, bytes)).transpose())
            .and_then(|no| connection.execute_batch("COMMIT").map(|()| no));
        match kept {
            Ok(no) => *last_block = no.unwrap_or(*last_block),
            Err(error) => {
                visible.buffers.values().for_each(|buffer| buffer.write().take_back());
                return Err(failed(error));
            }
        }
        visible.positions.extend(batch.spans.iter().map(|span| (span.source, span.to)));
        drop(visible);
        self.durable.committed((written.stored / 8) + (batch.windows.len() + batch.account.len()) as u64);
        Ok(written)
    }

    /// Undoes what a batch did beside the buffer.
    fn take_back(&self, writer: &mut Writer) -> Result<()> {
        let failed = |error| fault("taking a batch back", &self.manifest, error);
        writer.names = Names::default();
        writer.known_series.clear();
        // On some errors SQLite rolls back by itself.
        if !writer.connection.is_autocommit() {
            writer.connection.execute_batch("ROLLBACK").map_err(failed)?;
        }
        self.visible.write().metrics = Metrics::load(&writer.connection).map_err(failed)?;
        Ok(())
    }

    /// The values that runs hold under these keys. Nearly always none: the sidecars say so.
    pub(super) fn held_in_runs<C: IntoIterator<Item = u32>>(
        &self,
        keys: impl Iterator<Item = Sought<C>>,
    ) -> Result<Held> {
        let mut wanted: BTreeMap<(u32, Entity, i64), Wanted> = BTreeMap::new();
        let runs = self.visible.read().runs.clone();
        let mut last: Option<(Entity, i64, bool)> = None;
        for Sought { table, entity, claimed, columns } in keys {
            let may = match last {
                Some((of, at, may)) if (of, at) == (entity, claimed) => may,
                _ => self.may_be_in(&runs, table, entity, claimed)?,
            };
            last = Some((entity, claimed, may));
            if may {
                let day = super::period::day(claimed);
                let of_day = wanted.entry((table, entity, day));
                let span = of_day.or_insert_with(|| (claimed, claimed, BTreeSet::new()));
                (span.0, span.1) = (span.0.min(claimed), span.1.max(claimed));
                span.2.extend(columns.into_iter().map(ColumnNo));
            }
        }
        let mut held = Held::new();
        for ((table, entity, _), (first, last, columns)) in wanted {
            let columns: Vec<ColumnNo> = columns.into_iter().collect();
            held.entry(entity).or_default().extend(self.find(table, entity, &columns, &(first..=last))?);
        }
        Ok(held)
    }

    /// Whether a run may hold a key.
    pub(super) fn may_be_in(
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
            if self.cache.may_have(&self.cache.open(entry)?, entry.facts.no, entity, claimed)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What becomes of readings that are put into the buffer.
struct Effects<'e> {
    block: &'e mut Block,
    old: &'e mut Vec<Old>,
    /// Devices of readings that were there already, and when the last of those arrived.
    again: &'e mut BTreeMap<u32, Timestamp>,
    written: &'e mut Written,
}

impl Visible {
    fn put_all(&mut self, incoming: &Incoming<'_>, held: &Held, effects: &mut Effects<'_>) {
        for part in incoming.rows.chunk_by(|a, b| a.table == b.table) {
            let table = part[0].table;
            let rolling = self.rolling.as_ref().and_then(|rolling| rolling.buffers.get(&table)).cloned();
            let rolling = rolling.as_ref().map(|buffer| buffer.read());
            let mut buffer = self.buffers.entry(table).or_default().write();
            let mut known = Known::default();
            for row in part {
                let key = row_key(row.entity, row.when.claimed, row.when.seq);
                if known.key.replace(key) != Some(key) {
                    buffer.rows_of_key(key, &mut known.rows);
                    rolling.iter().for_each(|rolling| rolling.rows_of_key(key, &mut known.rolling));
                }
                put_row(incoming, row, &mut known, (&mut buffer, rolling.as_deref(), held), effects);
            }
        }
    }
}

/// Rows of a key: in the buffer, and in the one that is being rolled, the newest last.
#[derive(Default)]
struct Known {
    key: Option<RowKey>,
    rows: Vec<u32>,
    rolling: Vec<u32>,
}

/// Puts the readings of a row into the buffer, but for those that are held with the same value: there, where it is being rolled, or
/// in runs.
fn put_row(
    incoming: &Incoming<'_>,
    of: &IncomingRow,
    known: &mut Known,
    (buffer, rolling, held): (&mut Buffer, Option<&Buffer>, &Held),
    effects: &mut Effects<'_>,
) {
    let &IncomingRow { device, entity, when, .. } = of;
    let held = held.get(&entity);
    let is_new = known.rows.is_empty() && known.rolling.is_empty() && held.is_none();
    let first = is_new.then(|| buffer.row(entity, when));
    known.rows.extend(first);
    let mut row = first;
    for at in of.readings.clone() {
        let (column, value) =
            (incoming.columns[at], incoming.readings.value(at).expect("a row of the batch"));
        // Nearly always: nobody has the key, and no metric comes twice.
        if first.is_some_and(|row| buffer.put_first(row, column, value)) {
            effects.written.stored += 1;
            effects.block.put(entity, column, when, value);
            continue;
        }
        let before = buffer.newest(&known.rows, column);
        let before = before.or_else(|| rolling?.newest(&known.rolling, column));
        let before = before.or_else(|| {
            let (when, value) = held?.get(&(when.claimed.nanos(), when.seq, column))?;
            Some((*when, value.as_ref()))
        });
        match before {
            Some((_, before)) if same(before, value) => {
                effects.written.duplicates += 1;
                let heard = effects.again.entry(device).or_insert(when.arrived_at);
                *heard = when.arrived_at.max(*heard);
                continue;
            }
            Some((of, before)) => {
                let (value, replaced_at) = (before.to_value(), when.arrived_at);
                effects.old.push(Old { device, column, when: of, value, replaced_at });
                effects.written.corrections += 1;
            }
            None => effects.written.stored += 1,
        }
        let row = *row.get_or_insert_with(|| buffer.row(entity, when));
        buffer.put_into(row, column, value);
        if known.rows.last() != Some(&row) {
            known.rows.push(row);
        }
        effects.block.put(entity, column, when, value);
    }
}

fn supersede(connection: &Connection, old: &[Old]) -> rusqlite::Result<()> {
    let mut keep = connection.prepare_cached(
        "INSERT INTO superseded (series, claimed, seq, time, arrived_at, clock, kind, value, lng, replaced_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for Old { device, column, when, value, replaced_at } in old {
        let (kind, value, lng) = columns(value.as_ref());
        keep.execute(params![
            device_series::number(*device, *column),
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
