//! A person, or a machine, that is told of alerts.

use std::collections::BTreeMap;

use record::Facts;
use rule::Severity;
use serde::{Deserialize, Serialize};

use super::Address;
use crate::alert::REMARK_BYTES;
use crate::schedule::{Span, Weekly};
use crate::selection::Selection;

/// Most channels of a person.
const CHANNELS: usize = 8;
/// Most entries of what a person wants: each is looked at for each alert.
const WANTS: usize = 32;
/// Highest limit per hour: each message of the last hour is remembered by its time.
const PER_HOUR: u32 = 600;

/// A person, as people write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// What they are called.
    pub name: String,
    /// Where they are reached, by a name of their own for it (`mail`, `phone`).
    pub channels: BTreeMap<String, Address>,
    /// What they want to hear of. The first entry that means an alert counts. Absent: everything from warnings on, by every
    /// channel; empty: only what an escalation brings.
    #[serde(default = "everything")]
    pub wants: Vec<Want>,
    /// When they are not to be disturbed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Quiet>,
    /// How many messages they get in any hour; absent: as the settings say; 0: no limit, for machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<u32>,
    /// Whether they hear, too, that an alert is over of which they were told in a message of its own.
    #[serde(default = "yes")]
    pub resolved: bool,
}

/// What a person wants to hear of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Want {
    /// Which alerts.
    pub of: Selection,
    /// From which severity on.
    pub from: Severity,
    /// By which of their channels; empty: by all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
}

/// When a person is not to be disturbed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quiet {
    /// The hours. What is held back in them comes in a digest at their end.
    pub hours: Span,
    /// What disturbs all the same: alerts from this severity on.
    #[serde(default = "critical")]
    pub except_from: Severity,
}

/// A person that was checked.
#[derive(Debug)]
pub(crate) struct CheckedPerson {
    pub(crate) id: String,
    pub(crate) document: Person,
    quiet: Option<(Weekly, Severity)>,
}

fn everything() -> Vec<Want> {
    vec![Want::default()]
}

const fn yes() -> bool {
    true
}

const fn critical() -> Severity {
    Severity::Critical
}

impl Person {
    /// # Errors
    /// Which part is not possible, and what is.
    pub(crate) fn check(self, id: &str) -> Result<CheckedPerson, String> {
        super::check_id(id)?;
        if !super::recipient::is_person(id) {
            return Err(format!("the id {id:?} begins with _, as those of who a rule names: write another"));
        }
        if self.name.is_empty() || self.name.len() > REMARK_BYTES || self.name.chars().any(char::is_control) {
            return Err(format!("name is a text of 1 to {REMARK_BYTES} bytes without control characters"));
        }
        if self.channels.is_empty() || self.channels.len() > CHANNELS {
            return Err(format!("channels has {} entries: 1 to {CHANNELS}", self.channels.len()));
        }
        for (name, address) in &self.channels {
            super::check_id(name).map_err(|reason| format!("channels: {reason}"))?;
            address.check().map_err(|error| format!("channels.{name}: {error}"))?;
        }
        if self.wants.len() > WANTS {
            return Err(format!("wants has {} entries, at most {WANTS} are possible", self.wants.len()));
        }
        for want in &self.wants {
            want.of.check().map_err(|reason| format!("wants: {reason}"))?;
            if let Some(unknown) = want.channels.iter().find(|name| !self.channels.contains_key(*name)) {
                return Err(format!("wants: there is no channel {unknown:?}: add it to channels"));
            }
        }
        if let Some(found) = self.per_hour.filter(|&found| found > PER_HOUR) {
            return Err(format!("per_hour is {found}: 0 (no limit) to {PER_HOUR}"));
        }
        let quiet = self.quiet.as_ref().map(|quiet| {
            let hours = quiet.hours.check().map_err(|reason| format!("quiet.hours: {reason}"))?;
            Ok::<_, String>((hours, quiet.except_from))
        });
        let quiet = quiet.transpose()?;
        Ok(CheckedPerson { id: id.to_owned(), document: self, quiet })
    }
}

impl CheckedPerson {
    /// One whose document is known to be good, without quiet hours.
    pub(super) fn undisturbed(id: String, document: Person) -> Self {
        Self { id, document, quiet: None }
    }

    /// By which channels they want to hear of an alert; `None`: they do not.
    pub(crate) fn wants(
        &self,
        rule: &str,
        device: &str,
        facts: &Facts,
        severity: Severity,
    ) -> Option<Vec<&str>> {
        let means = |want: &&Want| severity >= want.from && want.of.means(rule, device, facts);
        let want = self.document.wants.iter().find(means)?;
        if want.channels.is_empty() {
            return Some(self.all());
        }
        Some(want.channels.iter().map(String::as_str).collect())
    }

    /// All their channels.
    pub(crate) fn all(&self) -> Vec<&str> {
        self.document.channels.keys().map(String::as_str).collect()
    }

    /// Until when they are not to be disturbed with this, milliseconds since 1970.
    pub(crate) fn quiet_until(&self, severity: Severity, now_ms: i64) -> Option<i64> {
        let (hours, except_from) = self.quiet.as_ref()?;
        if severity >= *except_from {
            return None;
        }
        hours.until(now_ms)
    }
}
