//! The rows of a grouped answer, and between them those of the buckets that nothing fell into.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, RecordBatch, TimestampNanosecondArray, new_null_array,
};
use datafusion::arrow::compute::{concat_batches, interleave};
use datafusion::arrow::datatypes::{Float64Type, SchemaRef, TimestampNanosecondType};
use datafusion::arrow::row::{OwnedRow, RowConverter, Rows as Keys, SortField};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use series::scan::BATCH_ROWS;

use super::calls::Fill;

/// Which columns are what: first those of the groups, of which one is the bucket, then those that are NULL in a gap, last those
/// that are filled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Layout {
    pub(super) keys: usize,
    pub(super) bucket: usize,
    pub(super) fills: Vec<Fill>,
}

/// Takes batches sorted by group and bucket, makes batches without gaps.
pub(super) struct Rows {
    schema: SchemaRef,
    layout: Layout,
    buckets: Vec<i64>,
    /// `None`: there are no other keys, and so one group.
    groups: Option<RowConverter>,
    current: Current,
    /// The last row of the batch before.
    kept: RecordBatch,
    /// The group that is being read; `None` before the first.
    group: Option<Group>,
    ended: bool,
    _memory: MemoryReservation,
}

/// A batch that is being read.
struct Current {
    batch: RecordBatch,
    keys: Option<Keys>,
    at: usize,
}

struct Group {
    key: Option<OwnedRow>,
    /// How many of the buckets are through.
    buckets: usize,
    last: Place,
}

/// Where a row stands.
#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    /// It is the one that is kept.
    Kept,
    /// In the batch that is being read.
    Here(usize),
}

/// A row to be made.
enum Row {
    There(usize),
    /// With the rows of its group before and behind it.
    Gap {
        bucket: i64,
        last: Place,
        next: Place,
    },
}

impl Rows {
    pub(super) fn new(
        schema: SchemaRef,
        layout: Layout,
        buckets: impl Iterator<Item = i64>,
        memory: MemoryReservation,
    ) -> Result<Self> {
        let mut starts = Vec::new();
        for start in buckets {
            if starts.len() == starts.capacity() {
                let more = starts.len().max(BATCH_ROWS);
                memory.try_grow(more * size_of::<i64>())?;
                starts.reserve_exact(more);
            }
            starts.push(start);
        }
        let groups = (0..layout.keys).filter(|at| *at != layout.bucket);
        let fields: Vec<_> = groups.map(|at| SortField::new(schema.field(at).data_type().clone())).collect();
        let groups = if fields.is_empty() { None } else { Some(RowConverter::new(fields)?) };
        let kept = RecordBatch::new_empty(Arc::clone(&schema));
        let current = Current { batch: kept.clone(), keys: None, at: 0 };
        Ok(Self {
            schema,
            layout,
            buckets: starts,
            groups,
            current,
            kept,
            group: None,
            ended: false,
            _memory: memory,
        })
    }

    /// The next batch, once all that can be made of the one before is made.
    pub(super) fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let of_groups = (0..self.layout.keys).filter(|at| *at != self.layout.bucket);
        let columns: Vec<ArrayRef> = of_groups.map(|at| Arc::clone(batch.column(at))).collect();
        let keys = self.groups.as_ref().map(|groups| groups.convert_columns(&columns)).transpose()?;
        if let Some(group) = &mut self.group
            && let Place::Here(at) = group.last
        {
            let row = self.current.batch.slice(at, 1);
            // A copy: a slice would hold all of the batch.
            self.kept = concat_batches(&row.schema(), [&row])?;
            group.last = Place::Kept;
        }
        self.current = Current { batch, keys, at: 0 };
        Ok(())
    }

    /// There are no more batches.
    pub(super) fn finish(&mut self) {
        self.ended = true;
        if self.group.is_none() && self.groups.is_none() {
            // Without other keys there is one group, also where there is no row.
            self.group = Some(Group { key: None, buckets: 0, last: Place::Nowhere });
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        let left = self.group.as_ref().is_some_and(|group| group.buckets < self.buckets.len());
        self.ended && !left
    }

    /// The next rows, at most a batch of them; `None` when more has to be read, or all is made.
    pub(super) fn make(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows = Vec::new();
        while rows.len() < BATCH_ROWS {
            let Some(row) = self.next() else { break };
            rows.push(row);
        }
        if rows.is_empty() { Ok(None) } else { self.batch(&rows).map(Some) }
    }

    /// Decides what the next row is; `None` when that is not known yet, or there is none.
    fn next(&mut self) -> Option<Row> {
        let there = self.current.at < self.current.batch.num_rows();
        loop {
            let Some(group) = &mut self.group else {
                self.group = Some(there.then(|| self.current.group())?);
                continue;
            };
            let next = there && group.key.as_ref().map(OwnedRow::row) == self.current.key();
            let bucket = next.then(|| self.current.bucket(self.layout.bucket)).flatten();
            let gap = self.buckets.get(group.buckets).copied().filter(|start| match bucket {
                Some(bucket) => *start < bucket,
                // A time that is none comes before all; the rest of a group is gaps once its end is known.
                None => !next && (there || self.ended),
            });
            if let Some(start) = gap {
                group.buckets += 1;
                let next = if next { Place::Here(self.current.at) } else { Place::Nowhere };
                return Some(Row::Gap { bucket: start, last: group.last, next });
            }
            if next {
                let through = bucket.is_some() && self.buckets.get(group.buckets).copied() == bucket;
                group.buckets += usize::from(through);
                group.last = Place::Here(self.current.at);
                self.current.at += 1;
                return Some(Row::There(self.current.at - 1));
            }
            self.group = Some(there.then(|| self.current.group())?);
        }
    }

    fn batch(&self, rows: &[Row]) -> Result<RecordBatch> {
        let columns = (0..self.schema.fields().len()).map(|at| {
            let fills = self.schema.fields().len() - self.layout.fills.len();
            let fill = at.checked_sub(fills).and_then(|nth| self.layout.fills.get(nth));
            match fill {
                Some(Fill::Line) => Ok(self.line(rows, at)),
                Some(Fill::Carry) => self.column(rows, at, |last, _| last),
                None if at == self.layout.bucket => Ok(self.starts(rows)),
                None if at < self.layout.keys => self.column(rows, at, |last, next| match last {
                    Place::Nowhere => next,
                    last => last,
                }),
                None => self.column(rows, at, |_, _| Place::Nowhere),
            }
        });
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<_>>()?)?)
    }

    /// A column of values that are there; in gaps, those of the row that `pick` picks of the last and the next.
    fn column(&self, rows: &[Row], at: usize, pick: fn(Place, Place) -> Place) -> Result<ArrayRef> {
        let here = self.current.batch.column(at);
        let (nothing, kept) = (new_null_array(here.data_type(), 1), self.kept.column(at));
        let places = rows.iter().map(|row| match row {
            Row::There(row) => (2, *row),
            Row::Gap { last, next, .. } => match pick(*last, *next) {
                Place::Nowhere => (0, 0),
                Place::Kept => (1, 0),
                Place::Here(row) => (2, row),
            },
        });
        Ok(interleave(&[&*nothing, &**kept, &**here], &places.collect::<Vec<_>>())?)
    }

    fn starts(&self, rows: &[Row]) -> ArrayRef {
        let times = times(&self.current.batch, self.layout.bucket);
        let starts: TimestampNanosecondArray = rows
            .iter()
            .map(|row| match row {
                Row::There(at) => times.is_valid(*at).then(|| times.value(*at)),
                Row::Gap { bucket, .. } => Some(*bucket),
            })
            .collect();
        Arc::new(starts.with_timezone_opt(times.timezone()))
    }

    fn line(&self, rows: &[Row], at: usize) -> ArrayRef {
        let point = |place: &Place| {
            let (batch, row) = match place {
                Place::Nowhere => return None,
                Place::Kept => (&self.kept, 0),
                Place::Here(row) => (&self.current.batch, *row),
            };
            let (times, values) =
                (times(batch, self.layout.bucket), batch.column(at).as_primitive::<Float64Type>());
            (times.is_valid(row) && values.is_valid(row)).then(|| (times.value(row), values.value(row)))
        };
        let values = rows.iter().map(|row| match row {
            Row::There(row) => point(&Place::Here(*row)).map(|(_, value)| value),
            Row::Gap { bucket, last, next } => {
                let ((from, low), (to, high)) = (point(last)?, point(next)?);
                let part = bucket.abs_diff(from) as f64 / to.abs_diff(from) as f64;
                Some(low + (high - low) * part)
            }
        });
        Arc::new(values.collect::<Float64Array>())
    }
}

impl Current {
    fn key(&self) -> Option<datafusion::arrow::row::Row<'_>> {
        self.keys.as_ref().map(|keys| keys.row(self.at))
    }

    /// The group of the row that is read now.
    fn group(&self) -> Group {
        Group { key: self.key().map(|key| key.owned()), buckets: 0, last: Place::Nowhere }
    }

    fn bucket(&self, column: usize) -> Option<i64> {
        let times = times(&self.batch, column);
        times.is_valid(self.at).then(|| times.value(self.at))
    }
}

/// The starts of the buckets: `time_bucket_gapfill` makes nanoseconds of whatever it is given.
fn times(batch: &RecordBatch, column: usize) -> &TimestampNanosecondArray {
    batch.column(column).as_primitive::<TimestampNanosecondType>()
}
