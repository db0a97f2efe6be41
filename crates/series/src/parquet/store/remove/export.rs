//! What is old is written where people can read it, before it goes.
//!
//! ```text
//! the keys stand in the manifest ─▶ an object for each date ─▶ one commit: the runs go, and so do the keys
//!        │                                │
//!        └── a crash leaves keys, and ────┘  objects whose rows are in the store still: the next attempt removes them first
//! ```

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampNanosecondType;
use record::{TenantId, Timestamp};
use rusqlite::Connection;

use super::super::cold::of_expired;
use super::super::manifest;
use super::super::moment::{Moment, Readings};
use super::super::scan::{READINGS, WINDOWS};
use super::super::{Parquet, RunEntry};
use super::OfTenant;
use crate::Result;
use crate::scan::{Scan, Snapshot as _, shape};
use crate::sqlite::fault;

/// `exporting`: the keys of objects of what is about to be removed, until it is.
pub(in crate::parquet::store) const TABLE: &str =
    "CREATE TABLE exporting (object TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;";

const DAY_NANOS: i64 = 86_400_000_000_000;

/// A run of more days is looked through for those on which something happened: it has little of each, and may have a clock that is years off.
const FEW_DAYS: usize = 3;

impl Parquet {
    /// Writes what runs have of some metrics, a file for each table and date. Returns their keys.
    pub(super) fn export(
        &self,
        tenant: &TenantId,
        of: &OfTenant,
        gone: &[Arc<RunEntry>],
    ) -> Result<Vec<String>> {
        let (Some(exports), Some(first)) = (&self.exports, gone.first()) else { return Ok(Vec::new()) };
        let store = self.with_committed("reading the manifest", |c| manifest::counter(c, "store"))?;
        let checksum = self.cache.open(first)?.sidecar().checksum();
        let name = format!("{store:016x}-{:012}-{checksum:08x}", first.facts.no);
        let books = Arc::new(self.scanners.moment(tenant.as_str())?);
        let seen = |runs: Vec<Arc<RunEntry>>| {
            Arc::new(Moment {
                books: Arc::clone(&books),
                readings: Readings::of_runs(runs, &self.cache),
                groups: of.readings.clone(),
                windows: of.windows.clone(),
                late: Vec::new(),
            })
        };
        let (short, long): (Vec<_>, Vec<_>) =
            gone.iter().cloned().partition(|run| days_of(run).count() <= FEW_DAYS);
        let (moment, long) = (seen(gone.to_vec()), seen(long));
        let mut objects = Vec::new();
        for table in [READINGS, WINDOWS] {
            let mut days = days(&long, table)?;
            let of_table = short.iter().filter(|run| of.is_in(table, run.facts.table));
            days.extend(of_table.flat_map(|run| days_of(run)));
            let key = |day| (of_expired(tenant.as_str(), table, day, &name), table, day);
            objects.extend(days.into_iter().map(key));
        }
        self.note_exported(objects.iter().map(|(key, ..)| key.as_str()))?;
        for (key, table, day) in &objects {
            let day = *day;
            let at = |day: i64| Timestamp::from_nanos(day.saturating_mul(DAY_NANOS));
            let last = Timestamp::from_nanos(at(day).nanos().saturating_add(DAY_NANOS - 1));
            let scan = Scan { times: at(day)..=last, ..Scan::all(table) };
            exports.write(key, &mut Arc::clone(&moment).scan(scan)?)?;
        }
        Ok(objects.into_iter().map(|(key, ..)| key).collect())
    }

    /// Removes the objects of attempts whose removal was not committed: their rows are still here, and may lie in other runs by now.
    pub(super) fn forget_exported(&self) -> Result<()> {
        let failed = |error| fault("forgetting what was exported", &self.manifest, error);
        let left = self.with_committed("reading the manifest", exporting)?;
        if left.is_empty() {
            return Ok(());
        }
        // Nothing is exported any more: what was stays, as its rows may go now without being exported again.
        if let Some(exports) = &self.exports {
            exports.remove(&left)?;
        }
        let writer = self.writer.lock();
        self.exchange(&writer.connection, |connection| went(connection, &left)).map_err(failed)
    }

    /// Durable before the first of them is there.
    fn note_exported<'k>(&self, mut keys: impl Iterator<Item = &'k str>) -> Result<()> {
        let failed = |error| fault("noting what is exported", &self.manifest, error);
        let writer = self.writer.lock();
        let noted = self.exchange(&writer.connection, |connection| {
            let mut note = connection.prepare_cached("INSERT OR IGNORE INTO exporting VALUES (?)")?;
            keys.try_for_each(|key| note.execute([key]).map(drop))
        });
        drop(writer);
        noted.map_err(failed)?;
        self.durable.sync()
    }
}

impl OfTenant {
    /// Whether runs of a number are of a table of SQL.
    fn is_in(&self, table: &str, runs: u32) -> bool {
        match table {
            READINGS => self.readings.iter().any(|group| group.table == runs),
            _ => self.windows.iter().any(|of| of.group.table == runs),
        }
    }
}

/// The days on which something may have happened of which a run has rows, since the epoch.
fn days_of(run: &RunEntry) -> RangeInclusive<i64> {
    let (claimed, shifts) = (run.facts.claimed, run.facts.shifts);
    let day = |time: i64| time.div_euclid(DAY_NANOS);
    day(claimed.0.saturating_add(shifts.0))..=day(claimed.1.saturating_add(shifts.1))
}

/// Notes that rows and objects are no longer both there.
pub(super) fn went(connection: &Connection, keys: &[String]) -> rusqlite::Result<()> {
    let mut forget = connection.prepare_cached("DELETE FROM exporting WHERE object = ?")?;
    keys.iter().try_for_each(|key| forget.execute([key]).map(drop))
}

fn exporting(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT object FROM exporting")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// The days on which rows of a table happened, since the epoch.
fn days(moment: &Arc<Moment>, table: &str) -> Result<BTreeSet<i64>> {
    let time = shape(table).and_then(|shape| shape.time).expect("both tables have a time");
    let scan = Scan { columns: Some(vec![time]), ..Scan::all(table) };
    let mut days = BTreeSet::new();
    for batch in Arc::clone(moment).scan(scan)? {
        let batch = batch?;
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>().values();
        // Those of a device follow one another.
        let mut last = None;
        for day in times.iter().map(|time| time.div_euclid(DAY_NANOS)) {
            if last.replace(day) != Some(day) {
                days.insert(day);
            }
        }
    }
    Ok(days)
}
