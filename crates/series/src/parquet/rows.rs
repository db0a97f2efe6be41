//! Wide rows in memory, a column for each part.

use record::{TimeOrigin, Timestamp, ValueRef, When};

use super::Cells;
use super::cells::EMPTY;

/// The number of a metric in a tenant. Never given to another metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnNo(pub u32);

/// Whose rows: a group of metrics that come together (upper half) of a device (lower half). Rows are sorted by it
/// first, so that the rows of a group, which fill the same columns, stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity(pub u64);

impl Entity {
    /// From its halves.
    #[must_use]
    pub const fn new(group: u32, device: u32) -> Self {
        Self((group as u64) << 32 | device as u64)
    }

    /// The group of metrics.
    #[must_use]
    pub const fn group(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The device's number.
    #[must_use]
    pub const fn device(self) -> u32 {
        self.0 as u32
    }
}

/// What rows are sorted and put together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// Whose.
    pub entity: Entity,
    /// The time the device claimed, nanoseconds.
    pub claimed: i64,
    /// Its sequence number ([`When::seq`]).
    pub seq: u64,
}

/// A metric's cells, one for each row.
#[derive(Clone, Debug)]
pub struct Column {
    /// Which metric.
    pub no: ColumnNo,
    /// Its values.
    pub cells: Cells,
}

/// Wide rows. Rows of one key follow one another, the newest last: they differ in when they happened or arrived, and
/// no column has a value in more than one of them.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub(crate) entity: Vec<u64>,
    pub(crate) claimed: Vec<i64>,
    pub(crate) seq: Vec<u64>,
    pub(crate) time: Vec<i64>,
    pub(crate) arrived_at: Vec<i64>,
    pub(crate) origin: Vec<u8>,
    /// By rising number, each as long as the rest.
    pub(crate) columns: Vec<Column>,
}

impl Rows {
    /// No rows of these metrics.
    #[must_use]
    pub fn new(columns: impl IntoIterator<Item = ColumnNo>) -> Self {
        let mut columns: Vec<_> =
            columns.into_iter().map(|no| Column { no, cells: Cells::default() }).collect();
        columns.sort_unstable_by_key(|column| column.no);
        columns.dedup_by_key(|column| column.no);
        Self { columns, ..Self::default() }
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entity.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entity.is_empty()
    }

    /// The metrics, by rising number.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many readings: cells that are not empty.
    #[must_use]
    pub fn readings(&self) -> u64 {
        let of = |column: &Column| column.cells.kinds().iter().filter(|&&kind| kind != 0).count() as u64;
        self.columns.iter().map(of).sum()
    }

    /// The key of a row.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn key(&self, row: usize) -> RowKey {
        RowKey { entity: Entity(self.entity[row]), claimed: self.claimed[row], seq: self.seq[row] }
    }

    /// When a row happened and arrived.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn when(&self, row: usize) -> When {
        When {
            time: Timestamp::from_nanos(self.time[row]),
            origin: TimeOrigin::from_number(self.origin[row]).unwrap_or(TimeOrigin::Suspect),
            arrived_at: Timestamp::from_nanos(self.arrived_at[row]),
            claimed: Timestamp::from_nanos(self.claimed[row]),
            seq: self.seq[row],
        }
    }

    /// The cells of a metric; `None` when these rows do not have it.
    #[must_use]
    pub fn cells(&self, column: ColumnNo) -> Option<&Cells> {
        self.columns.binary_search_by_key(&column, |c| c.no).ok().map(|at| &self.columns[at].cells)
    }

    /// Adds a row with a value (or none) for each metric, in the order of [`Rows::columns`].
    ///
    /// # Panics
    /// When there are more values than metrics.
    pub fn push<'v>(
        &mut self,
        entity: Entity,
        when: When,
        values: impl IntoIterator<Item = Option<ValueRef<'v>>>,
    ) {
        self.push_when(entity, when);
        for (at, value) in values.into_iter().enumerate() {
            self.columns[at].cells.push(value);
        }
        let rows = self.len();
        for column in &mut self.columns {
            column.cells.resize(rows);
        }
    }

    /// Adds a row's key and times; its cells are still to be added.
    pub(crate) fn push_when(&mut self, entity: Entity, when: When) {
        self.entity.push(entity.0);
        self.claimed.push(when.claimed.nanos());
        self.seq.push(when.seq);
        self.time.push(when.time.nanos());
        self.arrived_at.push(when.arrived_at.nanos());
        self.origin.push(when.origin as u8);
    }

    /// Adds rows `rows` of another, which has the same metrics.
    pub(crate) fn extend_from(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        debug_assert!(self.columns.len() == other.columns.len());
        self.extend_keys(other, rows.clone());
        for (to, from) in self.columns.iter_mut().zip(&other.columns) {
            to.cells.extend_from(&from.cells, rows.clone());
        }
    }

    /// Adds keys and times of rows of another; the cells are still to be added.
    pub(crate) fn extend_keys(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        self.entity.extend_from_slice(&other.entity[rows.clone()]);
        self.claimed.extend_from_slice(&other.claimed[rows.clone()]);
        self.seq.extend_from_slice(&other.seq[rows.clone()]);
        self.time.extend_from_slice(&other.time[rows.clone()]);
        self.arrived_at.extend_from_slice(&other.arrived_at[rows.clone()]);
        self.origin.extend_from_slice(&other.origin[rows]);
    }

    /// Visits the stretches of rows that have a value.
    pub(crate) fn visit_filled(&self, mut visit: impl FnMut(std::ops::Range<usize>)) {
        let filled = |row: usize| self.columns.iter().any(|column| column.cells.kinds()[row] != EMPTY);
        let mut from = 0;
        while from < self.len() {
            let end = (from..self.len()).find(|&row| !filled(row)).unwrap_or(self.len());
            if from < end {
                visit(from..end);
            }
            from = end + 1;
        }
    }

    /// Keeps the first `rows` rows.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.entity.truncate(rows);
        self.claimed.truncate(rows);
        self.seq.truncate(rows);
        self.time.truncate(rows);
        self.arrived_at.truncate(rows);
        self.origin.truncate(rows);
        for column in &mut self.columns {
            let left = column.cells.len().min(rows);
            column.cells.resize(left);
        }
    }

    /// Empties it and keeps metrics and memory.
    pub(crate) fn clear(&mut self) {
        self.entity.clear();
        self.claimed.clear();
        self.seq.clear();
        self.time.clear();
        self.arrived_at.clear();
        self.origin.clear();
        self.columns.iter_mut().for_each(|column| column.cells.clear());
    }

    /// The memory it takes, bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        41 * self.len() + self.columns.iter().map(|column| column.cells.size_bytes()).sum::<usize>()
    }
}
