//! What is left of readings that retention has removed: the results of their windows (docs/tiers.md#rollups).

use std::cmp::Ordering;
use std::ops::Range;

use record::{DeviceId, MetricName, TenantId, Timestamp};

use crate::buckets::Every;
use crate::{Cell, Error, Limits, Result, Sql, Table, parse_rfc3339, rfc3339};

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

    /// Whether another lies in it.
    fn contains(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
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

/// Results of windows that do not overlap, by rising start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rollups {
    /// The window, as people write it: `5m`. Of several kinds, that of which most readings are.
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

impl Source<'_> {
    /// The finest there are of which the range has `most` at most; of the coarsest several are made one if need be. Where results
    /// of few readings were not kept, the next coarser one stands for them.
    pub(crate) fn finest(&self, range: &Range<Timestamp>, most: usize) -> Result<Option<Rollups>> {
        let kinds = self.kinds(range)?;
        // A kind of which few are kept may have fewer results than one that is coarser and stands for the others.
        let finest = kinds.iter().rposition(|kind| kind.results > most).map_or(0, |too_many| too_many + 1);
        let Some(kinds) = kinds
            .get(finest..)
            .filter(|kinds| !kinds.is_empty())
            .or(kinds.last_chunk::<1>().map(|last| &last[..]))
        else {
            return Ok(None);
        };
        let mut rows = self.results(&kinds[0].window, range)?;
        for coarser in kinds[1..].iter().filter(|coarser| coarser.width % kinds[0].width == 0) {
            rows = filled(&rows, &self.results(&coarser.window, range)?);
        }
        let readings = |kind: &&Kind| {
            let of_kind = rows.iter().filter(|row| row.end - row.start == kind.width);
            of_kind.map(|row| row.count).sum::<i64>()
        };
        let window = kinds.iter().max_by_key(readings).map(|kind| kind.window.clone()).unwrap_or_default();
        let together = rows.len().div_ceil(most.max(1)).max(1);
        let rows = rows.chunks(together).map(|rows| rows[1..].iter().fold(rows[0], |all, &row| all.and(row)));
        Ok(Some(Rollups { window, rows: rows.collect() }))
    }

    /// The coarsest there are that lie whole in a bucket. A bucket of which not all readings are known by such windows has none:
    /// what would be made of it would be wrong.
    pub(crate) fn within(&self, range: &Range<Timestamp>, every: &Every) -> Result<Option<Rollups>> {
        let (mut whole, mut cut) = (Vec::<(Rollup, usize)>::new(), Vec::<Rollup>::new());
        let kinds = self.kinds(range)?;
        for (at, kind) in kinds.iter().enumerate().rev() {
            let before = whole.len();
            for row in self.results(&kind.window, range)? {
                let known = whole[..before].binary_search_by(|(of, _)| match of {
                    of if of.end <= row.start => Ordering::Less,
                    of if of.start >= row.end => Ordering::Greater,
                    _ => Ordering::Equal,
                });
                if known.is_err() {
                    if every.holds(&row) { whole.push((row, at)) } else { cut.push(row) }
                }
            }
            whole.sort_unstable_by_key(|(row, _)| row.start);
            // Finer ones are read only where something is not known yet: there may be more of them than a question may read.
            cut.retain(|cut| {
                let from = whole.partition_point(|(row, _)| row.start < cut.start);
                let inside = whole[from..].iter().take_while(|(row, _)| cut.contains(row));
                inside.map(|(row, _)| row.count).sum::<i64>() < cut.count
            });
            if cut.is_empty() {
                break;
            }
        }
        cut.sort_unstable_by_key(|cut| cut.start);
        // How far those reach that begin before one ends, or with it.
        let reach: Vec<i64> = cut
            .iter()
            .scan(i64::MIN, |reach, cut| {
                *reach = cut.end.max(*reach);
                Some(*reach)
            })
            .collect();
        let is_known = |row: &Rollup| {
            let Some(bucket) = every.bucket(row) else { return false };
            let before = cut.partition_point(|cut| cut.start < bucket.end);
            before.checked_sub(1).is_none_or(|last| reach[last] <= bucket.start)
        };
        whole.retain(|(row, _)| is_known(row));
        let mut readings = vec![0; kinds.len()];
        whole.iter().for_each(|(row, at)| readings[*at] += row.count);
        let most = (0..kinds.len()).max_by_key(|&at| readings[at]);
        let rows = whole.into_iter().map(|(row, _)| row).collect();
        Ok(most.map(|most| Rollups { window: kinds[most].window.clone(), rows }))
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

/// Fine results, and in the place of those that are not all there is of a coarse one, that.
fn filled(fine: &[Rollup], coarse: &[Rollup]) -> Vec<Rollup> {
    let (mut filled, mut rest) = (Vec::new(), fine);
    for coarse in coarse {
        let before = rest.partition_point(|fine| fine.start < coarse.start);
        let (earlier, from) = rest.split_at(before);
        filled.extend_from_slice(earlier);
        let (inside, after) = from.split_at(from.partition_point(|fine| fine.end <= coarse.end));
        match inside.iter().map(|fine| fine.count).sum::<i64>() < coarse.count {
            true => filled.push(*coarse),
            false => filled.extend_from_slice(inside),
        }
        rest = after;
    }
    filled.extend_from_slice(rest);
    filled
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
