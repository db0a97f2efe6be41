//! Which readings were there before (R6.3): what a partition remembers per device to tell.
//!
//! A reading's key is (device, metric, claimed time, sequence number). The same key with the same value is a
//! duplicate, with another value a correction; neither its age nor the order of arrival matter. [`Recent`] holds what
//! is known of one device:
//!
//! ```text
//!      unknown       gap      unknown  │ floor          known, key by key             │ nothing is stored
//!  ────────────────[      ]────────────●────▪──▪───▪────▪──▪──▪──▪────────▪──▪──▪──▪──▪─────────────▶ claimed time
//!                   nothing            │    each ▪: which metrics are stored there,   newest
//!                   is stored                       and a digest of their values
//! ```
//!
//! - At a remembered key the metrics that are stored are known exactly, one bit each, and their values by digest. Twenty
//!   metrics that share a time are no duplicates of each other, in one message or in twenty.
//! - Above the floor, where no key is remembered, nothing is stored: new. So are times in a gap. A clock that was
//!   reset lands in the gap before the device's first reading; the backlog of an outage, in the outage's gap.
//! - Everywhere else, and where a digest does not say it all, the store is asked.
//!
//! An answer is never guessed: what is stored is never called new, and what differs is never called a duplicate, but
//! for two values with the same 64-bit digest (probability 2⁻⁶⁴ per comparison).
//!
//! This holds as long as every reading of the device that reaches the store is judged here first, both lanes alike.

mod digest;
mod gaps;
mod recent;
mod set;
#[cfg(test)]
mod tests;

pub use digest::digest;
pub use recent::{DEFAULT_KEYS, Recent};

use record::When;
use serde::{Deserialize, Serialize};

/// Where on a device's own time line a reading stands: what its readings of one moment share of their key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment {
    /// The claimed time, nanoseconds since 1970.
    pub time: i64,
    /// The sequence number; 0: none.
    pub seq: u64,
}

impl Moment {
    const FIRST: Self = Self { time: i64::MIN, seq: 0 };

    /// The moment of a reading.
    #[must_use]
    pub const fn of(when: &When) -> Self {
        Self { time: when.claimed.nanos(), seq: when.seq }
    }
}

/// A reading to be judged, among those of its device and moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The number of its metric within the device.
    pub slot: u32,
    /// The [`digest`] of its value.
    pub digest: u64,
}

/// What the store, together with the batch in hand, holds under a reading's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Held {
    /// Nothing.
    Absent,
    /// The same value.
    Same,
    /// Another value.
    Other,
}

/// What a reading turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The first under its key.
    New,
    /// Its key is there with the same value.
    Duplicate,
    /// Its key was there with another value, which it replaces.
    Correction,
}

impl From<Held> for Fate {
    fn from(held: Held) -> Self {
        match held {
            Held::Absent => Self::New,
            Held::Same => Self::Duplicate,
            Held::Other => Self::Correction,
        }
    }
}
