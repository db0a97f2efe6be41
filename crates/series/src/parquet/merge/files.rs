//! Several runs become one, or as many as their size asks for.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Input, Merging, Pieces};
use crate::Result;
use crate::parquet::run::{Detail, Plan, Planned, Run, Scan, Unit, Writer, Written, group_rows, row_bytes};
use crate::parquet::{ColumnNo, Rows};

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
    let columns: Vec<ColumnNo> = plan.columns.iter().map(|column| column.no).collect();
    let chains = generations.iter().flat_map(|runs| chains(runs));
    let mut merging = Merging::of(chains.map(|chain| Box::new(chain) as Box<dyn Input>).collect(), &columns)?;
    let mut out = Out::new(plan, file_bytes);
    while merging.read(out.room(), &mut out.rows)? {
        out.pass_on(&mut next_path)?;
    }
    out.finish(&mut next_path)
}

/// What of a run is left out when it is written again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goes<'g> {
    /// The rows of a device.
    Device(u32),
    /// All columns but these; then also the rows that have a value in none of these.
    Others(&'g [ColumnNo]),
}

/// Writes a run again without something. Nothing is written where there is nothing else.
///
/// # Errors
/// As [`merge`].
pub(crate) fn without(
    run: &Arc<Run>,
    goes: Goes<'_>,
    mut next_path: impl FnMut() -> PathBuf,
) -> Result<Vec<Output>> {
    let sidecar = run.sidecar();
    let mut plan = sidecar.plan.clone();
    let (ranges, columns) = match goes {
        Goes::Device(device) => (joined(others(run, device)), None),
        Goes::Others(kept) => {
            plan.columns.retain(|column| kept.contains(&column.no));
            (std::iter::once(0..sidecar.rows).collect(), Some(kept))
        }
    };
    let mut kept = Pieces::new(Arc::clone(run), ranges, columns, Detail::Whole);
    let mut out = Out::new(plan, u64::MAX);
    let mut piece = kept.rows();
    while kept.read(out.room(), &mut piece)? > 0 {
        piece.visit_filled(|rows| out.rows.extend_from(&piece, rows));
        piece.clear();
        out.pass_on(&mut next_path)?;
    }
    out.finish(&mut next_path)
}

/// The rows of all devices but one.
fn others(run: &Run, device: u32) -> VecDeque<Range<u64>> {
    let sidecar = run.sidecar();
    let ends = sidecar.entities.iter().skip(1).map(|next| next.first_row).chain([sidecar.rows]);
    let all = sidecar.entities.iter().zip(ends);
    all.filter(|(rows, _)| rows.entity.device() != device).map(|(rows, end)| rows.first_row..end).collect()
}

/// Ranges that meet become one.
fn joined(ranges: VecDeque<Range<u64>>) -> VecDeque<Range<u64>> {
    let mut joined: VecDeque<Range<u64>> = VecDeque::new();
    for range in ranges {
        match joined.back_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push_back(range),
        }
    }
    joined
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
        time_unit: plans.clone().map(|plan| plan.time_unit).min().unwrap_or(Unit::Millis),
        delay_unit: plans.clone().map(|plan| plan.delay_unit).min().unwrap_or(Unit::Millis),
        groups: plans.clone().any(|plan| plan.groups),
        seqs: plans.clone().any(|plan| plan.seqs),
        shifts: plans.clone().any(|plan| plan.shifts),
        origins: plans.clone().any(|plan| plan.origins),
    }
}

/// Runs that follow one another, with the same columns, read as one.
struct Chain {
    scan: Scan,
    last: Arc<Run>,
    behind: VecDeque<Arc<Run>>,
}

impl Chain {
    fn of(run: &Arc<Run>) -> Self {
        Self { scan: whole(run), last: Arc::clone(run), behind: VecDeque::new() }
    }
}

fn whole(run: &Arc<Run>) -> Scan {
    run.scan(0..run.sidecar().rows, None)
}

impl Input for Chain {
    fn read(&mut self, most: usize, into: &mut Rows) -> Result<usize> {
        loop {
            let count = self.scan.read(most, into)?;
            if count > 0 {
                return Ok(count);
            }
            match self.behind.pop_front() {
                Some(next) => self.scan = whole(&next),
                None => return Ok(0),
            }
        }
    }

    fn rows(&self) -> Rows {
        self.scan.rows()
    }
}

/// Runs of a generation of which each begins behind the end of the one before are read one after the other: so what an
/// earlier merge had to part, because it was so much, is one input however many parts it has.
fn chains(runs: &[Arc<Run>]) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for run in runs {
        let follows = |before: &Arc<Run>| {
            let (before, next) = (before.sidecar(), run.sidecar());
            let ends = before.entities.last().map(|rows| (rows.entity, rows.last));
            let begins = next.entities.first().map(|rows| (rows.entity, rows.first));
            ends < begins && before.plan == next.plan
        };
        match chains.last_mut() {
            Some(chain) if follows(&chain.last) => {
                chain.behind.push_back(Arc::clone(run));
                chain.last = Arc::clone(run);
            }
            _ => chains.push(Chain::of(run)),
        }
    }
    chains
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
        let small = (file_bytes / row_bytes(&plan)).max(1024);
        let piece_rows = group_rows(&plan).min(usize::try_from(small).unwrap_or(usize::MAX));
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
