//! The result of a window, and its computation from a set of readings.

use super::cell::{Cell, Point, Run};

/// What is known of a window's readings, at least one. Defined on the set, without an order:
///
/// - `sum` is the exact sum, rounded once to the nearest (ties to even); infinite when beyond the range of `f64`.
/// - `avg` is that sum by the count, kept within `min..=max`.
/// - `stddev` is of the population. count^2 times the variance is computed exactly and rounded once; then come a
///   square root and a division. So it is right to two units in the last place, whatever the mean.
/// - `p95` is the value of rank ceil(0.95 count) where that are at most [`EXACT_UP_TO`](super::EXACT_UP_TO) readings,
///   otherwise within [`P95_RELATIVE_ERROR`](super::P95_RELATIVE_ERROR) of it.
/// - `first` and `last` are by event time. Of readings of one time the first is the smallest value, the last the largest.
///
/// Only finite numbers take part: a reading that is not a number, or infinite, says nothing that could be averaged,
/// and would take the window's other readings with it. Negative zero counts as zero. Readings before 1824 or after
/// 2116 have no windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aggregate {
    /// How many readings, at least one.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Their mean.
    pub avg: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The standard deviation of the population.
    pub stddev: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The value of the earliest reading.
    pub first: f64,
    /// The value of the latest reading.
    pub last: f64,
}

/// A session of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Session {
    /// Event time of its first reading, ns since the epoch.
    pub start: i64,
    /// Event time of its last reading plus the gap, exclusive.
    pub end: i64,
    /// Its result.
    pub aggregate: Aggregate,
}

/// The result of these readings (event time in ns, value), in any order; `None` when none has a finite value.
/// Gives bit for bit what [`Windows`](super::Windows) gives for the same set.
pub fn aggregate(points: impl IntoIterator<Item = (i64, f64)>) -> Option<Aggregate> {
    let mut cell = None;
    for (time, value) in points {
        if let Some(point) = point(time, value) {
            add(&mut cell, point);
        }
    }
    cell.map(|cell: Cell| cell.aggregate())
}

/// The sessions of these readings (event time in ns, value), in any order, for a gap in ns. Readings belong to
/// one session when less than the gap lies between them. By rising time.
pub fn sessions(points: impl IntoIterator<Item = (i64, f64)>, gap: i64) -> Vec<Session> {
    let mut points: Vec<Point> = points.into_iter().filter_map(|(time, value)| point(time, value)).collect();
    points.sort_unstable_by_key(|point| point.time);
    let follow = |a: &Point, b: &Point| b.time.saturating_sub(a.time) < gap;
    let session = |points: &[Point]| {
        let mut cell = None;
        points.iter().for_each(|&point| add(&mut cell, point));
        let (start, last) = (points[0].time, points[points.len() - 1].time);
        let aggregate = cell.expect("a chunk is not empty").aggregate();
        Session { start, end: last.saturating_add(gap), aggregate }
    };
    points.chunk_by(follow).map(session).collect()
}

/// Readings from 1824 to 2116 have windows: farther out the sum of a time and a window's size might not be a time.
pub(super) const TIMES: std::ops::Range<i64> = -(1 << 62)..1 << 62;

/// The reading as windows take it; `None` when its value is not finite, or its time too far out.
#[inline]
pub(super) fn point(time: i64, value: f64) -> Option<Point> {
    (value.is_finite() && TIMES.contains(&time)).then_some(Point { time, value: value + 0.0 })
}

pub(super) fn add(cell: &mut Option<Cell>, point: Point) {
    match cell {
        Some(cell) => {
            cell.add(point);
        }
        None => *cell = Some(Cell::of(Run { values: &[point.value], first: point, last: point })),
    }
}
