//! What people are told.

use std::collections::{BTreeMap, BTreeSet};

use rule::Severity;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, cut};

/// Most devices and alerts that a message lists; a screen full. The others are counted.
pub const LISTED: usize = 20;

/// The version of [`Body`].
pub const BODY_VERSION: u32 = 1;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// An alert was raised.
    #[serde(rename = "alert.raised")]
    Raised,
    /// An alert is over.
    #[serde(rename = "alert.resolved")]
    Resolved,
    /// Nobody acknowledged an alert in time.
    #[serde(rename = "alert.escalated")]
    Escalated,
    /// Several devices, one rule.
    #[serde(rename = "alert.group")]
    Group,
    /// What was held back, counted.
    #[serde(rename = "alert.digest")]
    Digest,
    /// A routing rule passes a reading on.
    #[serde(rename = "rule.routed")]
    Routed,
    /// Somebody wants to see whether it arrives.
    #[serde(rename = "alert.test")]
    Test,
}

impl Kind {
    /// As in the body, and on `/metrics`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "alert.raised",
            Self::Resolved => "alert.resolved",
            Self::Escalated => "alert.escalated",
            Self::Group => "alert.group",
            Self::Digest => "alert.digest",
            Self::Routed => "rule.routed",
            Self::Test => "alert.test",
        }
    }
}

/// What a webhook or an MQTT subscriber gets, version 1: docs/alerts.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// [`BODY_VERSION`].
    pub version: u32,
    /// What it says.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The message's id: the same for all channels of a person.
    pub message: String,
    /// Whose devices.
    pub tenant: String,
    /// The worst of what it is about.
    pub severity: Severity,
    /// When it was written, by the server's clock, milliseconds since 1970.
    pub at_ms: i64,
    /// Of how many alerts it tells for the first time.
    pub count: u64,
    /// The rule, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleBody>,
    /// The alert, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertBody>,
    /// The devices, at most [`LISTED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// The alerts, at most [`LISTED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<String>,
    /// A digest's counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<DigestBody>,
    /// In words.
    pub why: String,
    /// Where to look, if the configuration says where the server is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// The rule of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleBody {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
}

/// The alert of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertBody {
    /// Its id.
    pub id: String,
    /// The device.
    pub device_id: String,
    /// The rule's version.
    pub rule_version: u32,
    /// Where it stands.
    pub state: crate::State,
    /// When it became an alert, in event time, milliseconds since 1970.
    pub triggered_at_ms: i64,
    /// When it ended, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at_ms: Option<i64>,
    /// How many of the same rule and device it stands for beside itself.
    pub suppressed: u64,
    /// History said so, not what happened then.
    pub retrospective: bool,
}

/// The counts of a digest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DigestBody {
    /// Since when, by the server's clock, milliseconds since 1970.
    pub since_ms: i64,
    /// Alerts that were held back because of the limit or quiet hours.
    pub held: u64,
    /// Alerts that were raised while a mute lasted that has ended.
    pub muted: u64,
    /// Notices that an alert is over that were held back.
    pub resolved: u64,
    /// Escalations that were held back.
    pub escalated: u64,
    /// Held and muted alerts by rule, the first [`LISTED`] rules.
    pub by_rule: BTreeMap<String, u64>,
    /// Those of all other rules.
    pub other_rules: u64,
}

/// A message to a person, before it is put into the form of a channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) person: String,
    pub(crate) channels: BTreeSet<String>,
    pub(crate) body: Body,
}

impl AlertBody {
    pub(crate) fn of(id: &str, alert: &Alert) -> Self {
        Self {
            id: id.to_owned(),
            device_id: alert.device_id.to_string(),
            rule_version: alert.rule_version,
            state: alert.state,
            triggered_at_ms: alert.triggered_at_ms,
            resolved_at_ms: alert.resolved_at_ms,
            suppressed: alert.suppressed,
            retrospective: alert.retrospective,
        }
    }
}

impl Body {
    /// The devices in words: `pump-1, pump-2 and 4 312 more`.
    #[must_use]
    pub fn devices_in_words(&self) -> String {
        if self.kind == Kind::Test {
            return "no device".into();
        }
        let named = match (&self.alert, self.devices.as_slice()) {
            (Some(alert), []) => return alert.device_id.clone(),
            (None, []) => return format!("{} alerts", grouped(self.count)),
            (_, devices) => devices,
        };
        let shown = named.join(", ");
        match self.count.saturating_sub(named.len() as u64) {
            0 => shown,
            more => format!("{shown} and {} more", grouped(more)),
        }
    }

    /// The rule's name, or what stands for it.
    #[must_use]
    pub fn rule_in_words(&self) -> &str {
        match (&self.rule, self.kind) {
            (Some(rule), _) => &rule.name,
            (None, Kind::Test) => "test",
            (None, _) => "digest",
        }
    }
}

impl DigestBody {
    /// In words, one line for each rule.
    pub(crate) fn in_words(&self) -> String {
        let mut lines = vec![format!("{} alerts were held back", grouped(self.held))];
        for (count, what) in [
            (self.muted, "alerts were muted"),
            (self.resolved, "notices that an alert is over were held back"),
            (self.escalated, "escalations were held back"),
        ] {
            if count > 0 {
                lines.push(format!("{} {what}", grouped(count)));
            }
        }
        lines.extend(
            self.by_rule.iter().map(|(rule, count)| format!("{}: {}", cut(rule, 80), grouped(*count))),
        );
        if self.other_rules > 0 {
            lines.push(format!("other rules: {}", grouped(self.other_rules)));
        }
        lines.join("\n")
    }
}

/// A number with a space between its thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for group in digits.as_bytes()[first..].chunks(3) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.extend(group.iter().map(|&digit| char::from(digit)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (number, text) in [(0, "0"), (7, "7"), (999, "999"), (1000, "1 000"), (4_312_007, "4 312 007")] {
            assert_eq!(grouped(number), text);
        }
    }
}
