//! The last values with their median and the median distance from it.

use serde::{Deserialize, Serialize};

use super::{SIGMA_PER_MAD, Window};
use crate::limits;

/// The last values in the order they came in, and sorted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sorted {
    size: u16,
    next: u16,
    values: Vec<f64>,
    sorted: Vec<f64>,
}

impl Sorted {
    pub(super) fn new(size: u16) -> Self {
        let room = || Vec::with_capacity(usize::from(size));
        Self { size, next: 0, values: room(), sorted: room() }
    }

    fn median(&self) -> f64 {
        let n = self.sorted.len();
        if n % 2 == 1 { self.sorted[n / 2] } else { 0.5 * (self.sorted[n / 2 - 1] + self.sorted[n / 2]) }
    }

    /// The median of the distances from `middle`. The half of the sorted values that is nearest to it lies side by side:
    /// the run of `half` values with the smallest larger end is found by halving.
    fn median_distance(&self, middle: f64) -> f64 {
        let n = self.sorted.len();
        let half = n / 2 + 1;
        let (mut low, mut high) = (0, n - half);
        while low < high {
            let start = usize::midpoint(low, high);
            // Move right while the value that would leave is farther than the one that would come.
            if middle - self.sorted[start] > self.sorted[start + half] - middle {
                low = start + 1;
            } else {
                high = start;
            }
        }
        let run = &self.sorted[low..low + half];
        let ends = (middle - run[0]).abs().max((run[half - 1] - middle).abs());
        if n % 2 == 1 {
            return ends;
        }
        // An even number: the mean of the two middle distances, the second of which is the run without its farther end.
        let inner = if (middle - run[0]).abs() >= (run[half - 1] - middle).abs() {
            (middle - run[1.min(half - 1)]).abs().max((run[half - 1] - middle).abs())
        } else {
            (middle - run[0]).abs().max((run[half.saturating_sub(2)] - middle).abs())
        };
        0.5 * (ends + inner)
    }

    fn remove(&mut self, value: f64) {
        let place = self.sorted.partition_point(|other| *other < value);
        self.sorted.remove(place);
    }

    fn insert(&mut self, value: f64) {
        let place = self.sorted.partition_point(|other| *other < value);
        self.sorted.insert(place, value);
    }
}

impl Window for Sorted {
    fn seen(&self) -> u16 {
        self.values.len() as u16 // no longer than `size`
    }

    fn usual(&self) -> (f64, f64) {
        let median = self.median();
        let distance = self.median_distance(median);
        if distance > 0.0 {
            return (median, distance * SIGMA_PER_MAD);
        }
        // More than half of the values are the same: the mean distance is not zero unless all are (Iglewicz and Hoaglin 1993).
        let n = self.sorted.len() as f64;
        let mean = self.sorted.iter().map(|value| (value - median).abs()).sum::<f64>() / n;
        (median, mean * 1.253_314)
    }

    fn push(&mut self, value: f64) {
        let value = value + 0.0; // no negative zero: it sorts beside the other and would not be found
        if self.values.len() < usize::from(self.size) {
            self.values.push(value);
        } else {
            let oldest = std::mem::replace(&mut self.values[usize::from(self.next)], value);
            self.remove(oldest);
            self.next = (self.next + 1) % self.size;
        }
        self.insert(value);
    }

    fn heap(&self) -> usize {
        (self.values.capacity() + self.sorted.capacity()) * size_of::<f64>()
    }

    fn is_sound(&self) -> bool {
        let mut again = self.values.clone();
        again.sort_by(f64::total_cmp);
        let full = self.values.len() == usize::from(self.size);
        (1..=limits::WINDOW).contains(&self.size)
            && (full && self.next < self.size || self.values.len() < usize::from(self.size) && self.next == 0)
            && self.values.iter().all(|value| value.is_finite())
            && again == self.sorted
    }
}
