//! Tumbling and sliding windows of the series that have the same ones.
//!
//! A *track* is a row of panes of one width. Readings go into the panes of the first track, whose width divides
//! the sizes and slides of all windows. When a pane of it ends, what it has is merged into the panes of the other
//! tracks: one for each width that a window is made of, which is the size of a tumbling window and the common
//! divisor of size and slide of a sliding one. A window is then one pane of its track, or some that follow each other,
//! and panes that a later window needs too are kept.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::aggregate::point;
use super::budget::Budget;
use super::page::{Page, SERIES, count, ones, result};
use super::pane::{Pane, place};
use super::plan::divisor;
use super::published::{Closed, Published, Stale};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Grid {
    windows: Vec<GridWindow>,
    tracks: Vec<Track>,
    /// All that ends up to here has been published.
    done: i64,
    /// What ends here is being published, and is for the pages before this one.
    progress: Option<(i64, u32)>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct GridWindow {
    window: u16,
    size: i64,
    slide: i64,
    track: u16,
    /// Results of fewer readings are not kept.
    least: u32,
}

/// A window of a grid, as it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Its number in the plan.
    pub(super) window: u16,
    pub(super) size: i64,
    pub(super) slide: i64,
    /// Results of fewer readings are not kept.
    pub(super) least: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Track {
    width: i64,
    /// By rising time.
    panes: Vec<Pane>,
}

/// What a [`Grid`] does not know of its series: their numbers outside, and whose results are not to be had from state.
pub(super) trait Naming {
    /// The caller's number of the grid's series.
    fn series(&self, local: u32) -> u32;
    /// Whether what state says of this series in this span is all there is.
    fn is_whole(&self, local: u32, start: i64, end: i64) -> bool;
}

impl Grid {
    /// The grid of these windows; `None` when there are none.
    pub(super) fn new(windows: &[Kind], done: i64) -> Option<Self> {
        let base = windows.iter().fold(0, |base, kind| divisor(divisor(kind.size, kind.slide), base));
        let mut widths = vec![base];
        let mut grid_windows = Vec::new();
        for &Kind { window, size, slide, least } in windows {
            let width = divisor(size, slide);
            let track = widths.iter().position(|&other| other == width).unwrap_or_else(|| {
                widths.push(width);
                widths.len() - 1
            });
            grid_windows.push(GridWindow { window, size, slide, track: track as u16, least });
        }
        let tracks = widths.into_iter().map(|width| Track { width, panes: Vec::new() }).collect();
        (base > 0).then_some(Self { windows: grid_windows, tracks, done, progress: None })
    }

    /// Whether a reading of this time has its place in a pane that is still to be published.
    #[inline]
    pub(super) fn is_open(&self, local: u32, time: i64) -> bool {
        self.ends_open(self.pane_end(time), place(local).0)
    }

    /// Adds readings where all that they need is there. Returns how many it took: the one after them needs
    /// [`Pane::add_anew`], or its pane is not open.
    pub(super) fn add(&mut self, readings: &[(u32, f64)], local: impl Fn(u32) -> u32, time: i64) -> usize {
        let settled = self.progress.map_or(self.done, |(end, _)| end);
        let Some(pane) = self.tracks[0].panes.iter_mut().find(|pane| time < pane.end) else { return 0 };
        if time < pane.start || pane.end <= settled {
            return 0;
        }
        let mut at = 0;
        while let Some(&(series, _)) = readings.get(at) {
            let number = place(local(series)).0;
            let Some(page) = pane.page_mut(number) else { return at };
            while let Some(&(series, value)) = readings.get(at) {
                let (other, place) = place(local(series));
                if other != number {
                    break;
                }
                if let Some(point) = point(time, value)
                    && !page.add(place, point)
                {
                    return at;
                }
                at += 1;
            }
        }
        at
    }

    /// The pane of this time, which is made if it is not there.
    #[inline]
    pub(super) fn pane(&mut self, time: i64) -> &mut Pane {
        self.tracks[0].pane(time)
    }

    /// The end of the pane of this time.
    pub(super) fn pane_end(&self, time: i64) -> i64 {
        bounds(time, self.tracks[0].width).1
    }

    /// Notes that readings at this time came or changed by another way: closed windows are named at once, open ones when
    /// they close.
    pub(super) fn revise(
        &mut self,
        local: u32,
        series: u32,
        time: i64,
        budget: &mut Budget,
        out: &mut Vec<Stale>,
    ) {
        if self.is_open(local, time) {
            self.tracks[0].pane(time).spoil(local, budget);
            return;
        }
        let page = place(local).0;
        for track in 0..self.tracks.len() {
            let mut open = false;
            for window in self.windows.iter().filter(|window| usize::from(window.track) == track) {
                for (start, end) in window.over(time) {
                    if self.ends_open(end, page) {
                        open = true;
                    } else {
                        out.push(Stale { series, window: window.window, start, end });
                    }
                }
            }
            if open {
                self.tracks[track].pane(time).spoil(local, budget);
            }
        }
    }

    /// Names all windows of a series over a time.
    pub(super) fn name_all(&self, series: u32, time: i64, out: &mut Vec<Stale>) {
        for window in &self.windows {
            let stale = |(start, end)| Stale { series, window: window.window, start, end };
            out.extend(window.over(time).map(stale));
        }
    }

    /// Forgets a series. Returns its open windows.
    pub(super) fn forget(&mut self, local: u32, budget: &mut Budget) -> BTreeSet<(i64, u16, i64)> {
        let mut open = BTreeSet::new();
        let (page, series) = place(local);
        for track in 0..self.tracks.len() {
            for pane in 0..self.tracks[track].panes.len() {
                let noted = self.tracks[track].panes[pane]
                    .page(page)
                    .is_some_and(|page| (page.occupied | page.spoiled) >> series & 1 == 1);
                if noted {
                    open.extend(self.open_over(track, pane, page));
                    self.tracks[track].panes[pane].clear(local, budget);
                }
            }
        }
        open
    }

    /// The next time up to `until` at which something is to be published.
    pub(super) fn next_due(&self, until: i64) -> Option<i64> {
        self.progress.map(|(end, _)| end).or_else(|| self.next_end(until))
    }

    /// Publishes what ends up to `until`, in the order of ends, then series, then windows. Stops after the page with
    /// which `out` has got `limit` entries; returns whether there is more.
    pub(super) fn settle(
        &mut self,
        until: i64,
        limit: usize,
        naming: &impl Naming,
        budget: &mut Budget,
        out: &mut Vec<Published>,
    ) -> bool {
        loop {
            let next = self.progress.or_else(|| self.next_end(until).map(|end| (end, 0)));
            let Some((end, mut from)) = next else {
                self.done = self.done.max(until);
                return false;
            };
            while let Some(page) = self.next_page(end, from) {
                if out.len() >= limit {
                    self.progress = Some((end, page));
                    return true;
                }
                self.settle_page(end, page, naming, budget, out);
                from = page + 1;
            }
            (self.done, self.progress) = (end, None);
            self.prune(budget);
        }
    }

    /// The pane that ends last, later than `end`: that whose values can be spared best.
    pub(super) fn farthest(&self, end: i64, with_values: bool) -> Option<(i64, usize)> {
        let last = |(track, row): (usize, &Track)| {
            let fits = |pane: &&Pane| if with_values { pane.has_values() } else { pane.start >= end };
            let pane = row.panes.iter().rev().take_while(|pane| pane.end > end).find(fits)?;
            Some((pane.end, track))
        };
        self.tracks.iter().enumerate().filter_map(last).max()
    }

    /// Whether a pane is open that ends before the one of this time begins.
    pub(super) fn opens_before(&self, time: i64) -> bool {
        let base = &self.tracks[0];
        base.panes.iter().any(|pane| self.done < pane.end && pane.end <= time)
    }

    /// Forgets values of a pane that [`Grid::farthest`] has named until so many bytes are free.
    pub(super) fn lighten(&mut self, (end, track): (i64, usize), free: usize, budget: &mut Budget) {
        let mut panes = self.tracks[track].panes.iter_mut();
        panes.find(|pane| pane.end == end).expect("it was there").lighten(free, budget);
    }

    /// Gives up the pane of a track that ends here, if there is one: names the windows over it. Returns its span.
    pub(super) fn give_up(
        &mut self,
        (end, track): (i64, usize),
        naming: &impl Naming,
        budget: &mut Budget,
        out: &mut Vec<Stale>,
    ) -> (i64, i64) {
        let span = (end - self.tracks[track].width, end);
        let Some(at) = self.tracks[track].panes.iter().position(|pane| pane.end == end) else { return span };
        let mut page = 0;
        while let Some(next) = self.tracks[track].panes[at].next_page(page) {
            let windows = self.open_over(track, at, next);
            let noted = self.tracks[track].panes[at].page(next).expect("it is noted");
            for series in ones(noted.occupied | noted.spoiled) {
                let series = naming.series(next * SERIES as u32 + series as u32);
                out.extend(windows.iter().map(|&(end, window, start)| Stale { series, window, start, end }));
            }
            page = next + 1;
        }
        let pane = self.tracks[track].panes.remove(at);
        pane.give_back(budget);
        span
    }

    /// Counts its bytes in.
    pub(super) fn count(&self, budget: &mut Budget) {
        self.tracks.iter().flat_map(|track| &track.panes).for_each(|pane| pane.count(budget));
    }

    /// Whether what ends here is still to be published for this page.
    #[inline]
    fn ends_open(&self, end: i64, page: u32) -> bool {
        match self.progress {
            Some((current, next)) => end > current || end == current && page >= next,
            None => end > self.done,
        }
    }

    /// The open windows (end, number, start) over a pane, as seen from a page.
    fn open_over(&self, track: usize, pane: usize, page: u32) -> BTreeSet<(i64, u16, i64)> {
        let time = self.tracks[track].panes[pane].start;
        let made_of = |window: &&GridWindow| track == 0 || usize::from(window.track) == track;
        let windows = self.windows.iter().filter(made_of);
        let spans =
            windows.flat_map(|window| window.over(time).map(|(start, end)| (end, window.window, start)));
        spans.filter(|&(end, ..)| self.ends_open(end, page)).collect()
    }

    /// The next time up to `until` at which something ends.
    fn next_end(&self, until: i64) -> Option<i64> {
        let base = self.tracks[0].panes.iter().map(|pane| pane.end).find(|&end| end > self.done);
        let windows = self.windows.iter().filter_map(|window| {
            let panes = &self.tracks[usize::from(window.track)].panes;
            panes
                .iter()
                .find_map(|pane| window.over(pane.start).map(|(_, end)| end).find(|&end| end > self.done))
        });
        windows.chain(base).min().filter(|&end| end <= until)
    }

    /// The next page from this one on with something that ends at `end`.
    fn next_page(&self, end: i64, from: u32) -> Option<u32> {
        let base = self.tracks[0].panes.iter().filter(|pane| pane.end == end);
        let windows = self.windows.iter().filter_map(|window| self.panes_of(window, end)).flatten();
        base.chain(windows).filter_map(|pane| pane.next_page(from)).min()
    }

    /// The panes of the window that ends at `end`; `None` when none does.
    fn panes_of(&self, window: &GridWindow, end: i64) -> Option<&[Pane]> {
        let start = window.start_of(end)?;
        let panes = &self.tracks[usize::from(window.track)].panes;
        let from = panes.partition_point(|pane| pane.end <= start);
        let to = panes.partition_point(|pane| pane.start < end);
        Some(&panes[from..to])
    }

    fn settle_page(
        &mut self,
        end: i64,
        number: u32,
        naming: &impl Naming,
        budget: &mut Budget,
        out: &mut Vec<Published>,
    ) {
        let (base, tracks) = self.tracks.split_first_mut().expect("there is always the first track");
        let pane = base.panes.iter().find(|pane| pane.end == end);
        if let Some((pane, page)) = pane.and_then(|pane| Some((pane, pane.page(number)?))) {
            for track in tracks.iter_mut().filter(|_| !page.is_empty()) {
                track.pane(pane.start).absorb(number, page, budget);
            }
        }
        self.publish(end, number, naming, out);
        for (track, row) in self.tracks.iter_mut().enumerate() {
            let slides =
                |window: &GridWindow| usize::from(window.track) == track && window.slide < window.size;
            if !self.windows.iter().any(slides) {
                let ended = row.panes.iter_mut().find(|pane| pane.end == end);
                ended.into_iter().for_each(|pane| pane.drop_page(number, budget));
            }
        }
    }

    fn publish(&self, end: i64, number: u32, naming: &impl Naming, out: &mut Vec<Published>) {
        let ending = self.windows.iter().filter_map(|window| {
            let panes = self.panes_of(window, end)?;
            let pages: Vec<&Page> = panes.iter().filter_map(|pane| pane.page(number)).collect();
            let noted = pages.iter().fold(0, |noted, page| noted | page.occupied | page.spoiled);
            Some((window, end - window.size, pages, noted))
        });
        let ending: Vec<(&GridWindow, i64, Vec<&Page>, u64)> = ending.collect();
        for place in ones(ending.iter().fold(0, |all, (.., noted)| all | noted)) {
            let local = number * SERIES as u32 + place as u32;
            let series = naming.series(local);
            for &(window, start, ref pages, _) in ending.iter().filter(|(.., noted)| noted >> place & 1 == 1)
            {
                let &GridWindow { window, least, .. } = window;
                let stale = Published::Stale(Stale { series, window, start, end });
                let outcome = match count(pages, place).filter(|_| naming.is_whole(local, start, end)) {
                    None => None,
                    Some(count) if count < u64::from(least) => Some(Published::Few),
                    Some(_) => result(pages, place)
                        .map(|aggregate| Published::Closed(Closed { series, window, start, end, aggregate })),
                };
                out.push(outcome.unwrap_or(stale));
            }
        }
    }

    /// Drops the panes that nothing needs any more.
    fn prune(&mut self, budget: &mut Budget) {
        for (track, row) in self.tracks.iter_mut().enumerate() {
            let (windows, done) = (&self.windows, self.done);
            let needed = |pane: &Pane| {
                let mut own = windows.iter().filter(|window| usize::from(window.track) == track);
                pane.end > done || own.any(|window| window.last_end_over(pane.start) > done)
            };
            row.panes.retain(|pane| {
                let needed = needed(pane);
                if !needed {
                    pane.give_back(budget);
                }
                needed
            });
        }
    }
}

impl Track {
    #[inline]
    fn pane(&mut self, time: i64) -> &mut Pane {
        let at = self.panes.partition_point(|pane| pane.end <= time);
        if !self.panes.get(at).is_some_and(|pane| pane.contains(time)) {
            let (start, end) = bounds(time, self.width);
            self.panes.insert(at, Pane::new(start, end));
        }
        &mut self.panes[at]
    }
}

impl GridWindow {
    /// The windows over a time, by rising start.
    fn over(self, time: i64) -> impl Iterator<Item = (i64, i64)> {
        let starts = (time - self.size).div_euclid(self.slide) + 1..=time.div_euclid(self.slide);
        starts.map(move |n| (n * self.slide, n * self.slide + self.size))
    }

    fn last_end_over(self, time: i64) -> i64 {
        time.div_euclid(self.slide) * self.slide + self.size
    }

    /// The start of the window that ends here, if one does.
    fn start_of(self, end: i64) -> Option<i64> {
        let start = end - self.size;
        (start.rem_euclid(self.slide) == 0).then_some(start)
    }
}

/// The pane of a time in a row of this width.
fn bounds(time: i64, width: i64) -> (i64, i64) {
    let start = time.div_euclid(width) * width;
    (start, start + width)
}
