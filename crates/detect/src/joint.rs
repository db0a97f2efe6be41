//! A device's metrics together: whether they go with one another as usual.

mod solve;

use record::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Step};
use crate::format::{self, Of};
use crate::hourly::Hourly;
use crate::{Error, Reason, Result, Score, Tuning, Unit, limits};
use solve::Factor;

/// Whether a device's metrics go with one another as usual: a motor whose current rises without its speed is within all its limits,
/// and yet something is wrong.
///
/// Their means, σ and correlations are learned with a memory of a week; what is measured is Mahalanobis' distance (1936), and
/// how rare a distance is is learned from the device itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joint {
    /// How many metrics: 2 to [`limits::METRICS`].
    pub metrics: u16,
}

/// The memory, hours: a week, so that every hour of it counts alike.
const MEMORY_HOURS: f64 = 168.0;

/// Values needed for each metric before anything is said: a correlation from fewer is chance.
const NEEDED_PER_METRIC: u32 = 10;

/// Hours of which nothing is said: half a day shows how metrics move.
const NEEDED_HOURS: u16 = 24;

/// What a value adds is at most so many σ.
const MOST: f64 = 4.0;

/// So much is added to each variance: metrics that are all but the same must not make noise of the last digit look large.
const RIDGE: f64 = 1e-3;

/// A σ is never smaller than this share of the mean: a constant metric must be able to round.
const ROUNDING: f64 = 1e-9;

/// What is kept of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointState {
    metrics: u16,
    clock: Clock,
    seen: u32,
    means: Vec<f64>,
    /// Squares of σ.
    variances: Vec<f64>,
    /// Mean products of what is left of each pair of metrics, in their σ: the lower triangle, row by row, with the diagonal.
    products: Vec<f32>,
    first_hour: Option<i64>,
    distances: Hourly,
}

impl Joint {
    /// The state of a device of which nothing was seen yet.
    ///
    /// # Errors
    /// [`Error::Setting`] when there are too few metrics, or too many.
    pub fn start(&self) -> Result<JointState> {
        if !(2..=limits::METRICS).contains(&self.metrics) {
            let found = f64::from(self.metrics);
            return Err(Error::Setting { setting: "metrics", found, wanted: "2 to 16 metrics" });
        }
        let count = usize::from(self.metrics);
        Ok(JointState {
            metrics: self.metrics,
            clock: Clock::default(),
            seen: 0,
            means: vec![0.0; count],
            variances: vec![0.0; count],
            products: vec![0.0; count * (count + 1) / 2],
            first_hour: None,
            distances: Hourly::new(&Tuning::default()),
        })
    }
}

impl JointState {
    /// Scores what the device measured at one moment, a value for each metric in an order that stays the same, and learns from it.
    ///
    /// Not a number stands for a value that is missing, and so does a slice that is too short; what is beyond the metrics is not
    /// looked at. Infinite values score 1. A moment at the time of the last one or before it is scored and not learned from.
    pub fn observe(&mut self, at: Timestamp, values: &[f64]) -> Score {
        let values = &values[..values.len().min(usize::from(self.metrics))];
        if values.iter().any(|value| value.abs() > limits::SIZE) {
            return Score { score: 1.0, raw: limits::SIGMAS, why: Reason::Infinite };
        }
        let hour = at.nanos().div_euclid(3_600_000_000_000);
        let step = self.clock.step(at);
        let needed = NEEDED_PER_METRIC * u32::from(self.metrics);
        let hours = self.first_hour.map_or(0, |first| hour.saturating_sub(first).max(0));
        let score = if self.seen < needed {
            Score::nothing(Reason::Learning { seen: self.seen, needed, unit: Unit::Values })
        } else if hours < i64::from(NEEDED_HOURS) {
            let (seen, needed) = (hours as u32, u32::from(NEEDED_HOURS));
            Score::nothing(Reason::Learning { seen, needed, unit: Unit::Hours })
        } else {
            self.score(values, hour, step)
        };
        if step != Step::Behind {
            self.first_hour.get_or_insert(hour);
            self.learn(values, step);
        }
        score
    }

    /// How many metrics it looks at.
    #[must_use]
    pub fn metrics(&self) -> u16 {
        self.metrics
    }

    /// Bytes in memory, the heap's included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + (self.means.capacity() + self.variances.capacity()) * size_of::<f64>()
            + self.products.capacity() * size_of::<f32>()
    }

    /// As bytes (docs/formats/detector-state.md).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        format::write(Of::Joint, self)
    }

    /// What [`JointState::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::State`] for another version, and for bytes that are damaged so that it shows.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        format::read(Of::Joint, bytes, Self::is_sound)
    }

    fn score(&mut self, values: &[f64], hour: i64, step: Step) -> Score {
        let present: Vec<usize> = (0..values.len()).filter(|metric| !values[*metric].is_nan()).collect();
        if present.is_empty() {
            return Score::nothing(Reason::NotANumber);
        }
        let left: Vec<f64> =
            present.iter().map(|metric| self.standardised(*metric, values[*metric])).collect();
        let factor = Factor::new(present.len(), |row, column| {
            self.product(present[row], present[column]) + if row == column { RIDGE } else { 0.0 }
        });
        let distance = factor.distance(&left).min(limits::SIGMAS);
        let chance = self.distances.tail().chance(distance);
        if step != Step::Behind {
            self.distances.take(hour, distance, &Tuning::default());
        }
        let (worst, expected) = factor.most_unexpected(&left);
        let metric = present[worst];
        let expected = self.means[metric] + expected * self.sigma(metric);
        let why = Reason::Together {
            sigmas: distance,
            metric: metric as u16, // at most METRICS
            value: values[metric],
            expected,
        };
        Score { score: crate::likelihood(chance), raw: distance, why }
    }

    fn learn(&mut self, values: &[f64], step: Step) {
        self.seen = self.seen.saturating_add(1);
        let share = match step {
            Step::After(seconds) => -(-seconds / (MEMORY_HOURS * 3600.0)).exp_m1(),
            _ => 0.0,
        };
        // Until enough was seen, all of it counts alike; a gap counts no more than a hundredth.
        let share = share.min(0.01).max(1.0 / f64::from(self.seen));
        let left: Vec<f64> =
            (0..values.len()).map(|metric| self.learn_metric(metric, values[metric], share)).collect();
        for row in 0..left.len() {
            for column in 0..=row {
                let product = left[row] * left[column];
                if product.is_finite() {
                    let place = place(row, column);
                    self.products[place] += (share * (product - f64::from(self.products[place]))) as f32;
                }
            }
        }
    }

    /// Learns a metric's mean and σ; gives what is left of the value, in σ and clipped, or not a number where it is missing.
    fn learn_metric(&mut self, metric: usize, value: f64, share: f64) -> f64 {
        if value.is_nan() {
            return value;
        }
        if self.seen == 1 || self.variances[metric] == 0.0 && self.means[metric] == 0.0 {
            self.means[metric] = value;
        }
        let few = self.seen < NEEDED_PER_METRIC;
        let most = if few { f64::INFINITY } else { MOST * self.sigma(metric) };
        let away = (value - self.means[metric]).clamp(-most, most);
        let left = (away / self.sigma(metric)).clamp(-MOST, MOST);
        self.means[metric] += share * away;
        self.variances[metric] += share * ((1.0 - share) * away * away - self.variances[metric]);
        left
    }

    fn standardised(&self, metric: usize, value: f64) -> f64 {
        ((value - self.means[metric]) / self.sigma(metric)).clamp(-limits::SIGMAS, limits::SIGMAS)
    }

    fn sigma(&self, metric: usize) -> f64 {
        self.variances[metric].sqrt().max(ROUNDING * self.means[metric].abs()).max(1e-30)
    }

    fn product(&self, row: usize, column: usize) -> f64 {
        f64::from(self.products[place(row.max(column), row.min(column))])
    }

    fn is_sound(&self) -> bool {
        let count = usize::from(self.metrics);
        (2..=limits::METRICS).contains(&self.metrics)
            && self.clock.is_sound()
            && self.distances.is_sound()
            && (self.means.len(), self.variances.len()) == (count, count)
            && self.products.len() == count * (count + 1) / 2
            && self.means.iter().all(|mean| mean.abs() <= 10.0 * limits::SIZE)
            && self.variances.iter().all(|variance| (0.0..=1e64).contains(variance))
            && self.products.iter().all(|product| product.abs() <= 100.0)
    }
}

/// Where a pair of metrics is in the triangle; `row` is not before `column`.
fn place(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}
