//! All open windows of a partition.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::aggregate::{TIMES, point};
use super::budget::Budget;
use super::plan::Plan;
use super::published::{Published, Stale};
use super::set::{Names, Set, Untrusted};

/// The open windows of a partition's series.
///
/// The caller numbers the series, densely, those of one device next to each other. All times are event times in ns since
/// the epoch. Memory is bounded: where it runs short, what is farthest ahead is given up first, and windows that cannot
/// be kept are named [`Stale`] instead of lost.
///
/// It serialises (without the plan's limits); [`Windows::restore`] goes on from [`Held`](super::Held).
#[derive(Clone, Debug)]
pub struct Windows {
    pub(super) plan: Arc<Plan>,
    allowed_lateness: i64,
    budget: Budget,
    pub(super) state: State,
}

/// What changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    watermark: i64,
    sets: Vec<Set>,
    /// By the caller's number of a series.
    places: Vec<Place>,
    untrusted: Untrusted,
    /// Windows to be named by the next [`Windows::close`].
    pending: Vec<Stale>,
}

/// Where a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    set: u32,
    local: u32,
}

const NOWHERE: Place = Place { set: u32::MAX, local: u32::MAX };

impl Windows {
    /// No series yet. `allowed_lateness` in ns; `memory` is how many bytes open windows may take.
    #[must_use]
    pub fn new(plan: Arc<Plan>, allowed_lateness: i64, memory: usize) -> Self {
        let state = State {
            watermark: i64::MIN,
            sets: Vec::new(),
            places: Vec::new(),
            untrusted: Untrusted::default(),
            pending: Vec::new(),
        };
        Self::with(plan, allowed_lateness, memory, state)
    }

    pub(super) fn with(plan: Arc<Plan>, allowed_lateness: i64, memory: usize, state: State) -> Self {
        let mut budget = Budget::new(memory);
        state.sets.iter().for_each(|set| set.count(&mut budget));
        Self { plan, allowed_lateness, budget, state }
    }

    /// Tells which metric a series is, before its first reading. Does nothing for one that is known.
    pub fn register(&mut self, series: u32, metric: &str) {
        let until = self.until();
        let State { sets, places, untrusted, .. } = &mut self.state;
        if places.len() <= series as usize {
            places.resize(series as usize + 1, NOWHERE);
        }
        if places[series as usize] != NOWHERE {
            return;
        }
        let windows = self.plan.of(metric);
        let set = sets.iter().position(|set| set.windows == windows).unwrap_or_else(|| {
            sets.push(Set::new(&self.plan, windows, until));
            sets.len() - 1
        });
        let local = sets[set].register(series, !untrusted.forgotten.is_empty());
        places[series as usize] = Place { set: set as u32, local };
    }

    /// Adds a reading of a registered series that is not late. Should its windows have closed all the same, they are
    /// named by the next [`Windows::close`].
    #[inline]
    pub fn add(&mut self, series: u32, time: i64, value: f64) {
        self.add_row(&[(series, value)], time);
    }

    /// Adds readings of one time, such as all of one message.
    pub fn add_row(&mut self, row: &[(u32, f64)], time: i64) {
        let mut rest = row;
        while let Some(&(first, _)) = rest.first() {
            let places = &self.state.places;
            let set = places[first as usize].set;
            let other = |&(series, _): &(u32, f64)| places[series as usize].set != set;
            let (readings, others) = rest.split_at(rest.iter().position(other).unwrap_or(rest.len()));
            rest = others;
            self.add_to_grid(set as usize, readings, time);
            self.add_to_sessions(set as usize, readings, time);
        }
    }

    /// Notes that a reading of a registered series at this time came or changed otherwise than by [`Windows::add`]: late,
    /// from the backfill lane, or with a new value. Its windows that have closed are named at once, the others when they
    /// close.
    pub fn revise(&mut self, series: u32, time: i64, out: &mut Vec<Stale>) {
        if !TIMES.contains(&time) {
            return;
        }
        let Place { set, local } = self.state.places[series as usize];
        self.make_room(set as usize, time);
        let State { sets, untrusted, .. } = &mut self.state;
        let set = &mut sets[set as usize];
        match &mut set.grid {
            Some(grid) if untrusted.blind.touch(time, time + 1) => grid.name_all(series, time, out),
            Some(grid) => grid.revise(local, series, time, &mut self.budget, out),
            None => {}
        }
        for sessions in &mut set.sessions {
            sessions.revise(local, series, time, &mut self.budget, out);
        }
    }

    /// Publishes every window that closes at this watermark: its end is at least the allowed lateness behind. Each is
    /// published once. The order is that of ends, then of series as they were registered (those with other windows
    /// after them); sessions follow. A watermark behind an earlier one counts as that one.
    ///
    /// Stops soon after `out` has `limit` entries, and returns whether there is more to publish: a minute's windows of a
    /// large fleet are many, and new readings need not wait for all of them.
    pub fn close(&mut self, watermark: i64, limit: usize, out: &mut Vec<Published>) -> bool {
        out.extend(self.state.pending.drain(..).map(Published::Stale));
        self.state.watermark = self.state.watermark.max(watermark);
        let until = self.until();
        let State { sets, untrusted, .. } = &mut self.state;
        let budget = &mut self.budget;
        loop {
            let next = sets.iter().filter_map(|set| set.grid.as_ref()?.next_due(until)).min();
            let to = next.unwrap_or(until);
            if sets.iter_mut().any(|set| set.settle_grid(to, limit, untrusted, budget, out)) {
                return true;
            }
            if next.is_none() {
                break;
            }
        }
        if sets.iter_mut().any(|set| set.settle_sessions(until, limit, untrusted, budget, out)) {
            return true;
        }
        let passed = until.saturating_sub(self.plan.longest());
        untrusted.blind.pass(passed);
        untrusted.forgotten.pass(passed);
        false
    }

    /// How long, in event time, windows have been over that [`Windows::close`] left for its next calls, ns; 0 when it left none.
    #[must_use]
    pub fn overdue(&self) -> i64 {
        let until = self.until();
        let due = self.state.sets.iter().filter_map(|set| set.next_due(until)).min();
        due.map_or(0, |due| until.saturating_sub(due))
    }

    /// Forgets a series, whose number may then be given to another. Its open windows are named.
    pub fn forget(&mut self, series: u32, out: &mut Vec<Stale>) {
        let State { sets, places, untrusted, pending, .. } = &mut self.state;
        out.extend(pending.extract_if(.., |stale| stale.series == series)); // the number means another one later
        let Place { set, local } = std::mem::replace(&mut places[series as usize], NOWHERE);
        for (end, window, start) in sets[set as usize].forget(local, &mut self.budget) {
            untrusted.forgotten.add(start, end);
            out.push(Stale { series, window, start, end });
        }
    }

    /// Says that there were readings in `from..to` of which this state knows nothing: windows that touch it are to be
    /// computed from the stored readings.
    pub fn distrust(&mut self, from: i64, to: i64) {
        self.state.untrusted.blind.add(from, to);
    }

    /// The watermark of the last [`Windows::close`].
    #[must_use]
    pub fn watermark(&self) -> i64 {
        self.state.watermark
    }

    /// The plan it follows.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Bytes that open windows take.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.budget.used()
    }

    /// What ends up to here is closed.
    fn until(&self) -> i64 {
        self.state.watermark.saturating_sub(self.allowed_lateness)
    }

    fn add_to_grid(&mut self, set: usize, readings: &[(u32, f64)], time: i64) {
        let blind = self.state.untrusted.blind.touch(time, time.saturating_add(1));
        let mut at = 0;
        while at < readings.len() {
            let State { sets, places, .. } = &mut self.state;
            let Some(grid) = &mut sets[set].grid else { return };
            if !blind {
                at += grid.add(&readings[at..], |series| places[series as usize].local, time);
            }
            if let Some(&(series, value)) = readings.get(at) {
                self.add_anew(set, series, time, value);
                at += 1;
            }
        }
    }

    /// Adds a reading to the grid that needs memory, or has no open pane.
    #[cold]
    fn add_anew(&mut self, set: usize, series: u32, time: i64, value: f64) {
        let Some(point) = point(time, value) else { return };
        self.make_room(set, time);
        let State { sets, places, untrusted, pending, .. } = &mut self.state;
        let Some(grid) = &mut sets[set].grid else { return };
        let local = places[series as usize].local;
        if untrusted.blind.touch(time, time + 1) {
            grid.name_all(series, time, pending);
        } else if grid.is_open(local, time) {
            grid.pane(time).add_anew(local, point, &mut self.budget);
        } else {
            grid.revise(local, series, time, &mut self.budget, pending);
        }
    }

    fn add_to_sessions(&mut self, set: usize, readings: &[(u32, f64)], time: i64) {
        let State { sets, places, untrusted, pending, .. } = &mut self.state;
        let Set { sessions, members, .. } = &mut sets[set];
        let names = Names { members, untrusted };
        for sessions in sessions {
            for &(series, value) in readings {
                if let Some(point) = point(time, value) {
                    let local = places[series as usize].local;
                    sessions.add(local, point, &names, &mut self.budget, pending);
                }
            }
        }
    }

    /// Sees that there is memory for readings of this time, as long as there is something to give up that is farther ahead:
    /// first values (the windows are then computed from the stored readings when they close), then, this time's own
    /// included, the knowledge that there were any (they are named now, and again with each reading). So readings of
    /// clocks that are ahead, which wait long for their windows to close, cannot crowd out the present.
    fn make_room(&mut self, set: usize, time: i64) {
        let State { sets, untrusted, pending, .. } = &mut self.state;
        let Some(end) = sets[set].grid.as_ref().map(|grid| grid.pane_end(time)) else { return };
        let free = self.budget.slack();
        while !self.budget.has(free) {
            let farthest = |with_values| {
                let of_set =
                    |(at, set): (usize, &Set)| Some((set.grid.as_ref()?.farthest(end, with_values)?, at));
                sets.iter().enumerate().filter_map(of_set).max()
            };
            if let Some((pane, at)) = farthest(true) {
                let grid = sets[at].grid.as_mut().expect("it has named a pane");
                grid.lighten(pane, free, &mut self.budget);
            } else if let Some((pane, at)) = farthest(false).filter(|_| self.budget.tables_weigh()) {
                let (from, to) = sets[at].give_up(pane, untrusted, &mut self.budget, pending);
                untrusted.blind.add(from, to);
            } else {
                let grid = sets[set]
                    .grid
                    .as_ref()
                    .filter(|grid| self.budget.tables_weigh() && grid.opens_before(time));
                if grid.is_some() {
                    let (from, to) = sets[set].give_up((end, 0), untrusted, &mut self.budget, pending);
                    untrusted.blind.add(from, to);
                }
                return;
            }
        }
    }
}
