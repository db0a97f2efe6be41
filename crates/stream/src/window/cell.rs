//! The readings of one series within one span of time, on their own: up to [`FEW`] as they are, more as sums.

use serde::{Deserialize, Serialize};

use super::aggregate::Aggregate;
use super::exact::Exact;
use super::moments;
use super::quantile::{Sketch, p95_of_few};

/// Up to so many values are kept as they are. A metric every second has 60 a minute; the sums that take their
/// place cost more than a kilobyte, twice what 64 values take.
pub(super) const FEW: usize = 64;

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
    Many(Box<Many>),
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
    /// The result of one to [`FEW`] values.
    pub(super) fn aggregate(self) -> Aggregate {
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
    /// A cell of these values.
    pub(super) fn of(run: Run<'_>) -> Self {
        let mut cell = Self { first: run.first, last: run.last, values: Values::Few(Vec::new()) };
        cell.append(run);
        cell
    }

    /// Adds a finite reading.
    pub(super) fn add(&mut self, point: Point) {
        self.append(Run { values: &[point.value], first: point, last: point });
    }

    /// Adds readings.
    pub(super) fn append(&mut self, run: Run<'_>) {
        self.span(run.first, run.last);
        if let Values::Few(values) = &mut self.values {
            if values.len() + run.values.len() <= FEW {
                values.extend_from_slice(run.values);
                return;
            }
            self.values = Values::Many(Box::new(Many::of(values)));
        }
        let Values::Many(many) = &mut self.values else { unreachable!("few were handled above") };
        many.extend(run.values);
    }

    /// Adds another cell's readings.
    pub(super) fn merge(&mut self, other: &Self) {
        self.span(other.first, other.last);
        match (&mut self.values, &other.values) {
            (_, Values::Few(values)) => {
                self.append(Run { values, first: other.first, last: other.last });
            }
            (Values::Few(values), Values::Many(many)) => {
                let mut all = many.clone();
                all.extend(values);
                self.values = Values::Many(all);
            }
            (Values::Many(many), Values::Many(other)) => many.merge(other),
        }
    }

    /// The result.
    pub(super) fn aggregate(&self) -> Aggregate {
        let (first, last) = (self.first, self.last);
        match &self.values {
            Values::Few(values) => Run { values, first, last }.aggregate(),
            Values::Many(many) => {
                let Many { count, min, max, ref sum, ref squares, ref sketch } = **many;
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
                Values::Many(many) => {
                    size_of::<Many>() + many.sum.bytes() + many.squares.bytes() + many.sketch.bytes()
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
        for &value in values {
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            self.sum.add(value);
            self.squares.add_square(value);
            self.sketch.add(value);
        }
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
