//! What is left of readings that retention has removed: the results of their windows (docs/tiers.md#rollups).

use std::ops::Range;
use std::sync::Arc;

use record::{DeviceId, MetricName, TenantId, Timestamp};
use series::{Expiring, SeriesRemove};

use crate::{Cell, Error, Limits, Result, Sql, Table, parse_rfc3339, rfc3339};

/// How many records of removals are looked at to find the latest that went by age: mostly it is among the first, but many
/// removals of single devices may have come after it.
const REMOVALS: [u32; 3] = [100, 10_000, 1_000_000];

/// A window's result, of the numbers that others can be made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rollup {
    pub(crate) start: i64,
    /// Exclusive.
    pub(crate) end: i64,
    pub(crate) count: i64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) first: f64,
    pub(crate) last: f64,
}

impl Rollup {
    /// Of a reading.
    pub(crate) fn of(time: Timestamp, number: f64) -> Self {
        let (start, end) = (time.nanos(), time.nanos());
        Self { start, end, count: 1, sum: number, min: number, max: number, first: number, last: number }
    }

    /// Both as one, where `later` follows.
    pub(crate) fn and(self, later: Self) -> Self {
        Self {
            start: self.start,
            end: later.end,
            count: self.count + later.count,
            sum: self.sum + later.sum,
            min: self.min.min(later.min),
            max: self.max.max(later.max),
            first: self.first,
            last: later.last,
        }
    }
}

/// Results of one kind of window, by rising start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rollups {
    /// The window, as people write it: `5m`.
    pub(crate) window: String,
    pub(crate) rows: Vec<Rollup>,
}

/// Where rollups are found.
#[derive(Clone, Copy)]
pub(crate) struct Source<'q> {
    pub(crate) sql: &'q dyn Sql,
    pub(crate) limits: Limits,
    pub(crate) tenant: &'q TenantId,
    pub(crate) device: &'q DeviceId,
    pub(crate) metric: &'q MetricName,
}

/// From before when a tenant's readings of a metric were removed because of their age; `None`: none were.
pub(crate) fn removed_before(
    removes: &Arc<dyn SeriesRemove>,
    tenant: &TenantId,
    metric: &MetricName,
) -> Result<Option<Timestamp>> {
    for most in REMOVALS {
        let removals = removes.removals(tenant, most)?;
        let are_all = removals.len() < most as usize;
        let by_age = removals.into_iter().filter(|removal| {
            removal.reason == Expiring::Readings.reason() && removal.metrics.holds(metric.as_str())
        });
        let latest = by_age.filter_map(|removal| removal.before).max();
        if latest.is_some() || are_all {
            return Ok(latest);
        }
    }
    Ok(None)
}

impl Source<'_> {
    /// The finest there are of which the range has `most` at most; of the coarsest several are made one if need be.
    pub(crate) fn finest(&self, range: &Range<Timestamp>, most: usize) -> Result<Option<Rollups>> {
        let kinds = self.kinds(range)?;
        let finest = kinds.iter().find(|kind| kind.results <= most).or(kinds.last());
        let Some(kind) = finest else { return Ok(None) };
        let rows = self.results(&kind.window, range)?;
        let together = rows.len().div_ceil(most.max(1)).max(1);
        let rows = rows.chunks(together).map(|rows| rows[1..].iter().fold(rows[0], |all, &row| all.and(row)));
        Ok(Some(Rollups { window: kind.window.clone(), rows: rows.collect() }))
    }

    /// The coarsest there are that lie whole in what `fits` says.
    pub(crate) fn within(
        &self,
        range: &Range<Timestamp>,
        fits: impl Fn(&Rollup) -> bool,
    ) -> Result<Option<Rollups>> {
        for kind in self.kinds(range)?.into_iter().rev() {
            let rows = self.results(&kind.window, range)?;
            if rows.iter().all(&fits) {
                return Ok(Some(Rollups { window: kind.window, rows }));
            }
        }
        Ok(None)
    }

    /// The windows of a fixed size that follow one another, the finest first.
    fn kinds(&self, range: &Range<Timestamp>) -> Result<Vec<Kind>> {
        let statement = "SELECT \"window\", count(*), min(arrow_cast(window_end, 'Int64') - arrow_cast(window_start, 'Int64')) \
                         FROM aggregations WHERE device_id = ? AND metric = ? AND window_start >= ? AND window_end <= ? \
                         GROUP BY \"window\"";
        let table = self.ask(statement, &[], range)?;
        let mut kinds: Vec<Kind> = table.rows().iter().filter_map(|row| Kind::read(row)).collect();
        kinds.sort_by_key(|kind| kind.width);
        Ok(kinds)
    }

    fn results(&self, window: &str, range: &Range<Timestamp>) -> Result<Vec<Rollup>> {
        let statement = "SELECT window_start, window_end, count, sum, min, max, first, last \
                         FROM aggregations WHERE device_id = ? AND metric = ? AND window_start >= ? AND window_end <= ? \
                         AND \"window\" = ? ORDER BY window_start";
        let table = self.ask(statement, &[Cell::Text(window.to_owned())], range)?;
        let read = |row: &Vec<Cell>| {
            let reason = || format!("the results of window {window} are not as expected: {row:?}");
            let unread = || Error::Engine { place: "aggregations".to_owned(), reason: reason() };
            read(row).ok_or_else(unread)
        };
        table.rows().iter().map(read).collect()
    }

    fn ask(&self, statement: &str, more: &[Cell], range: &Range<Timestamp>) -> Result<Table> {
        let mut params = vec![
            Cell::Text(self.device.as_str().to_owned()),
            Cell::Text(self.metric.as_str().to_owned()),
            Cell::Text(rfc3339(range.start)),
            Cell::Text(rfc3339(range.end)),
        ];
        params.extend_from_slice(more);
        self.sql.run(self.tenant, statement, &params, self.limits)
    }
}

struct Kind {
    window: String,
    width: i64,
    results: usize,
}

impl Kind {
    /// `None` for sliding windows, which overlap, and sessions, whose length says nothing.
    fn read(row: &[Cell]) -> Option<Self> {
        let [Cell::Text(window), Cell::Int(results), Cell::Int(width)] = row else { return None };
        let follows = !window.contains(['/', ' ']);
        follows.then(|| Self { window: window.clone(), width: *width, results: *results as usize })
    }
}

fn read(row: &[Cell]) -> Option<Rollup> {
    let time = |cell: &Cell| match cell {
        Cell::Text(text) => parse_rfc3339(text).map(Timestamp::nanos),
        _ => None,
    };
    let float = |cell: &Cell| match cell {
        Cell::Float(float) => Some(*float),
        _ => None,
    };
    let [start, end, Cell::Int(count), sum, min, max, first, last] = row else { return None };
    Some(Rollup {
        start: time(start)?,
        end: time(end)?,
        count: *count,
        sum: float(sum)?,
        min: float(min)?,
        max: float(max)?,
        first: float(first)?,
        last: float(last)?,
    })
}
