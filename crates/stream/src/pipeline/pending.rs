//! Windows that wait to be computed again from what the store holds.

use std::collections::BTreeMap;
use std::collections::btree_map::{self, Entry};

use record::Timestamp;
use serde::{Deserialize, Serialize};

/// How long a window waits, so that a backlog that touches it many times makes one revision of it and not many.
const WAIT_NANOS: i64 = 1_000_000_000;
/// Beyond these they are revised without waiting, with whatever step comes: each takes some 50 bytes of the state.
const MOST: usize = 100_000;
/// How many more then, so that not each step has to.
const SURPLUS: usize = 64;

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
    /// Those that have waited [`WAIT_NANOS`]: to find some of them, not all are looked at. Made from `waiting` too.
    #[serde(skip)]
    ready: Ready,
}

/// Where a window comes in turn: what a device has of one moment is read from the store and written to it together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    device: u32,
    window: u16,
    start: i64,
    series: u32,
    end: i64,
}

impl Place {
    fn of(window: Touched, device_of: DeviceOf<'_>) -> Self {
        let Touched { series, window, start, end } = window;
        Self { device: device_of(series), window, start, series, end }
    }

    fn window(self) -> Touched {
        let Self { window, start, series, end, .. } = self;
        Touched { series, window, start, end }
    }
}

/// Of which device a series in use is.
pub(super) type DeviceOf<'d> = &'d dyn Fn(u32) -> u32;

/// Windows that had waited for so long when it was asked last; some may be gone by now.
#[derive(Clone, Debug, Default)]
struct Ready {
    windows: BTreeMap<Place, i64>,
    /// The others, by the moment since when they wait; some may be gone by now.
    younger: BTreeMap<i64, Vec<Touched>>,
    /// How many those are.
    count: usize,
}

/// What is made from the rest says nothing more.
impl PartialEq for Ready {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Ready {}

impl Ready {
    fn add(&mut self, window: Touched, since: i64) {
        self.younger.entry(since).or_default().push(window);
        self.count += 1;
    }

    /// Lets those become ready that wait since `before` or longer.
    fn advance(&mut self, before: i64, waiting: &BTreeMap<Touched, i64>, device_of: DeviceOf<'_>) {
        while let Some(entry) = self.younger.first_entry().filter(|entry| *entry.key() <= before) {
            let (since, windows) = entry.remove_entry();
            self.count -= windows.len();
            let there = windows.into_iter().filter(|window| waiting.get(window) == Some(&since));
            self.windows.extend(there.map(|window| (Place::of(window, device_of), since)));
        }
        // What is gone is forgotten when it is most of them.
        if self.count > 2 * MOST.max(waiting.len()) {
            self.younger.retain(|since, windows| {
                windows.retain(|window| waiting.get(window) == Some(since));
                !windows.is_empty()
            });
            self.count = self.younger.values().map(Vec::len).sum();
        }
        if self.windows.len() > 2 * MOST.max(waiting.len()) {
            self.windows.retain(|place, since| waiting.get(&place.window()) == Some(since));
        }
    }

    /// The first of those that wait since `before` or longer. A clock may go back: then some that are here have not.
    fn first(&mut self, before: i64, most: usize, waiting: &BTreeMap<Touched, i64>) -> Vec<Touched> {
        let (mut first, mut gone) = (Vec::new(), Vec::new());
        for (&place, since) in &self.windows {
            if first.len() == most {
                break;
            }
            if waiting.get(&place.window()) != Some(since) {
                gone.push(place);
            } else if *since <= before {
                first.push(place.window());
                gone.push(place);
            }
        }
        for place in gone {
            self.windows.remove(&place);
        }
        first
    }
}

impl Pending {
    pub(super) fn add(&mut self, window: Touched) {
        if self.new.last() != Some(&window) {
            self.new.push(window);
        }
    }

    /// Takes some whose time has come, `most` at most, by device and start: at the end of a step. What the step itself
    /// touched waits: the store does not hold its readings yet.
    pub(super) fn take_due(&mut self, now: Timestamp, most: usize, device_of: DeviceOf<'_>) -> Vec<Touched> {
        let before = now.nanos().saturating_sub(WAIT_NANOS);
        self.ready.advance(before, &self.waiting, device_of);
        let due: Vec<Touched> = match self.waiting.len().saturating_sub(MOST) {
            0 => self.ready.first(before, most, &self.waiting),
            surplus => self.waiting.keys().take(most.max(surplus + SURPLUS)).copied().collect(),
        };
        for window in &due {
            self.remove(window);
        }
        for window in std::mem::take(&mut self.new) {
            if let Entry::Vacant(place) = self.waiting.entry(window) {
                place.insert(now.nanos());
                self.ages.add(now.nanos());
                self.ready.add(window, now.nanos());
            }
        }
        due
    }

    /// Whether any has waited long enough.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let before = now.nanos().saturating_sub(WAIT_NANOS);
        self.oldest().is_some_and(|oldest| oldest <= before)
    }

    fn oldest(&self) -> Option<i64> {
        self.ages.oldest()
    }

    /// Makes what is not part of a checkpoint.
    pub(super) fn restored(mut self) -> Self {
        (self.ages, self.ready) = (Ages::default(), Ready::default());
        for (&window, &since) in &self.waiting {
            self.ages.add(since);
            self.ready.add(window, since);
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

    /// Four series a device.
    fn device_of(series: u32) -> u32 {
        series / 4
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
        assert_eq!(pending.take_due(after(5), 64, &device_of), []);
        assert!(!pending.is_due(after(WAIT_NANOS)));
        pending.add(window(1, 0)); // touched again: it does not wait longer
        assert_eq!(pending.take_due(after(WAIT_NANOS), 64, &device_of), []);
        assert!(pending.is_due(after(WAIT_NANOS + 5)));
        assert_eq!(pending.take_series(2), [window(2, 0)]);
        assert_eq!(pending.take_due(after(WAIT_NANOS + 5), 64, &device_of), [window(1, 0)]);
        assert!(!pending.is_due(after(9 * WAIT_NANOS)));
        assert_eq!(pending.take_due(after(9 * WAIT_NANOS), 64, &device_of), []);
    }

    #[test]
    fn a_step_takes_as_many_as_it_may() {
        let mut pending = Pending::default();
        (0..1000).for_each(|start| pending.add(window(0, start)));
        pending.take_due(START, 0, &device_of);
        assert_eq!(pending.take_due(after(WAIT_NANOS), 0, &device_of).len(), 0);
        assert_eq!(pending.take_due(after(WAIT_NANOS), 64, &device_of).len(), 64);
        assert_eq!(pending.take_due(after(WAIT_NANOS), 1000, &device_of).len(), 936);
    }

    #[test]
    fn the_number_waiting_is_bounded() {
        let mut pending = Pending::default();
        (0..MOST as i64 + 1000).for_each(|start| pending.add(window(0, start)));
        pending.take_due(START, 0, &device_of);
        assert_eq!(
            pending.take_due(START, 0, &device_of).len(),
            1000 + SURPLUS,
            "beyond the bound nothing waits"
        );
        assert_eq!(pending.take_due(START, 0, &device_of).len(), 0);
    }

    #[test]
    fn what_is_due_is_the_first_by_device_of_those_that_have_waited_whatever_the_clock_does() {
        let mut random = 7_u64;
        let mut next = move |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let (mut pending, mut now) = (Pending::default(), 0_i64);
        for step in 0..3000 {
            now += next(WAIT_NANOS as u64 / 4) as i64;
            if next(50) == 0 {
                now -= next(3 * WAIT_NANOS as u64) as i64;
            }
            let most = if next(2) == 0 { 0 } else { 1 + next(90) as usize };
            let waited =
                pending.waiting.iter().filter(|&(_, &since)| since <= now.saturating_sub(WAIT_NANOS));
            let mut expected: Vec<Touched> = waited.map(|(&window, _)| window).collect();
            expected.sort_by_key(|window| Place::of(*window, &device_of));
            expected.truncate(most);
            for _ in 0..next(60) {
                pending.add(window(next(400) as u32, next(20) as i64));
            }
            assert_eq!(pending.take_due(after(now), most, &device_of), expected, "step {step}");
            if next(20) == 0 {
                pending.take_series(next(400) as u32);
            }
            if next(100) == 0 {
                let bytes = postcard::to_stdvec(&pending).unwrap();
                pending = postcard::from_bytes::<Pending>(&bytes).unwrap().restored();
            }
        }
    }

    #[test]
    fn what_is_due_is_known_after_the_state_was_read_back() {
        let mut pending = Pending::default();
        pending.add(window(1, 0));
        pending.take_due(START, 0, &device_of);
        let bytes = postcard::to_stdvec(&pending).unwrap();
        let back = postcard::from_bytes::<Pending>(&bytes).unwrap().restored();
        assert_eq!(back, pending);
        assert!(back.is_due(after(WAIT_NANOS)));
    }
}
