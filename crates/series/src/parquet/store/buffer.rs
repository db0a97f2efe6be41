//! Rows that are not in a file yet, as columns, with an index: so that every question sees them at once, and they leave
//! for a file sorted.
//!
//! Rows are only added. Those of earlier batches are sealed: a later value of one of their keys gets a row of its own,
//! and the newest row of a key counts. So who knows how many rows there were sees the buffer as it was, and a batch that
//! was not committed is cut off again.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};

use hashbrown::HashMap;
use record::{Timestamp, ValueKind, ValueRef, When};

use crate::parquet::{Cells, Column, ColumnNo, Entity, RowKey, Rows};

/// The buffered rows of one table.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// In the order they came. A column may be shorter than the rows: the rest of it is empty.
    rows: Rows,
    /// Entity, claimed time, sequence number, row. Of one key the newest row comes last.
    index: BTreeSet<Place>,
    /// The newest claimed time of each entity, or a later one: what is newer has no row, and so the index is not searched for it.
    newest: HashMap<u64, i64>,
    /// Cells with a value, those that a newer row of their key has replaced included.
    readings: u64,
    /// Bounds of event time less claimed time.
    shifts: (i64, i64),
    /// Bounds of claimed time, or wider.
    claimed: Option<(i64, i64)>,
    /// The last row that was put in: the next reading is nearly always of the same moment.
    last: Option<(Entity, When, u32)>,
    /// Where the column stands that it went into.
    last_column: usize,
    /// What the last batch began with.
    sealed: Sealed,
}

/// An entry of the index.
pub(super) type Place = (u64, i64, u64, u32);

#[derive(Clone, Copy, Debug, Default)]
struct Sealed {
    rows: usize,
    readings: u64,
    shifts: (i64, i64),
}

/// What a row and its index entry take beside the cells, bytes.
const ROW_BYTES: usize = 41 + 48;
/// What an entity's newest time takes, bytes.
const ENTITY_BYTES: usize = 17;

impl Buffer {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows there are now: what a snapshot sees for ever.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn readings(&self) -> u64 {
        self.readings
    }

    pub(super) fn size_bytes(&self) -> usize {
        ROW_BYTES * self.rows.len()
            + ENTITY_BYTES * self.newest.capacity()
            + self.rows.columns.iter().map(|column| column.cells.size_bytes()).sum::<usize>()
    }

    /// A batch begins: what is there is not changed any more.
    pub(super) fn seal(&mut self) {
        self.sealed = Sealed { rows: self.rows.len(), readings: self.readings, shifts: self.shifts };
        self.last = None;
    }

    /// Cuts off what came since [`Buffer::seal`].
    pub(super) fn take_back(&mut self) {
        let Sealed { rows, readings, shifts } = self.sealed;
        for row in rows..self.rows.len() {
            let key = self.rows.key(row);
            self.index.remove(&(key.entity.0, key.claimed, key.seq, row as u32));
        }
        self.rows.truncate(rows);
        (self.readings, self.shifts, self.last) = (readings, shifts, None);
    }

    /// The value of a key, and its times, of what the buffer's first `among` rows have.
    pub(super) fn find(&self, key: RowKey, column: ColumnNo, among: usize) -> Option<(When, ValueRef<'_>)> {
        let cells = self.rows.cells(column)?;
        self.rows_of(key).rev().filter(|&row| (row as usize) < among).find_map(|row| {
            let value = cells.get(row as usize)?;
            Some((self.rows.when(row as usize), value))
        })
    }

    /// The rows of a key, the newest last: looked for once, and not for each of its columns.
    pub(super) fn rows_of_key(&self, key: RowKey, rows: &mut Vec<u32>) {
        rows.clear();
        if self.may_hold(key) {
            rows.extend(self.rows_of(key));
        }
    }

    /// Whether there may be rows of a key: mostly it is newer than all of its entity's.
    fn may_hold(&self, key: RowKey) -> bool {
        self.newest.get(&key.entity.0).is_some_and(|&newest| key.claimed <= newest)
    }

    /// The value of a column in the newest of these rows that has one.
    pub(super) fn newest(&self, rows: &[u32], column: ColumnNo) -> Option<(When, ValueRef<'_>)> {
        if rows.is_empty() {
            return None;
        }
        let cells = self.rows.cells(column)?;
        rows.iter().rev().find_map(|&row| Some((self.rows.when(row as usize), cells.get(row as usize)?)))
    }

    /// Puts a reading in, and says in which row. It takes the place of what the buffer has of its key.
    pub(super) fn put(&mut self, entity: Entity, column: ColumnNo, when: When, value: ValueRef<'_>) -> u32 {
        let row = self.row(entity, when);
        self.put_into(row, column, value);
        row
    }

    /// Puts a reading into a row that [`Buffer::row`] has named.
    #[inline]
    pub(super) fn put_into(&mut self, row: u32, column: ColumnNo, value: ValueRef<'_>) {
        let row = row as usize;
        let at = self.column(column);
        let cells = &mut self.rows.columns[at].cells;
        if cells.len() == row {
            cells.push(Some(value));
            self.readings += 1;
            return;
        }
        if cells.len() < row {
            cells.resize(row + 1);
        }
        self.readings += u64::from(cells.get(row).is_none());
        cells.set(row, Some(value));
    }

    /// As [`Buffer::put_into`], if the row has no value there. Says whether that is so.
    #[inline]
    pub(super) fn put_first(&mut self, row: u32, column: ColumnNo, value: ValueRef<'_>) -> bool {
        let at = self.column(column);
        let cells = &mut self.rows.columns[at].cells;
        match cells.len().cmp(&(row as usize)) {
            Ordering::Equal => {
                cells.push(Some(value));
                self.readings += 1;
                true
            }
            Ordering::Greater if cells.get(row as usize).is_some() => false,
            _ => {
                self.put_into(row, column, value);
                true
            }
        }
    }

    /// Where a column stands. Columns come one after the other, nearly always.
    fn column(&mut self, column: ColumnNo) -> usize {
        let columns = &mut self.rows.columns;
        let next = self.last_column + 1;
        let at = match columns.get(next) {
            Some(next_column) if next_column.no == column => next,
            _ => columns.binary_search_by_key(&column, |column| column.no).unwrap_or_else(|at| {
                columns.insert(at, Column { no: column, cells: Cells::default() });
                at
            }),
        };
        self.last_column = at;
        at
    }

    /// The row of a moment, which is made if the batch has none that is the newest of its key.
    pub(super) fn row(&mut self, entity: Entity, when: When) -> u32 {
        if let Some((of, at, row)) = self.last
            && of == entity
            && at == when
        {
            return row;
        }
        let key = RowKey { entity, claimed: when.claimed.nanos(), seq: when.seq };
        let newest = if self.may_hold(key) { self.rows_of(key).next_back() } else { None };
        let newest = newest.map(|row| row as usize);
        let known = newest.filter(|&row| row >= self.sealed.rows && self.rows.when(row) == when);
        let row = known.unwrap_or_else(|| self.add_row(key, when)) as u32;
        self.last = Some((entity, when, row));
        row
    }

    fn add_row(&mut self, key: RowKey, when: When) -> usize {
        let row = self.rows.len();
        let no = u32::try_from(row).expect("a buffer becomes a file long before it has so many rows");
        self.rows.push_when(key.entity, when);
        let shift = when.time.nanos().saturating_sub(key.claimed);
        self.shifts = (self.shifts.0.min(shift), self.shifts.1.max(shift));
        let (first, last) = self.claimed.unwrap_or((key.claimed, key.claimed));
        self.claimed = Some((first.min(key.claimed), last.max(key.claimed)));
        self.index.insert((key.entity.0, key.claimed, key.seq, no));
        let newest = self.newest.entry(key.entity.0).or_insert(key.claimed);
        *newest = key.claimed.max(*newest);
        row
    }

    fn rows_of(&self, key: RowKey) -> impl DoubleEndedIterator<Item = u32> {
        let of = |row| (key.entity.0, key.claimed, key.seq, row);
        self.index.range(of(0)..=of(u32::MAX)).map(|&(.., row)| row)
    }

    /// Visits the values that count, of some metrics of an entity, whose claimed time is in a range, of the buffer's first
    /// `among` rows. In no order.
    pub(super) fn visit(
        &self,
        entity: Entity,
        claimed: &RangeInclusive<i64>,
        columns: &[ColumnNo],
        among: usize,
        visit: &mut dyn FnMut(ColumnNo, When, ValueRef<'_>),
    ) {
        let (from, to) = ((entity.0, *claimed.start(), 0, 0), (entity.0, *claimed.end(), u64::MAX, u32::MAX));
        if from > to {
            return;
        }
        let cells = columns.iter().filter_map(|&no| self.rows.cells(no).map(|cells| (no, cells)));
        let cells: Vec<_> = cells.collect();
        let (mut key, mut told) = (None, Vec::new());
        // Of one key the newest comes first.
        for &(_, claimed, seq, row) in self.index.range(from..=to).rev() {
            if row as usize >= among {
                continue;
            }
            if key.replace((claimed, seq)) != Some((claimed, seq)) {
                told.clear();
            }
            for (no, cells) in &cells {
                if let Some(value) = cells.get(row as usize)
                    && !told.contains(no)
                {
                    visit(*no, self.rows.when(row as usize), value);
                    told.push(*no);
                }
            }
        }
    }

    /// Visits the latest value of each of some metrics of an entity, of what the buffer's first `among` rows have; where
    /// clocks were put right, all of them.
    pub(super) fn latest(
        &self,
        entity: Entity,
        columns: &[ColumnNo],
        among: usize,
        visit: &mut dyn FnMut(ColumnNo, When, ValueRef<'_>),
    ) {
        if self.shifts != (0, 0) {
            // Event times do not follow the keys.
            return self.visit(entity, &(i64::MIN..=i64::MAX), columns, among, visit);
        }
        let cells = columns.iter().filter_map(|&no| self.rows.cells(no).map(|cells| (no, cells)));
        let mut missing: Vec<_> = cells.collect();
        for &(.., row) in
            self.index.range((entity.0, i64::MIN, 0, 0)..=(entity.0, i64::MAX, u64::MAX, u32::MAX)).rev()
        {
            if row as usize >= among {
                continue;
            }
            missing.retain(|(no, cells)| match cells.get(row as usize) {
                Some(value) => {
                    visit(*no, self.rows.when(row as usize), value);
                    false
                }
                None => true,
            });
            if missing.is_empty() {
                return;
            }
        }
    }

    /// Whether one of the rows from `from` on, in the order they came, has a claimed time within a range.
    pub(super) fn has_since(&self, from: usize, claimed: RangeInclusive<i64>) -> bool {
        self.rows.claimed.get(from..).is_some_and(|rows| rows.iter().any(|at| claimed.contains(at)))
    }

    /// Visits the kinds of a column's values.
    pub(super) fn visit_kinds(&self, column: ColumnNo, mut visit: impl FnMut(ValueKind)) {
        let Some(cells) = self.rows.cells(column) else { return };
        (0..cells.len()).filter_map(|row| cells.get(row)).for_each(|value| visit(value.kind()));
    }

    /// Whether an entity has rows.
    pub(super) fn holds(&self, entity: Entity) -> bool {
        let (from, to) = ((entity.0, i64::MIN, 0, 0), (entity.0, i64::MAX, u64::MAX, u32::MAX));
        self.index.range(from..=to).next().is_some()
    }

    /// The entities that have rows.
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

    /// When the latest of an entity's rows arrived, of the buffer's first `among` rows.
    pub(super) fn heard(&self, entity: Entity, among: usize) -> Option<Timestamp> {
        let (from, to) = ((entity.0, i64::MIN, 0, 0), (entity.0, i64::MAX, u64::MAX, u32::MAX));
        let rows = self.index.range(from..=to).map(|&(.., row)| row as usize).filter(|&row| row < among);
        rows.map(|row| self.rows.arrived_at[row]).max().map(Timestamp::from_nanos)
    }

    /// Whose rows these are, and when they arrived.
    pub(super) fn arrivals(&self, rows: Range<usize>) -> impl Iterator<Item = (Entity, Timestamp)> {
        let arrived_at = self.rows.arrived_at[rows.clone()].iter().map(|&at| Timestamp::from_nanos(at));
        self.rows.entity[rows].iter().map(|&entity| Entity(entity)).zip(arrived_at)
    }

    /// The smallest and the largest difference between event time and claimed time.
    pub(super) fn shifts(&self) -> (i64, i64) {
        self.shifts
    }

    /// Bounds of the rows' claimed times.
    pub(super) fn claimed(&self) -> (i64, i64) {
        self.claimed.unwrap_or((i64::MAX, i64::MIN))
    }

    /// The rows in the order of their keys, no value of a key twice, parted by `part` of their claimed time.
    pub(super) fn sorted<P: Ord>(&self, part: impl Fn(i64) -> P) -> BTreeMap<P, Rows> {
        let mut picked: BTreeMap<P, Picked> = BTreeMap::new();
        let places: Vec<Place> = self.index.iter().copied().collect();
        for key in places.chunk_by(same_key) {
            self.pick(key, picked.entry(part(key[0].1)).or_default());
        }
        let columns = || self.rows.columns.iter().map(|column| column.no);
        picked
            .into_iter()
            .map(|(part, picked)| {
                let mut rows = Rows::new(columns());
                self.gather(&picked, &mut rows);
                (part, rows)
            })
            .collect()
    }

    /// Adds the next rows behind a place, in the order of their keys and whole keys at a time, about `most` of them, of
    /// the buffer's first `among` rows, as far as `wanted` says where to go on. Says behind which place to go on; `None`
    /// at the end.
    pub(super) fn read(
        &self,
        from: Place,
        among: usize,
        most: usize,
        wanted: &mut dyn FnMut(Place) -> Next,
        into: &mut Rows,
    ) -> Option<Place> {
        let mut picked = Picked::default();
        let (mut at, mut key) = (from, Vec::new());
        let next = 'reading: loop {
            let mut jump = None;
            for &place in self.index.range(at..) {
                if place.3 as usize >= among {
                    continue;
                }
                if key.last().is_some_and(|last| !same_key(last, &place)) {
                    self.pick(&key, &mut picked);
                    key.clear();
                    if picked.rows.len() >= most {
                        break 'reading Some(place);
                    }
                }
                match wanted(place) {
                    Next::Take => key.push(place),
                    Next::From(place) => {
                        jump = Some(place);
                        break;
                    }
                    Next::End => break,
                }
            }
            match jump {
                Some(place) => at = place,
                None => break None,
            }
        };
        self.pick(&key, &mut picked);
        self.gather(&picked, into);
        next
    }

    /// Picks the rows of one key, the newest last: what a newer one has replaced is blank.
    fn pick(&self, key: &[Place], picked: &mut Picked) {
        if let [place] = key {
            picked.rows.push(place.3);
            return;
        }
        for (at, &(.., row)) in key.iter().enumerate() {
            let newer = &key[at + 1..];
            let has = |row: u32, column: &Column| column.cells.get(row as usize).is_some();
            let mut left = 0;
            let blanks = picked.blanks.len();
            for column in self.rows.columns.iter().filter(|column| has(row, column)) {
                if newer.iter().any(|&(.., newer)| has(newer, column)) {
                    picked.blanks.push((picked.rows.len(), column.no));
                } else {
                    left += 1;
                }
            }
            match left {
                0 => picked.blanks.truncate(blanks),
                _ => picked.rows.push(row),
            }
        }
    }

    fn gather(&self, picked: &Picked, into: &mut Rows) {
        let (all, order, from) = (&self.rows, &picked.rows, into.len());
        into.entity.extend(order.iter().map(|&row| all.entity[row as usize]));
        into.claimed.extend(order.iter().map(|&row| all.claimed[row as usize]));
        into.seq.extend(order.iter().map(|&row| all.seq[row as usize]));
        into.time.extend(order.iter().map(|&row| all.time[row as usize]));
        into.arrived_at.extend(order.iter().map(|&row| all.arrived_at[row as usize]));
        into.origin.extend(order.iter().map(|&row| all.origin[row as usize]));
        let rows = into.len();
        for to in &mut into.columns {
            match all.cells(to.no) {
                Some(cells) => to.cells.extend_gathered(cells, order),
                None => to.cells.resize(rows),
            }
        }
        for &(row, no) in &picked.blanks {
            if let Ok(at) = into.columns.binary_search_by_key(&no, |column| column.no) {
                into.columns[at].cells.set(from + row, None);
            }
        }
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

/// What [`Buffer::read`] does with a row.
pub(super) enum Next {
    Take,
    /// Nothing before this place is wanted.
    From(Place),
    End,
}

/// Rows in an order, and the cells of them that are not taken, by place in that order.
#[derive(Default)]
struct Picked {
    rows: Vec<u32>,
    blanks: Vec<(usize, ColumnNo)>,
}

fn same_key(a: &Place, b: &Place) -> bool {
    (a.0, a.1, a.2) == (b.0, b.1, b.2)
}

/// For keys of rows.
pub(super) fn row_key(entity: Entity, claimed: Timestamp, seq: u64) -> RowKey {
    RowKey { entity, claimed: claimed.nanos(), seq }
}
