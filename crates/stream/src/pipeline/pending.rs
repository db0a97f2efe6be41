//! Windows that wait to be computed again from what the store holds.

use std::collections::BTreeMap;
use std::collections::btree_map::{self, Entry};

use record::Timestamp;
use serde::{Deserialize, Serialize};

/// How long a window waits, so that a backlog that touches it many times makes one revision of it and not many.
const WAIT_NANOS: i64 = 1_000_000_000;
/// How many one step without records revises: each costs a look into the store, and a live reading that comes meanwhile
/// waits for the step.
const PER_STEP: usize = 256;
/// A partition that always has something to read still revises a few with each step, once they have waited so long.
const OVERDUE_NANOS: i64 = 10 * WAIT_NANOS;
/// How many then.
const PER_BUSY_STEP: usize = 32;
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
    /// How many were touched first at which clock value: says whether any is due without a look at all of them.
    /// Made from `waiting` when the state is read back.
    #[serde(skip)]
    ages: Ages,
}

impl Pending {
    pub(super) fn add(&mut self, window: Touched) {
        if self.new.last() != Some(&window) {
            self.new.push(window);
        }
    }

    /// Takes those whose time has come at the end of a step, by series and start. What the step itself touched waits:
    /// the store does not hold its readings yet. A step with records leaves them to the steps without, which come when
    /// nothing live is to be read, unless that has gone on for long.
    pub(super) fn take_due(&mut self, now: Timestamp, had_records: bool) -> Vec<Touched> {
        let surplus = self.waiting.len().saturating_sub(MOST);
        let (most, wait) = match had_records {
            _ if surplus > 0 => (surplus + PER_STEP, None),
            true => (PER_BUSY_STEP, Some(OVERDUE_NANOS)),
            false => (PER_STEP, Some(WAIT_NANOS)),
        };
        let before = wait.map_or(i64::MAX, |wait| now.nanos().saturating_sub(wait));
        let mut due = Vec::new();
        if self.oldest().is_some_and(|oldest| oldest <= before) {
            let waited = self.waiting.iter().filter(|&(_, &since)| since <= before);
            due.extend(waited.map(|(&window, _)| window).take(most));
        }
        for window in &due {
            self.remove(window);
        }
        for window in std::mem::take(&mut self.new) {
            if let Entry::Vacant(place) = self.waiting.entry(window) {
                place.insert(now.nanos());
                self.ages.add(now.nanos());
            }
        }
        due
    }

    /// Whether a step without records at `now` would take any.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let before = now.nanos().saturating_sub(WAIT_NANOS);
        self.oldest().is_some_and(|oldest| oldest <= before)
    }

    fn oldest(&self) -> Option<i64> {
        self.ages.oldest()
    }

    /// Makes what is not part of a checkpoint.
    pub(super) fn restored(mut self) -> Self {
        self.ages = Ages::default();
        for &since in self.waiting.values() {
            self.ages.add(since);
        }
        self
    }

    fn remove(&mut self, window: &Touched) {
        if let Some(since) = self.waiting.remove(window) {
            self.ages.remove(since);
        }
    }

    /// Takes the windows of a series whose number is about to get another meaning.
    pub(super) fn take_series(&mut self, series: u32) -> Vec<Touched> {
        let first = Touched { series, window: 0, start: i64::MIN, end: i64::MIN };
        let of_series = self.waiting.range(first..).take_while(|(window, _)| window.series == series);
        let mut taken: Vec<Touched> = of_series.map(|(&window, _)| window).collect();
        for window in &taken {
            self.remove(window);
        }
        let mut of_this_step: Vec<Touched> =
            self.new.extract_if(.., |window| window.series == series).collect();
        taken.append(&mut of_this_step);
        taken
    }
}

/// How many windows began to wait at which moment; as many entries as there were steps meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ages(BTreeMap<i64, u32>);

impl Ages {
    fn add(&mut self, since: i64) {
        *self.0.entry(since).or_default() += 1;
    }

    fn remove(&mut self, since: i64) {
        if let btree_map::Entry::Occupied(mut count) = self.0.entry(since) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn oldest(&self) -> Option<i64> {
        self.0.first_key_value().map(|(&since, _)| since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_nanos(0);

    fn after(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    fn window(series: u32, start: i64) -> Touched {
        Touched { series, window: 0, start, end: start + 60 }
    }

    #[test]
    fn a_window_waits_once_and_never_for_the_step_that_touched_it() {
        let mut pending = Pending::default();
        pending.add(window(1, 0));
        pending.add(window(1, 0));
        pending.add(window(2, 0));
        assert_eq!(pending.take_due(after(5), false), []);
        assert!(!pending.is_due(after(WAIT_NANOS)));
        pending.add(window(1, 0)); // touched again: it does not wait longer
        assert_eq!(pending.take_due(after(WAIT_NANOS), false), []);
        assert!(pending.is_due(after(WAIT_NANOS + 5)));
        assert_eq!(pending.take_series(2), [window(2, 0)]);
        assert_eq!(pending.take_due(after(WAIT_NANOS + 5), false), [window(1, 0)]);
        assert!(!pending.is_due(after(9 * WAIT_NANOS)));
        assert_eq!(pending.take_due(after(9 * WAIT_NANOS), false), []);
    }

    #[test]
    fn a_step_with_records_leaves_them_to_those_without_until_they_have_waited_for_long() {
        let mut pending = Pending::default();
        (0..1000).for_each(|start| pending.add(window(0, start)));
        pending.take_due(START, true);
        assert_eq!(pending.take_due(after(WAIT_NANOS), true).len(), 0);
        assert_eq!(pending.take_due(after(WAIT_NANOS), false).len(), PER_STEP);
        assert_eq!(pending.take_due(after(OVERDUE_NANOS), true).len(), PER_BUSY_STEP);
    }

    #[test]
    fn the_number_waiting_is_bounded() {
        let mut pending = Pending::default();
        (0..MOST as i64 + 1000).for_each(|start| pending.add(window(0, start)));
        pending.take_due(START, true);
        assert_eq!(pending.take_due(START, true).len(), 1000 + PER_STEP, "beyond the bound nothing waits");
        assert_eq!(pending.take_due(START, true).len(), 0);
    }

    #[test]
    fn what_is_due_is_known_after_the_state_was_read_back() {
        let mut pending = Pending::default();
        pending.add(window(1, 0));
        pending.take_due(START, true);
        let bytes = postcard::to_stdvec(&pending).unwrap();
        let back = postcard::from_bytes::<Pending>(&bytes).unwrap().restored();
        assert_eq!(back, pending);
        assert!(back.is_due(after(WAIT_NANOS)));
    }
}
