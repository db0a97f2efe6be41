//! What an expression evaluates to.

use std::cmp::Ordering;
use std::fmt;

/// A value, or none. Numbers are 64-bit floats and never NaN: that is no value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Datum<'a> {
    Null,
    Number(f64),
    Bool(bool),
    Text(&'a str),
    /// Degrees: latitude, longitude.
    Place(f64, f64),
}

impl Datum<'_> {
    pub(crate) fn number(value: f64) -> Self {
        if value.is_nan() { Self::Null } else { Self::Number(value) }
    }

    pub(crate) fn truth(value: Option<bool>) -> Self {
        value.map_or(Self::Null, Self::Bool)
    }

    /// As a condition: `None` is SQL's unknown, which everything but a boolean is.
    pub(crate) fn as_truth(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// As a number; booleans are 0 and 1, as in the store.
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            _ => None,
        }
    }

    /// How the two compare; `None` where they do not.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Place(a, b), Self::Place(c, d)) => (a == c && b == d).then_some(Ordering::Equal),
            _ => self.as_number()?.partial_cmp(&other.as_number()?),
        }
    }
}

/// For people: at most six digits after the point, and those that say something.
impl fmt::Display for Datum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Null => f.write_str("NULL"),
            Self::Number(value) if value != 0.0 && !(1e-4..1e15).contains(&value.abs()) => {
                write!(f, "{value:e}")
            }
            Self::Number(value) => write!(f, "{}", (value * 1e6).round() / 1e6),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Place(lat, lng) => write!(f, "({lat}, {lng})"),
        }
    }
}
