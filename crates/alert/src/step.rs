//! A record of the topic `iot-alerts`: a step in the life of an alert (R3.6).
//!
//! Format (version 1, documented in `docs/formats/alert-step.md`): JSON. A reader passes over keys that it does not know.

use rule::Severity;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, State};

/// The version of [`AlertStep`].
pub const STEP_VERSION: u32 = 1;

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// It stands. Also of one that was suppressed, when its condition outlasted that.
    Raised,
    /// It is kept, and another one stands for it.
    Suppressed,
    /// Somebody looks after it.
    Acknowledged,
    /// It is over.
    Resolved,
}

/// A step in the life of an alert. An alert takes each kind of step once at most: its id and the kind name the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertStep {
    /// [`STEP_VERSION`].
    pub version: u32,
    /// Steps of the installation are numbered in the order in which they were taken, from 1. One that a crash repeats has the same number.
    pub seq: u64,
    /// What happened.
    pub step: StepKind,
    /// When it was taken, by the server's clock, milliseconds since 1970.
    pub at_ms: i64,
    /// Whose.
    pub tenant: String,
    /// The alert's id.
    pub alert: String,
    /// Which device.
    pub device_id: String,
    /// Which rule.
    pub rule_id: String,
    /// Its name for people, as it was.
    pub rule: String,
    /// Its version; 0: raised from outside.
    pub rule_version: u32,
    /// How bad.
    pub severity: Severity,
    /// Where the alert stands after the step.
    pub state: State,
    /// Since when the condition holds, in event time, nanoseconds since 1970.
    pub cause_ns: i64,
    /// When it became an alert, in event time, milliseconds since 1970.
    pub triggered_at_ms: i64,
    /// When it ended, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at_ms: Option<i64>,
    /// In words: what was seen, against what.
    pub why: String,
    /// History said so, not what happened then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retrospective: bool,
    /// Which alert stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed_by: Option<String>,
    /// The mute that kept it from people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_by: Option<String>,
    /// Who did it; absent: the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

impl AlertStep {
    /// The number comes with the commit.
    pub(crate) fn of(tenant: &str, id: &str, alert: &Alert, step: StepKind, at_ms: i64) -> Self {
        let last = alert.history.last();
        Self {
            version: STEP_VERSION,
            seq: 0,
            step,
            at_ms,
            tenant: tenant.to_owned(),
            alert: id.to_owned(),
            device_id: alert.device_id.to_string(),
            rule_id: alert.rule_id.to_string(),
            rule: alert.rule_name.clone(),
            rule_version: alert.rule_version,
            severity: alert.severity,
            state: alert.state,
            cause_ns: alert.cause_ns,
            triggered_at_ms: alert.triggered_at_ms,
            resolved_at_ms: alert.resolved_at_ms,
            why: alert.why.clone(),
            retrospective: alert.retrospective,
            suppressed_by: alert.suppressed_by.clone(),
            muted_by: alert.muted_by.clone(),
            by: last.and_then(|entry| entry.who.clone()),
            remark: last.and_then(|entry| entry.remark.clone()),
        }
    }

    /// As it stands in the topic.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a step has text keys and finite numbers")
    }
}
