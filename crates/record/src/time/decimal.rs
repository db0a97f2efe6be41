//! Times as decimal numbers, read from their text: a detour through a float would lose digits.

use super::{TimeError, TimeUnit};

/// More significant digits than any time in any unit has above a nanosecond; further ones are below it.
const DIGITS: u32 = 36;

pub(super) fn parse(text: &str, unit: Option<TimeUnit>) -> Result<i64, TimeError> {
    let number = Decimal::parse(text.as_bytes())?;
    let whole = number.whole_part();
    let unit = unit.unwrap_or_else(|| TimeUnit::of_magnitude(whole.unwrap_or(u64::MAX)));
    let nanos = number.scaled(unit.nanos()).ok_or(TimeError::Range)?;
    i64::try_from(if number.negative { -nanos } else { nanos }).map_err(|_| TimeError::Range)
}

/// `±digits × 10^exponent`.
struct Decimal {
    negative: bool,
    digits: i128,
    exponent: i64,
}

impl Decimal {
    fn parse(text: &[u8]) -> Result<Self, TimeError> {
        let wrong = |at: usize| TimeError::Form { at };
        let mut at = usize::from(matches!(text.first(), Some(b'-' | b'+')));
        let mut number = Self { negative: text.first() == Some(&b'-'), digits: 0, exponent: 0 };
        let mut kept = 0;
        let mut seen = false;
        let mut take = |number: &mut Self, digit: u8, fraction: bool| {
            seen = true;
            if kept < DIGITS {
                number.digits = number.digits * 10 + i128::from(digit - b'0');
                kept += u32::from(number.digits != 0);
                number.exponent -= i64::from(fraction);
            } else {
                number.exponent += i64::from(!fraction);
            }
        };
        while let Some(&digit @ b'0'..=b'9') = text.get(at) {
            take(&mut number, digit, false);
            at += 1;
        }
        if text.get(at) == Some(&b'.') {
            at += 1;
            while let Some(&digit @ b'0'..=b'9') = text.get(at) {
                take(&mut number, digit, true);
                at += 1;
            }
        }
        if !seen {
            return Err(wrong(at));
        }
        if matches!(text.get(at), Some(b'e' | b'E')) {
            let sign_at = at + 1;
            let negative = text.get(sign_at) == Some(&b'-');
            at = sign_at + usize::from(matches!(text.get(sign_at), Some(b'-' | b'+')));
            let first = at;
            let mut exponent = 0_i64;
            while let Some(&digit @ b'0'..=b'9') = text.get(at) {
                exponent = (exponent * 10 + i64::from(digit - b'0')).min(1 << 40);
                at += 1;
            }
            if at == first {
                return Err(wrong(at));
            }
            number.exponent += if negative { -exponent } else { exponent };
        }
        if at == text.len() { Ok(number) } else { Err(wrong(at)) }
    }

    /// The digits before the point; `None` when they do not fit.
    fn whole_part(&self) -> Option<u64> {
        u64::try_from(self.scaled(1)?).ok()
    }

    /// `|number| × factor`, cut to a whole number; `None` when it is far beyond 64 bits.
    fn scaled(&self, factor: i64) -> Option<i128> {
        if self.digits == 0 {
            return Some(0);
        }
        if self.exponent >= 0 {
            let power = u32::try_from(self.exponent).ok()?;
            return 10_i128.checked_pow(power)?.checked_mul(self.digits)?.checked_mul(i128::from(factor));
        }
        let places = self.exponent.unsigned_abs();
        let Some(power) = u32::try_from(places).ok().and_then(|p| 10_i128.checked_pow(p)) else {
            return Some(0); // at most 36 digits over at least 10^39
        };
        // Whole and fraction apart, so that the multiplication cannot overflow.
        let (whole, fraction) = (self.digits / power, self.digits % power);
        let below = match fraction.checked_mul(i128::from(factor)) {
            Some(product) => product / power,
            None => (fraction / 10_000_000_000_000) * i128::from(factor) / (power / 10_000_000_000_000),
        };
        whole.checked_mul(i128::from(factor))?.checked_add(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, unit: Option<TimeUnit>, expect: Result<i64, TimeError>) {
        assert_eq!(parse(text, unit), expect, "{text} as {unit:?}");
    }

    #[test]
    fn the_unit_is_told_from_the_magnitude_at_every_boundary() {
        for (text, nanos) in [
            ("0", 0),
            ("1", 1_000_000_000),
            ("1700000000", 1_700_000_000_000_000_000),
            ("9223372036", 9_223_372_036_000_000_000),
            ("100000000000", 100_000_000_000_000_000),
            ("1700000000123", 1_700_000_000_123_000_000),
            ("9223372036854", 9_223_372_036_854_000_000),
            ("100000000000000", 100_000_000_000_000_000),
            ("1700000000123456", 1_700_000_000_123_456_000),
            ("9223372036854775", 9_223_372_036_854_775_000),
            ("100000000000000000", 100_000_000_000_000_000),
            ("1700000000123456789", 1_700_000_000_123_456_789),
            ("9223372036854775807", i64::MAX),
            ("-1", -1_000_000_000),
            ("-9223372036854775808", i64::MIN),
            ("-100000000000", -100_000_000_000_000_000),
        ] {
            check(text, None, Ok(nanos));
        }
        for text in [
            "9223372037",
            "99999999999",
            "9223372036855",
            "99999999999999",
            "9223372036854776",
            "99999999999999999",
            "9223372036854775808",
            "-9223372036854775809",
            "1e30",
            "1e99999999999999999999",
            "123456789012345678901234567890123456789012345678901234567890",
        ] {
            check(text, None, Err(TimeError::Range));
        }
    }

    #[test]
    fn fractions_keep_every_digit_down_to_a_nanosecond() {
        for (text, nanos) in [
            ("1700000000.123", 1_700_000_000_123_000_000),
            ("1700000000.123456789", 1_700_000_000_123_456_789),
            ("1700000000.1234567899", 1_700_000_000_123_456_789),
            ("1700000000.000000000000000000000000000000000000000001", 1_700_000_000_000_000_000),
            ("1700000000.999999999999999999999999999999999999999999", 1_700_000_000_999_999_999),
            ("1700000000123.456", 1_700_000_000_123_456_000),
            ("1700000000123456.789", 1_700_000_000_123_456_789),
            ("1700000000123456789.9", 1_700_000_000_123_456_789),
            ("1.7e9", 1_700_000_000_000_000_000),
            ("1.700000000123E12", 1_700_000_000_123_000_000),
            ("17000000000000e-4", 1_700_000_000_000_000_000),
            ("0.000000001", 1),
            ("-0.5", -500_000_000),
            ("1e-9999999999999999999", 0),
            ("0e99999999999999", 0),
        ] {
            check(text, None, Ok(nanos));
        }
    }

    #[test]
    fn a_named_unit_overrides_the_magnitude() {
        for (text, unit, nanos) in [
            ("1700000000", TimeUnit::Milliseconds, 1_700_000_000_000_000),
            ("5", TimeUnit::Nanoseconds, 5),
            ("5.9", TimeUnit::Nanoseconds, 5),
            ("5", TimeUnit::Microseconds, 5_000),
            ("2", TimeUnit::Hours, 7_200_000_000_000),
            ("1.5", TimeUnit::Minutes, 90_000_000_000),
        ] {
            check(text, Some(unit), Ok(nanos));
        }
        check("1700000000000", Some(TimeUnit::Seconds), Err(TimeError::Range));
    }

    #[test]
    fn what_is_no_number_says_where() {
        for (text, at) in
            [("", 0), ("-", 1), (".", 1), ("12x", 2), ("1e", 2), ("1e+", 3), ("1.5 ", 3), ("NaN", 0)]
        {
            check(text, None, Err(TimeError::Form { at }));
        }
    }
}
