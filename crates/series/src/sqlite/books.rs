//! What a batch holds beside its readings: windows, dead messages, account, clocks, notes.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::names::{Names, Series};
use crate::{
    AccountEntry, ClockRow, Completeness, DeadMessage, Note, Source, VoidWindows, WindowKey, WindowRow,
};

/// Returns where results were removed.
pub(crate) fn void_windows<'b>(
    connection: &Connection,
    names: &mut Names,
    windows: &'b [VoidWindows],
) -> rusqlite::Result<BTreeSet<&'b WindowKey>> {
    let mut find = connection.prepare_cached(
        "SELECT 1 FROM window_row WHERE series = ? AND \"window\" = ? AND start >= ? AND start < ?",
    )?;
    let mut delete = connection.prepare_cached(
        "DELETE FROM window_row WHERE series = ? AND \"window\" = ? AND start >= ? AND start < ?",
    )?;
    // Spans may overlap: each is looked at before any result goes.
    let mut found = Vec::new();
    for VoidWindows { key, until } in windows {
        let series = series_of(connection, names, key)?;
        if find.exists(params![series.no, &*key.window, key.start.nanos(), until.nanos()])? {
            found.push((series.no, key, until));
        }
    }
    for (series, key, until) in &found {
        delete.execute(params![series, &*key.window, key.start.nanos(), until.nanos()])?;
    }
    Ok(found.into_iter().map(|(_, key, _)| key).collect())
}

/// A result that takes the place of a different one is a revision; the same one again (a batch that is tried twice)
/// is none.
pub(crate) fn windows<'b>(
    connection: &Connection,
    names: &mut Names,
    windows: impl IntoIterator<Item = &'b WindowRow>,
    replaced: &BTreeSet<&WindowKey>,
) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT INTO window_row
             (series, \"window\", start, \"end\", count, sum, min, max, stddev, p95, first, last, revised)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT DO UPDATE SET
             revised = max(revised, ?13, NOT (\"end\" IS ?4 AND count IS ?5 AND sum IS ?6 AND min IS ?7
                 AND max IS ?8 AND stddev IS ?9 AND p95 IS ?10 AND first IS ?11 AND last IS ?12)),
             \"end\" = ?4, count = ?5, sum = ?6, min = ?7, max = ?8, stddev = ?9, p95 = ?10, first = ?11,
             last = ?12",
    )?;
    for row in windows {
        let series = series_of(connection, names, &row.key)?;
        put.execute(params![
            series.no,
            &*row.key.window,
            row.key.start.nanos(),
            row.end.nanos(),
            row.count.cast_signed(),
            row.sum,
            row.min,
            row.max,
            row.stddev,
            row.p95,
            row.first,
            row.last,
            row.revised || replaced.contains(&row.key),
        ])?;
    }
    Ok(())
}

/// Those of which there is an earlier result.
pub(crate) fn that_are_there<'b>(
    connection: &Connection,
    names: &mut Names,
    windows: &'b [WindowRow],
) -> rusqlite::Result<Vec<&'b WindowRow>> {
    let mut find = connection
        .prepare_cached("SELECT 1 FROM window_row WHERE series = ? AND \"window\" = ? AND start = ?")?;
    let mut there = Vec::new();
    for row in windows {
        let series = series_of(connection, names, &row.key)?;
        if find.exists(params![series.no, &*row.key.window, row.key.start.nanos()])? {
            there.push(row);
        }
    }
    Ok(there)
}

fn series_of(connection: &Connection, names: &mut Names, key: &WindowKey) -> rusqlite::Result<Series> {
    // A window is made of readings that are stored by now, so the names are there; were they not, they would be made.
    let device = names.device(connection, &key.tenant, key.device.as_str(), key.start)?;
    names.series(connection, device, key.metric.as_str())
}

/// Returns how many dead letters were written.
pub(crate) fn dead(connection: &Connection, messages: &[DeadMessage]) -> rusqlite::Result<u64> {
    let mut letters = 0;
    for message in messages {
        write_dead(connection, message)?;
        letters += message.letters.len() as u64;
    }
    Ok(letters)
}

fn write_dead(connection: &Connection, message: &DeadMessage) -> rusqlite::Result<()> {
    remove_dead(connection, message.source, message.offset)?;
    let no = connection
        .prepare_cached(
            "INSERT INTO dead_message (topic_no, lane, partition, \"offset\", tenant, device, topic, stage,
                 arrived_at, partly_stored, record, attempts, last_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .insert(params![
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
            message.attempts,
            message.last_at.nanos(),
        ])?;
    let mut insert = connection.prepare_cached("INSERT INTO dead_letter VALUES (?, ?, ?, ?)")?;
    for (seq, letter) in message.letters.iter().enumerate() {
        insert.execute(params![no, seq, letter.index, letter.reason])?;
    }
    Ok(())
}

pub(crate) fn resolve(connection: &Connection, resolved: &[(Source, u64)]) -> rusqlite::Result<()> {
    resolved.iter().try_for_each(|&(source, offset)| remove_dead(connection, source, offset))
}

/// Removes a dead message, if it is there. Its letters first: they refer to it.
fn remove_dead(connection: &Connection, source: Source, offset: u64) -> rusqlite::Result<()> {
    let place = params![source.topic, source.lane as u8, source.partition, offset.cast_signed()];
    connection
        .prepare_cached(
            "DELETE FROM dead_letter WHERE message = (SELECT no FROM dead_message
             WHERE topic_no = ? AND lane = ? AND partition = ? AND \"offset\" = ?)",
        )?
        .execute(place)?;
    connection
        .prepare_cached(
            "DELETE FROM dead_message WHERE topic_no = ? AND lane = ? AND partition = ? AND \"offset\" = ?",
        )?
        .execute(place)?;
    Ok(())
}

pub(crate) fn account(connection: &Connection, entries: &[AccountEntry]) -> rusqlite::Result<()> {
    let mut add = connection.prepare_cached(
        "INSERT INTO account
             (tenant, topic, minute, records, accepted, stored, duplicate, dead, late, shed, corrected)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT DO UPDATE SET records = records + ?4, accepted = accepted + ?5, stored = stored + ?6,
             duplicate = duplicate + ?7, dead = dead + ?8, late = late + ?9, shed = shed + ?10,
             corrected = corrected + ?11",
    )?;
    for AccountEntry { key, amounts } in entries {
        add.execute(params![
            key.tenant,
            key.topic,
            key.minute.nanos(),
            amounts.records,
            amounts.accepted,
            amounts.stored,
            amounts.duplicate,
            amounts.dead,
            amounts.late,
            amounts.shed,
            amounts.corrected,
        ])?;
    }
    Ok(())
}

pub(crate) fn clocks(connection: &Connection, clocks: &[ClockRow]) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO clock (tenant, device, skew_nanos, suspect) VALUES (?, ?, ?, ?)",
    )?;
    for row in clocks {
        put.execute(params![row.tenant.as_str(), row.device.as_str(), row.skew_nanos, row.suspect])?;
    }
    Ok(())
}

pub(crate) fn notes(connection: &Connection, notes: &[Note], forget: &[(u16, u64)]) -> rusqlite::Result<()> {
    // A batch without spans is not fenced: one that is tried again after an unclear error writes its notes again.
    // Another note under the same number runs into NOT NULL: two writers are at work.
    let mut put = connection.prepare_cached(
        "INSERT INTO note (partition, number, bytes) VALUES (?, ?, ?3)
         ON CONFLICT DO UPDATE SET bytes = CASE WHEN bytes = ?3 THEN bytes END",
    )?;
    for note in notes {
        put.execute(params![note.partition, note.number.cast_signed(), note.bytes])?;
    }
    let mut delete = connection.prepare_cached("DELETE FROM note WHERE partition = ? AND number < ?")?;
    for &(partition, number) in forget {
        delete.execute(params![partition, number.cast_signed()])?;
    }
    Ok(())
}
