//! What the evaluation of rules puts out.

use record::{DeviceId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// A rule's name within its tenant, given by the server: 1 to 64 of `a-z 0-9 -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub Box<str>);

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    #[default]
    Warning,
    /// Somebody must act.
    Critical,
}

/// Which way a rule's condition went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It holds, for as long as the rule wants it to.
    Began,
    /// It holds no longer.
    Ended,
}

/// A rule's condition began to hold for a device, or ceased to.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Whose.
    pub tenant: TenantId,
    /// Of which device.
    pub device: DeviceId,
    /// Which rule.
    pub rule: RuleId,
    /// Its version.
    pub version: u32,
    /// Which way.
    pub kind: Kind,
    /// The event time since which the condition held without a break. Tenant, device, rule and this name the cause: the same
    /// readings give the same, whenever they are processed. The end of it names the same.
    pub cause: Timestamp,
    /// The event time at which this became so: the cause and the rule's `for`, or when it ended.
    pub at: Timestamp,
    /// Whether history says so, and not what happens now.
    pub retrospective: bool,
    /// In words: what was seen, against what.
    pub why: String,
}
