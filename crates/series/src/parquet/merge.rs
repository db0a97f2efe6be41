//! Several sorted inputs become one: a streaming merge in a fixed amount of memory.
//!
//! Rows of one key come together column by column: of several values of a metric the newest run's stays, the others are
//! gone. Rows of a key that happened or arrived at different times stay apart, each with the values it still has; those
//! that agree become one.

mod files;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::run::{Detail, Run, Scan};
use super::{ColumnNo, RowKey, Rows};
use crate::Result;

pub(crate) use files::{Goes, without};
pub use files::{Output, merge};

/// Memory for the pieces of the inputs that are read ahead, bytes, over all inputs. The writer takes its own
/// ([`super::run::Writer`]).
const AHEAD_BYTES: usize = 32 << 20;

/// Rows by rising key. Rows of one key follow one another, the newest last, and no metric has a value in two of them.
pub(crate) trait Input: Send {
    /// Adds about so many of the next rows to those given. 0: there are no more.
    ///
    /// # Errors
    /// As the input says.
    fn read(&mut self, most: usize, into: &mut Rows) -> Result<usize>;

    /// No rows, of the metrics that it reads.
    fn rows(&self) -> Rows;
}

/// Ranges of rows of a run.
pub(crate) struct Pieces {
    run: Arc<Run>,
    ranges: VecDeque<Range<u64>>,
    scan: Scan,
    columns: Option<Vec<ColumnNo>>,
    detail: Detail,
}

impl Pieces {
    /// With these metrics, or all.
    pub(crate) fn new(
        run: Arc<Run>,
        mut ranges: VecDeque<Range<u64>>,
        columns: Option<&[ColumnNo]>,
        detail: Detail,
    ) -> Self {
        let first = ranges.pop_front().unwrap_or(0..0);
        let scan = run.scan(first, columns).with_detail(detail);
        Self { run, ranges, scan, columns: columns.map(<[_]>::to_vec), detail }
    }
}

impl Input for Pieces {
    fn read(&mut self, most: usize, into: &mut Rows) -> Result<usize> {
        loop {
            let count = self.scan.read(most, into)?;
            if count > 0 {
                return Ok(count);
            }
            let Some(next) = self.ranges.pop_front() else { return Ok(0) };
            self.scan = self.run.scan(next, self.columns.as_deref()).with_detail(self.detail);
        }
    }

    fn rows(&self) -> Rows {
        self.scan.rows()
    }
}

/// An input, and the piece of it that was read.
struct Cursor {
    input: Box<dyn Input>,
    rows: Rows,
    at: usize,
    piece_rows: usize,
    /// For each column of the output, which of the input's it is.
    columns: Vec<Option<usize>>,
    ended: bool,
}

/// Inputs that are merged into rows of some metrics.
pub(crate) struct Merging {
    cursors: Vec<Cursor>,
    columns: Vec<ColumnNo>,
}

impl Merging {
    /// Merges inputs, the oldest first, into rows of `columns`.
    ///
    /// # Errors
    /// As the inputs say.
    pub(crate) fn of(inputs: Vec<Box<dyn Input>>, columns: &[ColumnNo]) -> Result<Self> {
        let row_bytes = 48 + 9 * columns.len();
        let piece_rows = (AHEAD_BYTES / inputs.len().max(1) / row_bytes).clamp(256, 8 << 10);
        let open = |input: Box<dyn Input>| {
            let rows = input.rows();
            let place = |no: &ColumnNo| rows.columns.binary_search_by_key(no, |column| column.no).ok();
            let columns = columns.iter().map(place).collect();
            let mut cursor = Cursor { input, rows, at: 0, piece_rows, columns, ended: false };
            cursor.fill()?;
            Ok(cursor)
        };
        let cursors = inputs.into_iter().map(open).collect::<Result<_>>()?;
        Ok(Self { cursors, columns: columns.to_vec() })
    }

    /// No rows, of the metrics that it makes.
    pub(crate) fn rows(&self) -> Rows {
        Rows::new(self.columns.iter().copied())
    }

    /// Adds the next rows, at most `room` of them but for those of the last key. `false` at the end.
    ///
    /// # Errors
    /// As the inputs say.
    pub(crate) fn read(&mut self, room: usize, out: &mut Rows) -> Result<bool> {
        let Some((first, bound)) = next(&self.cursors) else { return Ok(false) };
        match bound {
            Bound::Same => take_key(&mut self.cursors, out),
            Bound::Below(key) => take_stretch(&mut self.cursors[first], key, room, out),
        }
        for cursor in &mut self.cursors {
            cursor.fill()?;
        }
        Ok(true)
    }
}

impl Cursor {
    /// Reads on when there is no second key in the piece: rows of one key may stand in two pieces, so the last key of a
    /// piece is only used once the next piece is there.
    fn fill(&mut self) -> Result<()> {
        let other_behind =
            self.at < self.rows.len() && self.rows.key(self.at) != self.rows.key(self.rows.len() - 1);
        if self.ended || other_behind {
            return Ok(());
        }
        let left = self.rows.len() - self.at;
        let mut fresh = self.input.rows();
        fresh.extend_from(&self.rows, self.at..self.at + left);
        self.rows = fresh;
        self.at = 0;
        while self.rows.is_empty() || self.rows.key(0) == self.rows.key(self.rows.len() - 1) {
            if self.input.read(self.piece_rows, &mut self.rows)? == 0 {
                self.ended = true;
                break;
            }
        }
        Ok(())
    }

    fn key(&self) -> Option<RowKey> {
        (self.at < self.rows.len()).then(|| self.rows.key(self.at))
    }

    /// Where the stretch of rows with keys below `bound` ends.
    fn stretch(&self, bound: Option<RowKey>) -> usize {
        let mut end = self.rows.len();
        if !self.ended {
            // The last key may go on in the next piece.
            let last = self.rows.key(end - 1);
            while end > self.at && self.rows.key(end - 1) == last {
                end -= 1;
            }
        }
        let Some(bound) = bound else { return end };
        // Galloping: stretches are a few rows or the whole piece.
        let (mut low, mut step) = (self.at, 1);
        while low + step < end && self.rows.key(low + step) < bound {
            low += step;
            step *= 2;
        }
        let mut high = (low + step).min(end);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if self.rows.key(middle) < bound { low = middle } else { high = middle }
        }
        high
    }
}

enum Bound {
    /// Several inputs have the smallest key.
    Same,
    /// One input's rows are the next ones, up to this key.
    Below(Option<RowKey>),
}

fn next(cursors: &[Cursor]) -> Option<(usize, Bound)> {
    let mut first: Option<(usize, RowKey)> = None;
    let (mut bound, mut same) = (None, false);
    for (at, cursor) in cursors.iter().enumerate() {
        let Some(key) = cursor.key() else { continue };
        match first {
            Some((_, smallest)) if key > smallest => {
                bound = Some(bound.map_or(key, |bound: RowKey| bound.min(key)));
            }
            Some((_, smallest)) if key == smallest => same = true,
            _ => {
                bound = match first {
                    Some((_, before)) => Some(bound.map_or(before, |bound: RowKey| bound.min(before))),
                    None => bound,
                };
                first = Some((at, key));
                same = false;
            }
        }
    }
    let (at, _) = first?;
    Some((at, if same { Bound::Same } else { Bound::Below(bound) }))
}

/// Copies the rows of one input up to a key that another has.
fn take_stretch(cursor: &mut Cursor, bound: Option<RowKey>, room: usize, out: &mut Rows) {
    let end = cursor.stretch(bound).min(cursor.at + room.max(1));
    let range = cursor.at..end;
    out.extend_keys(&cursor.rows, range.clone());
    let filled = out.len();
    for (column, from) in out.columns.iter_mut().zip(&cursor.columns) {
        match from {
            Some(from) => column.cells.extend_from(&cursor.rows.columns[*from].cells, range.clone()),
            None => column.cells.resize(filled),
        }
    }
    cursor.at = end;
}

/// Puts the rows of the smallest key together.
fn take_key(cursors: &mut [Cursor], out: &mut Rows) {
    let key = cursors.iter().filter_map(Cursor::key).min().expect("somebody has a row");
    // Oldest first: inputs come by generation, and within one the newest stands last.
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for (at, cursor) in cursors.iter_mut().enumerate() {
        while cursor.key() == Some(key) {
            parts.push((at, cursor.at));
            cursor.at += 1;
        }
    }
    let columns = out.columns.len();
    // For each column, which part has its newest value.
    let newest: Vec<Option<usize>> = (0..columns)
        .map(|column| {
            parts.iter().rposition(|&(at, row)| {
                let from = cursors[at].columns[column];
                from.is_some_and(|from| cursors[at].rows.columns[from].cells.kinds()[row] != 0)
            })
        })
        .collect();
    let when = |part: usize| cursors[parts[part].0].rows.when(parts[part].1);
    let mut made: Vec<usize> = Vec::new();
    for part in 0..parts.len() {
        let fresh = newest.contains(&Some(part)) && !made.iter().any(|&other| when(other) == when(part));
        if !fresh {
            continue;
        }
        made.push(part);
        out.push_when(key.entity, when(part));
        for (column_at, (column, newest)) in out.columns.iter_mut().zip(&newest).enumerate() {
            let value = newest.filter(|&newest| when(newest) == when(part)).and_then(|newest| {
                let (at, row) = parts[newest];
                cursors[at].rows.columns[cursors[at].columns[column_at]?].cells.get(row)
            });
            column.cells.push(value);
        }
    }
}
