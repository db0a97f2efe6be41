//! Questions to the store, each on a connection of its own.

use std::ops::Range;

use record::{DeviceId, MetricName, Reading, TenantId, TimeOrigin, Timestamp, Value, When};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::write::source_of;
use super::{Books, Sqlite};
use crate::{
    Cardinality, Completeness, DeadLetter, DeadMessage, Device, Key, Point, Result, STAGES, SeriesReader,
    Source,
};

/// The points of one series, by event time. Two index ranges, merged as they are read.
const POINTS: &str = "
    SELECT time, seq, time AS claimed, kind, value, lng FROM point
        WHERE series = ?1 AND time >= ?2 AND time < ?3
    UNION ALL
    SELECT time, seq, claimed, kind, value, lng FROM corrected_point
        WHERE series = ?1 AND time >= ?2 AND time < ?3
    ORDER BY 1, 2, 3";

/// The latest point of one series: a seek in each table.
const LATEST: &str = "
    SELECT * FROM (SELECT time, seq, time AS claimed, clock, arrived_at, kind, value, lng FROM point
        WHERE series = ?1 ORDER BY time DESC, seq DESC LIMIT 1)
    UNION ALL
    SELECT * FROM (SELECT time, seq, claimed, clock, arrived_at, kind, value, lng FROM corrected_point
        WHERE series = ?1 ORDER BY time DESC, seq DESC, claimed DESC LIMIT 1)
    ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT 1";

/// The value under a key.
const HELD: &str = "
    SELECT kind, value, lng FROM point WHERE series = ?1 AND time = ?2 AND seq = ?3
    UNION ALL
    SELECT kind, value, lng FROM corrected_point WHERE series = ?1 AND claimed = ?2 AND seq = ?3";

const DEAD_MESSAGES: &str = "
    SELECT no, topic_no, lane, partition, \"offset\", tenant, device, topic, stage, arrived_at, partly_stored,
        record, attempts, last_at
    FROM dead_message";

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
            let names = (tenant.as_str(), device.as_str(), metric.as_str());
            let Some(series) = series(connection, names)? else { return Ok(()) };
            let mut statement = connection.prepare_cached(POINTS)?;
            let mut rows = statement.query(params![series, range.start.nanos(), range.end.nanos()])?;
            while let Some(row) = rows.next()? {
                if !visit(Point { time: time(row, 0)?, value: value(row, 3)? }) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn latest(&self, tenant: &TenantId, device: &DeviceId) -> Result<Vec<Reading>> {
        self.with_reader("reading the latest values", |connection| {
            let mut metrics = connection.prepare_cached(
                "SELECT series.no, metric FROM device JOIN series ON series.device = device.no
                 WHERE tenant = ? AND id = ? ORDER BY metric",
            )?;
            let metrics = metrics.query_map([tenant.as_str(), device.as_str()], |row| {
                Ok((row.get::<_, i64>(0)?, metric(row, 1)?))
            })?;
            let mut latest = connection.prepare_cached(LATEST)?;
            let mut readings = Vec::new();
            for series in metrics {
                let (series, metric) = series?;
                let last = latest.query_row([series], |row| {
                    Ok(Reading { device: device.clone(), metric, when: when(row)?, value: value(row, 5)? })
                });
                readings.extend(last.optional()?);
            }
            Ok(readings)
        })
    }

    fn device(&self, tenant: &TenantId, id: &DeviceId) -> Result<Option<Device>> {
        Ok(device_of(self, tenant, id)?.map(|(_, device)| device))
    }

    fn devices(&self, tenant: &TenantId, after: Option<&str>, limit: u32) -> Result<Vec<Device>> {
        Ok(devices_of(self, tenant, after, limit)?.into_iter().map(|(_, device)| device).collect())
    }

    fn cardinality(&self, tenant: &TenantId) -> Result<Cardinality> {
        cardinality_of(self, tenant)
    }

    fn dead_message(&self, source: Source, offset: u64) -> Result<Option<DeadMessage>> {
        dead_message_of(self, source, offset)
    }

    fn dead_messages(&self, tenant: &str, limit: u32) -> Result<Vec<DeadMessage>> {
        dead_messages_of(self, tenant, limit)
    }

    fn held(&self, keys: &[Key<'_>]) -> Result<Vec<Option<Value>>> {
        self.with_reader("looking for keys", |connection| {
            let mut statement = connection.prepare_cached(HELD)?;
            // Keys of one series usually come together.
            let mut last: Option<(SeriesName<'_>, Option<i64>)> = None;
            let held = keys.iter().map(|key| {
                let names = (key.tenant, key.device, key.metric);
                let no = match last {
                    Some((of, no)) if of == names => no,
                    _ => series(connection, names)?,
                };
                last = Some((names, no));
                let Some(no) = no else { return Ok(None) };
                let key = params![no, key.claimed.nanos(), key.seq.cast_signed()];
                statement.query_row(key, |row| value(row, 0)).optional()
            });
            held.collect()
        })
    }
}

// What the tables beside the points answer, whatever keeps the points.

/// A device's number, and the device.
pub(crate) type NumberedDevice = (u32, Device);

pub(crate) fn device_of(
    store: &impl Books,
    tenant: &TenantId,
    id: &DeviceId,
) -> Result<Option<NumberedDevice>> {
    store.with_books("reading a device", |connection| {
        connection
            .prepare_cached("SELECT id, created_at, last_seen, no FROM device WHERE tenant = ? AND id = ?")?
            .query_row(params![tenant.as_str(), id.as_str()], device_row)
            .optional()
    })
}

pub(crate) fn devices_of(
    store: &impl Books,
    tenant: &TenantId,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<NumberedDevice>> {
    store.with_books("reading devices", |connection| {
        let mut statement = connection.prepare_cached(
            "SELECT id, created_at, last_seen, no FROM device WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?",
        )?;
        let rows = statement.query_map(params![tenant.as_str(), after.unwrap_or(""), limit], device_row)?;
        rows.collect()
    })
}

pub(crate) fn cardinality_of<B: Books>(store: &B, tenant: &TenantId) -> Result<Cardinality> {
    store.with_books("counting series", |connection| {
        let series_count = B::NAMING.series_count;
        let sql = format!("SELECT count(*), coalesce(sum({series_count}), 0) FROM device WHERE tenant = ?1");
        connection.prepare_cached(&sql)?.query_row([tenant.as_str()], |row| {
            Ok(Cardinality { devices: count(row, 0)?, series: count(row, 1)? })
        })
    })
}

pub(crate) fn dead_message_of(
    store: &impl Books,
    source: Source,
    offset: u64,
) -> Result<Option<DeadMessage>> {
    store.with_books("reading a dead message", |connection| {
        let sql =
            format!("{DEAD_MESSAGES} WHERE topic_no = ? AND lane = ? AND partition = ? AND \"offset\" = ?");
        let place = params![source.topic, source.lane as u8, source.partition, offset.cast_signed()];
        connection.prepare_cached(&sql)?.query_row(place, |row| dead_message_row(connection, row)).optional()
    })
}

pub(crate) fn dead_messages_of(store: &impl Books, tenant: &str, limit: u32) -> Result<Vec<DeadMessage>> {
    store.with_books("reading dead letters", |connection| {
        let mut statement = connection.prepare_cached(&format!(
            "{DEAD_MESSAGES} WHERE tenant = ?
             ORDER BY arrived_at DESC, topic_no DESC, lane DESC, partition DESC, \"offset\" DESC LIMIT ?"
        ))?;
        let messages =
            statement.query_map(params![tenant, limit], |row| dead_message_row(connection, row))?;
        messages.collect()
    })
}

/// Tenant, device, metric.
type SeriesName<'a> = (&'a str, &'a str, &'a str);

fn series(connection: &Connection, names: SeriesName<'_>) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT series.no FROM series JOIN device ON device.no = series.device
             WHERE tenant = ? AND id = ? AND metric = ?",
        )?
        .query_row(names, |row| row.get(0))
        .optional()
}

fn dead_message_row(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<DeadMessage> {
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
        attempts: row.get(12)?,
        last_at: time(row, 13)?,
    })
}

/// The stages there are, so that a message carries a word of ours and no copy of it.
fn stage(name: &str) -> &'static str {
    STAGES.into_iter().find(|known| *known == name).unwrap_or("unknown")
}

fn device_row(row: &Row<'_>) -> rusqlite::Result<NumberedDevice> {
    let device = Device { id: device_id(row, 0)?, created_at: time(row, 1)?, last_seen: time(row, 2)? };
    Ok((row.get(3)?, device))
}

/// The columns `time`, `seq`, `claimed`, `clock`, `arrived_at`, the first five.
pub(crate) fn when(row: &Row<'_>) -> rusqlite::Result<When> {
    let origin = row.get(3)?;
    let origin = TimeOrigin::from_number(origin)
        .ok_or_else(|| rusqlite::Error::IntegralValueOutOfRange(3, i64::from(origin)))?;
    let seq = row.get::<_, i64>(1)?.cast_unsigned();
    Ok(When { time: time(row, 0)?, origin, arrived_at: time(row, 4)?, claimed: time(row, 2)?, seq })
}

pub(crate) fn metric(row: &Row<'_>, column: usize) -> rusqlite::Result<MetricName> {
    MetricName::parse(&row.get::<_, String>(column)?).map_err(|e| unreadable(column, e))
}

pub(crate) fn device_id(row: &Row<'_>, column: usize) -> rusqlite::Result<DeviceId> {
    DeviceId::parse(&row.get::<_, String>(column)?).map_err(|e| unreadable(column, e))
}

pub(crate) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_nanos)
}

/// The value in the columns `kind`, `value`, `lng`, which follow one another.
pub(crate) fn value(row: &Row<'_>, kind: usize) -> rusqlite::Result<Value> {
    let number = |column| float(row, column);
    Ok(match row.get(kind)? {
        0_u8 => Value::Float(number(kind + 1)?),
        1 => Value::Int(row.get(kind + 1)?),
        2 => Value::Bool(row.get(kind + 1)?),
        3 => Value::Text(row.get(kind + 1)?),
        4 => Value::Location { lat: number(kind + 1)?, lng: number(kind + 2)? },
        other => return Err(rusqlite::Error::IntegralValueOutOfRange(kind, i64::from(other))),
    })
}

/// A float; SQLite makes a NaN NULL.
pub(crate) fn float(row: &Row<'_>, column: usize) -> rusqlite::Result<f64> {
    row.get::<_, Option<f64>>(column).map(|number| number.unwrap_or(f64::NAN))
}

fn unreadable(column: usize, error: record::IdError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_found_by_index_and_come_in_order_without_sorting() {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("series.db")).unwrap();
        let plan = |sql: &str, parameters: usize| {
            store.with_reader("explaining", |connection| {
                let mut steps = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let given = rusqlite::params_from_iter(vec![1; parameters]);
                steps.query_map(given, |row| row.get::<_, String>(3))?.collect::<rusqlite::Result<Vec<_>>>()
            })
        };
        for (sql, parameters) in [(POINTS, 3), (LATEST, 1), (HELD, 3)] {
            let plan = plan(sql, parameters).unwrap();
            let seeks = plan.iter().filter(|step| step.starts_with("SEARCH")).count();
            assert_eq!(seeks, 2, "{plan:#?}");
            assert!(!plan.iter().any(|step| step.starts_with("SCAN") && step.contains("point")), "{plan:#?}");
        }
        let sorted = plan(POINTS, 3).unwrap();
        assert!(!sorted.iter().any(|step| step.contains("B-TREE")), "{sorted:#?}");
    }
}
