//! Which files there are, and what names stand for: SQLite tables beside those of the books, in the same commits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::period::{Grain, Period};
use crate::parquet::Entity;
use crate::sqlite::{fault, schema, sync_directory_of};
use crate::{Error, Result};

/// The manifest's file.
pub(super) const FILE: &str = "manifest.db";

/// The schema's version, kept in `PRAGMA user_version`.
pub(super) const VERSION: u32 = STEPS.len() as u32;

/// Some steps are those of the SQLite store, whose books these are; its tables of points stay empty.
const STEPS: [&str; 14] = [
    schema::STEPS[0],
    schema::STEPS[1],
    RUNS,
    FRESH,
    schema::STEPS[2],
    WINDOWS,
    LATE,
    KINDS,
    super::cold::TABLES,
    super::device_series::TABLE,
    schema::STEPS[3],
    super::remove::EXPORTING,
    schema::STEPS[4],
    PACKED,
];

/// `metric.grp`: metrics that came in one message the first time they were seen. A table has at most
/// [`super::metrics::TABLE_COLUMNS`] metrics of one tenant. `run.first_entity`, `last_entity`: group and device ([`Entity`]).
/// `run.grain` and `run.period`: [`Period`]. Times are nanoseconds since the epoch. `last_row.readings`:
/// docs/formats/manifest.md.
const RUNS: &str = "
CREATE TABLE metric (
    no INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, tbl INTEGER NOT NULL, grp INTEGER NOT NULL,
    UNIQUE (tenant, name)
) STRICT;
CREATE TABLE run (
    no INTEGER PRIMARY KEY, tbl INTEGER NOT NULL, grain INTEGER NOT NULL, period INTEGER NOT NULL,
    level INTEGER NOT NULL, generation INTEGER NOT NULL,
    first_entity INTEGER NOT NULL, last_entity INTEGER NOT NULL,
    first_claimed INTEGER NOT NULL, last_claimed INTEGER NOT NULL,
    earliest_shift INTEGER NOT NULL, latest_shift INTEGER NOT NULL,
    \"rows\" INTEGER NOT NULL, readings INTEGER NOT NULL, size_bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('generation', 0);
CREATE TABLE last_row (device INTEGER PRIMARY KEY, readings BLOB NOT NULL) STRICT;
";

/// The tables are as before. From here on fresh readings and last rows are packed ([`super::packed`]), which an older build cannot
/// read: so it is told that the manifest is newer, and not that it is damaged.
const PACKED: &str = "";

/// What batches put into the buffer, until it stands in a run: [`super::fresh`].
const FRESH: &str = "
CREATE TABLE fresh (no INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
";

/// Whose windows have columns, and where ([`super::windows`]). Results that an older version kept as rows of `window_row`
/// become rows of runs when the store is opened.
const WINDOWS: &str = "
CREATE TABLE window_metric (
    no INTEGER PRIMARY KEY, tenant TEXT NOT NULL, \"window\" TEXT NOT NULL, metric TEXT NOT NULL,
    tbl INTEGER NOT NULL, grp INTEGER NOT NULL,
    UNIQUE (tenant, \"window\", metric)
) STRICT;
";

/// The list of late readings stands in runs too ([`super::late`]); rows of `late_point` become rows of runs when the store is
/// opened.
const LATE: &str = "
ALTER TABLE window_metric RENAME TO derived_metric;
ALTER TABLE derived_metric RENAME COLUMN \"window\" TO kind;
";

/// `metric.kinds`: a bit for each kind of value it has had ([`crate::scan::Kinds`]); 0: not known, looked for when the store is opened.
const KINDS: &str = "ALTER TABLE metric ADD COLUMN kinds INTEGER NOT NULL DEFAULT 0;";

/// What the manifest knows of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunFacts {
    pub(super) no: u64,
    pub(super) table: u32,
    pub(super) period: Period,
    pub(super) level: u32,
    pub(super) generation: u64,
    pub(super) entities: (Entity, Entity),
    pub(super) claimed: (i64, i64),
    pub(super) shifts: (i64, i64),
    pub(super) rows: u64,
    pub(super) readings: u64,
    pub(super) size_bytes: u64,
}

impl RunFacts {
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.entities.0 <= other.entities.1 && other.entities.0 <= self.entities.1
    }

    /// Whether both may have a key.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.table == other.table
            && self.overlaps(other)
            && self.claimed.0 <= other.claimed.1
            && other.claimed.0 <= self.claimed.1
    }

    pub(super) fn may_hold(&self, entity: Entity, claimed: &std::ops::RangeInclusive<i64>) -> bool {
        (self.entities.0..=self.entities.1).contains(&entity)
            && self.claimed.0 <= *claimed.end()
            && *claimed.start() <= self.claimed.1
    }
}

pub(super) fn open(directory: &Path) -> Result<(Connection, PathBuf)> {
    let path = directory.join(FILE);
    let failed = |error| fault("opening the manifest", &path, error);
    let mut connection = Connection::open(&path).map_err(failed)?;
    // Blocks of readings come and go: the file can become smaller again. Heeded only while it is empty.
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL").map_err(failed)?;
    schema::upgrade(&mut connection, &path, &STEPS)?;
    sync_directory_of(&path)?;
    Ok((connection, path))
}

/// Keeps a block, and returns its number.
pub(super) fn add_fresh(connection: &Connection, bytes: &[u8]) -> rusqlite::Result<i64> {
    connection.prepare_cached("INSERT INTO fresh (bytes) VALUES (?)")?.insert([bytes])
}

/// Visits the blocks in the order they came.
pub(super) fn fresh(
    connection: &Connection,
    visit: &mut dyn FnMut(i64, &[u8]) -> Result<()>,
) -> rusqlite::Result<Result<()>> {
    let mut statement = connection.prepare("SELECT no, bytes FROM fresh ORDER BY no")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Err(error) = visit(row.get(0)?, row.get_ref(1)?.as_blob()?) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// Forgets the blocks up to a number: they stand in runs.
pub(super) fn forget_fresh(connection: &Connection, up_to: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM fresh WHERE no <= ?")?.execute([up_to]).map(|_| ())
}

/// Puts other bytes into a block, or takes it away where there are none.
pub(super) fn replace_fresh(connection: &Connection, no: i64, bytes: &[u8]) -> rusqlite::Result<()> {
    let changed = match bytes {
        [] => connection.prepare_cached("DELETE FROM fresh WHERE no = ?")?.execute([no])?,
        bytes => connection
            .prepare_cached("UPDATE fresh SET bytes = ?2 WHERE no = ?1")?
            .execute(params![no, bytes])?,
    };
    debug_assert!(changed == 1);
    Ok(())
}

pub(super) fn forget_last_row(connection: &Connection, device: u32) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM last_row WHERE device = ?")?.execute([device]).map(|_| ())
}

/// Pages given back to the system at a time, some milliseconds.
const GIVEN_BACK: u32 = 1024;

/// Gives some free pages back to the system where they are most of the file. Says whether they are still.
pub(super) fn shrink(connection: &Connection) -> rusqlite::Result<bool> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let most = |free: i64, all: i64| free * 2 > all;
    let (free, all) = (number("PRAGMA freelist_count")?, number("PRAGMA page_count")?);
    if !most(free, all) {
        return Ok(false);
    }
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({GIVEN_BACK})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    let given = free.min(GIVEN_BACK.into());
    Ok(most(free - given, all - given))
}

/// Where a run's file is: a number, so that no name of a user becomes a path.
pub(super) fn run_path(directory: &Path, no: u64) -> PathBuf {
    directory.join(format!("{no:012}.parquet"))
}

pub(super) fn runs(connection: &Connection) -> rusqlite::Result<Vec<RunFacts>> {
    let mut statement = connection.prepare(
        "SELECT no, tbl, grain, period, level, generation, first_entity, last_entity, first_claimed, last_claimed,
             earliest_shift, latest_shift, \"rows\", readings, size_bytes
         FROM run ORDER BY generation, no",
    )?;
    let runs = statement.query_map([], |row| {
        let grain: u8 = row.get(2)?;
        let grain =
            Grain::from_number(grain).ok_or(rusqlite::Error::IntegralValueOutOfRange(2, i64::from(grain)))?;
        let number = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
        Ok(RunFacts {
            no: number(0)?,
            table: row.get(1)?,
            period: Period { grain, index: row.get(3)? },
            level: row.get(4)?,
            generation: number(5)?,
            entities: (Entity(number(6)?), Entity(number(7)?)),
            claimed: (row.get(8)?, row.get(9)?),
            shifts: (row.get(10)?, row.get(11)?),
            rows: number(12)?,
            readings: number(13)?,
            size_bytes: number(14)?,
        })
    })?;
    runs.collect()
}

pub(super) fn add_run(connection: &Connection, run: &RunFacts) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            run.no.cast_signed(),
            run.table,
            run.period.grain as u8,
            run.period.index,
            run.level,
            run.generation.cast_signed(),
            run.entities.0.0.cast_signed(),
            run.entities.1.0.cast_signed(),
            run.claimed.0,
            run.claimed.1,
            run.shifts.0,
            run.shifts.1,
            run.rows.cast_signed(),
            run.readings.cast_signed(),
            run.size_bytes.cast_signed(),
        ])
        .map(|_| ())
}

pub(super) fn remove_run(connection: &Connection, no: u64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM run WHERE no = ?")?.execute([no.cast_signed()])?;
    super::cold::unwant(connection, no)
}

pub(super) fn counter(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT value FROM counter WHERE name = ?")?
        .query_row([name], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

/// A counter that not every manifest has.
pub(super) fn counter_if_any(connection: &Connection, name: &str) -> rusqlite::Result<Option<u64>> {
    counter(connection, name).optional()
}

/// Sets a counter that need not be there.
pub(super) fn put_counter(connection: &Connection, name: &str, value: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO counter VALUES (?, ?)")?
        .execute(params![name, value.cast_signed()])
        .map(|_| ())
}

pub(super) fn set_counter(connection: &Connection, name: &str, value: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE counter SET value = ?2 WHERE name = ?1")?
        .execute(params![name, value.cast_signed()])
        .map(|_| ())
}

/// The number of a device; `None` when it has never sent anything.
pub(super) fn device(connection: &Connection, tenant: &str, device: &str) -> rusqlite::Result<Option<u32>> {
    connection
        .prepare_cached("SELECT no FROM device WHERE tenant = ? AND id = ?")?
        .query_row([tenant, device], |row| row.get(0))
        .optional()
}

pub(super) fn last_row(connection: &Connection, device: u32) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT readings FROM last_row WHERE device = ?")?
        .query_row([device], |row| row.get(0))
        .optional()
}

/// A device's number, its name, and its last row if it has one.
pub(super) type DeviceRow = (u32, String, Option<Vec<u8>>);

/// Devices of a tenant behind an id, by rising id, with their last rows where they have some. By id and not by number, because of that
/// there is an index with the tenant: by number each page would read and sort all of them.
pub(super) fn last_rows(
    connection: &Connection,
    tenant: &str,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<DeviceRow>> {
    connection
        .prepare_cached(
            "SELECT no, id, readings FROM device LEFT JOIN last_row ON last_row.device = no
             WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        )?
        .query_map(params![tenant, after, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

/// A device of a tenant with its last row; `None` when it has never sent anything.
pub(super) fn last_row_of(
    connection: &Connection,
    tenant: &str,
    device: &str,
) -> rusqlite::Result<Option<DeviceRow>> {
    connection
        .prepare_cached(
            "SELECT no, id, readings FROM device LEFT JOIN last_row ON last_row.device = no
             WHERE tenant = ?1 AND id = ?2",
        )?
        .query_row([tenant, device], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()
}

pub(super) fn set_last_row(connection: &Connection, device: u32, readings: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO last_row VALUES (?, ?)")?
        .execute(params![device, readings])
        .map(|_| ())
}

/// Removes files that the manifest does not know: a crash came between their writing and the commit. One that it knows
/// and that is not there is damage.
pub(super) fn recover_files(directory: &Path, runs: &[std::sync::Arc<super::RunEntry>]) -> Result<()> {
    let broken =
        |error: std::io::Error| crate::parquet::run::fault::io_fault("recovering", directory, &error);
    let mut expected: HashMap<PathBuf, bool> = HashMap::new();
    for run in runs {
        expected.extend(run.files().into_iter().map(|path| (path, false)));
    }
    for entry in std::fs::read_dir(directory).map_err(broken)? {
        let path = entry.map_err(broken)?.path();
        match expected.get_mut(&path) {
            Some(found) => *found = true,
            None => std::fs::remove_file(&path).map_err(broken)?,
        }
    }
    match expected.into_iter().filter(|(_, found)| !found).map(|(path, _)| path).min() {
        None => Ok(()),
        Some(path) => Err(Error::Damaged {
            place: path.display().to_string(),
            at: "the file itself".to_owned(),
            reason: "the manifest knows it and it is not there".to_owned(),
        }),
    }
}
