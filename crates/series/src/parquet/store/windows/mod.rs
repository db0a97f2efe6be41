//! Results of windows, as rows of runs like the readings: a row is a device's windows of one kind that start together, a
//! column a statistic of one metric.
//!
//! ```text
//! entity: group of the windows, device    claimed time: the start    event time, arrival: the end
//! temperature.1m.count  .sum  .min  .max  .stddev  .p95  .first  .last  .revised     humidity.1m.count …
//! ```
//!
//! Blocks, buffers, runs, merges and removal are those of the readings: what was written last under a key counts. A statistic
//! that is as nearly always is not written, so that it costs nothing: it stands in the first result of a key alone, since what
//! is not written does not take the place of anything. A result that is void has the count 0.

mod adopt;
mod read;
mod write;

use record::{Timestamp, ValueRef, When};

pub(super) use read::{OfWindows, count};

/// A number of a result, each a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Statistic {
    /// Always there.
    Count = 0,
    Sum = 1,
    Min = 2,
    /// Always there.
    Max = 3,
    Stddev = 4,
    P95 = 5,
    First = 6,
    Last = 7,
    Revised = 8,
}

use Statistic::{Count, First, Last, Max, Min, P95, Revised, Stddev, Sum};

/// All of them, by number.
pub(super) const STATISTICS: [Statistic; 9] = [Count, Sum, Min, Max, Stddev, P95, First, Last, Revised];

/// Those that are floats, in the order of [`Numbers::floats`].
const FLOATS: [Statistic; 7] = [Sum, Min, Max, Stddev, P95, First, Last];

impl From<Statistic> for u32 {
    fn from(statistic: Statistic) -> Self {
        statistic as Self
    }
}

impl Statistic {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Count => "count",
            Sum => "sum",
            Min => "min",
            Max => "max",
            Stddev => "stddev",
            P95 => "p95",
            First => "first",
            Last => "last",
            Revised => "revised",
        }
    }
}

/// The numbers of a result.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Numbers {
    /// 0: it is void.
    count: u64,
    /// `sum`, `min`, `max`, `stddev`, `p95`, `first`, `last`.
    floats: [f64; 7],
    revised: bool,
}

impl Numbers {
    const VOID: Self = Self { count: 0, floats: [0.0; 7], revised: false };

    /// From the cells of a key; `None` when it has no result.
    fn read<'c>(cell: impl Fn(Statistic) -> Option<ValueRef<'c>>) -> Option<Self> {
        let count = match cell(Count)? {
            ValueRef::Int(count) => count.cast_unsigned(),
            other => other.as_f64()? as u64,
        };
        let float = |statistic| cell(statistic).and_then(|value| value.as_f64());
        let max = float(Max).unwrap_or(f64::NAN);
        let usual = |statistic| if statistic == Stddev { 0.0 } else { max };
        let floats = FLOATS.map(|statistic| float(statistic).unwrap_or_else(|| usual(statistic)));
        let revised = matches!(cell(Revised), Some(ValueRef::Bool(true)));
        Some(Self { count, floats, revised })
    }

    /// Visits what has to be written: all of it where there was a result before.
    fn write(&self, replaces: bool, mut put: impl FnMut(Statistic, ValueRef<'static>)) {
        put(Count, ValueRef::Int(self.count.cast_signed()));
        let max = self.floats[2];
        for (statistic, float) in FLOATS.into_iter().zip(self.floats) {
            let usual = if statistic == Stddev { 0.0_f64 } else { max };
            if replaces || statistic == Max || float.to_bits() != usual.to_bits() {
                put(statistic, ValueRef::Float(float));
            }
        }
        if replaces || self.revised {
            put(Revised, ValueRef::Bool(self.revised));
        }
    }

    /// Whether both say the same of a window.
    fn is_same(&self, other: &Self) -> bool {
        self.count == other.count && self.floats == other.floats
    }
}

/// The times of a row.
fn when(start: Timestamp, end: Timestamp) -> When {
    let when = When::by_device(end, end);
    When { claimed: start, ..when }
}
