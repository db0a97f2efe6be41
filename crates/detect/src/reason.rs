//! Why a value is scored as it is, in numbers, and in words when somebody asks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::profile::fmt_hour;

/// Why a value is scored as it is. Its text is made when it is displayed, so that looking at a value stays cheap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// It is as always.
    Usual,
    /// Too little was seen to say anything.
    Learning {
        /// Values, or hours with values, that were seen.
        seen: u32,
        /// How many are needed.
        needed: u32,
        /// What is counted.
        unit: Unit,
    },
    /// It is no number, and nothing is said of it.
    NotANumber,
    /// It is infinite, or larger than [`SIZE`](crate::limits::SIZE).
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
    /// It is so far from what is usual.
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
        basis: Basis,
    },
    /// A step from one value to the next is larger than usual.
    Stepped {
        /// The value before.
        from: f64,
        /// What was seen.
        to: f64,
        /// The step, in usual ones.
        times: f64,
    },
    /// It has been away from what is usual for some time, however little.
    Shifted {
        /// How far on average, in σ; negative below.
        sigmas: f64,
        /// For about how long, hours.
        hours: f64,
        /// What was seen last.
        value: f64,
        /// What is usual.
        usual: f64,
        /// From what the usual was learned.
        basis: Basis,
    },
    /// It has been moving more than usual from value to value.
    Restless {
        /// How much more: 2 is twice as much.
        times: f64,
        /// For about how long, hours.
        hours: f64,
    },
    /// It does not move at all, which it usually does.
    Still {
        /// The value.
        value: f64,
        /// How many readings had it, one after the other.
        readings: u32,
    },
    /// A device's metrics do not go together as usual.
    Together {
        /// How far from usual all of them are, in σ of one.
        sigmas: f64,
        /// The metric that adds most, by its place.
        metric: u16,
        /// What was seen of it.
        value: f64,
        /// What the other metrics make of it.
        expected: f64,
    },
    /// A user's model says so.
    Model {
        /// What it put out.
        output: f64,
    },
}

/// What is counted while a detector learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Values.
    Values,
    /// Hours with values.
    Hours,
}

/// From what a usual value was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// From so many last values.
    Last(u16),
    /// From the past weeks, whatever the hour: there is no season.
    Level,
    /// From the past days at this hour, 0 to 23.
    HourOfDay(u8),
    /// From the past weeks at this hour, 0 (Monday, midnight) to 167.
    HourOfWeek(u8),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Usual => f.write_str("as usual"),
            Self::Learning { seen, needed, unit: Unit::Values } => {
                write!(f, "still learning: {seen} of {needed} values seen")
            }
            Self::Learning { seen, needed, unit: Unit::Hours } => {
                write!(f, "still learning: {seen} of {needed} hours seen")
            }
            Self::NotANumber => f.write_str("not a number"),
            Self::Infinite => f.write_str("infinite, or as good as"),
            Self::Limit { value, limit, above } => {
                write!(f, "{} the limit: {} against {}", side(above), Short(value), Short(limit))
            }
            Self::Far { sigmas, value, usual, spread, basis } => {
                write!(f, "{} σ {} {basis}: ", Short(sigmas), side(value >= usual))?;
                write!(f, "{} against {} ± {}", Short(value), Short(usual), Short(spread))
            }
            Self::Stepped { from, to, times } => {
                write!(
                    f,
                    "a step of {} times the usual one: from {} to {}",
                    Short(times),
                    Short(from),
                    Short(to)
                )
            }
            Self::Shifted { sigmas, hours, value, usual, basis } => {
                let (away, side) = (Short(sigmas.abs()), side(sigmas > 0.0));
                write!(f, "for about {} h on average {away} σ {side} {basis}: ", Short(hours))?;
                write!(f, "now {} against {}", Short(value), Short(usual))
            }
            Self::Restless { times, hours } => {
                write!(f, "for about {} h it moves {} times as much as usual", Short(hours), Short(times))
            }
            Self::Still { value, readings } => {
                write!(f, "stands still: {} for {readings} readings", Short(value))
            }
            Self::Together { sigmas, metric, value, expected } => {
                write!(
                    f,
                    "the metrics are {} σ from going together as usual; most of all the ",
                    Short(sigmas)
                )?;
                write!(f, "{}: {} against {} by the others", Ordinal(metric), Short(value), Short(expected))
            }
            Self::Model { output } => write!(f, "the model says {}", Short(output)),
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Last(n) => write!(f, "the last {n} values"),
            Self::Level => f.write_str("its usual"),
            Self::HourOfDay(hour) => write!(f, "its usual at this hour ({hour:02}:00)"),
            Self::HourOfWeek(hour) => {
                f.write_str("its usual at this hour (")?;
                fmt_hour(f, hour)?;
                f.write_str(")")
            }
        }
    }
}

fn side(above: bool) -> &'static str {
    if above { "above" } else { "below" }
}

/// A number with about three digits that count: for people.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size != 0.0 && !(1e-3..1e7).contains(&size) {
            return write!(f, "{:.2e}", self.0);
        }
        let decimals = match size {
            s if s >= 1000.0 => 0,
            s if s >= 3.0 => 1,
            s if s >= 1.0 => 2,
            _ => 4,
        };
        let text = format!("{:.decimals$}", self.0);
        let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        f.write_str(if text == "-0" { "0" } else { text })
    }
}

/// A place counted from one, in words: of the metric at index 0, `1st`.
struct Ordinal(u16);

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = u32::from(self.0) + 1;
        let ending = match (n % 10, n % 100) {
            (_, 11..=13) => "th",
            (1, _) => "st",
            (2, _) => "nd",
            (3, _) => "rd",
            _ => "th",
        };
        write!(f, "{n}{ending}")
    }
}
