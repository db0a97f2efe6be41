//! The order of a series' values.

use record::Timestamp;
use serde::{Deserialize, Serialize};

/// After so many values from before the last one, that last one's time is taken to have been wrong: a device whose clock was
/// once years ahead must not be deaf until then. A disorder of the network is shorter.
const BEHIND: u8 = 32;

/// Knows the time of the last value that counted.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Clock {
    last: Option<i64>,
    behind: u8,
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
                Step::After(now.wrapping_sub(last).cast_unsigned() as f64 * 1e-9)
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
}
