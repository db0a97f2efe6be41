//! The last readings of a series, to hold the next ones against.

use serde::{Deserialize, Serialize};

use super::Violation;

/// How many readings of a series with a limited rate are remembered: live ones and a backlog beside them, 136 bytes.
pub const KEPT: usize = 8;
/// Doubles are rounded: a reading that passed must pass again though the sum of two steps is rounded otherwise.
const ROUNDING: f64 = 1e-9;

/// The last readings let through, in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    readings: [(i64, f64); KEPT],
    held: u8,
    /// The place of the next one.
    next: u8,
}

impl History {
    /// What is too quick about a reading, towards its neighbour before or after it.
    pub(super) fn too_quick(&self, time: i64, value: f64, max_per_s: f64) -> Option<Violation> {
        let readings = &self.readings[..usize::from(self.held)];
        let before = readings.iter().filter(|reading| reading.0 < time).max_by_key(|reading| reading.0);
        let after = readings.iter().filter(|reading| reading.0 > time).min_by_key(|reading| reading.0);
        [before, after].into_iter().flatten().find_map(|&(at, neighbour)| {
            let apart_s = at.abs_diff(time) as f64 / 1e9;
            let allowed = max_per_s * apart_s;
            let rounding = ROUNDING * (value.abs() + neighbour.abs() + allowed);
            let is_too_quick = (value - neighbour).abs() > allowed + rounding;
            is_too_quick.then_some(Violation::Rate { value, neighbour, apart_s, max_per_s })
        })
    }

    /// Remembers a reading. Of several at one time (sequence numbers, corrections) the last one counts.
    pub(super) fn add(&mut self, time: i64, value: f64) {
        let held = usize::from(self.held);
        if let Some(same) = self.readings[..held].iter_mut().find(|reading| reading.0 == time) {
            same.1 = value;
            return;
        }
        self.readings[usize::from(self.next)] = (time, value);
        self.next = (self.next + 1) % KEPT as u8;
        self.held = (self.held + 1).min(KEPT as u8);
    }
}
