//! What stands in one field of a file.

use std::borrow::Cow;

use record::Timestamp;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Nothing,
    /// Text; in CSV whatever it means.
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Nanoseconds since the epoch.
    Time(i64),
    /// Nanoseconds since the epoch by clocks of which it is not known where they stood.
    LocalTime(i64),
    /// Something that is no value, and what.
    Unusable(String),
}

impl Cell {
    /// As it is written to the rejected rows.
    pub(super) fn shown(&self) -> Cow<'_, str> {
        match self {
            Self::Nothing => "".into(),
            Self::Text(text) | Self::Unusable(text) => text.into(),
            Self::Int(number) => number.to_string().into(),
            Self::Float(number) => format!("{number:?}").into(),
            Self::Bool(value) => value.to_string().into(),
            Self::Time(nanos) => Timestamp::from_nanos(*nanos).to_rfc3339().into(),
            Self::LocalTime(nanos) => {
                Timestamp::from_nanos(*nanos).to_rfc3339().trim_end_matches('Z').to_owned().into()
            }
        }
    }
}

/// A row as it came.
#[derive(Debug)]
pub(super) struct Row {
    /// CSV: the line it begins on, from 1; else its number, from 1.
    pub(super) number: u64,
    pub(super) cells: Vec<Cell>,
    /// Why it is none.
    pub(super) broken: Option<String>,
}
