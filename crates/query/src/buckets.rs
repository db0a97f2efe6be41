//! A series in buckets of time: one number for each.

use std::ops::Range;

use record::{DeviceId, MetricName, TenantId, Timestamp, Value};
use series::{Point, SeriesReader};

use crate::downsample::MAX_POINTS;
use crate::functions::Cut;
use crate::rollup::Rollup;
use crate::{Error, Result};

/// What is made of the points of a bucket. Texts and places are left out; booleans are 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// Their mean.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Their sum.
    Sum,
    /// How many.
    Count,
    /// The earliest.
    First,
    /// The latest.
    Last,
}

impl Aggregate {
    /// By its name in SQL.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "avg" | "mean" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "sum" => Self::Sum,
            "count" => Self::Count,
            "first" => Self::First,
            "last" => Self::Last,
            _ => return None,
        })
    }
}

/// The answer to a question for buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucketed {
    /// By rising time.
    pub points: Vec<Point>,
    /// Where the first are made of results of windows, because their readings were removed: of which windows.
    pub made_of: Option<String>,
}

/// How wide buckets are, and by the clocks of which place.
#[derive(Clone, Debug)]
pub struct Every(Cut);

impl Every {
    /// A width such as `5m`, `1 hour`, `1d` or `1 month`, and a time zone such as `Europe/Berlin`; without one, UTC.
    ///
    /// # Errors
    /// [`Error::Statement`] says which of them is none.
    pub fn parse(width: &str, zone: Option<&str>) -> Result<Self> {
        let digits = width.find(|c: char| !c.is_ascii_digit()).unwrap_or(width.len());
        let word = match width.get(digits..).unwrap_or_default().trim() {
            "ms" => "milliseconds",
            "s" => "seconds",
            "m" => "minutes",
            "h" => "hours",
            "d" => "days",
            "w" => "weeks",
            other => other,
        };
        let words = format!("{} {}", width.get(..digits).unwrap_or_default(), word);
        Cut::parse(&words, zone).map(Self).map_err(Error::Statement)
    }

    /// Whether a window lies whole in a bucket.
    pub(crate) fn holds(&self, rollup: &Rollup) -> bool {
        self.bucket(rollup).is_some_and(|bucket| rollup.end <= bucket.end)
    }

    /// The bucket in which a window begins.
    pub(crate) fn bucket(&self, rollup: &Rollup) -> Option<Range<i64>> {
        let start = self.0.start(rollup.start)?;
        Some(start..self.0.next(start).unwrap_or(i64::MAX))
    }
}

/// One point for each bucket that holds any, at the bucket's start; at most `max_points`, else [`Error::TooMuch`]. `gone` are
/// the windows of readings before the first that is there, each whole in a bucket.
pub(crate) fn buckets(
    store: &dyn SeriesReader,
    (tenant, device, metric): (&TenantId, &DeviceId, &MetricName),
    range: Range<Timestamp>,
    Every(cut): &Every,
    aggregate: Aggregate,
    max_points: usize,
    gone: &[Rollup],
) -> Result<Vec<Point>> {
    let most = max_points.min(MAX_POINTS);
    let mut done: Vec<Point> = Vec::new();
    let mut open: Option<Bucket> = None;
    let mut too_many = false;
    let mut add = |part: Rollup| {
        let same = open.as_ref().is_some_and(|bucket| part.start < bucket.end);
        if !same {
            done.extend(open.take().map(|bucket| bucket.point(aggregate)));
            let Some(start) = cut.start(part.start) else { return true };
            too_many = done.len() == most;
            let end = cut.next(start).unwrap_or(i64::MAX);
            open = Some(Bucket { start, end, of: None });
        }
        if let Some(bucket) = &mut open {
            bucket.add(part);
        }
        !too_many
    };
    if gone.iter().all(|&rollup| add(rollup)) {
        store.points(tenant, device, metric, range, &mut |point| {
            let Some(number) = point.value.as_ref().as_f64() else { return true };
            add(Rollup::of(point.time, number))
        })?;
    }
    if too_many {
        return Err(Error::TooMuch(format!(
            "that is more than {most} points: ask for a shorter time, or wider buckets"
        )));
    }
    done.extend(open.map(|bucket| bucket.point(aggregate)));
    Ok(done)
}

struct Bucket {
    start: i64,
    end: i64,
    /// What is in it.
    of: Option<Rollup>,
}

impl Bucket {
    fn add(&mut self, part: Rollup) {
        self.of = Some(self.of.map_or(part, |of| of.and(part)));
    }

    fn point(self, aggregate: Aggregate) -> Point {
        let of = self.of.expect("a bucket is opened for what goes into it");
        let value = match aggregate {
            Aggregate::Avg => Value::Float(of.sum / of.count as f64),
            Aggregate::Min => Value::Float(of.min),
            Aggregate::Max => Value::Float(of.max),
            Aggregate::Sum => Value::Float(of.sum),
            Aggregate::Count => Value::Int(of.count),
            Aggregate::First => Value::Float(of.first),
            Aggregate::Last => Value::Float(of.last),
        };
        Point { time: Timestamp::from_nanos(self.start), value }
    }
}
