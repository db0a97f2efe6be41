//! What several metrics of a device are at one moment, gathered from readings that come one by one.

use record::Timestamp;
use serde::{Deserialize, Serialize};

/// For how long, in event time, a metric's last value stands for one that a moment does not bring: who sends less often sends
/// its metrics together, and what a metric was hours ago says nothing of how it goes with the others now.
const CARRIED_NANOS: i64 = 3600 * 1_000_000_000;

/// The moment at hand: readings of one time. It is complete when every metric has brought one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Moment {
    /// Its time, ns; the smallest there is before the first.
    at: i64,
    /// Which metrics have brought a reading of it: a bit each, the first the lowest.
    come: u16,
    /// Each metric's last value and its time, ns.
    values: Vec<(f64, i64)>,
}

/// What is saved of a moment and the detector that it is gathered for: a version, then this (docs/formats/rules-state.md).
#[derive(Serialize, Deserialize)]
struct Saved {
    moment: Moment,
    state: Vec<u8>,
}

const VERSION: u8 = 1;

/// What is to be observed: a time, and a value for each metric, not a number where there is none.
pub(super) type Observed = (Timestamp, Vec<f64>);

impl Moment {
    /// None yet, of 2 to 16 metrics.
    pub(super) fn new(metrics: usize) -> Self {
        Self { at: i64::MIN, come: 0, values: vec![(f64::NAN, i64::MIN); metrics] }
    }

    /// Takes a reading, which is not before the last one. Gives the moment that it completes, or the one before, if it begins another
    /// and that was not complete: each moment is observed once.
    pub(super) fn take(&mut self, at: Timestamp, place: usize, value: f64) -> Option<Observed> {
        let at = at.nanos();
        let was_complete = self.is_complete();
        if at <= self.at {
            self.put(place, value);
            return (!was_complete && self.is_complete()).then(|| self.observed());
        }
        let before = (self.come != 0 && !was_complete).then(|| self.observed());
        (self.at, self.come) = (at, 0);
        // Of several metrics one completes nothing.
        self.put(place, value);
        before
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.values.capacity() * size_of::<(f64, i64)>()
    }

    /// In bytes, with those of the detector that it is gathered for.
    pub(super) fn save(&self, state: Vec<u8>) -> Vec<u8> {
        let saved = Saved { moment: self.clone(), state };
        postcard::to_extend(&saved, vec![VERSION]).expect("writing to memory does not fail")
    }

    fn put(&mut self, place: usize, value: f64) {
        self.values[place] = (value, self.at);
        self.come |= 1 << place;
    }

    fn is_complete(&self) -> bool {
        self.come.count_ones() as usize == self.values.len()
    }

    fn observed(&self) -> Observed {
        let value = |(value, at): &(f64, i64)| {
            if self.at.saturating_sub(*at) <= CARRIED_NANOS { *value } else { f64::NAN }
        };
        (Timestamp::from_nanos(self.at), self.values.iter().map(value).collect())
    }
}

/// What [`Moment::save`] wrote of so many metrics: the moment, and the detector's bytes.
pub(super) fn read(metrics: usize, saved: &[u8]) -> Option<(Moment, Vec<u8>)> {
    let [VERSION, saved @ ..] = saved else { return None };
    let Saved { moment, state } = postcard::from_bytes(saved).ok()?;
    let is_sound = moment.values.len() == metrics && u32::from(moment.come) < 1 << metrics;
    is_sound.then_some((moment, state))
}
