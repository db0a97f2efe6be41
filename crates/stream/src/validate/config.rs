//! Limits as configured.

use serde::{Deserialize, Serialize};

use super::Violation;
use crate::pattern::{Selector, SelectorError};

/// What happens to a value beyond its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The reading is refused and becomes a dead letter.
    #[default]
    Strict,
    /// It is kept, and counted.
    Lenient,
}

/// A `[[stream.limit]]` as written. The first one that fits a series holds for it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LimitConfig {
    /// The metrics, by name or by a pattern with `*`.
    pub metric: String,
    /// Whose; absent: all tenants'.
    #[serde(default)]
    pub tenant: Option<String>,
    /// The least value.
    #[serde(default)]
    pub min: Option<f64>,
    /// The largest value.
    #[serde(default)]
    pub max: Option<f64>,
    /// The most by which it may change in a second.
    #[serde(default)]
    pub max_per_s: Option<f64>,
    /// What happens to a value beyond.
    #[serde(default)]
    pub mode: Mode,
}

/// Why limits are refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("limit {number}: {problem}")]
pub struct LimitError {
    /// Which, counted from 1.
    pub number: usize,
    /// What is wrong with it.
    pub problem: LimitProblem,
}

/// What is wrong with a limit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LimitProblem {
    /// It is about nothing.
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// It limits nothing.
    #[error("it limits nothing: give min, max or max_per_s")]
    Empty,
    /// Nothing can be within it.
    #[error("min {min} is above max {max}")]
    Range {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// Not a number that limits.
    #[error("{key} is {value}: give a finite number")]
    NotFinite {
        /// Which.
        key: &'static str,
        /// What was given.
        value: f64,
    },
    /// A rate that nothing can keep.
    #[error("max_per_s is {0}: give a number above 0")]
    Rate(f64),
    /// So many are no configuration.
    #[error("there are more than {0} limits")]
    TooMany(u16),
}

/// Each new series is held against all of them.
const MOST: u16 = 10_000;

/// Limits, checked.
#[derive(Clone, Debug, Default)]
pub struct Limits(Vec<(Selector, Limit)>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    min: f64,
    max: f64,
    has_range: bool,
    pub(super) max_per_s: Option<f64>,
    pub(super) mode: Mode,
}

impl Limits {
    /// Checks limits as written.
    ///
    /// # Errors
    /// [`LimitError`] says which one is wrong and how.
    pub fn new(configs: &[LimitConfig]) -> Result<Self, LimitError> {
        if configs.len() > usize::from(MOST) {
            return Err(LimitError { number: usize::from(MOST) + 1, problem: LimitProblem::TooMany(MOST) });
        }
        let checked = (1..)
            .zip(configs)
            .map(|(number, config)| checked(config).map_err(|problem| LimitError { number, problem }));
        checked.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn find(&self, tenant: &str, metric: &str) -> Option<u16> {
        let found = self.0.iter().position(|(selector, _)| selector.selects(tenant, metric))?;
        Some(u16::try_from(found).expect("there are fewer limits"))
    }

    pub(super) fn get(&self, number: u16) -> &Limit {
        &self.0[usize::from(number)].1
    }
}

fn checked(config: &LimitConfig) -> Result<(Selector, Limit), LimitProblem> {
    let selector = Selector::new(config.tenant.as_deref(), &config.metric)?;
    for (key, value) in [("min", config.min), ("max", config.max), ("max_per_s", config.max_per_s)] {
        match value {
            Some(value) if !value.is_finite() => return Err(LimitProblem::NotFinite { key, value }),
            _ => {}
        }
    }
    let has_range = config.min.is_some() || config.max.is_some();
    match (config.min, config.max, config.max_per_s) {
        (None, None, None) => return Err(LimitProblem::Empty),
        (Some(min), Some(max), _) if min > max => return Err(LimitProblem::Range { min, max }),
        (_, _, Some(rate)) if rate <= 0.0 => return Err(LimitProblem::Rate(rate)),
        _ => {}
    }
    let (min, max) = (config.min.unwrap_or(f64::NEG_INFINITY), config.max.unwrap_or(f64::INFINITY));
    Ok((selector, Limit { min, max, has_range, max_per_s: config.max_per_s, mode: config.mode }))
}

impl Limit {
    pub(super) fn out_of_range(&self, value: f64) -> Option<Violation> {
        match () {
            () if !self.has_range => None,
            () if value.is_nan() => Some(Violation::NotANumber),
            () if value < self.min => Some(Violation::Below { value, min: self.min }),
            () if value > self.max => Some(Violation::Above { value, max: self.max }),
            () => None,
        }
    }
}
