//! Stretches of time below the floor of which it is known that the device has nothing stored there.

use serde::{Deserialize, Serialize};

use super::Moment;

/// More would cost memory for every device; a device needs one for the time before its first reading (a clock that
/// was reset lands there), one per outage whose backlog is being delivered, and some for disorder in it.
const MOST: usize = 6;

/// A few of the widest known gaps; they do not overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gaps(Vec<Gap>);

/// Nothing is stored strictly between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Gap {
    after: Moment,
    before: Moment,
}

impl Gap {
    fn width_ns(&self) -> u64 {
        self.before.time.wrapping_sub(self.after.time) as u64 // the difference of two i64 always fits
    }
}

impl Gaps {
    /// Notes that nothing is stored between the two. Kept while it is among the widest.
    #[inline]
    pub(super) fn add(&mut self, after: Moment, before: Moment) {
        if before.time <= after.time {
            return;
        }
        let new = Gap { after, before };
        if self.0.len() < MOST {
            self.0.reserve_exact(1); // by ones: the last capacity is MOST, and each device has this
            self.0.push(new);
        } else if let Some(narrowest) = self.0.iter_mut().min_by_key(|gap| gap.width_ns())
            && narrowest.width_ns() < new.width_ns()
        {
            *narrowest = new;
        }
    }

    /// Whether nothing is stored at `moment`; from now on something is.
    pub(super) fn take(&mut self, moment: Moment) -> bool {
        let within = |gap: &Gap| gap.after < moment && moment < gap.before;
        let Some(found) = self.0.iter().position(within) else { return false };
        let gap = self.0.swap_remove(found);
        self.add(moment, gap.before);
        self.add(gap.after, moment);
        true
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Gap>()
    }
}
