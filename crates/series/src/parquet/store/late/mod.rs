//! The list of late readings, as rows of runs like the readings: a row is what came late of a device's moment, some columns
//! a metric.
//!
//! ```text
//! entity: group of the list, device    all times, sequence number: those of the reading
//! temperature.late.value  .watermark  .deliveries     humidity.late.value …
//! ```
//!
//! Blocks, buffers, runs, merges and removal are those of the readings: what was written last under a key counts. That a value
//! came late once is not written.

mod adopt;
mod read;
mod write;

pub(super) use read::{OfLate, count};

/// What is said of a late reading, each a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Part {
    /// As it came, or as it came last.
    Value = 0,
    /// The watermark it came behind, nanoseconds. Always there.
    Watermark = 1,
    /// How many values came late under its key; once is not written.
    Deliveries = 2,
}

/// All of them, by number.
pub(super) const PARTS: [Part; 3] = [Part::Value, Part::Watermark, Part::Deliveries];

impl Part {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Watermark => "watermark",
            Self::Deliveries => "deliveries",
        }
    }
}

impl From<Part> for u32 {
    fn from(part: Part) -> Self {
        part as Self
    }
}
