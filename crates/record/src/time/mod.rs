//! Points in time, always UTC, and how their texts are told apart.

mod decimal;
mod rfc3339;
mod unit;

pub use unit::{TimeError, TimeUnit};

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted. Covers 1677 to 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the epoch; `None` outside the range of nanoseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Option<Self> {
        match millis.checked_mul(1_000_000) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The same without what is smaller than a millisecond; itself where that would be before the first moment there is.
    #[must_use]
    pub const fn floor_to_millis(self) -> Self {
        match Self::from_millis(self.millis()) {
            Some(floor) => floor,
            None => self,
        }
    }

    /// Reads a time as devices send it: a decimal number since the epoch, whose unit is told from its
    /// magnitude unless `unit` says it (see [`TimeUnit::of_magnitude`]), or an RFC 3339 text.
    ///
    /// Decimals are read as text, so that `1700000000.123` is exactly 123 ms past the second. Digits below
    /// a nanosecond are cut off.
    ///
    /// # Errors
    /// [`TimeError`] when the text is neither, or the time cannot be held in 64 bits of nanoseconds.
    pub fn parse(text: &str, unit: Option<TimeUnit>) -> Result<Self, TimeError> {
        match text.as_bytes() {
            [_, _, _, _, b'-', ..] => Self::parse_rfc3339(text),
            _ => Self::parse_decimal(text, unit),
        }
    }

    /// Reads a decimal number since the epoch: `-?digits[.digits][e±digits]`. As [`Timestamp::parse`].
    ///
    /// # Errors
    /// [`TimeError`] when the text is no number or the time cannot be held.
    pub fn parse_decimal(text: &str, unit: Option<TimeUnit>) -> Result<Self, TimeError> {
        decimal::parse(text, unit).map(Self)
    }

    /// Reads an RFC 3339 date-time, such as `2023-11-14T22:13:20.123Z`. The offset is required. `T` and `Z` may be
    /// small, the `T` may be a space (section 5.6). A leap second is the first instant of the next day.
    ///
    /// # Errors
    /// [`TimeError`] says what is wrong and where.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimeError> {
        rfc3339::parse(text).map(Self)
    }

    /// From a whole number of `unit` since the epoch; without a unit, by magnitude.
    ///
    /// # Errors
    /// [`TimeError::Range`] when the time cannot be held.
    pub fn from_count(count: i64, unit: Option<TimeUnit>) -> Result<Self, TimeError> {
        let unit = unit.unwrap_or_else(|| TimeUnit::of_magnitude(count.unsigned_abs()));
        count.checked_mul(unit.nanos()).map(Self).ok_or(TimeError::Range)
    }

    /// The time as RFC 3339 in UTC with nanoseconds, `2023-11-14T22:13:20.123000000Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        rfc3339::format(self.0)
    }

    /// What this machine's clock says. Only shells call it; cores are handed the time.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn whole_milliseconds_are_rounded_down_on_both_sides_of_the_epoch() {
        for (nanos, floor) in [
            (0, 0),
            (999_999, 0),
            (1_700_000_100_007_654_321, 1_700_000_100_007_000_000),
            (-1, -1_000_000),
            (-1_000_000, -1_000_000),
            (i64::MAX, i64::MAX - i64::MAX % 1_000_000),
            (i64::MIN, i64::MIN), // its millisecond began before
        ] {
            assert_eq!(Timestamp::from_nanos(nanos).floor_to_millis(), Timestamp::from_nanos(floor));
        }
    }
}
