//! Hours of the day and of the week, on a clock that is a fixed offset from UTC.

use std::fmt;

use record::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A clock a fixed offset from UTC: what is usual depends on the hours that people keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Calendar {
    /// Minutes ahead of UTC.
    pub offset_minutes: i16,
}

/// Where in the day and the week a time is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// The hour, counted from the epoch.
    pub hour: i64,
    /// How much of the hour is over, from 0 to 1.
    pub along: f64,
}

const HOUR_NANOS: i64 = 3_600_000_000_000;

impl Calendar {
    /// Whether the offset is one that a clock can have: no more than 18 hours (as RFC 3339 and ISO 8601 in use have it).
    pub(crate) fn check(offset_minutes: i16) -> Result<()> {
        if (-1080..=1080).contains(&offset_minutes) {
            return Ok(());
        }
        let found = f64::from(offset_minutes);
        Err(Error::Setting { setting: "utc_offset_minutes", found, wanted: "-1080 to 1080 minutes" })
    }

    #[inline]
    pub(crate) fn place(self, at: Timestamp) -> Place {
        // Divided before the offset is added: no time overflows.
        let (hour, nanos) = (at.nanos().div_euclid(HOUR_NANOS), at.nanos().rem_euclid(HOUR_NANOS));
        let nanos = nanos + i64::from(self.offset_minutes) * 60_000_000_000;
        let hour = hour + nanos.div_euclid(HOUR_NANOS);
        Place { hour, along: nanos.rem_euclid(HOUR_NANOS) as f64 / HOUR_NANOS as f64 }
    }
}

/// The hour of the day that an hour is, from 0 to 23.
#[inline]
pub(crate) fn of_day(hour: i64) -> usize {
    hour.rem_euclid(24) as usize
}

/// The hour of the week that an hour is, from 0 (Monday, midnight) to 167. The epoch was a Thursday.
#[inline]
pub(crate) fn of_week(hour: i64) -> usize {
    (hour + 3 * 24).rem_euclid(168) as usize
}

/// An hour of the week in words: `Monday 14:00`.
pub(crate) fn fmt_hour(f: &mut fmt::Formatter<'_>, hour_of_week: u8) -> fmt::Result {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    write!(f, "{} {:02}:00", DAYS[usize::from(hour_of_week / 24) % 7], hour_of_week % 24)
}
