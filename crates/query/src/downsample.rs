//! A chart has a thousand pixels, a week has a million readings: keep the points that give the curve its shape.

use std::ops::Range;

use record::{DeviceId, MetricName, TenantId, Timestamp, Value};
use series::{Point, SeriesReader};

use crate::Result;

/// Most points in one answer (R8.1).
pub const MAX_POINTS: usize = 10_000;

/// Points kept of each bucket: its first, lowest, highest and last. Drawn as a line they cover the same pixels
/// as all of them (the M4 aggregation: Jugel et al., VLDB 2014).
const PER_BUCKET: usize = 4;

/// How much of what is stored an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Every point.
    Raw,
    /// First, lowest, highest and last point of every this many nanoseconds.
    Extremes {
        /// Width of a bucket, nanoseconds.
        bucket_nanos: u64,
    },
}

/// The answer to a point query.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    /// By rising time.
    pub points: Vec<Point>,
    /// How much of what is stored they are.
    pub resolution: Resolution,
    /// Where the first of them are means of windows, because their readings were removed: of which windows.
    pub means_of: Option<String>,
}

pub(crate) fn points(
    store: &dyn SeriesReader,
    (tenant, device, metric): (&TenantId, &DeviceId, &MetricName),
    range: Range<Timestamp>,
    max_points: usize,
) -> Result<Points> {
    let max_points = max_points.clamp(PER_BUCKET, MAX_POINTS);
    let mut raw = Vec::new();
    let mut extent: Option<(Timestamp, Timestamp)> = None;
    store.points(tenant, device, metric, range.clone(), &mut |point| {
        extent = Some((extent.map_or(point.time, |(first, _)| first), point.time));
        if raw.len() <= max_points {
            raw.push(point);
        }
        true
    })?;
    let Some((first, last)) = extent.filter(|_| raw.len() > max_points) else {
        return Ok(Points { points: raw, resolution: Resolution::Raw, means_of: None });
    };
    // Twice over the store rather than all of it in memory: the answer is bounded, the range is not.
    drop(raw);
    let mut buckets = Buckets::new(first, last, max_points / PER_BUCKET);
    store.points(tenant, device, metric, first..range.end, &mut |point| {
        buckets.push(point);
        true
    })?;
    let bucket_nanos = buckets.width;
    let resolution = Resolution::Extremes { bucket_nanos };
    Ok(Points { points: buckets.finish(max_points), resolution, means_of: None })
}

struct Buckets {
    origin: Timestamp,
    width: u64,
    current: Option<Bucket>,
    done: Vec<Point>,
}

struct Bucket {
    number: u64,
    first: Point,
    low: Point,
    high: Point,
    last: Point,
}

impl Buckets {
    fn new(first: Timestamp, last: Timestamp, count: usize) -> Self {
        let span = first.nanos().abs_diff(last.nanos());
        let width = (span / count as u64).saturating_add(1);
        Self { origin: first, width, current: None, done: Vec::new() }
    }

    fn push(&mut self, point: Point) {
        let number = self.origin.nanos().abs_diff(point.time.nanos()) / self.width;
        match &mut self.current {
            Some(bucket) if bucket.number == number => {
                if let Some(value) = number_of(&point.value) {
                    if number_of(&bucket.low.value).is_none_or(|low| value < low) {
                        bucket.low = point.clone();
                    }
                    if number_of(&bucket.high.value).is_none_or(|high| value > high) {
                        bucket.high = point.clone();
                    }
                }
                bucket.last = point;
            }
            _ => {
                self.close();
                let (first, low, high) = (point.clone(), point.clone(), point.clone());
                self.current = Some(Bucket { number, first, low, high, last: point });
            }
        }
    }

    fn close(&mut self) {
        if let Some(Bucket { first, low, high, last, .. }) = self.current.take() {
            let mut kept = [first, low, high, last];
            kept.sort_by_key(|point| point.time);
            let from = self.done.len();
            self.done.extend(kept);
            let mut unique = self.done.split_off(from);
            unique.dedup_by_key(|point| point.time);
            self.done.append(&mut unique);
        }
    }

    fn finish(mut self, max_points: usize) -> Vec<Point> {
        self.close();
        // Points that arrived between the two passes may have opened buckets past the last.
        self.done.truncate(max_points);
        self.done
    }
}

/// What the value counts as when looking for the lowest and highest; texts and places have no order.
fn number_of(value: &Value) -> Option<f64> {
    value.as_ref().as_f64().filter(|number| !number.is_nan())
}
