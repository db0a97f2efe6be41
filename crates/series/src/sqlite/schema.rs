//! The tables, and how an older file is brought up to date.

use std::path::Path;

use rusqlite::Connection;

use super::fault;
use crate::{Error, Result};

/// The schema's version, kept in `PRAGMA user_version`: how many of the steps were taken.
pub const VERSION: u32 = STEPS.len() as u32;

/// From an empty file to the tables of today. A step that was published is never edited.
pub(crate) const STEPS: [&str; 5] = [POINTS, BOOKS, REMOVALS, REMOVED_METRICS, REMOVED_BY_AGE];

/// `point.kind`: 0 float, 1 integer, 2 boolean, 3 text, 4 location (`value` latitude, `lng` longitude).
/// `value` and `lng` are ANY, not REAL: a REAL column loses the sign of zero.
/// `point.clock`: [`record::TimeOrigin`]. Times are nanoseconds since the epoch.
const POINTS: &str = "
CREATE TABLE device (
    no INTEGER PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT NULL,
    created_at INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    UNIQUE (tenant, id)
) STRICT;
CREATE TABLE series (
    no INTEGER PRIMARY KEY, device INTEGER NOT NULL REFERENCES device, metric TEXT NOT NULL,
    UNIQUE (device, metric)
) STRICT;
CREATE TABLE point (
    series INTEGER NOT NULL, time INTEGER NOT NULL, arrived_at INTEGER NOT NULL,
    clock INTEGER NOT NULL, kind INTEGER NOT NULL, value ANY, lng ANY,
    PRIMARY KEY (series, time)
) STRICT, WITHOUT ROWID;
CREATE TABLE dead_message (
    no INTEGER PRIMARY KEY, topic_no INTEGER NOT NULL, lane INTEGER NOT NULL, partition INTEGER NOT NULL,
    \"offset\" INTEGER NOT NULL,
    tenant TEXT NOT NULL, device TEXT NOT NULL, topic TEXT NOT NULL, stage TEXT NOT NULL,
    arrived_at INTEGER NOT NULL, partly_stored INTEGER NOT NULL, record BLOB NOT NULL,
    UNIQUE (topic_no, lane, partition, \"offset\")
) STRICT;
CREATE INDEX dead_message_by_tenant ON dead_message (tenant, arrived_at);
CREATE TABLE dead_letter (
    message INTEGER NOT NULL REFERENCES dead_message, seq INTEGER NOT NULL, reading INTEGER,
    reason TEXT NOT NULL,
    PRIMARY KEY (message, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE position (
    topic INTEGER NOT NULL, lane INTEGER NOT NULL, partition INTEGER NOT NULL, \"offset\" INTEGER NOT NULL,
    PRIMARY KEY (topic, lane, partition)
) STRICT, WITHOUT ROWID;
";

/// Sequence numbers in the key, and the books beside the readings.
///
/// The key holds the time the device claimed. Nearly always that is the event time too, and then the reading is a
/// `point`; a reading whose time was put right is a `corrected_point` instead, with both times and an index over
/// each, so that the common case pays nothing for it. A key is in one of the two tables at most; `series.corrected`
/// says whether the second has to be looked at.
///
/// What a version 1 file holds was never accounted for: it becomes an opening line per tenant, and the account of a
/// partition begins where the partition stood.
const BOOKS: &str = "
CREATE TABLE point_2 (
    series INTEGER NOT NULL, time INTEGER NOT NULL, seq INTEGER NOT NULL, arrived_at INTEGER NOT NULL,
    clock INTEGER NOT NULL, kind INTEGER NOT NULL, value ANY, lng ANY,
    PRIMARY KEY (series, time, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO point_2 SELECT series, time, 0, arrived_at, clock, kind, value, lng FROM point;
DROP TABLE point;
ALTER TABLE point_2 RENAME TO point;
ALTER TABLE series ADD COLUMN corrected INTEGER NOT NULL DEFAULT 0;
CREATE TABLE corrected_point (
    series INTEGER NOT NULL, claimed INTEGER NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL,
    arrived_at INTEGER NOT NULL, clock INTEGER NOT NULL, kind INTEGER NOT NULL, value ANY, lng ANY,
    PRIMARY KEY (series, claimed, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX corrected_point_by_time ON corrected_point (series, time, seq);
CREATE TABLE superseded (
    no INTEGER PRIMARY KEY, series INTEGER NOT NULL, claimed INTEGER NOT NULL, seq INTEGER NOT NULL,
    time INTEGER NOT NULL, arrived_at INTEGER NOT NULL, clock INTEGER NOT NULL, kind INTEGER NOT NULL,
    value ANY, lng ANY, replaced_at INTEGER NOT NULL
) STRICT;
CREATE INDEX superseded_by_key ON superseded (series, claimed, seq);
CREATE TABLE late_point (
    series INTEGER NOT NULL, claimed INTEGER NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL,
    arrived_at INTEGER NOT NULL, clock INTEGER NOT NULL, kind INTEGER NOT NULL, value ANY, lng ANY,
    watermark INTEGER NOT NULL, times INTEGER NOT NULL,
    PRIMARY KEY (series, claimed, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE window_row (
    series INTEGER NOT NULL, \"window\" TEXT NOT NULL, start INTEGER NOT NULL, \"end\" INTEGER NOT NULL,
    count INTEGER NOT NULL, sum ANY, min ANY, max ANY, stddev ANY, p95 ANY, first ANY, last ANY,
    revised INTEGER NOT NULL,
    PRIMARY KEY (series, \"window\", start)
) STRICT, WITHOUT ROWID;
CREATE TABLE clock (
    tenant TEXT NOT NULL, device TEXT NOT NULL, skew_nanos INTEGER NOT NULL, suspect INTEGER NOT NULL,
    PRIMARY KEY (tenant, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE account (
    tenant TEXT NOT NULL, topic TEXT NOT NULL, minute INTEGER NOT NULL, records INTEGER NOT NULL,
    accepted INTEGER NOT NULL, stored INTEGER NOT NULL, duplicate INTEGER NOT NULL, dead INTEGER NOT NULL,
    late INTEGER NOT NULL, shed INTEGER NOT NULL, corrected INTEGER NOT NULL,
    PRIMARY KEY (tenant, topic, minute)
) STRICT, WITHOUT ROWID;
CREATE INDEX account_uneven ON account (tenant)
    WHERE accepted <> stored + duplicate + dead + late + shed;
CREATE TABLE note (
    partition INTEGER NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (partition, number)
) STRICT;
ALTER TABLE dead_message ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
ALTER TABLE dead_message ADD COLUMN last_at INTEGER NOT NULL DEFAULT 0;
UPDATE dead_message SET last_at = arrived_at;
ALTER TABLE position ADD COLUMN first INTEGER NOT NULL DEFAULT 0;
UPDATE position SET first = \"offset\";
INSERT INTO account
    SELECT tenant, '(opening)', 0, 0, sum(stored) + sum(dead), sum(stored), 0, sum(dead), 0, 0, 0 FROM (
        SELECT tenant, count(*) AS stored, 0 AS dead
        FROM device JOIN series ON series.device = device.no JOIN point ON point.series = series.no
        GROUP BY tenant
        UNION ALL
        SELECT tenant, 0, count(*) FROM dead_message JOIN dead_letter ON message = no GROUP BY tenant
    ) GROUP BY tenant;
";

/// What was removed on purpose. `device`: NULL for all. `before`: only what was older; NULL: everything.
const REMOVALS: &str = "
CREATE TABLE removal (
    no INTEGER PRIMARY KEY, tenant TEXT NOT NULL, device TEXT, before INTEGER, reason TEXT NOT NULL, at INTEGER NOT NULL,
    readings INTEGER NOT NULL, superseded INTEGER NOT NULL, late INTEGER NOT NULL, windows INTEGER NOT NULL,
    dead_letters INTEGER NOT NULL
) STRICT;
CREATE INDEX removal_by_tenant ON removal (tenant, no);
";

/// `removal.metrics`: which ones, a line for each pattern ([`crate::MetricSet`]); NULL: all.
const REMOVED_METRICS: &str = "ALTER TABLE removal ADD COLUMN metrics TEXT;";

/// Since when nothing is there any more: the latest of each set of metrics is one look away, however many records there are. `+*`: the
/// text of all metrics.
const REMOVED_BY_AGE: &str = "
CREATE INDEX removal_by_age ON removal (tenant, reason, coalesce(metrics, '+*'), before) WHERE before IS NOT NULL;
";

pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<()> {
    upgrade(connection, path, &STEPS)
}

/// Takes the steps that the file has not seen yet.
pub(crate) fn upgrade(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<()> {
    let known = steps.len() as u32;
    let failed = |error| fault("preparing the store", path, error);
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(failed)?;
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    if found > known {
        return Err(Error::Newer { place: path.display().to_string(), found, known });
    }
    // NORMAL: a commit is whole or not there, and durable once `durable.rs` has synced it, which also does what
    // `wal_autocheckpoint` would do in the middle of a commit.
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -65536;",
        )
        .map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    if found < known {
        let upgrade = connection.transaction().map_err(failed)?;
        for step in &steps[found as usize..] {
            upgrade.execute_batch(step).map_err(failed)?;
        }
        upgrade.pragma_update(None, "user_version", known).map_err(failed)?;
        upgrade.commit().map_err(failed)?;
    }
    Ok(())
}

/// Prepared statements kept: more than the writer has (rusqlite keeps 16 unless told).
const STATEMENTS: usize = 64;
