//! Sessions of the series that have them: windows that last as long as readings follow each other.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::aggregate::add;
use super::budget::Budget;
use super::cell::{Cell, Point};
use super::grid::Naming;
use super::published::{Closed, Published, Stale};

/// Open sessions a series may have. Readings come nearly in order, so there is one, seldom two; more are made by a clock
/// that jumps ahead at random. Then the two farthest ahead become one, to be computed from the store.
const OPEN_MOST: usize = 16;

/// The sessions of one gap.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sessions {
    window: u16,
    /// Results of fewer readings are not kept.
    least: u32,
    gap: i64,
    /// By the series' number in its set.
    rows: Vec<Row>,
    /// One for each row with open sessions: no later than the first of them ends.
    timers: BTreeSet<(i64, u32)>,
    /// All that ends up to here has been published.
    done: i64,
}

/// The open sessions of a series, by rising time; between two lies a gap.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Row {
    open: Vec<Open>,
    timer: Option<i64>,
}

/// An open session: the times of its first and its last reading, and what they are; nothing when that must be
/// computed from the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Open {
    start: i64,
    last: i64,
    cell: Option<Cell>,
}

impl Sessions {
    pub(super) fn new((window, least): (u16, u32), gap: i64, done: i64) -> Self {
        Self { window, least, gap, rows: Vec::new(), timers: BTreeSet::new(), done }
    }

    /// Makes room for a series.
    pub(super) fn register(&mut self, local: u32) {
        if self.rows.len() <= local as usize {
            self.rows.resize_with(local as usize + 1, Row::default);
        }
    }

    /// Adds a reading.
    pub(super) fn add(
        &mut self,
        local: u32,
        point: Point,
        naming: &impl Naming,
        budget: &mut Budget,
        out: &mut Vec<Stale>,
    ) {
        let (gap, time) = (self.gap, point.time);
        if time + gap <= self.done {
            return self.revise(local, naming.series(local), time, budget, out);
        }
        let row = &mut self.rows[local as usize];
        // The way of nearly every reading: into the only open session.
        let open = if let [open] = row.open.as_mut_slice()
            && open.touches(time, time, gap)
        {
            open.extend(point, budget);
            open
        } else {
            let cell = budget.has(2 * size_of::<Open>()).then(|| cell_of(point));
            row.insert(Open { start: time, last: time, cell }, gap, budget)
        };
        if !naming.is_whole(local, open.start - gap, open.last + gap) {
            open.spoil(budget);
        }
        self.set_timer(local);
    }

    /// Notes that a reading at this time came or changed by another way.
    pub(super) fn revise(
        &mut self,
        local: u32,
        series: u32,
        time: i64,
        budget: &mut Budget,
        out: &mut Vec<Stale>,
    ) {
        let row = &mut self.rows[local as usize];
        let open =
            time + self.gap > self.done || row.open.iter().any(|open| open.touches(time, time, self.gap));
        if open {
            row.insert(Open { start: time, last: time, cell: None }, self.gap, budget);
            self.set_timer(local);
        } else {
            out.push(Stale { series, window: self.window, start: time, end: time + self.gap });
        }
    }

    /// Forgets a series. Returns its open sessions (end, window, start).
    pub(super) fn forget(&mut self, local: u32, budget: &mut Budget) -> Vec<(i64, u16, i64)> {
        let row = std::mem::take(&mut self.rows[local as usize]);
        if let Some(timer) = row.timer {
            self.timers.remove(&(timer, local));
        }
        budget.give_back(row.bytes());
        row.open.iter().map(|open| (open.last + self.gap, self.window, open.start)).collect()
    }

    /// The next time up to `until` at which a session may end.
    pub(super) fn next_due(&self, until: i64) -> Option<i64> {
        self.timers.first().map(|&(timer, _)| timer).filter(|&timer| timer <= until)
    }

    /// Publishes the sessions that end up to `until`, by rising end, then series. Stops when `out` has `limit` entries;
    /// returns whether there is more.
    pub(super) fn settle(
        &mut self,
        until: i64,
        limit: usize,
        naming: &impl Naming,
        budget: &mut Budget,
        out: &mut Vec<Published>,
    ) -> bool {
        while let Some(&(timer, local)) = self.timers.first().filter(|(timer, _)| *timer <= until) {
            if out.len() >= limit {
                return true;
            }
            self.timers.pop_first();
            let row = &mut self.rows[local as usize];
            row.timer = None;
            if row.open[0].last + self.gap == timer {
                let open = row.open.remove(0);
                budget.give_back(open.bytes());
                out.push(self.published(&open, local, naming));
            }
            self.set_timer(local);
        }
        self.done = self.done.max(until);
        false
    }

    /// Counts its bytes in.
    pub(super) fn count(&self, budget: &mut Budget) {
        budget.count(self.rows.iter().map(Row::bytes).sum());
    }

    fn published(&self, open: &Open, local: u32, naming: &impl Naming) -> Published {
        let (series, window, start, end) =
            (naming.series(local), self.window, open.start, open.last + self.gap);
        match &open.cell {
            Some(cell) if naming.is_whole(local, start - self.gap, end) => {
                let aggregate = cell.aggregate();
                match aggregate.count < u64::from(self.least) {
                    true => Published::Few,
                    false => Published::Closed(Closed { series, window, start, end, aggregate }),
                }
            }
            _ => Published::Stale(Stale { series, window, start, end }),
        }
    }

    /// Sees that the row is looked at when its first session may have ended. A session that has grown meanwhile is
    /// found so when the timer fires: most readings do not touch the timer.
    fn set_timer(&mut self, local: u32) {
        let row = &mut self.rows[local as usize];
        let Some(end) = row.open.first().map(|open| open.last + self.gap) else { return };
        if row.timer.is_some_and(|timer| timer <= end) {
            return;
        }
        if let Some(timer) = row.timer.replace(end) {
            self.timers.remove(&(timer, local));
        }
        self.timers.insert((end, local));
    }
}

impl Row {
    /// Adds a session; what it touches becomes one with it. Returns what it is now.
    fn insert(&mut self, mut new: Open, gap: i64, budget: &mut Budget) -> &mut Open {
        let from = self.open.partition_point(|open| open.last <= new.start - gap);
        let to = self.open.partition_point(|open| open.start < new.last + gap);
        for open in self.open.drain(from..to) {
            budget.give_back(open.bytes());
            new.join(open);
        }
        budget.count(new.bytes());
        self.open.insert(from, new);
        if self.open.len() > OPEN_MOST {
            let farthest = self.open.pop().expect("there are more than the most");
            let before = self.open.last_mut().expect("there are as many as the most");
            budget.give_back(farthest.bytes());
            before.spoil(budget);
            before.last = farthest.last;
        }
        let at = from.min(self.open.len() - 1);
        &mut self.open[at]
    }

    fn bytes(&self) -> usize {
        self.open.iter().map(Open::bytes).sum()
    }
}

impl Open {
    /// Whether less than a gap lies between this and another one.
    fn touches(&self, start: i64, last: i64, gap: i64) -> bool {
        self.start < last + gap && start < self.last + gap
    }

    fn extend(&mut self, point: Point, budget: &mut Budget) {
        (self.start, self.last) = (self.start.min(point.time), self.last.max(point.time));
        let Some(cell) = &mut self.cell else { return };
        let Some((before, now)) = cell.add(point) else { return };
        budget.give_back(before - size_of::<Cell>());
        if !budget.take(now - size_of::<Cell>()) {
            self.cell = None;
        }
    }

    /// From now on it must be computed from the store.
    fn spoil(&mut self, budget: &mut Budget) {
        budget.give_back(self.bytes() - size_of::<Self>());
        self.cell = None;
    }

    fn join(&mut self, other: Self) {
        (self.start, self.last) = (self.start.min(other.start), self.last.max(other.last));
        self.cell = match (self.cell.take(), other.cell) {
            (Some(mut cell), Some(other)) => {
                cell.merge(&other);
                Some(cell)
            }
            _ => None,
        };
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.cell.as_ref().map_or(0, |cell| cell.bytes() - size_of::<Cell>())
    }
}

fn cell_of(point: Point) -> Cell {
    let mut cell = None;
    add(&mut cell, point);
    cell.expect("a reading was added")
}
