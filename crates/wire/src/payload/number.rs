//! Numbers, exactly: integers stay integers, floats are rounded once and correctly.

/// A number of a payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
    /// An integer that 64 signed bits cannot hold.
    IntegerRange,
    /// A float that 64 bits cannot hold.
    FloatRange,
}

/// Powers of ten that a float holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
const EXACT_INTEGERS: u64 = 1 << 53;
/// So many digits always fit 64 bits.
const SAFE_DIGITS: usize = 19;

/// So many digits are an integer that a float holds exactly.
const PLAIN_DIGITS: usize = 15;

/// The JSON number that begins at `start`, and where it ends, if it is a plain one, as those of sensors are: few digits and
/// no exponent. [`json`] reads any, and says what is wrong with one.
#[inline]
pub(super) fn plain(bytes: &[u8], start: usize) -> Option<(Number, usize)> {
    let negative = bytes.get(start) == Some(&b'-');
    let first = start + usize::from(negative);
    let (mut at, mut mantissa) = (first, 0_u64);
    let mut digits = |at: &mut usize| {
        while let Some(digit) = bytes.get(*at).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10)
        {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            *at += 1;
        }
        mantissa
    };
    let whole = digits(&mut at);
    let whole_digits = at - first;
    if whole_digits == 0 || whole_digits > PLAIN_DIGITS || (whole_digits > 1 && bytes[first] == b'0') {
        return None;
    }
    match bytes.get(at) {
        Some(b'.') => {
            at += 1;
            let point = at;
            let mantissa = digits(&mut at);
            let decimals = at - point;
            if decimals == 0
                || whole_digits + decimals > PLAIN_DIGITS
                || matches!(bytes.get(at), Some(b'e' | b'E'))
            {
                return None;
            }
            let float = mantissa as f64 / EXACT_POWERS[decimals];
            Some((Number::Float(if negative { -float } else { float }), at))
        }
        Some(b'e' | b'E') => None,
        _ if negative && whole == 0 => None,
        _ => Some((Number::Int(if negative { -(whole as i64) } else { whole as i64 }), at)),
    }
}

/// Reads the JSON number (RFC 8259, section 6) that begins at `at`; says where it ends.
///
/// A number without fraction and exponent is an integer, but for `-0`, which only a float can be.
pub(super) fn json(text: &str, start: usize) -> Result<(Number, usize), (usize, &'static str)> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|&d| d < 10);
    let negative = bytes.get(start) == Some(&b'-');
    let first = start + usize::from(negative);
    let (mut at, mut mantissa) = (first, 0_u64);
    while let Some(d) = digit(at) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(d));
        at += 1;
    }
    let mut digits = at - first;
    if digits == 0 {
        return Err((at, "a number needs a digit here"));
    }
    if digits > 1 && bytes[first] == b'0' {
        return Err((first, "a number cannot begin with 0 and go on"));
    }
    if !matches!(bytes.get(at), Some(b'.' | b'e' | b'E')) {
        return Ok((integer(mantissa, negative, digits, &text[first..at]), at));
    }
    let mut exponent = 0_i32;
    if bytes[at] == b'.' {
        at += 1;
        let point = at;
        while let Some(d) = digit(at) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(d));
            at += 1;
        }
        if at == point {
            return Err((at, "a number needs a digit after its point"));
        }
        digits += at - point;
        exponent = -i32::try_from(at - point).unwrap_or(i32::MAX);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        let negative = bytes.get(at) == Some(&b'-');
        at += usize::from(matches!(bytes.get(at), Some(b'-' | b'+')));
        let first = at;
        let mut written = 0_i32;
        while let Some(d) = digit(at) {
            written = written.saturating_mul(10).saturating_add(i32::from(d));
            at += 1;
        }
        if at == first {
            return Err((at, "a number needs a digit in its exponent"));
        }
        exponent = exponent.saturating_add(if negative { -written } else { written });
    }
    let float = if digits <= SAFE_DIGITS { exact(mantissa, exponent) } else { None };
    let float = match float {
        Some(x) if negative => -x,
        Some(x) => x,
        None => text[start..at].parse().map_err(|_| (start, "not a number"))?,
    };
    Ok((if float.is_finite() { Number::Float(float) } else { Number::FloatRange }, at))
}

/// `mantissa × 10^exponent` where one correctly rounded operation gives it: both operands are exact.
fn exact(mantissa: u64, exponent: i32) -> Option<f64> {
    if mantissa > EXACT_INTEGERS {
        return None;
    }
    let power = *EXACT_POWERS.get(exponent.unsigned_abs() as usize)?;
    Some(if exponent < 0 { mantissa as f64 / power } else { mantissa as f64 * power })
}

pub(super) fn integer(mantissa: u64, negative: bool, digits: usize, text: &str) -> Number {
    if digits > SAFE_DIGITS {
        // Only zeros in front could make it fit, and JSON has none.
        let significant = text.trim_start_matches('0');
        return match significant.len() {
            0..=SAFE_DIGITS => integer(mantissa, negative, significant.len(), significant),
            _ => Number::IntegerRange,
        };
    }
    match (negative, i64::try_from(mantissa)) {
        (true, Ok(0)) => Number::Float(-0.0),
        (true, Ok(n)) => Number::Int(-n),
        (false, Ok(n)) => Number::Int(n),
        (true, Err(_)) if mantissa == i64::MIN.unsigned_abs() => Number::Int(i64::MIN),
        (_, Err(_)) => Number::IntegerRange,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_number_is_what_it_is_as_any_number(text in r"-?[0-9]{0,17}(\.[0-9]{0,17})?([eE][0-9+-])?[,} x]?", before in "[a-z]{0,3}") {
            let all = format!("{before}{text}");
            if let Some((number, end)) = plain(all.as_bytes(), before.len()) {
                let (expected, expected_end) = json(&all, before.len()).unwrap();
                prop_assert_eq!(end, expected_end);
                match (number, expected) {
                    (Number::Float(a), Number::Float(b)) => prop_assert_eq!(a.to_bits(), b.to_bits()),
                    (a, b) => prop_assert_eq!(a, b),
                }
            }
        }
    }

    #[test]
    fn numbers_of_sensors_are_plain() {
        for (text, number) in [
            ("21.5,", Number::Float(21.5)),
            ("-0.25}", Number::Float(-0.25)),
            ("-0.0", Number::Float(-0.0)),
            ("40", Number::Int(40)),
            ("-7 ", Number::Int(-7)),
            ("999999999999999,", Number::Int(999_999_999_999_999)),
        ] {
            let end = text.trim_end_matches([',', '}', ' ']).len();
            assert_eq!(plain(text.as_bytes(), 0), Some((number, end)), "{text}");
        }
        for text in
            ["", "-", "01", "1.", ".5", "1e3", "1.5e3", "-0", "1234567890123456", "0.1234567890123456"]
        {
            assert_eq!(plain(text.as_bytes(), 0), None, "{text}");
        }
    }
}
