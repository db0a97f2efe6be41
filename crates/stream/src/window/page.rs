//! The cells of 64 neighbouring series in one pane.
//!
//! ```text
//!            series  0   1   2  …  63
//!   plane 0        [ v | v | v | … | v ]   each series' first value in order of arrival,
//!   plane 1        [ v | v | v | … |   ]   its second, …
//!   plane 2        [ v |   | v | … |   ]
//! ```
//!
//! A device's metrics are numbered next to each other and come together, so a message writes one stretch of a plane,
//! not twenty places, and no value needs a pointer, a length or room to grow. A series that is far ahead of its
//! neighbours (another rate) leaves the planes and gets a [`Cell`] of its own.

use smallvec::SmallVec;

use super::aggregate::Aggregate;
use super::budget::Budget;
use super::cell::{Cell, FEW, Point, Run};

/// Series per page: as many as a word has bits.
pub(super) const SERIES: usize = 64;

/// The most planes a page may have. More than [`FEW`], other pages more: devices send at one pace, so that all series of a fleet
/// have one value too many in the same moment, and what many values cost ([`Cell`]) would all come in it. What so many planes
/// take is what the sums take that come then.
pub(super) const fn planes_of(number: u32) -> usize {
    FEW + (number % PACES) as usize * PLANES_APART
}

const PACES: u32 = 16;
const PLANES_APART: usize = 4;
pub(super) const MOST_PLANES: usize = planes_of(PACES - 1);

/// A count that says: not in the planes.
pub(super) const APART: u8 = u8::MAX;

/// Empty pages are many (each [`super::pane::Pane`] has a table of them) and small.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    /// Which series have readings here.
    pub(super) occupied: u64,
    /// Which series' windows over this pane must be computed from the stored readings. They keep no values.
    pub(super) spoiled: u64,
    pub(super) body: Option<Box<Body>>,
}

/// What every reading touches comes first, in that order.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Body {
    /// How many values are in the planes; or [`APART`].
    pub(super) count: [u8; SERIES],
    /// How many series fill all planes.
    pub(super) full: u8,
    /// A plane has no room to spare, and does not move when another is added.
    pub(super) planes: SmallVec<[Box<[f64; SERIES]>; 8]>,
    /// In which plane the first and the last value by time are, and their times.
    pub(super) first_at: [u8; SERIES],
    pub(super) last_at: [u8; SERIES],
    pub(super) first: [i64; SERIES],
    pub(super) last: [i64; SERIES],
    /// Cells of their own, by rising series, and which series have one.
    pub(super) apart: Vec<(u8, Cell)>,
    pub(super) is_apart: u64,
}

/// What a series has in a page.
enum Part<'a> {
    Run(Run<'a>),
    Cell(&'a Cell),
}

impl Page {
    /// Whether nothing was ever noted here.
    pub(super) fn is_empty(&self) -> bool {
        self.occupied | self.spoiled == 0
    }

    /// Whether it takes no memory either.
    pub(super) fn is_bare(&self) -> bool {
        self.is_empty() && self.body.is_none()
    }

    /// Adds a reading where there is a place for it already; `false` when there is none, or it is not here
    /// that it goes: then [`Page::add_anew`].
    #[inline]
    pub(super) fn add(&mut self, series: usize, point: Point) -> bool {
        let Some(body) = self.body.as_deref_mut() else { return false };
        let place = usize::from(body.count[series]);
        let Some(plane) = body.planes.get_mut(place) else {
            return body.cell_mut(series).is_some_and(|cell| cell.keep_waiting(point));
        };
        plane[series] = point.value;
        body.counted(series);
        // Readings come nearly in order: where it is the last one, the first need not be looked at.
        if point.time > body.last[series] && place > 0 {
            body.last[series] = point.time;
            body.last_at[series] = place as u8;
        } else {
            body.place_in_time(series, point, place as u8);
        }
        self.occupied |= 1 << series;
        true
    }

    /// Adds a reading that needs memory, to `most` planes at most. Where there is none, the page gives up what it has, so that
    /// others can go on.
    #[cold]
    pub(super) fn add_anew(&mut self, series: usize, point: Point, most: usize, budget: &mut Budget) {
        if self.spoiled >> series & 1 == 1 {
            return;
        }
        if !self.room(series, most, budget) {
            self.lighten(budget);
            self.spoil(series, budget);
        } else if !self.add(series, point) {
            let cell = self.body_mut().cell_mut(series).expect("room was made, and it is not in a plane");
            if let Some((before, now)) = cell.add(point) {
                budget.give_back(before);
                budget.count(now);
            }
        }
    }

    /// Adds all that another page of the same series has, to `most` planes at most.
    pub(super) fn absorb(&mut self, other: &Self, most: usize, budget: &mut Budget) {
        for series in ones(other.spoiled) {
            self.spoil(series, budget);
        }
        let Some(from) = other.body.as_deref() else { return };
        if self.is_bare() && budget.take(other.bytes()) {
            *self = other.clone();
            return;
        }
        let taken = other.occupied & !self.spoiled;
        let before = self.body.as_deref().map_or([0; SERIES], |body| body.count);
        // Plane by plane, as it came, so that all stay about level.
        for (place, plane) in from.planes.iter().enumerate() {
            for series in ones(taken).filter(|&series| from.has(series, place)) {
                self.put(series, plane[series], from, most, budget);
            }
        }
        // Where memory ran out, all were spoiled.
        for series in ones(taken & !self.spoiled).filter(|&series| from.has(series, 0)) {
            self.body_mut().take_times(series, before[series], from);
        }
        for (series, cell) in &from.apart {
            if self.spoiled >> series & 1 == 0 {
                self.merge(usize::from(*series), cell, budget);
            }
        }
    }

    /// Forgets a series' values: from now on only says that its windows must be computed from the store.
    pub(super) fn spoil(&mut self, series: usize, budget: &mut Budget) {
        self.remove(series, budget);
        self.spoiled |= 1 << series;
        if let Some(body) = self.body.as_deref_mut() {
            body.count[series] = APART;
        }
    }

    /// Forgets all values, and returns the memory.
    pub(super) fn lighten(&mut self, budget: &mut Budget) {
        self.spoiled |= self.occupied;
        self.occupied = 0;
        budget.give_back(self.bytes());
        self.body = None;
    }

    /// Forgets a series altogether.
    pub(super) fn clear(&mut self, series: usize, budget: &mut Budget) {
        self.remove(series, budget);
        self.spoiled &= !(1 << series);
        if let Some(body) = self.body.as_deref_mut() {
            body.count[series] = 0;
            (body.first[series], body.last[series]) = (i64::MAX, i64::MIN);
        }
    }

    /// What a series has here; `values` is room to put it together.
    #[inline]
    fn part<'a>(&'a self, series: usize, values: &'a mut [f64; MOST_PLANES]) -> Option<Part<'a>> {
        let body = self.body.as_deref().filter(|_| self.occupied >> series & 1 == 1)?;
        if body.count[series] == APART {
            return body.cell(series).map(Part::Cell);
        }
        let count = body.gather(series, values);
        let (first, last) = (body.first_point(series), body.last_point(series));
        Some(Part::Run(Run { values: &values[..count], first, last }))
    }

    /// How many values a series has in the planes; `None` when it has a cell of its own.
    #[inline]
    fn in_planes(&self, series: usize) -> Option<usize> {
        let count = self
            .body
            .as_deref()
            .filter(|_| self.occupied >> series & 1 == 1)
            .map_or(0, |body| body.count[series]);
        (count != APART).then_some(usize::from(count))
    }

    /// How many values a series has.
    fn count(&self, series: usize) -> u64 {
        let apart = || self.body.as_deref().and_then(|body| body.cell(series)).map_or(0, Cell::count);
        self.in_planes(series).map_or_else(apart, |count| count as u64)
    }

    /// Bytes on the heap: what [`Budget`] counts.
    pub(super) fn bytes(&self) -> usize {
        self.body.as_deref().map_or(0, Body::bytes)
    }

    fn body_mut(&mut self) -> &mut Body {
        self.body.as_deref_mut().expect("room was made")
    }

    /// Makes a place for one more value of a series that is not spoiled; `false` when there is no memory.
    fn room(&mut self, series: usize, most: usize, budget: &mut Budget) -> bool {
        if self.body.is_none() {
            if !budget.take(Body::EMPTY) {
                return false;
            }
            self.body = Some(Body::new(self.spoiled));
        }
        let occupied = self.occupied.count_ones();
        let body = self.body_mut();
        if usize::from(body.count[series]) < body.planes.len() {
            return true;
        }
        let apart = body.count[series] == APART;
        // A new plane is for many: at least an eighth of the series must want it.
        let wanted = body.planes.is_empty() || 8 * u32::from(body.full) >= occupied;
        let level = wanted && body.planes.len() < most;
        if !apart && level {
            return budget.take(size_of::<[f64; SERIES]>()) && {
                body.planes.push(Box::new([0.0; SERIES]));
                body.full = 0;
                true
            };
        }
        // A cell of its own, or one more value in it. A sketch may take more than is asked for here: it is counted
        // afterwards, and what is over is less than what one page takes.
        let more = if apart { 0 } else { 2 * size_of::<Cell>() };
        if !budget.has(more + 16) {
            return false;
        }
        if !apart {
            body.move_apart(series, budget);
        }
        true
    }

    /// Adds one of another page's values. The times of values in planes follow when all are here.
    #[inline]
    fn put(&mut self, series: usize, value: f64, from: &Body, most: usize, budget: &mut Budget) {
        if let Some(body) = self.body.as_deref_mut()
            && let Some(plane) = body.planes.get_mut(usize::from(body.count[series]))
        {
            plane[series] = value;
            body.counted(series);
            self.occupied |= 1 << series;
        } else {
            self.put_anew(series, value, from, most, budget);
        }
    }

    #[cold]
    fn put_anew(&mut self, series: usize, value: f64, from: &Body, most: usize, budget: &mut Budget) {
        if self.spoiled >> series & 1 == 1 {
            return;
        }
        if !self.room(series, most, budget) {
            self.lighten(budget);
            return self.spoil(series, budget);
        }
        if self.body_mut().count[series] != APART {
            return self.put(series, value, from, most, budget);
        }
        self.occupied |= 1 << series;
        let cell = self.body_mut().cell_mut(series).expect("room was made in one of its own");
        let before = cell.bytes();
        cell.append(Run { values: &[value], first: from.first_point(series), last: from.last_point(series) });
        budget.give_back(before);
        budget.count(cell.bytes());
    }

    fn merge(&mut self, series: usize, cell: &Cell, budget: &mut Budget) {
        let more = cell.bytes();
        if self.body.is_none() {
            if !budget.take(Body::EMPTY) {
                return self.spoil(series, budget);
            }
            self.body = Some(Body::new(self.spoiled));
        }
        if !budget.has(more) {
            return self.spoil(series, budget);
        }
        self.occupied |= 1 << series;
        let body = self.body_mut();
        if body.count[series] == 0 {
            body.leave(series);
            body.put_apart(series, cell.clone(), budget);
            return;
        }
        if body.count[series] != APART {
            body.move_apart(series, budget);
        }
        let own = body.cell_mut(series).expect("it is apart now");
        let before = own.bytes();
        own.merge(cell);
        budget.give_back(before);
        budget.count(own.bytes());
    }

    fn remove(&mut self, series: usize, budget: &mut Budget) {
        self.occupied &= !(1 << series);
        let Some(body) = self.body.as_deref_mut() else { return };
        if let Some(at) = body.find(series) {
            body.is_apart &= !(1 << series);
            budget.give_back(body.apart.remove(at).1.bytes());
        }
        body.leave(series);
    }
}

impl Body {
    pub(super) const EMPTY: usize = size_of::<Self>();

    pub(super) fn new(spoiled: u64) -> Box<Self> {
        let mut body = Box::new(Self {
            count: [0; SERIES],
            first_at: [0; SERIES],
            last_at: [0; SERIES],
            first: [i64::MAX; SERIES],
            last: [i64::MIN; SERIES],
            planes: SmallVec::new(),
            full: 0,
            apart: Vec::new(),
            is_apart: 0,
        });
        ones(spoiled).for_each(|series| body.count[series] = APART);
        body
    }

    fn bytes(&self) -> usize {
        let apart: usize = self.apart.iter().map(|(_, cell)| cell.bytes()).sum();
        Self::EMPTY + self.planes.len() * size_of::<[f64; SERIES]>() + apart
    }

    /// One more value of this series is in the planes.
    #[inline]
    fn counted(&mut self, series: usize) {
        self.count[series] += 1;
        self.full += u8::from(usize::from(self.count[series]) == self.planes.len());
    }

    /// Sees whether the value in this plane is the first or the last one.
    fn place_in_time(&mut self, series: usize, point: Point, place: u8) {
        if place == 0 || point.before(self.first_point(series)) {
            self.first[series] = point.time;
            self.first_at[series] = place;
        }
        if place == 0 || self.last_point(series).before(point) {
            self.last[series] = point.time;
            self.last_at[series] = place;
        }
    }

    /// Whether the series has a value in this plane.
    #[inline]
    fn has(&self, series: usize, place: usize) -> bool {
        self.count[series] != APART && place < usize::from(self.count[series])
    }

    /// Takes over first and last of another body, whose values stand here from plane `place` on.
    fn take_times(&mut self, series: usize, place: u8, from: &Self) {
        if self.count[series] == APART {
            return; // its cell has them
        }
        if place == 0 || from.first_point(series).before(self.first_point(series)) {
            self.first[series] = from.first[series];
            self.first_at[series] = place + from.first_at[series];
        }
        if place == 0 || self.last_point(series).before(from.last_point(series)) {
            self.last[series] = from.last[series];
            self.last_at[series] = place + from.last_at[series];
        }
    }

    fn first_point(&self, series: usize) -> Point {
        let value = self.planes[usize::from(self.first_at[series])][series];
        Point { time: self.first[series], value }
    }

    fn last_point(&self, series: usize) -> Point {
        let value = self.planes[usize::from(self.last_at[series])][series];
        Point { time: self.last[series], value }
    }

    /// Puts the series' values, which are in the planes, one after the other. Returns how many.
    #[inline]
    fn gather(&self, series: usize, values: &mut [f64]) -> usize {
        let count = usize::from(self.count[series]);
        for (value, plane) in values.iter_mut().zip(&self.planes[..count]) {
            *value = plane[series];
        }
        count
    }

    fn move_apart(&mut self, series: usize, budget: &mut Budget) {
        let mut values = [0.0; MOST_PLANES];
        let count = self.gather(series, &mut values);
        let (first, last) = (self.first_point(series), self.last_point(series));
        let cell = Cell::of(Run { values: &values[..count], first, last });
        self.leave(series);
        self.put_apart(series, cell, budget);
    }

    fn put_apart(&mut self, series: usize, cell: Cell, budget: &mut Budget) {
        budget.count(cell.bytes());
        self.apart.insert(self.apart_before(series), (series as u8, cell));
        self.is_apart |= 1 << series;
    }

    /// The series is in the planes no longer.
    fn leave(&mut self, series: usize) {
        let count = self.count[series];
        if count != APART && count > 0 && usize::from(count) == self.planes.len() {
            self.full -= 1;
        }
        self.count[series] = APART;
    }

    /// Where its own cell is, if it has one.
    #[inline]
    fn find(&self, series: usize) -> Option<usize> {
        (self.is_apart >> series & 1 == 1).then(|| self.apart_before(series))
    }

    #[inline]
    fn apart_before(&self, series: usize) -> usize {
        (self.is_apart & ((1 << series) - 1)).count_ones() as usize
    }

    fn cell(&self, series: usize) -> Option<&Cell> {
        self.find(series).map(|at| &self.apart[at].1)
    }

    #[inline]
    fn cell_mut(&mut self, series: usize) -> Option<&mut Cell> {
        self.find(series).map(|at| &mut self.apart[at].1)
    }
}

/// How many readings a series has in these pages; `None` when it is spoiled in one of them.
pub(super) fn count(pages: &[&Page], series: usize) -> Option<u64> {
    let of = |page: &&Page| (page.spoiled >> series & 1 == 0).then(|| page.count(series));
    pages.iter().map(of).sum()
}

/// The result of a series over these pages; `None` when it is spoiled in one of them, or has nothing in any.
pub(super) fn result(pages: &[&Page], series: usize) -> Option<Aggregate> {
    if pages.iter().any(|page| page.spoiled >> series & 1 == 1) {
        return None;
    }
    let mut values = [0.0; MOST_PLANES];
    if let [page] = pages {
        return page.part(series, &mut values).map(|part| match part {
            Part::Run(run) => run.aggregate(),
            Part::Cell(cell) => cell.aggregate(),
        });
    }
    let few =
        pages.iter().try_fold(0, |sum, page| Some(sum + page.in_planes(series)?)).filter(|&sum| sum <= FEW);
    if few.is_some() {
        return result_of_few(pages, series, &mut values);
    }
    let mut sum: Option<Cell> = None;
    for page in pages {
        match (page.part(series, &mut values), &mut sum) {
            (None, _) => {}
            (Some(Part::Run(run)), Some(sum)) => sum.append(run),
            (Some(Part::Run(run)), None) => sum = Some(Cell::of(run)),
            (Some(Part::Cell(cell)), Some(sum)) => sum.merge(cell),
            (Some(Part::Cell(cell)), None) => sum = Some(cell.clone()),
        }
    }
    sum.map(|sum| sum.aggregate())
}

/// The result of a series whose values are all in planes and have room in `values`.
fn result_of_few(pages: &[&Page], series: usize, values: &mut [f64; MOST_PLANES]) -> Option<Aggregate> {
    let mut count = 0;
    let mut ends: Option<(Point, Point)> = None;
    for page in pages {
        let Some(body) = page.body.as_deref().filter(|_| page.occupied >> series & 1 == 1) else { continue };
        count += body.gather(series, &mut values[count..]);
        let (first, last) = (body.first_point(series), body.last_point(series));
        // Pages follow each other in time.
        ends = Some((ends.map_or(first, |(first, _)| first), last));
    }
    ends.map(|(first, last)| Run { values: &values[..count], first, last }.aggregate())
}

/// The set bits of a word, rising.
#[inline]
pub(super) fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit as usize)
    })
}
