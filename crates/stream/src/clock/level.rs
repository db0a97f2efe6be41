//! Messages whose times are off by the same amount.

use serde::{Deserialize, Serialize};

const SECOND: i64 = 1_000_000_000;

/// Offsets may differ by this: it is jitter of delays. More, and the estimate would say little.
const JITTER_NS: i64 = 10 * SECOND;
/// And by one part in this of the time between them: 1000 ppm, ten times what a cheap quartz does.
const DRIFT: i64 = 1000;
/// A level is steady from so many messages …
const STEADY_MESSAGES: u32 = 4;
/// … that came over this time. A backlog that is delivered half as quick again as it was made leaves the jitter by then.
const STEADY_NS: i64 = 20 * SECOND;
/// The estimate is the largest offset of the last so many messages, up to twice as many …
const HALF_MESSAGES: u32 = 16;
/// … and no less than this time.
const HALF_NS: i64 = 60 * SECOND;

/// Messages in a row whose offsets agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Level {
    messages: u32,
    first_at: i64,
    last_at: i64,
    /// The largest offset of the half before, and of the first half its first: what the next ones are held against.
    reference: i64,
    /// When the half in hand began.
    half_at: i64,
    half_messages: u32,
    /// The largest offset of the half in hand.
    highest: i64,
}

impl Level {
    pub(super) fn new(offset: i64, at: i64) -> Self {
        Self {
            messages: 1,
            first_at: at,
            last_at: at,
            reference: offset,
            half_at: at,
            half_messages: 1,
            highest: offset,
        }
    }

    /// Whether a message with this offset is of the same level.
    pub(super) fn fits(&self, offset: i64, at: i64) -> bool {
        let apart = offset.saturating_sub(self.reference).saturating_abs();
        apart <= JITTER_NS + at.saturating_sub(self.half_at).max(0) / DRIFT
    }

    pub(super) fn add(&mut self, offset: i64, at: i64) {
        if self.half_messages >= HALF_MESSAGES && at.saturating_sub(self.half_at) >= HALF_NS {
            (self.reference, self.highest) = (self.highest, offset);
            (self.half_at, self.half_messages) = (at, 0);
        }
        self.messages = self.messages.saturating_add(1);
        self.half_messages = self.half_messages.saturating_add(1);
        // The lanes are not read in the order of arrival.
        self.first_at = self.first_at.min(at);
        self.last_at = self.last_at.max(at);
        self.highest = self.highest.max(offset);
    }

    /// How far the clock is ahead, less the shortest delay.
    pub(super) fn skew_ns(&self) -> i64 {
        self.highest.max(self.reference)
    }

    /// Whether enough messages agree over a long enough time that they cannot be a backlog.
    pub(super) fn is_steady(&self) -> bool {
        self.is_steady_since(i64::MIN)
    }

    /// Whether they do without counting the time before a moment.
    pub(super) fn is_steady_since(&self, at: i64) -> bool {
        let time = self.last_at.saturating_sub(self.first_at.max(at));
        self.messages >= STEADY_MESSAGES && time >= STEADY_NS
    }

    pub(super) fn messages(&self) -> u32 {
        self.messages
    }

    pub(super) fn last_at(&self) -> i64 {
        self.last_at
    }
}
