//! The order of a series' values, and how often they come.

use record::Timestamp;
use serde::{Deserialize, Serialize};

/// After so many values from before the last one, that last one's time is taken to have been wrong: a device whose clock was
/// once years ahead must not be deaf until then. A disorder of the network is shorter.
const BEHIND: u8 = 32;

/// The memory of the interval, in values.
const INTERVALS: u8 = 100;

/// Knows the time of the last value that counted.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Clock {
    last: Option<i64>,
    behind: u8,
    /// Intervals seen, up to [`INTERVALS`].
    intervals: u8,
    /// Usual seconds from one value to the next.
    interval: f32,
}

/// Where a value stands in its series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// The first, or the first after time was set back.
    First,
    /// So many seconds after the last one.
    After(f64),
    /// At the time of the last one or before it: scored, and not learned from.
    Behind,
}

impl Clock {
    /// Takes the time of the next value.
    #[inline]
    pub(crate) fn step(&mut self, at: Timestamp) -> Step {
        let now = at.nanos();
        match self.last {
            Some(last) if now > last => {
                self.last = Some(now);
                self.behind = 0;
                // The difference of two i64 fits a u64; as f64 it is exact enough for a duration.
                let seconds = now.wrapping_sub(last).cast_unsigned() as f64 * 1e-9;
                self.learn(seconds);
                Step::After(seconds)
            }
            Some(last) if now == last || self.behind < BEHIND => {
                self.behind += u8::from(now != last);
                Step::Behind
            }
            _ => {
                self.last = Some(now);
                self.behind = 0;
                Step::First
            }
        }
    }

    /// Usual seconds from one value to the next; 0 before the second one.
    #[inline]
    pub(crate) fn interval(&self) -> f64 {
        f64::from(self.interval)
    }

    /// How many values come in an hour, at least one: a value less often than that stands for its own hour.
    #[inline]
    pub(crate) fn per_hour(&self) -> f64 {
        3600.0 / f64::from(self.interval).clamp(1e-6, 3600.0)
    }

    /// A gap counts as two intervals: it is none of its own.
    fn learn(&mut self, seconds: f64) {
        let most = if self.intervals == 0 { f64::INFINITY } else { 2.0 * self.interval() };
        self.intervals = (self.intervals + 1).min(INTERVALS);
        self.interval += ((seconds.min(most) - self.interval()) / f64::from(self.intervals)) as f32;
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.interval.is_finite() && self.interval >= 0.0
    }
}
