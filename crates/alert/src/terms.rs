//! What alerting asks others: what a rule wants of its alerts, and what is known of a device.

use record::{DeviceId, Facts, TenantId};
use rule::{RuleId, Severity};
use serde::{Deserialize, Serialize};

use crate::Address;

/// How soon people are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// At once.
    #[default]
    Critical,
    /// Together with what the same rule finds in the next minutes.
    Batched,
}

/// What a rule wants of its alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Its name for people.
    pub name: String,
    /// How bad.
    pub severity: Severity,
    /// How soon people are told.
    pub class: Class,
    /// For how long an alert stands for those of the same device that follow, milliseconds of event time; `None`: as the
    /// settings say.
    pub suppress_ms: Option<i64>,
    /// The escalation list; `None`: the one called `default`, if there is one.
    pub escalation: Option<String>,
    /// Addresses that are told whatever people want.
    pub notify: Vec<Address>,
    /// People who are told whatever they want, by all their channels; by id.
    pub people: Vec<String>,
    /// Whether retrospective alerts are told, too.
    pub tell_retrospective: bool,
}

impl Terms {
    /// Of a rule of which nothing else is known.
    #[must_use]
    pub fn of(rule: &RuleId) -> Self {
        Self {
            name: rule.0.to_string(),
            severity: Severity::default(),
            class: Class::default(),
            suppress_ms: None,
            escalation: None,
            notify: Vec::new(),
            people: Vec::new(),
            tell_retrospective: false,
        }
    }
}

/// Who knows rules and devices. Asked for every alert that begins, while others wait: it answers from memory as far as it can. Its
/// methods may block.
pub trait Directory: Send + Sync + 'static {
    /// What a version of a rule wants; `None`: there is no such rule, [`Terms::of`] holds.
    ///
    /// # Errors
    /// Why it cannot be said now, in words. Nothing of the batch is taken then.
    fn terms(&self, tenant: &TenantId, rule: &RuleId, version: u32) -> Result<Option<Terms>, String>;

    /// What is known of a device.
    ///
    /// # Errors
    /// As [`Directory::terms`].
    fn facts(&self, tenant: &TenantId, device: &DeviceId) -> Result<Facts, String>;
}
