//! RFC 3339 date-times.

use super::TimeError;

const SECOND: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

pub(super) fn parse(text: &str) -> Result<i64, TimeError> {
    let mut rest = Rest { bytes: text.as_bytes(), at: 0 };
    let year = rest.digits(4)?;
    rest.one_of(b"-")?;
    let month = rest.digits(2)?;
    rest.one_of(b"-")?;
    let day = rest.digits(2)?;
    rest.one_of(b"Tt ")?;
    let hour = rest.digits(2)?;
    rest.one_of(b":")?;
    let minute = rest.digits(2)?;
    rest.one_of(b":")?;
    let second = rest.digits(2)?;
    let nanos = rest.fraction()?;
    let offset = rest.offset_seconds()?;

    if !(1..=12).contains(&month) {
        return Err(TimeError::Calendar("month"));
    }
    if day < 1 || day > days_in(year, month) {
        return Err(TimeError::Calendar("day in that month"));
    }
    if hour > 23 {
        return Err(TimeError::Calendar("hour"));
    }
    if minute > 59 {
        return Err(TimeError::Calendar("minute"));
    }
    let utc = days_since_epoch(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset;
    // A leap second only ever ends a UTC day (section 5.7).
    if second > 60 || (second == 60 && utc.rem_euclid(DAY_SECONDS) != 0) {
        return Err(TimeError::Calendar("second"));
    }
    i64::try_from(i128::from(utc) * i128::from(SECOND) + i128::from(nanos)).map_err(|_| TimeError::Range)
}

pub(super) fn format(nanos: i64) -> String {
    let (seconds, nanos) = (nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND));
    let (days, second) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Rest<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn digits(&mut self, count: usize) -> Result<i64, TimeError> {
        let mut number = 0;
        for _ in 0..count {
            match self.peek() {
                Some(digit @ b'0'..=b'9') => number = number * 10 + i64::from(digit - b'0'),
                _ => return Err(TimeError::Form { at: self.at }),
            }
            self.at += 1;
        }
        Ok(number)
    }

    fn one_of(&mut self, allowed: &[u8]) -> Result<u8, TimeError> {
        match self.peek() {
            Some(byte) if allowed.contains(&byte) => {
                self.at += 1;
                Ok(byte)
            }
            _ => Err(TimeError::Form { at: self.at }),
        }
    }

    /// Nanoseconds; further digits are cut off.
    fn fraction(&mut self) -> Result<i64, TimeError> {
        if self.peek() != Some(b'.') {
            return Ok(0);
        }
        self.at += 1;
        let first = self.at;
        let (mut nanos, mut place) = (0, SECOND / 10);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            nanos += i64::from(digit - b'0') * place;
            place /= 10;
            self.at += 1;
        }
        if self.at == first { Err(TimeError::Form { at: self.at }) } else { Ok(nanos) }
    }

    fn offset_seconds(&mut self) -> Result<i64, TimeError> {
        let sign = match self.peek() {
            None => return Err(TimeError::Offset),
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(b'Z' | b'z') => 0,
            Some(_) => return Err(TimeError::Form { at: self.at }),
        };
        self.at += 1;
        let mut offset = 0;
        if sign != 0 {
            let hours = self.digits(2)?;
            self.one_of(b":")?;
            let minutes = self.digits(2)?;
            if hours > 23 || minutes > 59 {
                return Err(TimeError::Calendar("offset"));
            }
            offset = sign * (hours * 3600 + minutes * 60);
        }
        if self.at == self.bytes.len() { Ok(offset) } else { Err(TimeError::Form { at: self.at }) }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days before the first of the month, in a year that begins with March: then February, with its changing
/// length, comes last and the rest follows one line.
fn days_before(month_from_march: i64) -> i64 {
    (153 * month_from_march + 2) / 5
}

const DAYS_OF_400_YEARS: i64 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const EPOCH_DAY: i64 = 719_468;

fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + days_before(month) + day
        - 1
        - EPOCH_DAY
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAY;
    let (era, day) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - days_before(month) + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    (year + era * 400, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-11-14T22:13:20Z", 1_700_000_000 * SECOND),
            ("2023-11-14t22:13:20.123z", 1_700_000_000 * SECOND + 123_000_000),
            ("2023-11-14 23:13:20.123456789+01:00", 1_700_000_000 * SECOND + 123_456_789),
            ("2023-11-14T22:13:20.1234567899Z", 1_700_000_000 * SECOND + 123_456_789),
            ("2023-11-14T16:43:20-05:30", 1_700_000_000 * SECOND),
            ("2000-02-29T00:00:00-00:00", 951_782_400 * SECOND),
            ("1969-12-31T23:59:59.5Z", -SECOND / 2),
            ("2016-12-31T23:59:60Z", 1_483_228_800 * SECOND),
            ("2017-01-01T00:59:60+01:00", 1_483_228_800 * SECOND),
            ("2262-04-11T23:47:16.854775807Z", i64::MAX),
            ("1677-09-21T00:12:43.145224192Z", i64::MIN),
        ] {
            assert_eq!(parse(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_says_why() {
        for (text, error) in [
            ("2023-11-14T22:13:20", TimeError::Offset),
            ("2023-11-14", TimeError::Form { at: 10 }),
            ("2023-11-14T22:13Z", TimeError::Form { at: 16 }),
            ("2023-13-14T22:13:20Z", TimeError::Calendar("month")),
            ("2023-02-29T22:13:20Z", TimeError::Calendar("day in that month")),
            ("1900-02-29T22:13:20Z", TimeError::Calendar("day in that month")),
            ("2023-02-00T22:13:20Z", TimeError::Calendar("day in that month")),
            ("2023-02-01T24:00:00Z", TimeError::Calendar("hour")),
            ("2023-02-01T23:60:00Z", TimeError::Calendar("minute")),
            ("2023-02-01T23:58:60Z", TimeError::Calendar("second")),
            ("2023-02-01T23:59:61Z", TimeError::Calendar("second")),
            ("2023-02-01T23:59:00+24:00", TimeError::Calendar("offset")),
            ("2023-02-01T23:59:00+0100", TimeError::Form { at: 22 }),
            ("2023-02-01T23:59:00.Z", TimeError::Form { at: 20 }),
            ("2023-02-01T23:59:00Zx", TimeError::Form { at: 20 }),
            ("2262-04-11T23:47:16.854775808Z", TimeError::Range),
            ("1677-09-21T00:12:43.145224191Z", TimeError::Range),
            ("9999-12-31T23:59:59Z", TimeError::Range),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn every_day_of_the_range_goes_there_and_back() {
        for day in (-106_751..106_751).step_by(7) {
            let (year, month, of_month) = date_of(day);
            assert_eq!(days_since_epoch(year, month, of_month), day);
            let nanos = day * DAY_SECONDS * SECOND + 1;
            assert_eq!(parse(&format(nanos)), Ok(nanos));
        }
    }
}
