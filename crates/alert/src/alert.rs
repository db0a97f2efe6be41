//! An alert, as it is kept and shown.

use record::{DeviceId, Timestamp};
use rule::{RuleId, Severity};
use serde::{Deserialize, Serialize};

/// Most entries of an alert's history. A person who works on one makes ten; an escalation as many again. What comes after is
/// counted.
pub const HISTORY: usize = 64;
/// Most people that an alert names as told. The others are in the counts of their own.
pub const TOLD: usize = 32;
/// Longest text of why, bytes: a sentence with some numbers.
pub const WHY_BYTES: usize = 1024;
/// Longest name or remark of a person, bytes.
pub const REMARK_BYTES: usize = 512;

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody has said anything yet.
    Raised,
    /// Somebody looks after it.
    Acknowledged,
    /// Over: its condition ended, or somebody said so.
    Resolved,
    /// Too soon after another one of the same rule and device: kept, counted there, told nobody.
    Suppressed,
}

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It was raised.
    Raised,
    /// It was kept without telling anybody, because another one stands.
    Suppressed,
    /// Its condition outlasted the suppression: it stands on its own now.
    Outlasted,
    /// A mute kept it from people.
    Muted,
    /// Somebody looks after it.
    Acknowledged,
    /// Nobody did in time: the next ones were told.
    Escalated,
    /// Its condition ended.
    Ended,
    /// It is over.
    Resolved,
}

/// An entry of an alert's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by the server's clock, milliseconds since 1970.
    pub at_ms: i64,
    /// What.
    pub what: What,
    /// Who; absent: the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// What they said, or what is to be said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// Who was told, and in which message. It is kept as the message's id alone, which says the rest: an alert's row should fit
/// into a quarter of a page of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Told {
    /// The person's id.
    pub person: String,
    /// How.
    pub how: How,
    /// The message's id; its deliveries begin with it.
    pub message: String,
}

/// In what kind of message a person hears of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// One of its own.
    Single,
    /// One for several devices of a rule.
    Group,
    /// One that counts what was held back.
    Digest,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Which device.
    pub device_id: Box<str>,
    /// Which rule.
    pub rule_id: Box<str>,
    /// The rule's version; 0: raised from outside.
    pub rule_version: u32,
    /// The rule's name for people, as it was.
    pub rule_name: String,
    /// How bad.
    pub severity: Severity,
    /// Where it stands.
    pub state: State,
    /// Since when its condition holds, in event time, nanoseconds since 1970.
    pub cause_ns: i64,
    /// When the rule's condition became an alert, in event time, milliseconds since 1970.
    pub triggered_at_ms: i64,
    /// When it was taken, by the server's clock.
    pub raised_at_ms: i64,
    /// When somebody acknowledged it, by the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at_ms: Option<i64>,
    /// When its condition ended, in event time; or, if that was earlier, when somebody resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at_ms: Option<i64>,
    /// When its condition ended, in event time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<i64>,
    /// In words: what was seen, against what.
    pub why: String,
    /// History said so, not what happened then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retrospective: bool,
    /// For a suppressed one: which stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed_by: Option<String>,
    /// How many suppressed ones it stands for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suppressed: u64,
    /// The mute that kept it from people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_by: Option<String>,
    /// Who was told, at most [`TOLD`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Told>,
    /// What happened, at most [`HISTORY`] entries.
    pub history: Vec<Entry>,
    /// How many entries more there would be.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub history_more: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl TryFrom<String> for Told {
    type Error = String;

    /// `<alert>.raised.<person>`, `<time>-group.<person>.<number>`, `<time>-digest.<person>.<number>`.
    fn try_from(message: String) -> Result<Self, String> {
        let mut parts = message.split('.');
        let found = match (parts.next(), parts.next(), parts.next()) {
            (Some(first), Some(person), Some(_)) if first.ends_with("-group") => Some((How::Group, person)),
            (Some(first), Some(person), Some(_)) if first.ends_with("-digest") => Some((How::Digest, person)),
            (Some(_), Some("raised"), Some(person)) => Some((How::Single, person)),
            _ => None,
        };
        let (how, person) = found.ok_or_else(|| format!("{message:?} is the id of no message"))?;
        Ok(Self { person: person.to_owned(), how, message })
    }
}

impl From<Told> for String {
    fn from(told: Told) -> Self {
        told.message
    }
}

impl Alert {
    /// The device.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        DeviceId::parse(&self.device_id).ok()
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> RuleId {
        RuleId(self.rule_id.clone())
    }

    /// The cause, in event time.
    #[must_use]
    pub const fn cause(&self) -> Timestamp {
        Timestamp::from_nanos(self.cause_ns)
    }

    /// Whether somebody may still have to do something.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Raised | State::Acknowledged)
    }

    pub(crate) fn note(&mut self, at_ms: i64, what: What, who: Option<&str>, remark: Option<String>) {
        if self.history.len() >= HISTORY {
            self.history_more += 1;
            return;
        }
        self.history.push(Entry { at_ms, what, who: who.map(str::to_owned), remark });
    }
}

/// At most so many bytes of a text.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
