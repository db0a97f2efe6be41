//! The series that have the same windows, and their numbers among themselves.

use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::grid::{Grid, Kind, Naming};
use super::plan::{Plan, WindowKind};
use super::published::{Published, Stale};
use super::session::Sessions;
use super::spans::Spans;

/// The series that have the same windows of the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Set {
    pub(super) windows: Vec<u16>,
    pub(super) grid: Option<Grid>,
    pub(super) sessions: Vec<Sessions>,
    pub(super) members: Members,
}

/// The series of a set. They have numbers of their own, so that the pages of one set have no holes where the series
/// of another are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Members {
    /// The caller's numbers.
    series: Vec<u32>,
    /// Whether it may be one that was forgotten while it had windows open.
    returned: Vec<bool>,
    free: Vec<u32>,
}

/// Spans of time of which state does not know all there was.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Untrusted {
    /// For every series: what was known was given up.
    pub(super) blind: Spans,
    /// For series that were registered since then: series were forgotten while they had these windows open.
    pub(super) forgotten: Spans,
}

/// What a set's windows need to know to name their series.
pub(super) struct Names<'a> {
    pub(super) members: &'a Members,
    pub(super) untrusted: &'a Untrusted,
}

impl Naming for Names<'_> {
    #[inline]
    fn series(&self, local: u32) -> u32 {
        self.members.series[local as usize]
    }

    #[inline]
    fn is_whole(&self, local: u32, start: i64, end: i64) -> bool {
        let Untrusted { blind, forgotten } = self.untrusted;
        !(blind.touch(start, end) || self.members.returned[local as usize] && forgotten.touch(start, end))
    }
}

impl Set {
    /// Of these windows of the plan, of which all that ends up to `done` has been published.
    pub(super) fn new(plan: &Plan, windows: Vec<u16>, done: i64) -> Self {
        let kinds = || windows.iter().map(|&window| (window, &plan.windows()[usize::from(window)]));
        let grid: Vec<Kind> = kinds()
            .filter_map(|(window, of)| match of.kind() {
                WindowKind::Grid { size, slide } => Some(Kind { window, size, slide, least: of.least() }),
                WindowKind::Session { .. } => None,
            })
            .collect();
        let sessions = kinds().filter_map(|(window, of)| match of.kind() {
            WindowKind::Session { gap } => Some(Sessions::new((window, of.least()), gap, done)),
            WindowKind::Grid { .. } => None,
        });
        let (grid, sessions) = (Grid::new(&grid, done), sessions.collect());
        Self { windows, grid, sessions, members: Members::default() }
    }

    /// The number of a series that joins the set.
    pub(super) fn register(&mut self, series: u32, returned: bool) -> u32 {
        let members = &mut self.members;
        let local = members.free.pop().unwrap_or_else(|| {
            members.series.push(series);
            members.returned.push(returned);
            members.series.len() as u32 - 1
        });
        (members.series[local as usize], members.returned[local as usize]) = (series, returned);
        self.sessions.iter_mut().for_each(|sessions| sessions.register(local));
        local
    }

    /// Forgets a series. Returns its open windows (end, number, start), in this order.
    pub(super) fn forget(&mut self, local: u32, budget: &mut Budget) -> Vec<(i64, u16, i64)> {
        let grid = self.grid.iter_mut().flat_map(|grid| grid.forget(local, budget));
        let mut open: Vec<_> = grid.collect();
        self.sessions.iter_mut().for_each(|sessions| open.extend(sessions.forget(local, budget)));
        open.sort_unstable();
        self.members.free.push(local);
        open
    }

    /// The next time up to `until` at which something is to be published.
    pub(super) fn next_due(&self, until: i64) -> Option<i64> {
        let grid = self.grid.iter().filter_map(|grid| grid.next_due(until));
        grid.chain(self.sessions.iter().filter_map(|sessions| sessions.next_due(until))).min()
    }

    /// Publishes the grid's windows that end up to `until`; returns whether there is more than `limit` allows.
    pub(super) fn settle_grid(
        &mut self,
        until: i64,
        limit: usize,
        untrusted: &Untrusted,
        budget: &mut Budget,
        out: &mut Vec<Published>,
    ) -> bool {
        let names = Names { members: &self.members, untrusted };
        self.grid.as_mut().is_some_and(|grid| grid.settle(until, limit, &names, budget, out))
    }

    /// Publishes the sessions that end up to `until`; returns whether there are more than `limit` allows.
    pub(super) fn settle_sessions(
        &mut self,
        until: i64,
        limit: usize,
        untrusted: &Untrusted,
        budget: &mut Budget,
        out: &mut Vec<Published>,
    ) -> bool {
        let names = Names { members: &self.members, untrusted };
        self.sessions.iter_mut().any(|sessions| sessions.settle(until, limit, &names, budget, out))
    }

    /// Counts its bytes in.
    pub(super) fn count(&self, budget: &mut Budget) {
        self.grid.iter().for_each(|grid| grid.count(budget));
        self.sessions.iter().for_each(|sessions| sessions.count(budget));
    }

    /// Gives up what the grid's [`Grid::farthest`] has named; its windows go to `out`. Returns the span.
    pub(super) fn give_up(
        &mut self,
        pane: (i64, usize),
        untrusted: &Untrusted,
        budget: &mut Budget,
        out: &mut Vec<Stale>,
    ) -> (i64, i64) {
        let names = Names { members: &self.members, untrusted };
        self.grid.as_mut().expect("it has named a pane").give_up(pane, &names, budget, out)
    }
}
