//! The last values with their mean and variance.

use serde::{Deserialize, Serialize};

use super::Window;
use crate::limits;

/// The last values, oldest overwritten first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ring {
    size: u16,
    next: u16,
    values: Vec<f64>,
    mean: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
}

impl Ring {
    pub(super) fn new(size: u16) -> Self {
        Self { size, next: 0, values: Vec::with_capacity(usize::from(size)), mean: 0.0, squares: 0.0 }
    }

    /// From the values themselves: after a whole turn, so that rounding does not add up.
    fn sum_up(&mut self) {
        let n = self.values.len() as f64;
        self.mean = self.values.iter().sum::<f64>() / n;
        self.squares = self.values.iter().map(|value| (value - self.mean).powi(2)).sum();
    }
}

impl Window for Ring {
    #[inline]
    fn seen(&self) -> u16 {
        self.values.len() as u16 // no longer than `size`
    }

    #[inline]
    fn usual(&self) -> (f64, f64) {
        let n = self.values.len() as f64;
        (self.mean, (self.squares / (n - 1.0).max(1.0)).max(0.0).sqrt())
    }

    #[inline]
    fn push(&mut self, value: f64) {
        if self.values.len() < usize::from(self.size) {
            self.values.push(value);
            let step = value - self.mean;
            self.mean += step / self.values.len() as f64;
            self.squares += step * (value - self.mean);
            return;
        }
        let oldest = std::mem::replace(&mut self.values[usize::from(self.next)], value);
        let mean = self.mean + (value - oldest) / f64::from(self.size);
        self.squares += (value - oldest) * (value - mean + oldest - self.mean);
        self.mean = mean;
        self.next += 1;
        if self.next == self.size {
            self.next = 0;
            self.sum_up();
        }
    }

    fn heap(&self) -> usize {
        self.values.capacity() * size_of::<f64>()
    }

    fn is_sound(&self) -> bool {
        let full = self.values.len() == usize::from(self.size);
        (1..=limits::WINDOW).contains(&self.size)
            && (full && self.next < self.size || self.values.len() < usize::from(self.size) && self.next == 0)
            && self.values.iter().chain([&self.mean, &self.squares]).all(|value| value.is_finite())
    }
}
