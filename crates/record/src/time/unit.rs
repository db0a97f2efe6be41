//! Units of time, and telling them apart.

/// The unit of a number that stands for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// 10⁻⁹ s.
    Nanoseconds,
    /// 10⁻⁶ s.
    Microseconds,
    /// 10⁻³ s.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// 60 s; line protocol's `m`.
    Minutes,
    /// 3600 s; line protocol's `h`.
    Hours,
}

impl TimeUnit {
    /// The first number that is read as milliseconds: as seconds it would be the year 5138.
    pub const FIRST_MILLISECONDS: u64 = 100_000_000_000;
    /// The first number that is read as microseconds.
    pub const FIRST_MICROSECONDS: u64 = 100_000_000_000_000;
    /// The first number that is read as nanoseconds.
    pub const FIRST_NANOSECONDS: u64 = 100_000_000_000_000_000;

    /// The unit that a number of this magnitude (its whole part, without the sign) must have.
    ///
    /// | whole part | unit | which covers |
    /// |---|---|---|
    /// | below 10¹¹ | seconds | 1970 to 2262 |
    /// | below 10¹⁴ | milliseconds | 1973-03-03 to 2262 |
    /// | below 10¹⁷ | microseconds | 1973-03-03 to 2262 |
    /// | from 10¹⁷ on | nanoseconds | 1973-03-03 to 2262 |
    ///
    /// So a time before March 1973 in a unit below seconds must name its unit.
    #[must_use]
    pub const fn of_magnitude(whole: u64) -> Self {
        match whole {
            0..Self::FIRST_MILLISECONDS => Self::Seconds,
            Self::FIRST_MILLISECONDS..Self::FIRST_MICROSECONDS => Self::Milliseconds,
            Self::FIRST_MICROSECONDS..Self::FIRST_NANOSECONDS => Self::Microseconds,
            _ => Self::Nanoseconds,
        }
    }

    /// The unit by the name that line protocol's `precision` gives it: `n` or `ns`, `u`, `us` or `µs`, `ms`,
    /// `s`, `m`, `h`.
    #[must_use]
    pub fn from_precision(name: &str) -> Option<Self> {
        Some(match name {
            "n" | "ns" => Self::Nanoseconds,
            "u" | "us" | "µ" | "µs" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            _ => return None,
        })
    }

    /// How many nanoseconds one has.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Hours => 3_600_000_000_000,
        }
    }
}

/// Why something is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Neither a decimal number nor an RFC 3339 text.
    #[error(
        "is neither a number since 1970 nor an RFC 3339 time such as 2023-11-14T22:13:20Z (wrong at character {at})"
    )]
    Form {
        /// Where it goes wrong, in bytes.
        at: usize,
    },
    /// A date-time without its offset from UTC.
    #[error("has no offset from UTC: end it with Z or with an offset such as +02:00")]
    Offset,
    /// A month 13, a day 30 February, an hour 25.
    #[error("has no such {0}")]
    Calendar(&'static str),
    /// Outside what 64 bits of nanoseconds hold.
    #[error("is outside 1677-09-21 to 2262-04-11, the range of 64-bit nanoseconds")]
    Range,
}
