//! What columns a file has.

use super::kind::Kind;
use crate::parquet::{ColumnNo, Rows};

/// The unit of a file's times: the coarsest in which all of them are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Nanoseconds.
    Nanos,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
}

impl Unit {
    /// Nanoseconds in one.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        match self {
            Self::Nanos => 1,
            Self::Micros => 1_000,
            Self::Millis => 1_000_000,
        }
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Nanos => 0,
            Self::Micros => 1,
            Self::Millis => 2,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Nanos,
            1 => Self::Micros,
            2 => Self::Millis,
            _ => return None,
        })
    }

    fn of(nanos: impl Iterator<Item = i64> + Clone) -> Self {
        // Remainders are slow and most values agree: one pass for the coarsest, another only where it fails.
        for unit in [Self::Millis, Self::Micros] {
            if nanos.clone().all(|value| value % unit.nanos() == 0) {
                return unit;
            }
        }
        Self::Nanos
    }
}

/// A metric's column in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Which metric.
    pub no: ColumnNo,
    /// Its name, which names the column.
    pub name: String,
    /// How it is stored.
    pub kind: Kind,
}

/// The columns of a file, decided before its first row is written. A value that does not fit goes to the exceptions,
/// so that a plan may be wrong about values; about the other columns it must be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The metrics, by rising number.
    pub columns: Vec<Planned>,
    /// Of event times and, as far as they differ, claimed times.
    pub time_unit: Unit,
    /// Of the time between event and arrival.
    pub delay_unit: Unit,
    /// Whether an entity's group is other than 0.
    pub groups: bool,
    /// Whether a row has a sequence number.
    pub seqs: bool,
    /// Whether a row's claimed time is not its event time.
    pub shifts: bool,
    /// Whether a row's time is from another clock than the device's.
    pub origins: bool,
}

impl Plan {
    /// The plan for a file of just these rows. Metrics without a value get no column.
    #[must_use]
    pub fn of(rows: &Rows, name: impl Fn(ColumnNo) -> String) -> Self {
        let columns = rows.columns().iter().filter_map(|column| {
            let kind = Kind::of(&column.cells)?;
            Some(Planned { no: column.no, name: name(column.no), kind })
        });
        let delay = rows.arrived_at.iter().zip(&rows.time).map(|(at, time)| at.wrapping_sub(*time));
        let shift = rows.claimed.iter().zip(&rows.time).map(|(claimed, time)| claimed.wrapping_sub(*time));
        Self {
            columns: columns.collect(),
            time_unit: Unit::of(rows.time.iter().copied()).min(Unit::of(shift.clone())),
            delay_unit: Unit::of(delay),
            groups: rows.entity.iter().any(|entity| entity >> 32 != 0),
            seqs: rows.seq.iter().any(|&seq| seq != 0),
            shifts: shift.clone().any(|shift| shift != 0),
            origins: rows.origin.iter().any(|&origin| origin != 0),
        }
    }

    /// Where a metric's column is among `columns`.
    #[must_use]
    pub fn position(&self, no: ColumnNo) -> Option<usize> {
        self.columns.binary_search_by_key(&no, |column| column.no).ok()
    }
}
