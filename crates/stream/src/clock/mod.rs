//! How far a device's clock is off (R4.5), and what is done about it.
//!
//! For every message, `offset = claimed time - arrival time = skew - delay`, and no delay is negative. So the largest of the
//! recent offsets tells the skew best, and a device that claims the future is certain to be ahead. A device
//! that claims the past is either behind or late: it is *behind* only if its time advances in step with ours, message after
//! message. A backlog does not: its messages come faster than they were made.
//!
//! [`Clock`] estimates, [`Rules`] decide. The rules for people stand in `docs/time.md`.

mod level;
mod rules;
#[cfg(test)]
mod tests;

pub use rules::{Config, ConfigError, Policy, Rules};

use record::Timestamp;
use serde::{Deserialize, Serialize};

use level::Level;

/// What is known of a device's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// How far off it is taken to be.
    level: Option<Level>,
    /// How far off it seems to be since it last jumped, if that was a jump.
    other: Option<Level>,
}

/// How far a clock is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// How far it is ahead of the server's (negative: behind), nanoseconds. Too low by the shortest delay of the recent messages.
    pub skew_ns: i64,
    /// Whether enough messages agree on it. If not, the device may just as well be late.
    pub is_confident: bool,
}

impl Clock {
    /// Of a device that was never heard.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a message: the latest time claimed in it, and when it arrived. Not for messages that say themselves
    /// that they are old (class `backfill`) or were sent again by others (replays), nor for those without a device time.
    pub fn observe(&mut self, claimed: Timestamp, arrived_at: Timestamp) {
        let (offset, at) = (claimed.nanos().saturating_sub(arrived_at.nanos()), arrived_at.nanos());
        let Some(level) = &mut self.level else {
            self.level = Some(Level::new(offset, at));
            return;
        };
        if level.fits(offset, at) {
            level.add(offset, at);
            self.other = None; // a clock cannot be at both
            return;
        }
        let is_later = offset > level.skew_ns();
        if is_later && !level.is_steady() {
            *level = Level::new(offset, at); // what came before was late
            self.other = None;
            return;
        }
        match &mut self.other {
            Some(other) if other.fits(offset, at) => other.add(offset, at),
            other => *other = Some(Level::new(offset, at)),
        }
        if self.other.as_ref().is_some_and(|other| has_jumped(level, other)) {
            self.level = self.other.take();
        }
    }

    /// How far the clock is off; `None` before the first message.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        let level = self.level.as_ref()?;
        let skew_ns = level.skew_ns();
        let is_confident = level.is_steady() || (skew_ns > 0 && level.messages() >= AHEAD);
        Some(Estimate { skew_ns, is_confident })
    }
}

/// So many messages from the future are no accident.
const AHEAD: u32 = 3;

/// Forwards, as no delay explains it, after a few messages. Backwards, only when the messages come in step for a while after
/// the last one by which the clock is where it was: around a jump they may overtake one another.
fn has_jumped(from: &Level, to: &Level) -> bool {
    if to.skew_ns() > from.skew_ns() { to.messages() >= AHEAD } else { to.is_steady_since(from.last_at()) }
}
