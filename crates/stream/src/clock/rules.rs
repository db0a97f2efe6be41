//! What is done about a clock that is off.

use record::{TimeOrigin, Timestamp, When};
use serde::{Deserialize, Serialize};

use super::Estimate;

const SECOND: i64 = 1_000_000_000;
/// 2000-01-01T00:00:00Z: no telemetry of this kind is older, but many clocks without a battery begin at 1970.
const FIRST_PLAUSIBLE: i64 = 946_684_800 * SECOND;
/// Further ahead no clock runs by accident of time zone.
const MOST_AHEAD_NS: i64 = 86_400 * SECOND;
/// A corrected time may be this much after the arrival: the estimate is no better, and the arrival is taken then.
const SLACK_NS: i64 = 20 * SECOND;

/// What is done with the times of a device that is far off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// They are taken as they are.
    Accept,
    /// They are put right by the estimate, where it is certain enough; else flagged.
    Correct,
    /// They are taken as they are and flagged.
    #[default]
    Flag,
}

/// `[stream.clock]` as written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is done with the times of a device that is far off.
    pub policy: Policy,
    /// How far a clock may be off, seconds.
    pub max_skew_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { policy: Policy::Flag, max_skew_s: 300 }
    }
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Beyond a day the times count as impossible anyway.
    #[error("max_skew_s is {0}: write 1 to 86400")]
    MaxSkew(u32),
}

/// What is done with times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    policy: Policy,
    max_skew_ns: i64,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(&Config::default()).expect("the defaults are valid")
    }
}

impl Rules {
    /// The rules as configured.
    ///
    /// # Errors
    /// [`ConfigError`] says what to write instead.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        if !(1..=86_400).contains(&config.max_skew_s) {
            return Err(ConfigError::MaxSkew(config.max_skew_s));
        }
        Ok(Self { policy: config.policy, max_skew_ns: i64::from(config.max_skew_s) * SECOND })
    }

    /// The time of a reading by the rules, given what is known of its device's clock. What the device claimed stays in
    /// [`When::claimed`], which is part of the reading's key: delivered again it is known again, however the estimate has moved.
    #[must_use]
    pub fn apply(&self, when: When, estimate: Option<Estimate>) -> When {
        if when.origin != TimeOrigin::Device {
            return when;
        }
        let (claimed, arrived_at) = (when.claimed.nanos(), when.arrived_at.nanos());
        let ahead = claimed.saturating_sub(arrived_at);
        let is_impossible = claimed < FIRST_PLAUSIBLE || ahead > MOST_AHEAD_NS;
        let by_estimate = self.far_off(estimate).and_then(|skew| corrected(claimed, skew, arrived_at));
        let suspect = When { origin: TimeOrigin::Suspect, ..when };
        match (self.policy, by_estimate) {
            (Policy::Accept, _) if is_impossible => suspect,
            (Policy::Accept, _) => when,
            (Policy::Correct, Some(time)) => when.corrected_to(time),
            _ if is_impossible => when.corrected_to(when.arrived_at),
            (Policy::Flag, Some(_)) => suspect,
            _ if ahead > self.max_skew_ns => suspect, // certain without an estimate: no delay is negative
            _ => when,
        }
    }

    /// Whether a clock is known to be further off than allowed: for the device's row.
    #[must_use]
    pub fn is_suspect(&self, estimate: Option<Estimate>) -> bool {
        self.far_off(estimate).is_some()
    }

    fn far_off(&self, estimate: Option<Estimate>) -> Option<i64> {
        let estimate = estimate?;
        let is_far = estimate.skew_ns.saturating_abs() > self.max_skew_ns;
        (is_far && estimate.is_confident).then_some(estimate.skew_ns)
    }
}

/// The time put right, unless it was not this clock that said it: then it would be in the future.
fn corrected(claimed: i64, skew_ns: i64, arrived_at: i64) -> Option<Timestamp> {
    let time = claimed.checked_sub(skew_ns)?;
    let is_of_this_clock = time.saturating_sub(arrived_at) <= SLACK_NS;
    is_of_this_clock.then_some(Timestamp::from_nanos(time.min(arrived_at)))
}
