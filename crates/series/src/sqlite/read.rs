//! Questions to the store, each on a connection of its own.

use std::ops::Range;

use record::{DeviceId, MetricName, Reading, TenantId, TimeOrigin, Timestamp, Value, When};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Sqlite;
use super::write::source_of;
use crate::{Completeness, DeadLetter, DeadMessage, Device, Point, Result, SeriesReader};

impl SeriesReader for Sqlite {
    fn points(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        range: Range<Timestamp>,
        visit: &mut dyn FnMut(Point) -> bool,
    ) -> Result<()> {
        self.with_reader("reading points", |connection| {
            let series: Option<i64> = connection
                .prepare_cached(
                    "SELECT series.no FROM series JOIN device ON device.no = series.device
                     WHERE tenant = ? AND id = ? AND metric = ?",
                )?
                .query_row(params![tenant.as_str(), device.as_str(), metric.as_str()], |row| row.get(0))
                .optional()?;
            let Some(series) = series else { return Ok(()) };
            let mut statement = connection.prepare_cached(
                "SELECT time, kind, value, lng FROM point
                 WHERE series = ? AND time >= ? AND time < ? ORDER BY time",
            )?;
            let mut rows = statement.query(params![series, range.start.nanos(), range.end.nanos()])?;
            while let Some(row) = rows.next()? {
                if !visit(Point { time: time(row, 0)?, value: value(row, 1)? }) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn latest(&self, tenant: &TenantId, device: &DeviceId) -> Result<Vec<Reading>> {
        self.with_reader("reading the latest values", |connection| {
            // One seek per metric: the primary key ends in the time.
            let mut statement = connection.prepare_cached(
                "SELECT metric, time, clock, arrived_at, kind, value, lng
                 FROM device JOIN series ON series.device = device.no
                 JOIN point ON point.series = series.no
                     AND point.time = (SELECT max(time) FROM point WHERE series = series.no)
                 WHERE tenant = ? AND id = ? ORDER BY metric",
            )?;
            let rows = statement.query_map(params![tenant.as_str(), device.as_str()], |row| {
                Ok(Reading {
                    device: device.clone(),
                    metric: MetricName::parse(&row.get::<_, String>(0)?).map_err(|e| unreadable(0, e))?,
                    when: when(row)?,
                    value: value(row, 4)?,
                })
            })?;
            rows.collect()
        })
    }

    fn device(&self, tenant: &TenantId, id: &DeviceId) -> Result<Option<Device>> {
        self.with_reader("reading a device", |connection| {
            connection
                .prepare_cached("SELECT id, created_at, last_seen FROM device WHERE tenant = ? AND id = ?")?
                .query_row(params![tenant.as_str(), id.as_str()], device)
                .optional()
        })
    }

    fn devices(&self, tenant: &TenantId, after: Option<&str>, limit: u32) -> Result<Vec<Device>> {
        self.with_reader("reading devices", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, created_at, last_seen FROM device WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?",
            )?;
            let rows = statement.query_map(params![tenant.as_str(), after.unwrap_or(""), limit], device)?;
            rows.collect()
        })
    }

    fn dead_messages(&self, tenant: &str, limit: u32) -> Result<Vec<DeadMessage>> {
        self.with_reader("reading dead letters", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT no, topic_no, lane, partition, \"offset\", tenant, device, topic, stage, arrived_at,
                     partly_stored, record
                 FROM dead_message WHERE tenant = ?
                 ORDER BY arrived_at DESC, topic_no DESC, lane DESC, partition DESC, \"offset\" DESC LIMIT ?",
            )?;
            let mut rows = statement.query(params![tenant, limit])?;
            let mut messages = Vec::new();
            while let Some(row) = rows.next()? {
                messages.push(dead_message(connection, row)?);
            }
            Ok(messages)
        })
    }
}

fn dead_message(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<DeadMessage> {
    let no: i64 = row.get(0)?;
    let mut letters = connection
        .prepare_cached("SELECT reading, reason FROM dead_letter WHERE message = ? ORDER BY seq")?;
    let letters =
        letters.query_map([no], |row| Ok(DeadLetter { index: row.get(0)?, reason: row.get(1)? }))?;
    let partly_stored: bool = row.get(10)?;
    Ok(DeadMessage {
        source: source_of(row.get(1)?, row.get(2)?, row.get(3)?),
        offset: row.get::<_, i64>(4)?.cast_unsigned(),
        tenant: row.get(5)?,
        device: row.get(6)?,
        topic: row.get(7)?,
        stage: stage(&row.get::<_, String>(8)?),
        arrived_at: time(row, 9)?,
        completeness: if partly_stored { Completeness::Part } else { Completeness::Whole },
        letters: letters.collect::<rusqlite::Result<_>>()?,
        record: row.get(11)?,
    })
}

/// The stages there are, so that a message carries a word of ours and no copy of it.
fn stage(name: &str) -> &'static str {
    ["gateway", "envelope", "decode", "log"].into_iter().find(|known| *known == name).unwrap_or("unknown")
}

fn device(row: &Row<'_>) -> rusqlite::Result<Device> {
    let id = DeviceId::parse(&row.get::<_, String>(0)?).map_err(|e| unreadable(0, e))?;
    Ok(Device { id, created_at: time(row, 1)?, last_seen: time(row, 2)? })
}

/// The columns `time`, `clock`, `arrived_at` from column 1 on.
fn when(row: &Row<'_>) -> rusqlite::Result<When> {
    let origin = if row.get::<_, i64>(2)? == 0 { TimeOrigin::Device } else { TimeOrigin::Server };
    Ok(When { time: time(row, 1)?, origin, arrived_at: time(row, 3)? })
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_nanos)
}

/// The value in the columns `kind`, `value`, `lng`, which follow one another.
fn value(row: &Row<'_>, kind: usize) -> rusqlite::Result<Value> {
    let number = |column| row.get::<_, Option<f64>>(column).map(|n| n.unwrap_or(f64::NAN));
    Ok(match row.get(kind)? {
        0_u8 => Value::Float(number(kind + 1)?),
        1 => Value::Int(row.get(kind + 1)?),
        2 => Value::Bool(row.get(kind + 1)?),
        3 => Value::Text(row.get(kind + 1)?),
        4 => Value::Location { lat: number(kind + 1)?, lng: number(kind + 2)? },
        other => return Err(rusqlite::Error::IntegralValueOutOfRange(kind, i64::from(other))),
    })
}

fn unreadable(column: usize, error: record::IdError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}
