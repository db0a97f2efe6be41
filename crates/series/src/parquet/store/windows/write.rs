//! The windows of a batch: their places, what they take the place of, and into the buffer.

use std::ops::RangeInclusive;
use std::sync::Arc;

use record::{Timestamp, When};

use super::Statistic::Count;
use super::{Numbers, Statistic, when};
use crate::parquet::store::buffer::{Buffer, row_key};
use crate::parquet::store::fresh::Block;
use crate::parquet::store::metrics::Derived;
use crate::parquet::store::read::Found;
use crate::parquet::store::write::{Held, Sought, Writer};
use crate::parquet::store::{Parquet, Visible};
use crate::parquet::{ColumnNo, Entity};
use crate::sqlite::fault;
use crate::{Result, WindowKey, WindowRow, WriteBatch};

/// The windows of a batch in their places.
pub(in crate::parquet::store) struct Windows<'b> {
    placed: Vec<Placed<'b>>,
    /// Results that are void: their places, starts and ends.
    void: Vec<(Of, When)>,
    /// Results of keys that were made void in this batch.
    replaced: Vec<&'b WindowKey>,
    /// How many readings the results have that runs hold, under these keys.
    counts: Held,
    /// The same results whole, where that many readings are in the new ones too.
    held: Held,
}

/// A kind of window of a series.
#[derive(Clone)]
struct Of {
    metric: Arc<Derived>,
    entity: Entity,
}

struct Placed<'b> {
    of: Of,
    row: &'b WindowRow,
    /// Whether it is put in only where there is an earlier result.
    revises: bool,
}

impl Parquet {
    /// Gives the windows of a batch their places, and looks for what they take the place of.
    pub(in crate::parquet::store) fn place_windows<'b>(
        &self,
        writer: &mut Writer,
        batch: &'b WriteBatch,
    ) -> Result<Windows<'b>> {
        let failed = |error| fault("naming windows", &self.manifest, error);
        let (mut void, mut replaced) = (Vec::new(), Vec::new());
        for gone in &batch.void_windows {
            let of = self.place(writer, &gone.key, None).map_err(failed)?;
            let starts = gone.key.start.nanos()..=gone.until.nanos().saturating_sub(1);
            let before = void.len();
            for found in self.results(&of, starts)? {
                void.push((of.clone(), found));
            }
            if void.len() > before {
                replaced.push(&gone.key);
            }
        }
        replaced.sort_unstable();
        let mut placed: Vec<Placed<'b>> =
            Vec::with_capacity(batch.windows.len() + batch.revised_windows.len());
        for (rows, revises) in [(&batch.windows, false), (&batch.revised_windows, true)] {
            for row in rows {
                let of = self.place(writer, &row.key, placed.last()).map_err(failed)?;
                placed.push(Placed { of, row, revises });
            }
        }
        // Rows one after the other, each from its first column to its last.
        placed.sort_by_key(|Placed { of, row, .. }| {
            (of.metric.table, of.entity, row.key.start, of.metric.column(Count))
        });
        let sought = |placed: &Placed<'_>, last: Statistic| Sought {
            table: placed.of.metric.table,
            entity: placed.of.entity,
            claimed: placed.row.key.start.nanos(),
            columns: placed.of.metric.column(Count).0..=placed.of.metric.column(last).0,
        };
        // Few take the place of another, and of those most have other readings: of the rest one column is looked at, not nine.
        let counts = self.held_in_runs(placed.iter().map(|placed| sought(placed, Count)))?;
        let may_be_same = |placed: &&Placed<'_>| {
            count_in(&counts, &placed.of, placed.row.key.start) == Some(placed.row.count)
        };
        let may_be_same = placed.iter().filter(may_be_same);
        let held = self.held_in_runs(may_be_same.map(|placed| sought(placed, Statistic::Revised)))?;
        Ok(Windows { placed, void, replaced, counts, held })
    }

    /// The place of a window. Windows that follow one another are often of one device.
    fn place(&self, writer: &mut Writer, key: &WindowKey, last: Option<&Placed<'_>>) -> rusqlite::Result<Of> {
        let last = last.filter(|last| last.row.key.tenant == key.tenant && last.row.key.device == key.device);
        let device = match last {
            Some(last) => last.of.entity.device(),
            None => {
                let Writer { connection, names, .. } = writer;
                // A window is made of readings that are stored by now: their device is known.
                let no = names.device(connection, &key.tenant, key.device.as_str(), key.start)?;
                u32::try_from(no).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, no))?
            }
        };
        let (tenant, metric) = (key.tenant.as_str(), key.metric.as_str());
        let known = self.visible.read().metrics.find_derived(tenant, &key.window, metric).cloned();
        let metric = match known {
            Some(known) => known,
            None => {
                let mut visible = self.visible.write();
                visible.metrics.add_derived(&writer.connection, tenant, &key.window, metric)?
            }
        };
        Ok(Of { entity: Entity::new(metric.group, device), metric })
    }

    /// Starts and ends of the results there are, of those that start in a range.
    fn results(&self, of: &Of, starts: RangeInclusive<i64>) -> Result<Vec<When>> {
        let found = self.find(of.metric.table, of.entity, &[of.metric.column(Count)], &starts)?;
        let there = found.into_values().filter(|(_, count)| count.as_ref().as_f64() != Some(0.0));
        Ok(there.map(|(when, _)| when).collect())
    }
}

impl Visible {
    /// Puts windows into the buffer, and into the block that is kept until they stand in a run.
    pub(in crate::parquet::store) fn put_windows(&mut self, windows: &Windows<'_>, block: &mut Block) {
        for (of, at) in &windows.void {
            let mut put = Put { block, of, at: *at, row: 0 };
            let mut buffer = self.buffers.entry(of.metric.table).or_default().write();
            Numbers::VOID.write(true, |statistic, value| put.cell(&mut buffer, statistic, value));
        }
        for part in windows.placed.chunk_by(|a, b| a.of.metric.table == b.of.metric.table) {
            let table = part[0].of.metric.table;
            let rolling = self.rolling.as_ref().and_then(|rolling| rolling.buffers.get(&table)).cloned();
            let rolling = rolling.as_ref().map(|buffer| buffer.read());
            let mut buffer = self.buffers.entry(table).or_default().write();
            let mut last = None;
            let (mut rows, mut rolling_rows) = (Vec::new(), Vec::new());
            for Placed { of, row, revises } in part {
                let start = row.key.start;
                let key = row_key(of.entity, start, 0);
                if last.replace(key) != Some(key) {
                    buffer.rows_of_key(key, &mut rows);
                    rolling.iter().for_each(|rolling| rolling.rows_of_key(key, &mut rolling_rows));
                }
                let before = in_buffer(&buffer, &rows, of)
                    .or_else(|| rolling.as_ref().and_then(|buffer| in_buffer(buffer, &rolling_rows, of)))
                    .or_else(|| in_runs(windows.held.get(&of.entity)?, of, start));
                let count = count_in(&windows.counts, of, start);
                let is_there =
                    before.map(|(earlier, _)| earlier.count).or(count).is_some_and(|count| count > 0);
                if *revises && !is_there {
                    continue;
                }
                let mut numbers = numbers(row);
                let mut replaces = before.is_some();
                if let (None, Some(count)) = (before, count) {
                    replaces = true;
                    numbers.revised |= count > 0;
                }
                numbers.revised |= windows.replaced.binary_search(&&row.key).is_ok();
                if let Some((earlier, end)) = before.filter(|(earlier, _)| earlier.count > 0) {
                    let same = earlier.is_same(&numbers) && end == row.end;
                    numbers.revised |= earlier.revised || !same;
                    if same && numbers.revised == earlier.revised {
                        continue;
                    }
                }
                let mut put = Put { block, of, at: when(start, row.end), row: 0 };
                numbers.write(replaces, |statistic, value| put.cell(&mut buffer, statistic, value));
                if rows.last() != Some(&put.row) {
                    rows.push(put.row);
                }
            }
        }
    }
}

/// Where cells go.
struct Put<'p> {
    block: &'p mut Block,
    of: &'p Of,
    at: When,
    /// The row they went into.
    row: u32,
}

impl Put<'_> {
    fn cell(&mut self, buffer: &mut Buffer, statistic: Statistic, value: record::ValueRef<'_>) {
        let (entity, column) = (self.of.entity, self.of.metric.column(statistic));
        self.row = buffer.put(entity, column, self.at, value);
        self.block.put(entity, column, self.at, value);
    }
}

/// A result and its end.
type Earlier = (Numbers, Timestamp);

fn in_buffer(buffer: &Buffer, rows: &[u32], of: &Of) -> Option<Earlier> {
    let (at, _) = buffer.newest(rows, of.metric.column(Count))?;
    let cell = |statistic| buffer.newest(rows, of.metric.column(statistic)).map(|(_, value)| value);
    Some((Numbers::read(cell)?, at.time))
}

fn in_runs(found: &Found, of: &Of, start: Timestamp) -> Option<Earlier> {
    let cell = |column: ColumnNo| found.get(&(start.nanos(), 0, column));
    let (at, _) = cell(of.metric.column(Count))?;
    let value = |statistic| cell(of.metric.column(statistic)).map(|(_, value)| value.as_ref());
    Some((Numbers::read(value)?, at.time))
}

fn count_in(counts: &Held, of: &Of, start: Timestamp) -> Option<u64> {
    let (_, count) = counts.get(&of.entity)?.get(&(start.nanos(), 0, of.metric.column(Count)))?;
    count.as_ref().as_f64().map(|count| count as u64)
}

fn numbers(row: &WindowRow) -> Numbers {
    let WindowRow { count, sum, min, max, stddev, p95, first, last, revised, .. } = *row;
    Numbers { count, floats: [sum, min, max, stddev, p95, first, last], revised }
}
