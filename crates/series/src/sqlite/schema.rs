//! The tables, and how an older file is brought up to date.

use std::path::Path;

use rusqlite::Connection;

use super::fault;
use crate::{Error, Result};

/// The schema's version, kept in `PRAGMA user_version`.
pub const VERSION: u32 = 1;

/// `point.kind`: 0 float, 1 integer, 2 boolean, 3 text, 4 location (`value` latitude, `lng` longitude).
/// `value` and `lng` are ANY, not REAL: a REAL column loses the sign of zero.
/// `point.clock`: 0 the device's, 1 the server's. Times are nanoseconds since the epoch.
const TABLES: &str = "
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

pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<()> {
    let failed = |error| fault("preparing the store", path, error);
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(failed)?;
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    if found > VERSION {
        return Err(Error::Newer { place: path.display().to_string(), found, known: VERSION });
    }
    // FULL: the log may drop what the store says it holds, so a commit must survive a power cut.
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;")
        .map_err(failed)?;
    if found == 0 {
        let create = connection.transaction().map_err(failed)?;
        create.execute_batch(TABLES).map_err(failed)?;
        create.pragma_update(None, "user_version", VERSION).map_err(failed)?;
        create.commit().map_err(failed)?;
    }
    Ok(())
}
