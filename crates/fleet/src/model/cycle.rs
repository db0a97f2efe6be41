//! Days, weeks and working cycles.

use std::f64::consts::TAU;

pub(super) const SECOND_MS: f64 = 1_000.0;
pub(super) const MINUTE_MS: f64 = 60.0 * SECOND_MS;
pub(super) const HOUR_MS: f64 = 60.0 * MINUTE_MS;
pub(super) const DAY_MS: f64 = 24.0 * HOUR_MS;

/// 1970-01-01 was a Thursday: days since Monday.
const EPOCH_WEEKDAY: f64 = 3.0;

/// The time where a device is: UTC and up to an hour either way, so that a fleet does not breathe in step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local {
    /// Milliseconds.
    pub(super) ms: f64,
    /// Hour of the day, 0 to under 24.
    pub(super) hour: f64,
}

impl Local {
    pub(super) fn new(at_ms: i64, shift_h: f64) -> Self {
        let ms = at_ms as f64 + shift_h * HOUR_MS;
        Self { ms, hour: ms.rem_euclid(DAY_MS) / HOUR_MS }
    }

    /// Monday 00:00 is 0, Sunday 24:00 is 7.
    pub(super) fn weekday(self) -> f64 {
        (self.ms / DAY_MS + EPOCH_WEEKDAY).rem_euclid(7.0)
    }

    /// −1 to 1 and back once a day, the most at `peak_hour`.
    pub(super) fn daily(self, peak_hour: f64) -> f64 {
        ((self.hour - peak_hour) / 24.0 * TAU).cos()
    }
}

/// Where a cycle of `period_ms` is, 0 to under 1.
pub(super) fn phase(at_ms: f64, period_ms: f64, offset: f64) -> f64 {
    (at_ms / period_ms + offset).rem_euclid(1.0)
}
