//! When to measure: at multiples of the interval, so that the times of a device are regular through restarts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The times of measurements.
pub(super) struct Ticks {
    interval_ms: i64,
    last_ms: Option<i64>,
    missed: u64,
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// Its time, a multiple of the interval, milliseconds of the epoch.
    pub(super) at_ms: i64,
    /// How many before it passed without a measurement, because the machine was asleep or too busy.
    pub(super) missed: u64,
}

impl Ticks {
    pub(super) fn new(interval_s: f64) -> Self {
        Self { interval_ms: ((interval_s * 1000.0).round() as i64).max(1), last_ms: None, missed: 0 }
    }

    /// Sleeps until the next.
    pub(super) fn wait(&mut self) -> Tick {
        loop {
            let at_ms = self.next(now_ms());
            self.sleep_until(at_ms);
            if now_ms() - at_ms < self.interval_ms {
                return Tick { at_ms, missed: std::mem::take(&mut self.missed) };
            }
            // The machine was asleep: measured now, it would have a time that it is not of.
            self.missed += 1;
        }
    }

    /// Ends early where the clock is set back: the tick after this one is by the new clock.
    fn sleep_until(&self, at_ms: i64) {
        let mut left = at_ms - now_ms();
        while left > 0 {
            std::thread::sleep(Duration::from_millis(left.min(self.interval_ms).unsigned_abs()));
            let before = std::mem::replace(&mut left, at_ms - now_ms());
            if left > before {
                return;
            }
        }
    }

    /// What could not be written down is told again.
    pub(super) fn still_missed(&mut self, missed: u64) {
        self.missed += missed;
    }

    fn next(&mut self, now_ms: i64) -> i64 {
        let next_ms = (now_ms.div_euclid(self.interval_ms) + 1) * self.interval_ms;
        // A clock that was set back starts a new count: nothing was missed by it.
        if let Some(last_ms) = self.last_ms.filter(|last_ms| next_ms > *last_ms) {
            self.missed += ((next_ms - last_ms) / self.interval_ms - 1).unsigned_abs();
        }
        self.last_ms = Some(next_ms);
        next_ms
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_multiples_and_what_is_passed_over_is_counted() {
        let mut ticks = Ticks::new(0.25);
        assert_eq!([1_000, 1_251, 1_300].map(|now| ticks.next(now)), [1_250, 1_500, 1_500]);
        assert_eq!(ticks.missed, 0);
        assert_eq!((ticks.next(2_600), ticks.missed), (2_750, 4), "1750, 2000, 2250, 2500");
        assert_eq!((ticks.next(100), ticks.missed), (250, 4), "the clock was set back");
        assert_eq!((ticks.next(250), ticks.missed), (500, 4));
    }
}
