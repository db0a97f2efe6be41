//! Durations as people write them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A span of time, nanoseconds: `5m`, `1h30m`, `90 s`, `10 minutes`, `1 day 12 hours`.
///
/// Units: `ms`, `s`, `m`, `h`, `d`, `w`, and their names (`sec`, `seconds`, `min`, `minutes`, `hours`, `days`, `weeks`, …).
/// Written as `1h30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(i64);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no duration: write it like 5m, 1h30m or 10 minutes")]
pub struct DurationError {
    /// The text, cut.
    pub found: String,
}

const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1000 * MILLISECOND;

/// What a unit is called, and how long it is. The first name of each is the one it is written with.
const UNITS: [(&[&str], i64); 6] = [
    (&["w", "week", "weeks"], 7 * 86_400 * SECOND),
    (&["d", "day", "days"], 86_400 * SECOND),
    (&["h", "hr", "hour", "hours"], 3600 * SECOND),
    (&["m", "min", "minute", "minutes"], 60 * SECOND),
    (&["s", "sec", "second", "seconds"], SECOND),
    (&["ms", "millisecond", "milliseconds"], MILLISECOND),
];

impl Duration {
    /// From nanoseconds; what is negative counts as nothing.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(if nanos < 0 { 0 } else { nanos })
    }

    /// Nanoseconds, never negative.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whether it is none.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`DurationError`] when the text is none.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError { found: text.chars().take(40).collect() };
        let mut rest = text.trim();
        let mut nanos = 0_i64;
        if rest.is_empty() {
            return Err(error());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (count, tail) = rest.split_at(digits);
            let tail = tail.trim_start();
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (name, tail) = tail.split_at(letters);
            let unit =
                UNITS.iter().find(|(names, _)| names.iter().any(|unit| unit.eq_ignore_ascii_case(name)));
            let count: i64 = count.parse().map_err(|_| error())?;
            let part = unit.and_then(|(_, unit)| count.checked_mul(*unit)).ok_or_else(error)?;
            nanos = nanos.checked_add(part).ok_or_else(error)?;
            rest = tail.trim_start();
        }
        Ok(Self(nanos))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (names, unit) in UNITS {
            if rest >= unit {
                write!(f, "{}{}", rest / unit, names[0])?;
                rest %= unit;
            }
        }
        if self.0 < MILLISECOND { f.write_str("0s") } else { Ok(()) }
    }
}

impl TryFrom<String> for Duration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        Self::parse(&text)
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.to_string()
    }
}
