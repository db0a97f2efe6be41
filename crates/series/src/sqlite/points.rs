//! The readings of a batch, into the one table or the other (`schema.rs` says why there are two).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use record::{DeviceNo, MetricNo, ReadingRef, Readings, TenantId, Timestamp};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, params};

use super::names::{Names, Series};
use crate::{LateRow, Written};

pub(crate) fn write(
    connection: &Connection,
    names: &mut Names,
    tenant: &TenantId,
    readings: &Readings,
    late: &[LateRow],
    written: &mut Written,
) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO point VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
    // By the batch's own numbers, so that a name is looked up once in a batch and not once in a row.
    let mut devices: HashMap<DeviceNo, (i64, Timestamp)> = HashMap::new();
    let mut series: HashMap<(DeviceNo, MetricNo), Series> = HashMap::new();
    for reading in readings.iter() {
        let device = match devices.entry(reading.device_no) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let arrived_at = reading.when.arrived_at;
                new.insert((names.device(connection, tenant, reading.device, arrived_at)?, arrived_at))
            }
        };
        device.1 = device.1.max(reading.when.arrived_at);
        let series = match series.entry((reading.device_no, reading.metric_no)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(names.series(connection, device.0, reading.metric)?),
        };
        let corrected = reading.when.time != reading.when.claimed;
        if corrected && !series.corrected {
            series.corrected = true;
            names.mark_corrected(connection, device.0, reading.metric, series.no)?;
        }
        let became = if series.corrected {
            put_beside_corrected(connection, series.no, &reading)?
        } else {
            put(connection, &mut insert, series.no, &reading)?
        };
        match became {
            Became::Stored => written.stored += 1,
            Became::Duplicate => written.duplicates += 1,
            Became::Correction => written.corrections += 1,
        }
    }
    let mut touch =
        connection.prepare_cached("UPDATE device SET last_seen = max(last_seen, ?2) WHERE no = ?1")?;
    for (device, last) in devices.into_values() {
        touch.execute(params![device, last.nanos()])?;
    }
    for row in late {
        let reading = readings.get(row.row as usize).expect("a late row is a row of the batch");
        write_late(connection, series[&(reading.device_no, reading.metric_no)].no, &reading, row.watermark)?;
    }
    Ok(())
}

enum Became {
    Stored,
    Duplicate,
    Correction,
}

/// A reading of a series that has no corrected points: nearly all of them.
fn put(
    connection: &Connection,
    insert: &mut CachedStatement<'_>,
    series: i64,
    reading: &ReadingRef<'_>,
) -> rusqlite::Result<Became> {
    let (kind, value, lng) = columns(reading.value);
    let when = reading.when;
    let row = params![
        series,
        when.time.nanos(),
        when.seq.cast_signed(),
        when.arrived_at.nanos(),
        when.origin as u8,
        kind,
        value,
        lng
    ];
    if insert.execute(row)? == 1 {
        return Ok(Became::Stored);
    }
    if supersede(connection, Place::Plain, series, reading)? {
        replace(connection, Place::Plain, series, reading)?;
        return Ok(Became::Correction);
    }
    Ok(Became::Duplicate)
}

/// A reading of a series that has corrected points: its key may be in either table.
fn put_beside_corrected(
    connection: &Connection,
    series: i64,
    reading: &ReadingRef<'_>,
) -> rusqlite::Result<Became> {
    let place = if reading.when.time == reading.when.claimed { Place::Plain } else { Place::Corrected };
    for held in [Place::Plain, Place::Corrected] {
        if !holds(connection, held, series, reading)? {
            continue;
        }
        if !supersede(connection, held, series, reading)? {
            return Ok(Became::Duplicate);
        }
        remove(connection, held, series, reading)?;
        replace(connection, place, series, reading)?;
        return Ok(Became::Correction);
    }
    replace(connection, place, series, reading)?;
    Ok(Became::Stored)
}

/// Which table a key is in.
#[derive(Clone, Copy)]
enum Place {
    Plain,
    Corrected,
}

fn holds(
    connection: &Connection,
    place: Place,
    series: i64,
    reading: &ReadingRef<'_>,
) -> rusqlite::Result<bool> {
    let sql = match place {
        Place::Plain => "SELECT 1 FROM point WHERE series = ? AND time = ? AND seq = ?",
        Place::Corrected => "SELECT 1 FROM corrected_point WHERE series = ? AND claimed = ? AND seq = ?",
    };
    connection.prepare_cached(sql)?.exists(key(series, reading))
}

/// Keeps the value under the reading's key aside, if it is another one. Says whether it was.
fn supersede(
    connection: &Connection,
    place: Place,
    series: i64,
    reading: &ReadingRef<'_>,
) -> rusqlite::Result<bool> {
    let sql = match place {
        Place::Plain => {
            "INSERT INTO superseded
                 (series, claimed, seq, time, arrived_at, clock, kind, value, lng, replaced_at)
             SELECT series, time, seq, time, arrived_at, clock, kind, value, lng, ?7 FROM point
             WHERE series = ?1 AND time = ?2 AND seq = ?3 AND NOT ((kind IS ?4 OR kind < 2 AND ?4 < 2) AND value IS ?5 AND lng IS ?6)"
        }
        Place::Corrected => {
            "INSERT INTO superseded
                 (series, claimed, seq, time, arrived_at, clock, kind, value, lng, replaced_at)
             SELECT series, claimed, seq, time, arrived_at, clock, kind, value, lng, ?7 FROM corrected_point
             WHERE series = ?1 AND claimed = ?2 AND seq = ?3
                 AND NOT ((kind IS ?4 OR kind < 2 AND ?4 < 2) AND value IS ?5 AND lng IS ?6)"
        }
    };
    let (kind, value, lng) = columns(reading.value);
    let (series, claimed, seq) = key(series, reading);
    let replaced_at = reading.when.arrived_at.nanos();
    let kept = connection.prepare_cached(sql)?.execute(params![
        series,
        claimed,
        seq,
        kind,
        value,
        lng,
        replaced_at
    ])?;
    Ok(kept == 1)
}

fn remove(
    connection: &Connection,
    place: Place,
    series: i64,
    reading: &ReadingRef<'_>,
) -> rusqlite::Result<()> {
    let sql = match place {
        Place::Plain => "DELETE FROM point WHERE series = ? AND time = ? AND seq = ?",
        Place::Corrected => "DELETE FROM corrected_point WHERE series = ? AND claimed = ? AND seq = ?",
    };
    connection.prepare_cached(sql)?.execute(key(series, reading)).map(|_| ())
}

fn replace(
    connection: &Connection,
    place: Place,
    series: i64,
    reading: &ReadingRef<'_>,
) -> rusqlite::Result<()> {
    let sql = match place {
        Place::Plain => {
            "INSERT OR REPLACE INTO point (series, time, seq, arrived_at, clock, kind, value, lng)
             VALUES (?1, ?2, ?3, ?5, ?6, ?7, ?8, ?9)"
        }
        Place::Corrected => {
            "INSERT OR REPLACE INTO corrected_point
                 (series, claimed, seq, time, arrived_at, clock, kind, value, lng)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        }
    };
    let (kind, value, lng) = columns(reading.value);
    let ((series, claimed, seq), when) = (key(series, reading), reading.when);
    let (time, arrived_at) = (when.time.nanos(), when.arrived_at.nanos());
    let row = params![series, claimed, seq, time, arrived_at, when.origin as u8, kind, value, lng];
    connection.prepare_cached(sql)?.execute(row).map(|_| ())
}

/// Lists a late reading.
pub(crate) fn write_late(
    connection: &Connection,
    series: i64,
    reading: &ReadingRef<'_>,
    watermark: Timestamp,
) -> rusqlite::Result<()> {
    let (kind, value, lng) = columns(reading.value);
    let ((series, claimed, seq), when) = (key(series, reading), reading.when);
    connection
        .prepare_cached(
            "INSERT INTO late_point (series, claimed, seq, time, arrived_at, clock, kind, value, lng, watermark, times)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1)
             ON CONFLICT DO UPDATE SET time = ?4, arrived_at = ?5, clock = ?6, kind = ?7, value = ?8, lng = ?9,
                 watermark = ?10, times = times + 1",
        )?
        .execute(params![
            series,
            claimed,
            seq,
            when.time.nanos(),
            when.arrived_at.nanos(),
            when.origin as u8,
            kind,
            value,
            lng,
            watermark.nanos()
        ])
        .map(|_| ())
}

fn key(series: i64, reading: &ReadingRef<'_>) -> (i64, i64, i64) {
    (series, reading.when.claimed.nanos(), reading.when.seq.cast_signed())
}

/// The columns `kind`, `value` and `lng`. SQLite turns a NaN into NULL; the reader turns it back.
pub(crate) fn columns(value: record::ValueRef<'_>) -> (u8, ToSqlOutput<'_>, Option<f64>) {
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
