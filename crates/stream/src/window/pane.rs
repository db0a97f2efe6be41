//! The pages of one span of time.

use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::cell::Point;
use super::page::{Page, SERIES, planes_of};

/// Pages per leaf: a leaf speaks for 4096 neighbouring series in 1.5 KB.
const PAGES: usize = 64;

/// All cells of the readings with `start <= time < end`, by number of the series within its grid.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pane {
    pub(super) start: i64,
    pub(super) end: i64,
    /// By rising number; where all series are about, number n is at n.
    leaves: Vec<(u32, Leaf)>,
    /// How many pages hold values.
    bodies: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Leaf(pub(super) Box<[Page; PAGES]>);

impl Leaf {
    const BYTES: usize = size_of::<[Page; PAGES]>() + size_of::<(u32, Self)>();

    pub(super) fn new() -> Self {
        Self(Box::new(std::array::from_fn(|_| Page::default())))
    }
}

/// Where a series is: its page and its place in it.
#[inline]
pub(super) fn place(local: u32) -> (u32, usize) {
    (local / SERIES as u32, local as usize % SERIES)
}

impl Pane {
    pub(super) fn new(start: i64, end: i64) -> Self {
        Self { start, end, leaves: Vec::new(), bodies: 0 }
    }

    #[inline]
    pub(super) fn contains(&self, time: i64) -> bool {
        self.start <= time && time < self.end
    }

    #[inline]
    pub(super) fn page(&self, page: u32) -> Option<&Page> {
        let leaf = self.find(page).ok()?;
        Some(&self.leaves[leaf].1.0[page as usize % PAGES])
    }

    /// A page that is there, to add to it in place. Its bodies must not come or go by it.
    #[inline]
    pub(super) fn page_mut(&mut self, page: u32) -> Option<&mut Page> {
        let leaf = self.find(page).ok()?;
        Some(&mut self.leaves[leaf].1.0[page as usize % PAGES])
    }

    /// The first page from this one on in which anything is noted.
    pub(super) fn next_page(&self, from: u32) -> Option<u32> {
        let first = self.leaves.partition_point(|(number, _)| *number < from / PAGES as u32);
        self.leaves[first..].iter().find_map(|(number, leaf)| {
            let base = number * PAGES as u32;
            let skip = from.saturating_sub(base) as usize;
            let noted = leaf.0.iter().enumerate().skip(skip).find(|(_, page)| !page.is_empty());
            noted.map(|(page, _)| base + page as u32)
        })
    }

    /// Adds a reading that needs memory.
    pub(super) fn add_anew(&mut self, local: u32, point: Point, budget: &mut Budget) {
        let (page, series) = place(local);
        self.change(page, budget, |of, budget| of.add_anew(series, point, planes_of(page), budget));
    }

    /// Adds all that a page of another pane has.
    pub(super) fn absorb(&mut self, number: u32, other: &Page, budget: &mut Budget) {
        self.change(number, budget, |page, budget| page.absorb(other, planes_of(number), budget));
    }

    /// Says that the series' windows over this pane must be computed from the stored readings.
    pub(super) fn spoil(&mut self, local: u32, budget: &mut Budget) {
        let (page, series) = place(local);
        self.change(page, budget, |page, budget| page.spoil(series, budget));
    }

    /// Forgets a series.
    pub(super) fn clear(&mut self, local: u32, budget: &mut Budget) {
        let (page, series) = place(local);
        if self.page(page).is_some() {
            self.change(page, budget, |page, budget| page.clear(series, budget));
        }
    }

    /// Empties a page.
    pub(super) fn drop_page(&mut self, number: u32, budget: &mut Budget) {
        if self.page(number).is_some() {
            self.change(number, budget, |page, budget| {
                budget.give_back(page.bytes());
                *page = Page::default();
            });
        }
    }

    /// Forgets the values of pages, the last ones first, until so many bytes are free; which windows must be computed
    /// from the stored readings stays known.
    pub(super) fn lighten(&mut self, free: usize, budget: &mut Budget) {
        let mut bodies = self.bodies;
        for (_, leaf) in self.leaves.iter_mut().rev() {
            for page in leaf.0.iter_mut().rev().filter(|page| page.body.is_some()) {
                if budget.has(free) {
                    break;
                }
                page.lighten(budget);
                bodies -= 1;
            }
        }
        self.bodies = bodies;
    }

    pub(super) fn has_values(&self) -> bool {
        self.bodies > 0
    }

    /// Counts its bytes in, or out when it is dropped.
    pub(super) fn count(&self, budget: &mut Budget) {
        budget.count_table(self.leaves.len() * Leaf::BYTES);
        budget.count(self.page_bytes());
    }

    pub(super) fn give_back(&self, budget: &mut Budget) {
        budget.give_back_table(self.leaves.len() * Leaf::BYTES);
        budget.give_back(self.page_bytes());
    }

    fn page_bytes(&self) -> usize {
        self.leaves.iter().flat_map(|(_, leaf)| leaf.0.iter()).map(Page::bytes).sum()
    }

    /// Calls `change` on a page, which is made if it is not there. The table of pages is taken whether or not there
    /// is memory for it: it is where what cannot be kept is noted.
    fn change(&mut self, page: u32, budget: &mut Budget, change: impl FnOnce(&mut Page, &mut Budget)) {
        let at = self.find(page).unwrap_or_else(|at| {
            budget.count_table(Leaf::BYTES);
            self.leaves.insert(at, (page / PAGES as u32, Leaf::new()));
            at
        });
        let page = &mut self.leaves[at].1.0[page as usize % PAGES];
        let before = page.body.is_some();
        change(page, budget);
        self.bodies += u32::from(page.body.is_some());
        self.bodies -= u32::from(before);
    }

    #[inline]
    fn find(&self, page: u32) -> Result<usize, usize> {
        let leaf = page / PAGES as u32;
        match self.leaves.get(leaf as usize) {
            Some((number, _)) if *number == leaf => Ok(leaf as usize),
            _ => self.leaves.binary_search_by_key(&leaf, |(number, _)| *number),
        }
    }
}
