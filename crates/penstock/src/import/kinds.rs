//! Of which type the values of a metric are, where a file has only text.
//!
//! All values of a metric in a file count, not the first thousand: a text `12` among texts stays a text, and a whole number keeps all of its digits.

use std::fmt;

use record::Value;

/// The type of a metric's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Float,
    Boolean,
    Text,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Text => "text",
        })
    }
}

/// Up to here each whole number has a float.
const FLOAT_EXACT: u64 = 1 << 53;

/// What has been seen of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    classes: u8,
    numbers: u64,
    /// Values that are neither numbers nor empty, and the first of them.
    others: u64,
    first_other: Option<String>,
}

impl Seen {
    const INTEGER: u8 = 1;
    const FLOAT: u8 = 2;
    const BOOLEAN: u8 = 4;
    const TEXT: u8 = 8;
    /// NaN and infinities: floats where there are numbers.
    const NO_NUMBER: u8 = 16;

    pub(super) fn see(&mut self, text: &str) {
        let class = match class(text) {
            Class::Integer(_) | Class::Long => Self::INTEGER,
            Class::Float(_) => Self::FLOAT,
            Class::Boolean(_) => Self::BOOLEAN,
            Class::NoNumber => Self::NO_NUMBER,
            Class::Text => Self::TEXT,
        };
        self.classes |= class;
        if class & (Self::INTEGER | Self::FLOAT) != 0 {
            self.numbers += 1;
        } else if class & (Self::BOOLEAN | Self::TEXT) != 0 {
            self.others += 1;
            self.first_other.get_or_insert_with(|| text.to_owned());
        }
    }

    /// What makes texts of a metric whose values are mostly numbers: how many values, and the first of them. One `n/a` in a year of
    /// temperatures is nothing that anybody wants kept as text, and nobody looks for it.
    pub(super) fn spoilt(&self) -> Option<(u64, &str)> {
        let first = self.first_other.as_deref()?;
        (self.kind() == Kind::Text && self.numbers > self.others).then_some((self.others, first))
    }

    pub(super) fn kind(&self) -> Kind {
        let has = |bits| self.classes & bits != 0;
        if has(Self::TEXT) {
            return Kind::Text;
        }
        match (has(Self::BOOLEAN), has(Self::INTEGER | Self::FLOAT | Self::NO_NUMBER)) {
            (true, false) => Kind::Boolean,
            (true, true) => Kind::Text,
            (false, true) if !has(Self::FLOAT | Self::NO_NUMBER) => Kind::Integer,
            (false, true) => Kind::Float,
            (false, false) => Kind::Text,
        }
    }
}

enum Class {
    Integer(i64),
    /// A whole number beyond 64 bits.
    Long,
    Float(f64),
    Boolean(bool),
    NoNumber,
    Text,
}

/// What a text by itself would be.
fn class(text: &str) -> Class {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let whole = digits.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    // 0049 is a code, not a number, and it would lose its zeros.
    if whole > 1 && digits.starts_with('0') && whole == digits.len() {
        return Class::Text;
    }
    if !digits.is_empty() && whole == digits.len() {
        // Integers have no negated zero, floats have.
        if text == "-0" {
            return Class::Float(-0.0);
        }
        return text.parse().map_or(Class::Long, Class::Integer);
    }
    match text.to_ascii_lowercase().as_str() {
        "true" => return Class::Boolean(true),
        "false" => return Class::Boolean(false),
        "nan" | "inf" | "-inf" | "infinity" | "-infinity" => return Class::NoNumber,
        _ => {}
    }
    let begins = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match text.parse::<f64>() {
        Ok(float) if begins && float.is_finite() => Class::Float(float),
        Ok(_) if begins => Class::NoNumber,
        _ => Class::Text,
    }
}

/// A text as a value of a type.
pub(super) fn value(text: &str, kind: Kind) -> Result<Value, String> {
    let of = class(text);
    match (kind, of) {
        (Kind::Text, _) => Ok(Value::Text(text.to_owned())),
        (Kind::Integer, Class::Integer(number)) => Ok(Value::Int(number)),
        (Kind::Integer, Class::Long) => Err(format!("{} is beyond a 64-bit integer", text.trim())),
        // Among floats a whole number is one, too, unless it would lose digits.
        (Kind::Float, Class::Integer(number)) if number.unsigned_abs() > FLOAT_EXACT => {
            Ok(Value::Int(number))
        }
        (Kind::Float, Class::Integer(number)) => Ok(Value::Float(number as f64)),
        (Kind::Float, Class::Float(number)) => Ok(Value::Float(number)),
        (Kind::Float, Class::Long) => {
            let number: Result<f64, _> = text.trim().parse();
            number.map(Value::Float).map_err(|_| format!("{text:?} is no float"))
        }
        (Kind::Float, Class::NoNumber) => Err(format!("{} is no finite number", text.trim())),
        (Kind::Boolean, Class::Boolean(value)) => Ok(Value::Bool(value)),
        (Kind::Boolean, Class::Integer(number @ (0 | 1))) => Ok(Value::Bool(number == 1)),
        (kind, _) => Err(format!("{text:?} is no {kind}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_the_narrowest_type_that_all_of_its_values_have() {
        for (texts, kind) in [
            (&["1", "-2", "9223372036854775807"][..], Kind::Integer),
            (&["1", "2.5"], Kind::Float),
            (&["1e3", ".5", "NaN"], Kind::Float),
            (&["true", "FALSE"], Kind::Boolean),
            (&["true", "1"], Kind::Text),
            (&["1", "x"], Kind::Text),
            (&["007", "12"], Kind::Text),
            (&["+49", "1"], Kind::Text),
            (&["-0", "1"], Kind::Float),
            (&["99999999999999999999", "1"], Kind::Integer),
            (&["-", "1"], Kind::Text),
            (&[], Kind::Text),
        ] {
            let mut seen = Seen::default();
            texts.iter().for_each(|text| seen.see(text));
            assert_eq!(seen.kind(), kind, "{texts:?}");
        }
    }

    #[test]
    fn few_texts_among_numbers_are_told() {
        for (texts, expect) in [
            (&["1", "n/a", "2.5", "-"][..], None),
            (&["1", "n/a", "2.5", "-", "3"], Some((2, "n/a"))),
            (&["1", "2", "true"], Some((1, "true"))),
            (&["1", "2", "NaN"], None),
            (&["a", "b"], None),
            (&["true", "false"], None),
        ] {
            let mut seen = Seen::default();
            texts.iter().for_each(|text| seen.see(text));
            assert_eq!(seen.spoilt(), expect, "{texts:?}");
        }
    }

    #[test]
    fn values_lose_no_digit() {
        let float = |x: f64| Ok(Value::Float(x));
        for (text, kind, expect) in [
            ("9223372036854775807", Kind::Integer, Ok(Value::Int(i64::MAX))),
            ("-9223372036854775808", Kind::Integer, Ok(Value::Int(i64::MIN))),
            ("9223372036854775808", Kind::Integer, Err("9223372036854775808 is beyond a 64-bit integer")),
            ("9007199254740993", Kind::Float, Ok(Value::Int(9_007_199_254_740_993))),
            (" 20 ", Kind::Float, float(20.0)),
            ("0.1", Kind::Float, float(0.1)),
            ("NaN", Kind::Float, Err("NaN is no finite number")),
            ("1e999", Kind::Float, Err("1e999 is no finite number")),
            ("1.5", Kind::Integer, Err("\"1.5\" is no integer")),
            ("True", Kind::Boolean, Ok(Value::Bool(true))),
            (" 7 ", Kind::Text, Ok(Value::Text(" 7 ".to_owned()))),
        ] {
            assert_eq!(value(text, kind), expect.map_err(str::to_owned), "{text}");
        }
        let Ok(Value::Float(zero)) = value("-0", Kind::Float) else { panic!("a float") };
        assert!(zero.is_sign_negative());
    }
}
