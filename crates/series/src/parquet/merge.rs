//! Several runs become one, or as many as their size asks for: a streaming merge in a fixed amount of memory.
//!
//! Rows of one key come together column by column: of several values of a metric the newest run's stays, the others are
//! gone. Rows of a key that happened or arrived at different times stay apart, each with the values it still has; those
//! that agree become one.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use super::run::{Plan, Planned, Run, Scan, Writer, Written};
use super::{RowKey, Rows};
use crate::Result;

/// Memory for the pieces of the inputs that are read ahead, bytes, over all inputs. The writer takes its own
/// ([`super::run::Writer`]).
const AHEAD_BYTES: usize = 32 << 20;

/// A file that a merge made.
#[derive(Debug)]
pub struct Output {
    /// Its path.
    pub path: PathBuf,
    /// What is in it.
    pub written: Written,
}

/// Merges runs, the oldest generation first (runs of one generation have no key in common), into files of about `file_bytes`, named by `next_path`. A file ends
/// between two entities, unless one of them alone is larger than two files.
///
/// What was made before an error is left for the caller to remove.
///
/// # Errors
/// [`crate::Error::Damaged`] when an input is; [`crate::Error::Full`] and [`crate::Error::Database`] when the disk
/// refuses.
pub fn merge(
    generations: &[Vec<Arc<Run>>],
    file_bytes: u64,
    mut next_path: impl FnMut() -> PathBuf,
) -> Result<Vec<Output>> {
    let plan = plan_of(generations);
    let mut cursors = cursors(generations, &plan)?;
    let mut out = Out::new(plan, file_bytes);
    while let Some((first, bound)) = next(&cursors) {
        match bound {
            Bound::Same => take_key(&mut cursors, &mut out),
            Bound::Below(key) => take_stretch(&mut cursors[first], key, &mut out),
        }
        for cursor in &mut cursors {
            cursor.fill()?;
        }
        out.pass_on(&mut next_path)?;
    }
    out.finish(&mut next_path)
}

/// The plan for what the inputs hold: types as wide as they need to be, judged by the figures beside the files.
fn plan_of(generations: &[Vec<Arc<Run>>]) -> Plan {
    let sidecars = generations.iter().flatten().map(|run| run.sidecar());
    let mut columns: Vec<(Planned, u64, f64)> = Vec::new();
    for sidecar in sidecars.clone() {
        for (column, stats) in sidecar.plan.columns.iter().zip(&sidecar.stats) {
            let largest = stats.min.abs().max(stats.max.abs());
            let largest = if largest.is_finite() { largest } else { 0.0 };
            match columns.binary_search_by_key(&column.no, |(known, ..)| known.no) {
                Ok(at) => {
                    let (known, count, most) = &mut columns[at];
                    known.kind = known.kind.union(*count, column.kind, stats.count);
                    *count += stats.count;
                    *most = most.max(largest);
                }
                Err(at) => columns.insert(at, (column.clone(), stats.count, largest)),
            }
        }
    }
    let columns = columns.into_iter().map(|(mut column, _, largest)| {
        column.kind = column.kind.for_range(largest);
        column
    });
    let plans = sidecars.map(|sidecar| &sidecar.plan);
    Plan {
        columns: columns.collect(),
        time_unit: plans.clone().map(|plan| plan.time_unit).min().unwrap_or(super::run::Unit::Millis),
        delay_unit: plans.clone().map(|plan| plan.delay_unit).min().unwrap_or(super::run::Unit::Millis),
        groups: plans.clone().any(|plan| plan.groups),
        seqs: plans.clone().any(|plan| plan.seqs),
        shifts: plans.clone().any(|plan| plan.shifts),
        origins: plans.clone().any(|plan| plan.origins),
    }
}

/// Inputs that follow one another, and the piece of them that was read.
struct Cursor {
    /// The one that is read, and those behind it. They have the same columns.
    scan: Scan,
    behind: VecDeque<Arc<Run>>,
    rows: Rows,
    at: usize,
    piece_rows: usize,
    /// For each column of the output, which of the input's it is.
    columns: Vec<Option<usize>>,
    ended: bool,
}

fn cursors(generations: &[Vec<Arc<Run>>], plan: &Plan) -> Result<Vec<Cursor>> {
    let chains: Vec<_> = generations.iter().flat_map(|runs| chains(runs)).collect();
    let row_bytes = 48 + 9 * plan.columns.len();
    let piece_rows = (AHEAD_BYTES / chains.len().max(1) / row_bytes).clamp(256, 8 << 10);
    let open = |chain: VecDeque<Arc<Run>>| {
        let mut behind = chain;
        let run = behind.pop_front().expect("a chain begins with a run");
        let scan = run.scan(0..run.sidecar().rows, None);
        let has = &run.sidecar().plan;
        let columns = plan.columns.iter().map(|column| has.position(column.no)).collect();
        let mut cursor = Cursor { rows: scan.rows(), scan, behind, at: 0, piece_rows, columns, ended: false };
        cursor.fill()?;
        Ok(cursor)
    };
    chains.into_iter().map(open).collect()
}

/// Runs of a generation of which each begins behind the end of the one before are read one after the other: so what an
/// earlier merge had to part, because it was so much, is one input however many parts it has.
fn chains(runs: &[Arc<Run>]) -> Vec<VecDeque<Arc<Run>>> {
    let mut chains: Vec<VecDeque<Arc<Run>>> = Vec::new();
    for run in runs {
        let follows = |before: &Arc<Run>| {
            let (before, next) = (before.sidecar(), run.sidecar());
            let ends = before.entities.last().map(|rows| (rows.entity, rows.last));
            let begins = next.entities.first().map(|rows| (rows.entity, rows.first));
            ends < begins && before.plan == next.plan
        };
        match chains.last_mut() {
            Some(chain) if chain.back().is_some_and(follows) => chain.push_back(Arc::clone(run)),
            _ => chains.push(VecDeque::from([Arc::clone(run)])),
        }
    }
    chains
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
        let mut fresh = self.scan.rows();
        fresh.extend_from(&self.rows, self.at..self.at + left);
        self.rows = fresh;
        self.at = 0;
        while self.rows.is_empty() || self.rows.key(0) == self.rows.key(self.rows.len() - 1) {
            if self.scan.read(self.piece_rows, &mut self.rows)? > 0 {
                continue;
            }
            match self.behind.pop_front() {
                Some(next) => self.scan = next.scan(0..next.sidecar().rows, None),
                None => {
                    self.ended = true;
                    break;
                }
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
fn take_stretch(cursor: &mut Cursor, bound: Option<RowKey>, out: &mut Out) {
    let end = cursor.stretch(bound).min(cursor.at + out.room());
    let range = cursor.at..end;
    out.rows.extend_keys(&cursor.rows, range.clone());
    let filled = out.rows.len();
    for (column, from) in out.rows.columns.iter_mut().zip(&cursor.columns) {
        match from {
            Some(from) => column.cells.extend_from(&cursor.rows.columns[*from].cells, range.clone()),
            None => column.cells.resize(filled),
        }
    }
    cursor.at = end;
}

/// Puts the rows of the smallest key together.
fn take_key(cursors: &mut [Cursor], out: &mut Out) {
    let key = cursors.iter().filter_map(Cursor::key).min().expect("somebody has a row");
    // Oldest first: inputs come by generation, and within one the newest stands last.
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for (at, cursor) in cursors.iter_mut().enumerate() {
        while cursor.key() == Some(key) {
            parts.push((at, cursor.at));
            cursor.at += 1;
        }
    }
    let columns = out.rows.columns.len();
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
        out.rows.push_when(key.entity, when(part));
        for (column_at, (column, newest)) in out.rows.columns.iter_mut().zip(&newest).enumerate() {
            let value = newest.filter(|&newest| when(newest) == when(part)).and_then(|newest| {
                let (at, row) = parts[newest];
                cursors[at].rows.columns[cursors[at].columns[column_at]?].cells.get(row)
            });
            column.cells.push(value);
        }
    }
}

/// Rows that are done, and the file they go into.
struct Out {
    plan: Plan,
    file_bytes: u64,
    /// How many rows are written at once.
    piece_rows: usize,
    rows: Rows,
    writer: Option<(PathBuf, Writer)>,
    /// The last entity that was passed on.
    last: Option<u64>,
    done: Vec<Output>,
}

impl Out {
    fn new(plan: Plan, file_bytes: u64) -> Self {
        let rows = Rows::new(plan.columns.iter().map(|column| column.no));
        // A row group; less where files are to be so small that one would be too much.
        let small = (file_bytes / super::run::row_bytes(&plan)).max(1024);
        let piece_rows = super::run::group_rows(&plan).min(usize::try_from(small).unwrap_or(usize::MAX));
        Self { plan, file_bytes, piece_rows, rows, writer: None, last: None, done: Vec::new() }
    }

    /// How many rows fit before they have to be passed on.
    fn room(&self) -> usize {
        self.piece_rows.saturating_sub(self.rows.len()).max(1)
    }

    /// Writes what there is, once it is a row group.
    fn pass_on(&mut self, next_path: &mut dyn FnMut() -> PathBuf) -> Result<()> {
        if self.rows.len() < self.piece_rows { Ok(()) } else { self.write(next_path) }
    }

    fn write(&mut self, next_path: &mut dyn FnMut() -> PathBuf) -> Result<()> {
        let mut from = 0;
        while from < self.rows.len() {
            let to = self.end_in_file(from);
            if to == from {
                self.end_file()?;
                continue;
            }
            let (_, writer) = match &mut self.writer {
                Some(open) => open,
                none => {
                    let path = next_path();
                    let writer = Writer::create(&path, self.plan.clone())?;
                    none.insert((path, writer))
                }
            };
            writer.write(&self.rows, from..to)?;
            self.last = Some(self.rows.entity[to - 1]);
            from = to;
        }
        self.rows.clear();
        Ok(())
    }

    /// Up to where rows go into the present file: all of them, unless it is full.
    fn end_in_file(&self, from: usize) -> usize {
        let size_bytes = self.writer.as_ref().map_or(0, |(_, writer)| writer.size_bytes());
        if size_bytes < self.file_bytes {
            return self.rows.len();
        }
        if size_bytes >= 2 * self.file_bytes {
            return from;
        }
        let of_last = |&&entity: &&u64| Some(entity) == self.last;
        from + self.rows.entity[from..].iter().take_while(of_last).count()
    }

    fn end_file(&mut self) -> Result<()> {
        if let Some((path, writer)) = self.writer.take() {
            self.done.push(Output { path, written: writer.finish()? });
        }
        Ok(())
    }

    fn finish(mut self, next_path: &mut dyn FnMut() -> PathBuf) -> Result<Vec<Output>> {
        self.write(next_path)?;
        self.end_file()?;
        Ok(self.done)
    }
}
