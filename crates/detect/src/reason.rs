//! Why a value is scored as it is, in numbers, and in words when somebody asks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a value is scored as it is. Its text is made when it is displayed, so that looking at a value stays cheap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reason {
    /// It is as always.
    Usual,
    /// Too little was seen to say anything.
    Learning {
        /// Values seen.
        seen: u32,
        /// Values needed.
        needed: u32,
    },
    /// It is no number, and nothing is said of it.
    NotANumber,
    /// It is infinite, or so large that its square is.
    Infinite,
    /// It is above or below a fixed limit.
    Limit {
        /// What was seen.
        value: f64,
        /// The limit.
        limit: f64,
        /// Whether the value is above it.
        above: bool,
    },
    /// It is far from what was usual.
    Far {
        /// How far, in σ.
        sigmas: f64,
        /// What was seen.
        value: f64,
        /// What is usual.
        usual: f64,
        /// Its σ.
        spread: f64,
        /// From what the usual was learned.
        of: Usual,
    },
}

/// From what a usual value was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Usual {
    /// From the last values.
    Last(u16),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Usual => f.write_str("as usual"),
            Self::Learning { seen, needed } => write!(f, "still learning: {seen} of {needed} values seen"),
            Self::NotANumber => f.write_str("not a number"),
            Self::Infinite => f.write_str("infinite, or as good as"),
            Self::Limit { value, limit, above } => {
                let side = if above { "above" } else { "below" };
                write!(f, "{side} the limit: {} against {}", Short(value), Short(limit))
            }
            Self::Far { sigmas, value, usual, spread, of } => {
                let side = if value >= usual { "above" } else { "below" };
                write!(f, "{sigmas:.1} σ {side} {of}: ")?;
                write!(f, "{} against {} ± {}", Short(value), Short(usual), Short(spread))
            }
        }
    }
}

impl fmt::Display for Usual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Last(n) => write!(f, "the last {n} values"),
        }
    }
}

/// A number with about four digits that count: for people.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size != 0.0 && !(1e-3..1e7).contains(&size) {
            return write!(f, "{:.2e}", self.0);
        }
        let decimals = match size {
            s if s >= 1000.0 => 0,
            s if s >= 10.0 => 1,
            s if s >= 1.0 => 2,
            _ => 4,
        };
        let text = format!("{:.decimals$}", self.0);
        let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        f.write_str(if text == "-0" { "0" } else { text })
    }
}
