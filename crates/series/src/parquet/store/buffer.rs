//! Rows that are not in a file yet, as columns, with an index: so that every question sees them at once, and a flush has
//! them sorted.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use record::{Timestamp, ValueRef, When};

use crate::parquet::{Cells, Column, ColumnNo, Entity, RowKey, Rows};

/// The buffered rows of one table.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// In the order they came. A column may be shorter than the rows: the rest of it is empty.
    rows: Rows,
    /// Entity, claimed time, sequence number, row. Of one key the newest row comes last.
    index: BTreeSet<(u64, i64, u64, u32)>,
    readings: u64,
    /// Bounds of event time less claimed time.
    shifts: (i64, i64),
    /// The last row that was put in: the next reading is nearly always of the same moment.
    last: Option<(Entity, When, u32)>,
    /// Whether that row is the only one of its key.
    last_alone: bool,
}

/// What a row and its index entry take beside the cells, bytes.
const ROW_BYTES: usize = 41 + 48;

/// Where a buffered value stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    row: u32,
    column: usize,
}

impl Buffer {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn readings(&self) -> u64 {
        self.readings
    }

    pub(super) fn size_bytes(&self) -> usize {
        ROW_BYTES * self.rows.len()
            + self.rows.columns.iter().map(|column| column.cells.size_bytes()).sum::<usize>()
    }

    /// Where the value of a reading's key stands.
    pub(super) fn find(&self, key: RowKey, column: ColumnNo) -> Option<Place> {
        let column = self.rows.columns.binary_search_by_key(&column, |column| column.no).ok()?;
        if let Some((entity, when, row)) = self.last
            && self.last_alone
            && (entity, when.claimed.nanos(), when.seq) == (key.entity, key.claimed, key.seq)
        {
            let place = Place { row, column };
            return self.value(place).is_some().then_some(place);
        }
        self.rows_of(key).map(|row| Place { row, column }).find(|&place| self.value(place).is_some())
    }

    pub(super) fn value(&self, place: Place) -> Option<ValueRef<'_>> {
        self.rows.columns[place.column].cells.get(place.row as usize)
    }

    pub(super) fn when(&self, place: Place) -> When {
        self.rows.when(place.row as usize)
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, place: Place) {
        self.rows.columns[place.column].cells.set(place.row as usize, None);
        self.readings -= 1;
    }

    /// Puts a reading in whose key has no value here.
    pub(super) fn put(&mut self, entity: Entity, column: ColumnNo, when: When, value: ValueRef<'_>) {
        let row = self.row(entity, when);
        let columns = &mut self.rows.columns;
        let at = match columns.binary_search_by_key(&column, |column| column.no) {
            Ok(at) => at,
            Err(at) => {
                columns.insert(at, Column { no: column, cells: Cells::default() });
                at
            }
        };
        let cells = &mut columns[at].cells;
        if cells.len() == row as usize {
            cells.push(Some(value));
        } else {
            if cells.len() < row as usize {
                cells.resize(row as usize + 1);
            }
            cells.set(row as usize, Some(value));
        }
        self.readings += 1;
    }

    /// The row of a moment, which is made if there is none.
    fn row(&mut self, entity: Entity, when: When) -> u32 {
        if let Some((of, at, row)) = self.last
            && of == entity
            && at == when
        {
            return row;
        }
        let key = RowKey { entity, claimed: when.claimed.nanos(), seq: when.seq };
        let alone = self.rows_of(key).next().is_none();
        let known = self.rows_of(key).find(|&row| self.rows.when(row as usize) == when);
        let row = known.unwrap_or_else(|| {
            let row =
                u32::try_from(self.rows.len()).expect("a buffer is flushed long before it has so many rows");
            self.rows.push_when(entity, when);
            let shift = when.time.nanos().saturating_sub(key.claimed);
            self.shifts = (self.shifts.0.min(shift), self.shifts.1.max(shift));
            self.index.insert((entity.0, key.claimed, key.seq, row));
            row
        });
        self.last = Some((entity, when, row));
        self.last_alone = alone;
        row
    }

    fn rows_of(&self, key: RowKey) -> impl DoubleEndedIterator<Item = u32> {
        let of = |row| (key.entity.0, key.claimed, key.seq, row);
        self.index.range(of(0)..=of(u32::MAX)).map(|&(.., row)| row)
    }

    /// Visits the values of some metrics of an entity whose claimed time is in a range.
    pub(super) fn visit(
        &self,
        entity: Entity,
        claimed: &RangeInclusive<i64>,
        columns: &[ColumnNo],
        visit: &mut dyn FnMut(ColumnNo, When, ValueRef<'_>),
    ) {
        if claimed.is_empty() {
            return;
        }
        let from = (entity.0, *claimed.start(), 0, 0);
        let to = (entity.0, *claimed.end(), u64::MAX, u32::MAX);
        for &(.., row) in self.index.range(from..=to) {
            for column in columns.iter().filter_map(|&no| self.rows.cells(no).map(|cells| (no, cells))) {
                if let Some(value) = column.1.get(row as usize) {
                    visit(column.0, self.rows.when(row as usize), value);
                }
            }
        }
    }

    /// The entities that have rows, each with the columns of which it has values: what changes their last values.
    pub(super) fn entities(&self) -> Vec<Entity> {
        let mut entities: Vec<Entity> = Vec::new();
        let mut from = 0_u64;
        // A jump from entity to entity, not from row to row.
        while let Some(&(entity, ..)) = self.index.range((from, i64::MIN, 0, 0)..).next() {
            entities.push(Entity(entity));
            let Some(next) = entity.checked_add(1) else { break };
            from = next;
        }
        entities
    }

    pub(super) fn columns(&self) -> Vec<ColumnNo> {
        self.rows.columns.iter().map(|column| column.no).collect()
    }

    /// The smallest and the largest difference between event time and claimed time.
    pub(super) fn shifts(&self) -> (i64, i64) {
        self.shifts
    }

    /// The rows in the order of their keys, those without a value left out, parted by `part` of their claimed time.
    pub(super) fn sorted<P: Ord>(&self, part: impl Fn(i64) -> P) -> BTreeMap<P, Rows> {
        let mut rows: BTreeMap<P, Vec<u32>> = BTreeMap::new();
        let filled = self.filled();
        for &(_, claimed, _, row) in &self.index {
            if filled[row as usize] {
                rows.entry(part(claimed)).or_default().push(row);
            }
        }
        rows.into_iter().map(|(part, order)| (part, self.gather(&order))).collect()
    }

    /// Which rows have a value: a correction may have taken a row's last one.
    fn filled(&self) -> Vec<bool> {
        let mut filled = vec![false; self.rows.len()];
        for column in &self.rows.columns {
            for (filled, &kind) in filled.iter_mut().zip(column.cells.kinds()) {
                *filled |= kind != 0;
            }
        }
        filled
    }

    fn gather(&self, order: &[u32]) -> Rows {
        let mut rows = Rows::new(self.columns());
        let all = &self.rows;
        rows.entity.extend(order.iter().map(|&row| all.entity[row as usize]));
        rows.claimed.extend(order.iter().map(|&row| all.claimed[row as usize]));
        rows.seq.extend(order.iter().map(|&row| all.seq[row as usize]));
        rows.time.extend(order.iter().map(|&row| all.time[row as usize]));
        rows.arrived_at.extend(order.iter().map(|&row| all.arrived_at[row as usize]));
        rows.origin.extend(order.iter().map(|&row| all.origin[row as usize]));
        for (to, from) in rows.columns.iter_mut().zip(&all.columns) {
            to.cells.extend_gathered(&from.cells, order);
        }
        rows
    }

    /// How many readings each claimed time's part has.
    pub(super) fn count<P: Ord>(&self, part: impl Fn(i64) -> P) -> BTreeMap<P, u64> {
        let mut counts = BTreeMap::new();
        let mut in_row = vec![0_u64; self.rows.len()];
        for column in &self.rows.columns {
            for (count, &kind) in in_row.iter_mut().zip(column.cells.kinds()) {
                *count += u64::from(kind != 0);
            }
        }
        for &(_, claimed, _, row) in &self.index {
            *counts.entry(part(claimed)).or_default() += in_row[row as usize];
        }
        counts
    }
}

/// Numerically equal is the same; any NaN is the same as any other.
pub(super) fn same(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    crate::model::same(a, b)
}

/// For keys of rows.
pub(super) fn row_key(entity: Entity, claimed: Timestamp, seq: u64) -> RowKey {
    RowKey { entity, claimed: claimed.nanos(), seq }
}
