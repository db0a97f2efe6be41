//! What comes out of the windows.

use serde::{Deserialize, Serialize};

use super::aggregate::Aggregate;

/// A window that is finished for now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Published {
    /// Its result.
    Closed(Closed),
    /// Its result is to be computed from the stored readings.
    Stale(Stale),
    /// It has closed with fewer readings than its results are kept from.
    Few,
}

/// The result of a window that has closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Closed {
    /// Whose.
    pub series: u32,
    /// Which of the plan's windows.
    pub window: u16,
    /// Its start, ns since the epoch.
    pub start: i64,
    /// Its end, exclusive.
    pub end: i64,
    /// The result.
    pub aggregate: Aggregate,
}

/// A window that has closed and whose result must be computed from the stored readings.
///
/// For a session, `start..end` only touches it: there may be none or several, and they may reach farther on both
/// sides. Read the stored readings from `start` back and from `end` on until a gap, compute
/// [`sessions`](super::sessions), and put them in the place of all sessions that begin in the span that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stale {
    /// Whose.
    pub series: u32,
    /// Which of the plan's windows.
    pub window: u16,
    /// Its start, ns since the epoch.
    pub start: i64,
    /// Its end, exclusive.
    pub end: i64,
}
