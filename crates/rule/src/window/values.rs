//! The values of a window, for what cannot be put together from sums.

use serde::{Deserialize, Serialize};

use crate::limits::QUANTILE_VALUES;

/// The newest values of the last so many nanoseconds, by time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Values {
    values: Vec<(i64, f64)>,
}

impl Values {
    pub(crate) const fn new() -> Self {
        Self { values: Vec::new() }
    }

    /// Takes a reading; `newest` is the newest time that the device was judged at. What lies a whole window behind the newest that is known
    /// is not held.
    pub(crate) fn add(&mut self, at: i64, value: f64, duration: i64, newest: i64) {
        let held = self.values.last().map_or(i64::MIN, |(time, _)| *time);
        let begin = newest.max(at).max(held).saturating_sub(duration);
        let gone = self.values.partition_point(|(time, _)| *time <= begin);
        self.values.drain(..gone);
        if at <= begin {
            return;
        }
        let place = self.values.partition_point(|(time, _)| *time <= at);
        if self.values.len() < QUANTILE_VALUES {
            self.values.insert(place, (at, value));
        } else if place > 0 {
            self.values[..place].rotate_left(1);
            self.values[place - 1] = (at, value);
        }
    }

    /// The 95th percentile by nearest rank, of those within the duration before a time.
    pub(crate) fn p95(&self, at: i64, duration: i64) -> Option<f64> {
        let begin = at.saturating_sub(duration);
        let within = self.values.iter().filter(|(time, _)| *time > begin && *time <= at);
        let mut values: Vec<f64> = within.map(|(_, value)| *value).collect();
        if values.is_empty() {
            return None;
        }
        let rank = (values.len() * 95).div_ceil(100) - 1;
        Some(*values.select_nth_unstable_by(rank, f64::total_cmp).1)
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.values.len() * size_of::<(i64, f64)>()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<(i64, f64)>()
    }
}
