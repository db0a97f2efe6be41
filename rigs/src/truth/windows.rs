//! Windows, from the stored readings alone.

use std::collections::{BTreeMap, BTreeSet};

use record::Value;

use super::model::{Key, Watermark, WindowKey};
use super::scenario::{MINUTE, Nanos};

/// The lengths of the windows the server is asked for.
pub const LENGTHS: [Nanos; 2] = [MINUTE, 5 * MINUTE];

/// What a window's row must say.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowTruth {
    /// Whether there must be a row; `None`: there may.
    pub published: Option<bool>,
    /// Whether it must be marked as revised; `None`: it may.
    pub revised: Option<bool>,
    /// The values, by rising time.
    pub values: Vec<f64>,
    /// The first of them; the smallest where readings share their time.
    pub first: f64,
    /// The last of them; the largest where readings share their time.
    pub last: f64,
}

/// A window's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numbers {
    /// How many readings.
    pub count: i64,
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
    /// The 95th percentile, by nearest rank.
    pub p95: f64,
    /// The value of the earliest.
    pub first: f64,
    /// The value of the latest.
    pub last: f64,
}

impl WindowTruth {
    /// Its numbers.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        // From small to large of size, so that little is lost.
        let mut by_size = sorted.clone();
        by_size.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let sum: f64 = by_size.iter().sum();
        let avg = sum / count as f64;
        let squares: f64 = sorted.iter().map(|value| (value - avg).powi(2)).sum();
        let rank = (95 * count).div_ceil(100);
        Numbers {
            count: count as i64,
            sum,
            avg,
            min: sorted[0],
            max: sorted[count - 1],
            stddev: (squares / count as f64).sqrt(),
            p95: sorted[rank - 1],
            first: self.first,
            last: self.last,
        }
    }
}

/// What happened to the windows, in counts of waits ("groups").
#[derive(Debug, Clone, Default)]
pub struct Touches {
    of: BTreeMap<WindowKey, Touch>,
    /// There is too little memory for open windows: they are computed from the stored readings, before they are over
    /// and again after that.
    is_short: bool,
}

#[derive(Debug, Clone, Default)]
struct Touch {
    partition: usize,
    /// A reading found it open.
    in_order: bool,
    /// When the watermark passed it, and what its numbers were then.
    closed: Option<(usize, Option<Numbers>)>,
    /// The watermark may have passed it.
    doubtful: bool,
    /// Recomputed after it was closed.
    revisions: BTreeSet<usize>,
    /// Corrected or filled by the backfill lane while it was open.
    unsettled: bool,
}

impl Touches {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(is_short: bool) -> Self {
        Self { of: BTreeMap::new(), is_short }
    }

    /// A reading that changes its windows was stored.
    pub fn touch(&mut self, key: &Key, partition: usize, in_order: bool, group: usize) {
        for length in LENGTHS {
            let touch = self.of.entry(window_of(key, length)).or_default();
            touch.partition = partition;
            match (in_order, touch.closed) {
                (true, _) => touch.in_order = true,
                (false, Some(_)) => drop(touch.revisions.insert(group)),
                (false, None) => touch.unsettled = true,
            }
        }
    }

    /// Closes what the watermarks have passed.
    pub fn close(
        &mut self,
        watermarks: &[Option<Watermark>],
        allowed_lateness: Nanos,
        group: usize,
        rows: &BTreeMap<Key, Value>,
    ) {
        for (key, touch) in self.of.iter_mut().filter(|(_, touch)| touch.closed.is_none()) {
            let Some(watermark) = watermarks[touch.partition] else { continue };
            match watermark.reached(key.start + key.length + allowed_lateness) {
                Some(true) => {
                    let points = points(rows, key);
                    touch.closed = Some((group, (!points.is_empty()).then(|| numbers(&points))));
                }
                Some(false) => {}
                None => touch.doubtful = true,
            }
        }
    }

    /// The windows of these readings.
    #[must_use]
    pub fn windows(&self, rows: &BTreeMap<Key, Value>) -> BTreeMap<WindowKey, WindowTruth> {
        let mut points: BTreeMap<WindowKey, Vec<(Nanos, f64)>> = BTreeMap::new();
        for (key, value) in rows {
            for length in LENGTHS {
                let Some(number) = value.as_ref().as_f64() else { continue };
                points.entry(window_of(key, length)).or_default().push((key.time, number));
            }
        }
        points.into_iter().map(|(key, points)| (key.clone(), self.truth(&key, points))).collect()
    }

    fn truth(&self, key: &WindowKey, mut points: Vec<(Nanos, f64)>) -> WindowTruth {
        points.sort_by_key(|&(time, _)| time);
        let touch = self.of.get(key).cloned().unwrap_or_default();
        let last = numbers(&points);
        WindowTruth {
            published: match touch.closed {
                Some(_) => Some(true),
                None if touch.doubtful || touch.unsettled || self.is_short => None,
                None => Some(false),
            },
            // Without a history nobody knows.
            revised: if self.of.is_empty() { None } else { touch.revised(&last, self.is_short) },
            first: last.first,
            last: last.last,
            values: points.iter().map(|point| point.1).collect(),
        }
    }
}

impl Touch {
    /// A row that was written when its window closed is marked when other numbers take its place. What happens between two
    /// waits may be written at once, and a window that was not settled when it closed may be written a little later.
    fn revised(&self, last: &Numbers, is_short: bool) -> Option<bool> {
        if is_short {
            return None;
        }
        if self.revisions.is_empty() && !self.unsettled {
            return Some(false);
        }
        let (group, published) = self.closed.filter(|_| self.in_order && !self.unsettled)?;
        let was_written_alone =
            !self.revisions.is_empty() && self.revisions.iter().all(|&revision| revision > group);
        (was_written_alone && !published?.is_near(last)).then_some(true)
    }
}

impl Numbers {
    /// Equal but for what is lost by rounding.
    fn is_near(&self, other: &Self) -> bool {
        let size = self.min.abs().max(self.max.abs()) * self.count as f64;
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-12 * size;
        self.count == other.count
            && near(self.sum, other.sum)
            && near(self.stddev, other.stddev)
            && [self.min, self.max, self.p95, self.first, self.last]
                == [other.min, other.max, other.p95, other.first, other.last]
    }
}

/// The numeric readings of a window, by rising time.
fn points(rows: &BTreeMap<Key, Value>, of: &WindowKey) -> Vec<(Nanos, f64)> {
    let at = |time| Key { device: of.device.clone(), metric: of.metric.clone(), time, seq: None };
    let rows = rows.range(at(of.start)..at(of.start + of.length));
    rows.filter_map(|(key, value)| Some((key.time, value.as_ref().as_f64()?))).collect()
}

/// The numbers of at least one point, by rising time.
fn numbers(points: &[(Nanos, f64)]) -> Numbers {
    let at = |time: Nanos| points.iter().filter(move |point| point.0 == time).map(|point| point.1);
    let of = WindowTruth {
        published: None,
        revised: None,
        values: points.iter().map(|point| point.1).collect(),
        first: at(points[0].0).fold(f64::INFINITY, f64::min),
        last: at(points[points.len() - 1].0).fold(f64::NEG_INFINITY, f64::max),
    };
    of.numbers()
}

fn window_of(key: &Key, length: Nanos) -> WindowKey {
    let (device, metric) = (key.device.clone(), key.metric.clone());
    WindowKey { device, metric, length, start: key.time.div_euclid(length) * length }
}
