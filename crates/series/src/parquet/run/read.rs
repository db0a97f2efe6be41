//! A run as it is read: one device's rows, or all of them one piece after the other.

use std::fs::File;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::schema::types::SchemaDescriptor;

use super::ahead::{Ahead, Leaves, Wants};
use super::fault::{io_fault, parquet_fault};
use super::object::{Fetch, Object};
use super::page::{self, Pages};
use super::schema::{self, Hidden};
use super::sidecar::{EntityRows, Refusal, Sidecar, VERSION};
use super::sidecar_path;
use super::source::{Damage, Place, Source, damage, read_block};
use super::unpack;
use crate::parquet::{ColumnNo, Entity, Rows};
use crate::{Error, Result};

/// A run, opened: its sidecar and the Parquet file's footer are in memory and checked, the pages are on disk or in an object
/// store.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    sidecar: Arc<Sidecar>,
    pub(super) metadata: ParquetMetaData,
    place: Whence,
    /// First row of each row group, and the number of rows.
    pub(super) group_starts: Vec<u64>,
}

/// Where the pages of a run come from.
#[derive(Debug)]
pub(super) enum Whence {
    File(Arc<Source>),
    Object(Arc<Object>),
}

impl Run {
    /// Opens a run by the path of its Parquet file.
    ///
    /// # Errors
    /// [`Error::Database`] when a file cannot be read, [`Error::Damaged`] when it is not what was written,
    /// [`Error::Newer`] when a later version wrote it.
    pub fn open(path: &Path) -> Result<Self> {
        let sidecar = Arc::new(read_sidecar(&sidecar_path(path))?);
        let file = File::open(path).map_err(|error| io_fault("opening", path, &error))?;
        let size_bytes = file.metadata().map_err(|error| io_fault("opening", path, &error))?.len();
        let failed = |error| fault(path, error);
        if size_bytes != sidecar.file_bytes {
            let reason = format!("it has {size_bytes} bytes, {} were written", sidecar.file_bytes);
            return Err(failed(damage(size_bytes.min(sidecar.file_bytes), reason)));
        }
        let footer = read_block(&file, sidecar.footer).map_err(failed)?;
        let source = Source { place: Place::File(file), size_bytes, pages: Arc::clone(&sidecar) };
        Self::of(path.to_owned(), sidecar, &footer, Whence::File(Arc::new(source)))
    }

    /// Opens a run whose Parquet file is in an object store. `path` is where it was on the disk, where its sidecar and its
    /// seal are.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub(crate) fn open_object(path: &Path, fetch: Arc<dyn Fetch>) -> Result<Self> {
        let sidecar = Arc::new(read_sidecar(&sidecar_path(path))?);
        let (object, footer) = Object::open(path, &sidecar, fetch)?;
        Self::of(PathBuf::from(object.place()), sidecar, &footer, Whence::Object(Arc::new(object)))
    }

    fn of(path: PathBuf, sidecar: Arc<Sidecar>, footer: &bytes::Bytes, place: Whence) -> Result<Self> {
        let failed = |error| fault(&path, error);
        let mut reader = ParquetMetaDataReader::new()
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Optional);
        let metadata = reader.try_parse_sized(footer, sidecar.file_bytes).and_then(|()| reader.finish());
        let metadata = metadata.and_then(page::unpacked).map_err(failed)?;
        check(&metadata, &sidecar).map_err(|reason| failed(damage(sidecar.footer.offset, reason)))?;
        let mut group_starts = vec![0];
        for group in metadata.row_groups() {
            group_starts.push(group_starts[group_starts.len() - 1] + group.num_rows() as u64);
        }
        Ok(Self { path, sidecar, metadata, place, group_starts })
    }

    pub(super) fn place(&self) -> &Whence {
        &self.place
    }

    pub(super) fn shared_sidecar(&self) -> Arc<Sidecar> {
        Arc::clone(&self.sidecar)
    }

    /// The object that its pages are in, if they are not on the disk.
    pub(crate) fn object(&self) -> Option<&Arc<Object>> {
        match &self.place {
            Whence::File(_) => None,
            Whence::Object(object) => Some(object),
        }
    }

    /// Its Parquet file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands beside it.
    #[must_use]
    pub fn sidecar(&self) -> &Sidecar {
        &self.sidecar
    }

    /// The memory it takes while it is open, bytes, nearly.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let object = self.object().map_or(0, |object| object.size_bytes());
        self.sidecar.size_bytes() + self.metadata.memory_size() + object
    }

    /// The rows of an entity whose claimed time is within a range, with these metrics (those of them the file has).
    /// `None` when there are none.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn entity(
        self: &Arc<Self>,
        entity: Entity,
        claimed: &RangeInclusive<i64>,
        columns: &[ColumnNo],
        detail: Detail,
    ) -> Result<Option<Rows>> {
        let Some((rows, known)) = self.sidecar.entity(entity) else { return Ok(None) };
        if known.last < *claimed.start() || known.first > *claimed.end() {
            return Ok(None);
        }
        let (range, times) = self.within_times(rows, &known, claimed)?;
        if range.is_empty() {
            return Ok(None);
        }
        let mut scan = Scan { times, ..self.scan_entity(entity, range, columns, detail) };
        let mut found = scan.rows();
        while scan.read(usize::MAX, &mut found)? > 0 {}
        Ok(Some(found))
    }

    /// Which of an entity's rows have a claimed time within a range: the keys are read, where its bounds do not say it.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub(crate) fn within(
        self: &Arc<Self>,
        rows: Range<u64>,
        known: &EntityRows,
        claimed: &RangeInclusive<i64>,
    ) -> Result<Range<u64>> {
        self.within_times(rows, known, claimed).map(|(range, _)| range)
    }

    /// The same, and the times of those rows if they were read.
    fn within_times(
        self: &Arc<Self>,
        rows: Range<u64>,
        known: &EntityRows,
        claimed: &RangeInclusive<i64>,
    ) -> Result<(Range<u64>, Option<Times>)> {
        if known.first >= *claimed.start() && known.last <= *claimed.end() {
            return Ok((rows, None));
        }
        let mut keys = Rows::default();
        let mut scan = self.scan_entity(known.entity, rows.clone(), &[], Detail::Times);
        while scan.read(usize::MAX, &mut keys)? > 0 {}
        let from = keys.claimed.partition_point(|at| at < claimed.start());
        let to = keys.claimed.partition_point(|at| at <= claimed.end());
        let times = Times { keys, first: rows.start };
        Ok((rows.start + from as u64..rows.start + to as u64, Some(times)))
    }

    /// Reads a range of rows piece by piece, with these metrics, or all that the file has.
    #[must_use]
    pub fn scan(self: &Arc<Self>, rows: Range<u64>, columns: Option<&[ColumnNo]>) -> Scan {
        let wanted = |no| columns.is_none_or(|columns| columns.contains(&no));
        // Who reads everything will not ask again.
        let columns_wanted = columns.is_some();
        let plan = &self.sidecar.plan;
        let columns = (0..plan.columns.len()).filter(|&at| wanted(plan.columns[at].no)).collect();
        Scan {
            run: Arc::clone(self),
            rows,
            columns,
            group: None,
            ahead: None,
            keep: columns_wanted,
            entity: None,
            times: None,
            detail: Detail::Whole,
        }
    }

    fn scan_entity(
        self: &Arc<Self>,
        entity: Entity,
        rows: Range<u64>,
        columns: &[ColumnNo],
        detail: Detail,
    ) -> Scan {
        Scan { entity: Some(entity), detail, ..self.scan(rows, Some(columns)) }
    }
}

/// What of a row's times is wanted: each is a column to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Event time, claimed time and sequence number. Arrival is then told as the event time, and the clock as the device's.
    Times,
    /// All of it.
    Whole,
}

/// A reader of a run that goes forward, one page of each column in memory.
#[derive(Debug)]
pub struct Scan {
    run: Arc<Run>,
    /// What is still to be read.
    rows: Range<u64>,
    /// Which of the plan's columns.
    columns: Vec<usize>,
    group: Option<Group>,
    /// What was fetched of an object before it is read.
    ahead: Option<Ahead>,
    /// Whether what is fetched is kept for others.
    keep: bool,
    /// Whose rows these all are, if that is known.
    entity: Option<Entity>,
    /// Their times, where they were read before.
    times: Option<Times>,
    detail: Detail,
}

/// Times and sequence numbers of rows that were read to find out which are wanted.
#[derive(Debug)]
struct Times {
    keys: Rows,
    /// Which row is the first.
    first: u64,
}

impl Times {
    fn copy(&self, rows: Range<u64>, into: &mut Rows) {
        let rows = (rows.start - self.first) as usize..(rows.end - self.first) as usize;
        into.time.extend_from_slice(&self.keys.time[rows.clone()]);
        into.claimed.extend_from_slice(&self.keys.claimed[rows.clone()]);
        into.seq.extend_from_slice(&self.keys.seq[rows]);
    }
}

/// The readers of a row group's columns.
struct Group {
    /// One past its last row.
    end: u64,
    hidden: Vec<(Hidden, ColumnReader)>,
    metrics: Vec<Vec<ColumnReader>>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("end", &self.end).finish_non_exhaustive()
    }
}

impl Scan {
    /// Reads of the times only what is wanted.
    #[must_use]
    pub fn with_detail(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }

    /// Rows without any, of the metrics that are read.
    #[must_use]
    pub fn rows(&self) -> Rows {
        Rows::new(self.columns.iter().map(|&at| self.run.sidecar.plan.columns[at].no))
    }

    /// Adds at most so many of the next rows to those given (from [`Scan::rows`]). Returns how many; 0 at the end.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn read(&mut self, most: usize, into: &mut Rows) -> Result<usize> {
        if self.rows.is_empty() {
            return Ok(0);
        }
        if self.group.as_ref().is_none_or(|group| group.end <= self.rows.start) {
            self.group = Some(self.open_group().map_err(|error| fault(&self.run.path, error))?);
        }
        let group = self.group.as_mut().expect("it was opened just now");
        let count = (group.end.min(self.rows.end) - self.rows.start).min(most as u64) as usize;
        let plan = &self.run.sidecar.plan;
        if let Some(times) = &self.times {
            times.copy(self.rows.start..self.rows.start + count as u64, into);
        }
        let outcome =
            unpack::keys(&mut group.hidden, count, plan, self.entity, into).and_then(|exceptions| {
                for (column, (at, readers)) in
                    into.columns.iter_mut().zip(self.columns.iter().zip(&mut group.metrics))
                {
                    unpack::metric(readers, count, plan.columns[*at].kind, &mut column.cells)?;
                }
                unpack::exceptions(&exceptions, into, count)
            });
        outcome.map_err(|error| self.place(error))?;
        self.rows.start += count as u64;
        Ok(count)
    }

    fn place(&self, error: ParquetError) -> Error {
        match error {
            error @ ParquetError::External(_) => fault(&self.run.path, error),
            other => fault(&self.run.path, damage(0, format!("rows from {}: {other}", self.rows.start))),
        }
    }

    fn open_group(&mut self) -> parquet::errors::Result<Group> {
        let run = &*self.run;
        let at = run.group_starts.partition_point(|&start| start <= self.rows.start) - 1;
        let skip = (self.rows.start - run.group_starts[at]) as usize;
        let leaves = run.leaves(Wants {
            columns: &self.columns,
            detail: self.detail,
            one_entity: self.entity.is_some(),
            times_known: self.times.is_some(),
        });
        let source = run.source_of(at, &self.rows, &leaves, self.keep, &mut self.ahead)?;
        let open = |leaf: usize| open_column(run, &source, at, leaf, skip);
        let Leaves { hidden, metrics } = leaves;
        let hidden = hidden.into_iter().map(|(column, leaf)| Ok((column, open(leaf)?)));
        let metrics = metrics.into_iter().map(|leaves| leaves.map(open).collect());
        Ok(Group {
            end: run.group_starts[at + 1],
            hidden: hidden.collect::<parquet::errors::Result<_>>()?,
            metrics: metrics.collect::<parquet::errors::Result<_>>()?,
        })
    }
}

fn open_column(
    run: &Run,
    source: &Arc<Source>,
    group: usize,
    leaf: usize,
    skip: usize,
) -> parquet::errors::Result<ColumnReader> {
    let metadata = run.metadata.row_group(group);
    let chunk = metadata.column(leaf);
    let pages = match run.metadata.offset_index() {
        Some(index) => {
            index.get(group).and_then(|group| group.get(leaf)).map(|index| index.page_locations.clone())
        }
        None => Some(vec![page::only(chunk)]),
    };
    let pages = pages.ok_or_else(|| damage(run.sidecar.footer.offset, "there is no offset index"))?;
    let reader = Pages::new(source, chunk, metadata.num_rows() as usize, pages)?;
    let mut reader = get_column_reader(chunk.column_descr_ptr(), Box::new(reader));
    if skip > 0 {
        unpack::skip(&mut reader, skip)?;
    }
    Ok(reader)
}

pub(crate) fn read_sidecar(path: &Path) -> Result<Sidecar> {
    let bytes = std::fs::read(path).map_err(|error| io_fault("opening", path, &error))?;
    Sidecar::decode(&bytes).map_err(|refusal| match refusal {
        Refusal::Newer(found) => Error::Newer {
            place: path.display().to_string(),
            found: u32::from(found),
            known: u32::from(VERSION),
        },
        Refusal::Damaged(reason) => Error::Damaged {
            place: path.display().to_string(),
            at: "the sidecar".to_owned(),
            reason: reason.to_owned(),
        },
    })
}

/// Whether footer and sidecar are of the same file.
fn check(metadata: &ParquetMetaData, sidecar: &Sidecar) -> std::result::Result<(), String> {
    let root = schema::of(&sidecar.plan, sidecar.spared).map_err(|error| error.to_string())?;
    let expected = SchemaDescriptor::new(root);
    let found = metadata.file_metadata().schema_descr();
    if found.num_columns() != expected.num_columns() {
        return Err(format!(
            "it has {} columns, {} are expected",
            found.num_columns(),
            expected.num_columns()
        ));
    }
    for (found, expected) in found.columns().iter().zip(expected.columns()) {
        let facts = |column: &parquet::schema::types::ColumnDescriptor| -> (Physical, i16, i16, Vec<String>) {
            let path = column.path().parts().to_vec();
            (column.physical_type(), column.max_def_level(), column.max_rep_level(), path)
        };
        if facts(found) != facts(expected) {
            return Err(format!("column {} is not what was written", expected.path()));
        }
    }
    let rows =
        metadata.row_groups().iter().map(|group| u64::try_from(group.num_rows()).unwrap_or(0)).sum::<u64>();
    let whole = metadata.row_groups().iter().all(|group| group.num_rows() > 0);
    if rows != sidecar.rows || !whole {
        return Err(format!("it has {rows} rows, {} are expected", sidecar.rows));
    }
    Ok(())
}

pub(super) fn fault(path: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<Damage>() {
            Ok(damage) => Error::Damaged {
                place: path.display().to_string(),
                at: format!("byte {}", damage.at),
                reason: damage.reason,
            },
            Err(other) => match other.downcast::<Error>() {
                Ok(error) => *error,
                Err(other) => parquet_fault("reading", path, ParquetError::External(other)),
            },
        },
        other => Error::Damaged {
            place: path.display().to_string(),
            at: "its footer".to_owned(),
            reason: other.to_string(),
        },
    }
}
