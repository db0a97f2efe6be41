//! Windows that wait to be computed again from what the store holds.

use std::collections::BTreeMap;

use record::Timestamp;
use serde::{Deserialize, Serialize};

/// How long a window waits, so that a backlog that touches it many times makes one revision of it and not many.
const WAIT_NANOS: i64 = 1_000_000_000;
/// How many of a partition are revised in one step: each costs a look into the store, and live readings wait for the step.
const PER_STEP: usize = 128;
/// How many in a step without records.
const PER_TICK: usize = 4096;
/// Beyond these they are revised without waiting: each takes some 50 bytes of the state.
const MOST: usize = 100_000;

/// A window to be computed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Touched {
    pub(super) series: u32,
    /// The window's number in the plan.
    pub(super) window: u16,
    /// Its start and end; of a session: the moment of the reading.
    pub(super) start: i64,
    pub(super) end: i64,
}

/// Windows, each with the clock value of the step that touched it first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    waiting: BTreeMap<Touched, i64>,
    /// Touched in the step at hand, whose clock value is not known yet.
    new: Vec<Touched>,
}

impl Pending {
    pub(super) fn add(&mut self, window: Touched) {
        if self.new.last() != Some(&window) {
            self.new.push(window);
        }
    }

    /// Takes those whose time has come at the end of a step, by series and start. What the step itself touched waits:
    /// the store does not hold its readings yet.
    pub(super) fn take_due(&mut self, now: Timestamp, had_records: bool) -> Vec<Touched> {
        let before = now.nanos().saturating_sub(WAIT_NANOS);
        let most = match had_records {
            true if self.waiting.len() > MOST => self.waiting.len() - MOST + PER_STEP,
            true => PER_STEP,
            false => PER_TICK,
        };
        let too_many = self.waiting.len() > MOST;
        let due = self.waiting.iter().filter(|&(_, &since)| too_many || since <= before);
        let due: Vec<Touched> = due.map(|(&window, _)| window).take(most).collect();
        for window in &due {
            self.waiting.remove(window);
        }
        for window in self.new.drain(..) {
            self.waiting.entry(window).or_insert(now.nanos());
        }
        due
    }

    /// Whether a step at `now` would take any.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let before = now.nanos().saturating_sub(WAIT_NANOS);
        self.waiting.values().any(|&since| since <= before)
    }

    /// Takes the windows of a series whose number is about to get another meaning.
    pub(super) fn take_series(&mut self, series: u32) -> Vec<Touched> {
        let first = Touched { series, window: 0, start: i64::MIN, end: i64::MIN };
        let of_series = self.waiting.range(first..).take_while(|(window, _)| window.series == series);
        let mut taken: Vec<Touched> = of_series.map(|(&window, _)| window).collect();
        for window in &taken {
            self.waiting.remove(window);
        }
        let mut of_this_step: Vec<Touched> =
            self.new.extract_if(.., |window| window.series == series).collect();
        taken.append(&mut of_this_step);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_waits_once_and_never_for_the_step_that_touched_it() {
        let window = |series, start| Touched { series, window: 0, start, end: start + 60 };
        let at = |nanos| Timestamp::from_nanos(nanos);
        let mut pending = Pending::default();
        pending.add(window(1, 0));
        pending.add(window(1, 0));
        pending.add(window(2, 0));
        assert_eq!(pending.take_due(at(5), true), []);
        assert!(!pending.is_due(at(WAIT_NANOS)));
        pending.add(window(1, 0)); // touched again: it does not wait longer
        assert_eq!(pending.take_due(at(WAIT_NANOS), true), []);
        assert!(pending.is_due(at(WAIT_NANOS + 5)));
        assert_eq!(pending.take_series(2), [window(2, 0)]);
        assert_eq!(pending.take_due(at(WAIT_NANOS + 5), true), [window(1, 0)]);
        assert_eq!(pending.take_due(at(9 * WAIT_NANOS), true), []);
    }

    #[test]
    fn a_step_with_records_revises_few_and_the_number_waiting_is_bounded() {
        let mut pending = Pending::default();
        for start in 0..(MOST as i64 + 1000) {
            pending.add(Touched { series: 0, window: 0, start, end: start });
        }
        let now = Timestamp::from_nanos(0);
        pending.take_due(now, true);
        assert_eq!(pending.take_due(now, true).len(), 1000 + PER_STEP, "beyond the bound nothing waits");
        assert_eq!(pending.take_due(now, true).len(), 0);
        let later = Timestamp::from_nanos(WAIT_NANOS);
        assert_eq!(pending.take_due(later, true).len(), PER_STEP);
        assert_eq!(pending.take_due(later, false).len(), PER_TICK);
    }
}
