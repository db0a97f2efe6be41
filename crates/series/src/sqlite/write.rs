//! One batch, one transaction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;

use record::{DeviceNo, Lane, MetricNo, ReadingRef, Readings, TenantId, Timestamp, When};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, params};

use super::{Sqlite, fault};
use crate::{
    Completeness, DeadMessage, Error, Position, Result, SeriesWriter, Source, Span, WriteBatch, Written,
};

/// Most names whose numbers are remembered. A look-up costs some microseconds, so forgetting all of them when
/// the fleet is larger than this costs little, and memory does not grow with it.
const REMEMBERED_NAMES: usize = 65_536;

#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    path: PathBuf,
    names: Names,
}

/// Numbers of names, as committed. Cleared when a transaction fails, because it may hold numbers that were
/// rolled back.
#[derive(Debug, Default)]
struct Names {
    devices: HashMap<(String, String), i64>,
    series: HashMap<(i64, String), i64>,
}

impl Writer {
    pub(super) fn new(connection: Connection, path: PathBuf) -> Self {
        Self { connection, path, names: Names::default() }
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
            self.names = Names::default();
        }
        outcome.map_err(failed)
    }
}

impl SeriesWriter for Sqlite {
    fn write(&self, batch: &WriteBatch) -> Result<Written> {
        self.writer.lock().write(batch)
    }

    fn positions(&self) -> Result<Vec<Position>> {
        self.with_reader("reading the positions", |connection| {
            let mut rows = connection.prepare("SELECT topic, lane, partition, \"offset\" FROM position")?;
            let positions = rows.query_map([], |row| {
                let source = source_of(row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(Position { source, offset: row.get::<_, i64>(3)?.cast_unsigned() })
            })?;
            positions.collect()
        })
    }
}

pub(super) fn source_of(topic: u8, lane: u8, partition: u16) -> Source {
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

fn write_all(
    transaction: &Transaction<'_>,
    names: &mut Names,
    batch: &WriteBatch,
) -> rusqlite::Result<Written> {
    let mut written = Written::default();
    for (tenant, readings) in &batch.readings {
        write_readings(transaction, names, tenant, readings, &mut written)?;
    }
    for message in &batch.dead {
        write_dead(transaction, message)?;
        written.dead_letters += message.letters.len() as u64;
    }
    for Span { source, to, .. } in &batch.spans {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?)")?
            .execute(params![source.topic, source.lane as u8, source.partition, to.cast_signed()])?;
    }
    Ok(written)
}

fn write_readings(
    transaction: &Transaction<'_>,
    names: &mut Names,
    tenant: &TenantId,
    readings: &Readings,
    written: &mut Written,
) -> rusqlite::Result<()> {
    let mut put = Put {
        insert: transaction.prepare_cached("INSERT OR IGNORE INTO point VALUES (?, ?, ?, ?, ?, ?, ?)")?,
        correct: transaction.prepare_cached(
            "UPDATE point SET arrived_at = ?3, clock = ?4, kind = ?5, value = ?6, lng = ?7
             WHERE series = ?1 AND time = ?2 AND NOT (kind IS ?5 AND value IS ?6 AND lng IS ?7)",
        )?,
    };
    // By the batch's own numbers, so that a name is looked up once in a batch and not once in a row.
    let mut devices: HashMap<DeviceNo, (i64, Timestamp)> = HashMap::new();
    let mut series: HashMap<(DeviceNo, MetricNo), i64> = HashMap::new();
    for reading in readings.iter() {
        let device = match devices.entry(reading.device_no) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let arrived_at = reading.when.arrived_at;
                new.insert((names.device(transaction, tenant, reading.device, arrived_at)?, arrived_at))
            }
        };
        device.1 = device.1.max(reading.when.arrived_at);
        let series = match series.entry((reading.device_no, reading.metric_no)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => *new.insert(names.series(transaction, device.0, reading.metric)?),
        };
        put.put(series, &reading, written)?;
    }
    let mut touch =
        transaction.prepare_cached("UPDATE device SET last_seen = max(last_seen, ?2) WHERE no = ?1")?;
    for (device, last) in devices.into_values() {
        touch.execute(params![device, last.nanos()])?;
    }
    Ok(())
}

struct Put<'c> {
    insert: CachedStatement<'c>,
    correct: CachedStatement<'c>,
}

impl Put<'_> {
    fn put(&mut self, series: i64, reading: &ReadingRef<'_>, written: &mut Written) -> rusqlite::Result<()> {
        let (kind, value, lng) = columns(reading.value);
        let When { time, origin, arrived_at } = reading.when;
        let row = params![series, time.nanos(), arrived_at.nanos(), origin as u8, kind, value, lng];
        if self.insert.execute(row)? == 1 {
            written.stored += 1;
        } else if self.correct.execute(row)? == 1 {
            written.corrections += 1;
        } else {
            written.duplicates += 1;
        }
        Ok(())
    }
}

/// The columns `kind`, `value` and `lng`. SQLite turns a NaN into NULL; the reader turns it back.
fn columns(value: record::ValueRef<'_>) -> (u8, ToSqlOutput<'_>, Option<f64>) {
    use record::ValueRef as Measured;
    let (column, lng) = match value {
        Measured::Float(float) => (ValueRef::Real(float), None),
        Measured::Int(int) => (ValueRef::Integer(int), None),
        Measured::Bool(bool) => (ValueRef::Integer(i64::from(bool)), None),
        Measured::Text(text) => (ValueRef::Text(text.as_bytes()), None),
        Measured::Location { lat, lng } => (ValueRef::Real(lat), Some(lng)),
    };
    (value.kind() as u8, ToSqlOutput::Borrowed(column), lng)
}

fn write_dead(transaction: &Transaction<'_>, message: &DeadMessage) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO dead_message (topic_no, lane, partition, \"offset\", tenant, device, topic, stage,
                 arrived_at, partly_stored, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            message.source.topic,
            message.source.lane as u8,
            message.source.partition,
            message.offset.cast_signed(),
            message.tenant,
            message.device,
            message.topic,
            message.stage,
            message.arrived_at.nanos(),
            message.completeness == Completeness::Part,
            message.record,
        ])?;
    let no = transaction.last_insert_rowid();
    let mut insert = transaction.prepare_cached("INSERT INTO dead_letter VALUES (?, ?, ?, ?)")?;
    for (seq, letter) in message.letters.iter().enumerate() {
        insert.execute(params![no, seq, letter.index, letter.reason])?;
    }
    Ok(())
}

impl Names {
    fn device(
        &mut self,
        transaction: &Transaction<'_>,
        tenant: &TenantId,
        device: &str,
        arrived_at: Timestamp,
    ) -> rusqlite::Result<i64> {
        let key = (tenant.as_str().to_owned(), device.to_owned());
        if let Some(&no) = self.devices.get(&key) {
            return Ok(no);
        }
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO device (tenant, id, created_at, last_seen) VALUES (?1, ?2, ?3, ?3)",
            )?
            .execute(params![key.0, key.1, arrived_at.nanos()])?;
        let no = transaction
            .prepare_cached("SELECT no FROM device WHERE tenant = ? AND id = ?")?
            .query_row(params![key.0, key.1], |row| row.get(0))?;
        if self.devices.len() >= REMEMBERED_NAMES {
            self.devices.clear();
        }
        self.devices.insert(key, no);
        Ok(no)
    }

    fn series(&mut self, transaction: &Transaction<'_>, device: i64, metric: &str) -> rusqlite::Result<i64> {
        let key = (device, metric.to_owned());
        if let Some(&no) = self.series.get(&key) {
            return Ok(no);
        }
        transaction
            .prepare_cached("INSERT OR IGNORE INTO series (device, metric) VALUES (?, ?)")?
            .execute(params![device, metric])?;
        let no = transaction
            .prepare_cached("SELECT no FROM series WHERE device = ? AND metric = ?")?
            .query_row(params![device, metric], |row| row.get(0))?;
        if self.series.len() >= REMEMBERED_NAMES {
            self.series.clear();
        }
        self.series.insert(key, no);
        Ok(no)
    }
}
