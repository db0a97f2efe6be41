//! Which span of claimed time a run belongs to: its day; or a month or an era of days, where a day has next to nothing.

/// A span of claimed time whose runs are merged with one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Period {
    pub(super) grain: Grain,
    /// Which: claimed time divided by the grain's length, rounded down.
    pub(super) index: i64,
}

/// How long a period is. A table with few readings a day keeps them by month or by era, so that a year of one reading an
/// hour, or a clock that names any day of a century, is a few files and not hundreds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Grain {
    Day = 0,
    Month = 1,
    Era = 2,
    Ever = 3,
}

/// With fewer readings than this, a flush puts a day's rows to the month's, and so on.
pub(super) const LEAST_READINGS: u64 = 4096;

const DAY_NANOS: i64 = 86_400_000_000_000;

impl Grain {
    pub(super) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Day,
            1 => Self::Month,
            2 => Self::Era,
            3 => Self::Ever,
            _ => return None,
        })
    }

    /// `None`: longer than all of time.
    const fn days(self) -> Option<i64> {
        match self {
            Self::Day => Some(1),
            Self::Month => Some(32),
            Self::Era => Some(1024),
            Self::Ever => None,
        }
    }
}

impl Period {
    pub(super) fn of(grain: Grain, claimed: i64) -> Self {
        let index = grain.days().map_or(0, |days| claimed.div_euclid(DAY_NANOS).div_euclid(days));
        Self { grain, index }
    }

    /// One past its last nanosecond.
    pub(super) fn end(self) -> i64 {
        let end = |days: i64| (self.index + 1).saturating_mul(days).saturating_mul(DAY_NANOS);
        self.grain.days().map_or(i64::MAX, end)
    }

    /// For each day with rows, the period they go to: its own when it has enough, else the shortest that has.
    pub(super) fn assign(
        days: &std::collections::BTreeMap<i64, u64>,
    ) -> std::collections::BTreeMap<i64, Self> {
        let mut assigned = std::collections::BTreeMap::new();
        let mut left = days.clone();
        for grain in [Grain::Day, Grain::Month, Grain::Era, Grain::Ever] {
            let of = |day: i64| Self::of(grain, day.saturating_mul(DAY_NANOS));
            let mut sums = std::collections::BTreeMap::<Self, u64>::new();
            for (&day, &readings) in &left {
                *sums.entry(of(day)).or_default() += readings;
            }
            left.retain(|&day, _| {
                let enough = grain == Grain::Ever || sums[&of(day)] >= LEAST_READINGS;
                if enough {
                    assigned.insert(day, of(day));
                }
                !enough
            });
        }
        assigned
    }
}

/// The day of a claimed time.
pub(super) fn day(claimed: i64) -> i64 {
    claimed.div_euclid(DAY_NANOS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_with_little_goes_to_its_month_and_a_wild_clock_to_ever() {
        let days =
            [(20_000, LEAST_READINGS), (20_001, 10), (20_002, LEAST_READINGS - 10), (7, 1), (-40_000, 1)];
        let assigned = Period::assign(&days.into());
        let grain = |day: i64| assigned[&day].grain;
        assert_eq!([20_000, 20_001, 20_002].map(grain), [Grain::Day, Grain::Month, Grain::Month]);
        assert_eq!([7, -40_000].map(grain), [Grain::Ever, Grain::Ever]);
        assert_eq!(assigned[&20_001], assigned[&20_002]);
        assert_eq!(Period::of(Grain::Day, -1), Period { grain: Grain::Day, index: -1 });
        assert_eq!(Period::of(Grain::Day, -1).end(), 0);
        assert_eq!(Period::of(Grain::Ever, i64::MAX).end(), i64::MAX);
    }
}
