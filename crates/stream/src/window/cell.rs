//! The readings of one series within one span of time, on their own: up to [`FEW`] as they are, more as sums.
//!
//! The sums of a series are a kilobyte or two in several places of the memory, and those of a fleet are in no cache. So values
//! wait beside each other until there are [`WAITING`], and are then added together.

use serde::{Deserialize, Serialize};

use super::aggregate::Aggregate;
use super::exact::Exact;
use super::moments;
use super::quantile::{Sketch, p95_of_few};

/// Up to so many values are kept as they are. A metric every second has 60 a minute; the sums that take their
/// place cost more than a kilobyte, twice what 64 values take.
pub(super) const FEW: usize = 64;

/// So many values wait before they are added to sums.
const WAITING: usize = 32;

/// When and what.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) time: i64,
    pub(super) value: f64,
}

/// A number of values and the first and the last of them. Of readings of the same time, the first is the one
/// of the smallest value, the last that of the largest: the order of arrival must not show.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cell {
    first: Point,
    last: Point,
    values: Values,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Values {
    Few(Vec<f64>),
    /// The sums do not hold the values that wait.
    Many {
        waiting: Vec<f64>,
        sums: Box<Many>,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Many {
    count: u64,
    min: f64,
    max: f64,
    sum: Exact,
    squares: Exact,
    sketch: Sketch,
}

/// Values that lie together, with the first and the last: what a cell is made of, or merged with.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) values: &'a [f64],
    pub(super) first: Point,
    pub(super) last: Point,
}

impl Point {
    /// Whether it is the first of the two.
    #[inline]
    pub(super) fn before(self, other: Self) -> bool {
        self.time < other.time || self.time == other.time && self.value < other.value
    }
}

impl Run<'_> {
    /// The result.
    pub(super) fn aggregate(self) -> Aggregate {
        if self.values.len() <= FEW { self.few() } else { Cell::of(self).aggregate() }
    }

    /// The result of one to [`FEW`] values.
    fn few(self) -> Aggregate {
        let (min, max) = extremes(self.values);
        let moments = moments::few(self.values, min, max);
        Aggregate {
            count: self.values.len() as u64,
            sum: moments.sum,
            avg: moments.avg,
            min,
            max,
            stddev: moments.stddev,
            p95: p95_of_few(self.values, max),
            first: self.first.value,
            last: self.last.value,
        }
    }
}

impl Cell {
    /// How many values there are.
    pub(super) fn count(&self) -> u64 {
        match &self.values {
            Values::Few(values) => values.len() as u64,
            Values::Many { waiting, sums } => sums.count + waiting.len() as u64,
        }
    }

    /// A cell of these values.
    pub(super) fn of(run: Run<'_>) -> Self {
        let mut cell = Self { first: run.first, last: run.last, values: Values::Few(Vec::new()) };
        cell.append(run);
        cell
    }

    /// Adds a finite reading to those that wait; `false` when there is no room for it.
    #[inline]
    pub(super) fn keep_waiting(&mut self, point: Point) -> bool {
        let Values::Many { waiting, .. } = &mut self.values else { return false };
        let has_room = waiting.len() < WAITING;
        if has_room {
            waiting.push(point.value);
            self.span(point, point);
        }
        has_room
    }

    /// Adds a finite reading. Returns the bytes that the cell took before and takes now, unless they are the same.
    pub(super) fn add(&mut self, point: Point) -> Option<(usize, usize)> {
        if self.keep_waiting(point) {
            return None;
        }
        let before = self.bytes();
        self.append(Run { values: &[point.value], first: point, last: point });
        Some((before, self.bytes()))
    }

    /// Adds readings.
    pub(super) fn append(&mut self, run: Run<'_>) {
        self.span(run.first, run.last);
        match &mut self.values {
            Values::Few(values) if values.len() + run.values.len() <= FEW => {
                values.extend_from_slice(run.values);
            }
            Values::Few(values) => {
                let mut sums = Box::new(Many::of(values));
                sums.extend(run.values);
                self.values = Values::Many { waiting: Vec::with_capacity(WAITING), sums };
            }
            Values::Many { waiting, sums } if waiting.len() + run.values.len() > WAITING => {
                sums.extend(waiting);
                sums.extend(run.values);
                waiting.clear();
            }
            Values::Many { waiting, .. } => waiting.extend_from_slice(run.values),
        }
    }

    /// Adds another cell's readings.
    pub(super) fn merge(&mut self, other: &Self) {
        let (first, last) = (other.first, other.last);
        match &other.values {
            Values::Few(values) => self.append(Run { values, first, last }),
            Values::Many { waiting, sums } => {
                self.span(first, last);
                match &mut self.values {
                    Values::Many { sums: own, .. } => own.merge(sums),
                    Values::Few(values) => {
                        let mut all = sums.clone();
                        all.extend(values);
                        self.values = Values::Many { waiting: Vec::with_capacity(WAITING), sums: all };
                    }
                }
                self.append(Run { values: waiting, first, last });
            }
        }
    }

    /// The result.
    pub(super) fn aggregate(&self) -> Aggregate {
        let (first, last) = (self.first, self.last);
        match &self.values {
            Values::Few(values) => Run { values, first, last }.aggregate(),
            Values::Many { waiting, sums } => {
                let mut all = sums.clone();
                all.extend(waiting);
                let Many { count, min, max, ref sum, ref squares, ref sketch } = *all;
                let moments = moments::many(count, sum, squares, min, max);
                Aggregate {
                    count,
                    sum: moments.sum,
                    avg: moments.avg,
                    min,
                    max,
                    stddev: moments.stddev,
                    p95: sketch.p95(count, min, max),
                    first: first.value,
                    last: last.value,
                }
            }
        }
    }

    /// Bytes it takes: what the same readings take after a checkpoint, too, so capacities do not count.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.values {
                Values::Few(values) => 8 * values.len().next_power_of_two().max(4),
                Values::Many { sums, .. } => {
                    size_of::<Many>()
                        + 8 * WAITING
                        + sums.sum.bytes()
                        + sums.squares.bytes()
                        + sums.sketch.bytes()
                }
            }
    }

    fn span(&mut self, first: Point, last: Point) {
        if first.before(self.first) {
            self.first = first;
        }
        if self.last.before(last) {
            self.last = last;
        }
    }
}

impl Many {
    fn of(values: &[f64]) -> Self {
        let mut many = Self {
            count: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: Exact::default(),
            squares: Exact::default(),
            sketch: Sketch::new(),
        };
        many.extend(values);
        many
    }

    fn extend(&mut self, values: &[f64]) {
        self.count += values.len() as u64;
        let (min, max) = extremes(values);
        (self.min, self.max) = (self.min.min(min), self.max.max(max));
        Exact::add_all(&mut self.sum, &mut self.squares, values);
        self.sketch.add_all(values, min, max);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum.merge(&other.sum);
        self.squares.merge(&other.squares);
        self.sketch.merge(&other.sketch);
    }
}

fn extremes(values: &[f64]) -> (f64, f64) {
    let extend = |(min, max): (f64, f64), &value: &f64| {
        (if value < min { value } else { min }, if value > max { value } else { max })
    };
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), extend)
}
