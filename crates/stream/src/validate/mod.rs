//! Limits on the values of metrics (R4.2): a range, and how quickly a value may change.
//!
//! Only numbers are checked (booleans as 0 and 1). The change is held against the neighbours in time, of those of the
//! last [`KEPT`] readings of the series that were let through, in whatever order they came: the last one
//! before and the first one after the reading. Between two neighbours that obey the limit, so does every reading that obeys it towards both;
//! so disorder fools nobody, and a reading delivered again passes again while its neighbours are remembered. A gap widens what
//! is allowed: after an outage, or a jump to a new level, readings are let through as soon as that much time has passed.

mod config;
mod history;
#[cfg(test)]
mod tests;

pub use config::{LimitConfig, LimitError, LimitProblem, Limits, Mode};
pub use history::KEPT;

use std::fmt;

use record::Timestamp;
use serde::{Deserialize, Serialize};

use history::History;

/// Which limit a series has, if any, and its last readings where that matters: by the series' numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Validator {
    /// Of each series, its limit. Not part of a checkpoint: the configuration may have changed.
    #[serde(skip)]
    limits: Vec<Option<u16>>,
    /// Of each series with a limited rate.
    histories: Vec<Option<Box<History>>>,
}

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The value is within its limits, or has none.
    Good,
    /// It is not, and is kept and counted.
    Counted(Violation),
    /// It is not, and is refused.
    Rejected(Violation),
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Violation {
    /// Below the least allowed.
    Below {
        /// The value.
        value: f64,
        /// The limit.
        min: f64,
    },
    /// Above the most allowed.
    Above {
        /// The value.
        value: f64,
        /// The limit.
        max: f64,
    },
    /// Not a number, where a range is set.
    NotANumber,
    /// It differs too much from a neighbour in time.
    Rate {
        /// The value.
        value: f64,
        /// The neighbour's value.
        neighbour: f64,
        /// How far they are apart, seconds.
        apart_s: f64,
        /// The most change allowed in a second.
        max_per_s: f64,
    },
}

impl Violation {
    /// The reason, naming the metric.
    #[must_use]
    pub fn of<'a>(&'a self, metric: &'a str) -> impl fmt::Display + use<'a> {
        fmt::from_fn(move |f| match *self {
            Self::Below { value, min } => {
                write!(f, "{metric:?} is {value}, below its limit of {min}: mend the value or the limit")
            }
            Self::Above { value, max } => {
                write!(f, "{metric:?} is {value}, above its limit of {max}: mend the value or the limit")
            }
            Self::NotANumber => write!(f, "{metric:?} is not a number, and its range is limited"),
            Self::Rate { value, neighbour, apart_s, max_per_s } => write!(
                f,
                "{metric:?} is {value} and {apart_s} s apart from it {neighbour}: it may change by {max_per_s} \
                 per second at most"
            ),
        })
    }
}

impl Validator {
    /// Of a partition without series.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A series has got its number, or was read from a checkpoint.
    pub fn bind(&mut self, limits: &Limits, series: u32, tenant: &str, metric: &str) {
        let limit = limits.find(tenant, metric);
        let at = series as usize;
        if limit.is_some() && self.limits.len() <= at {
            self.limits.resize(at + 1, None);
        }
        if let Some(place) = self.limits.get_mut(at) {
            *place = limit;
        }
        if limit.is_none_or(|limit| limits.get(limit).max_per_s.is_none()) {
            self.forget(series);
        }
    }

    /// A series has left; its number may be given out again.
    pub fn unbind(&mut self, series: u32) {
        if let Some(place) = self.limits.get_mut(series as usize) {
            *place = None;
        }
        self.forget(series);
    }

    /// Checks a value, and remembers it unless it is rejected.
    #[inline]
    pub fn check(&mut self, limits: &Limits, series: u32, time: Timestamp, value: f64) -> Verdict {
        match self.limits.get(series as usize) {
            Some(&Some(limit)) => self.check_limit(limits.get(limit), series, time, value),
            _ => Verdict::Good,
        }
    }

    #[cold]
    fn check_limit(&mut self, limit: &config::Limit, series: u32, time: Timestamp, value: f64) -> Verdict {
        let mut violation = limit.out_of_range(value);
        if let Some(max_per_s) = limit.max_per_s
            && !value.is_nan()
        {
            let at = series as usize;
            if self.histories.len() <= at {
                self.histories.resize_with(at + 1, || None);
            }
            let history = self.histories[at].get_or_insert_default();
            violation = violation.or_else(|| history.too_quick(time.nanos(), value, max_per_s));
            if violation.is_none() || limit.mode == Mode::Lenient {
                history.add(time.nanos(), value);
            }
        }
        match violation {
            None => Verdict::Good,
            Some(violation) if limit.mode == Mode::Lenient => Verdict::Counted(violation),
            Some(violation) => Verdict::Rejected(violation),
        }
    }

    fn forget(&mut self, series: u32) {
        if let Some(place) = self.histories.get_mut(series as usize) {
            *place = None;
        }
    }
}

/// As it stands in a checkpoint.
impl PartialEq for Validator {
    fn eq(&self, other: &Self) -> bool {
        self.histories == other.histories
    }
}
