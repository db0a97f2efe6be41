//! When alerts are not told.

use record::{Facts, Timestamp};
use serde::{Deserialize, Serialize};

use crate::alert::REMARK_BYTES;
use crate::schedule::{Span, Weekly};
use crate::selection::Selection;

/// A mute, as people write it. What is raised while it lasts is kept and shown, and told nobody; when it ends, people
/// hear how much that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mute {
    /// Which alerts.
    #[serde(default)]
    pub of: Selection,
    /// When.
    pub when: When,
    /// Who set it.
    #[serde(default)]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// When a mute lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum When {
    /// Once. By the server's clock, milliseconds since 1970.
    Once {
        /// From then on.
        from_ms: i64,
        /// Until then.
        to_ms: i64,
    },
    /// Again and again.
    Weekly(Span),
    /// Once, from when it is set on, for so long. It is kept as [`When::Once`].
    For(rule::Duration),
}

/// A mute that was checked.
#[derive(Debug)]
pub(crate) struct CheckedMute {
    pub(crate) id: String,
    pub(crate) document: Mute,
    weekly: Option<Weekly>,
}

impl Mute {
    /// What is kept of it: where it counts from when it is set, the times by the server's clock.
    #[must_use]
    pub fn set_at(mut self, now: Timestamp) -> Self {
        if let When::For(duration) = self.when {
            let from_ms = now.millis();
            self.when = When::Once { from_ms, to_ms: from_ms.saturating_add(duration.nanos() / 1_000_000) };
        }
        self
    }

    /// # Errors
    /// Which part is not possible, and what is.
    pub(crate) fn check(self, id: &str) -> Result<CheckedMute, String> {
        super::check_id(id)?;
        self.of.check().map_err(|reason| format!("of: {reason}"))?;
        for (what, text) in [("by", &self.by), ("reason", &self.reason)] {
            if text.len() > REMARK_BYTES {
                return Err(format!("{what} has {} bytes, at most {REMARK_BYTES} are possible", text.len()));
            }
        }
        let weekly = match &self.when {
            When::Weekly(span) => Some(span.check().map_err(|reason| format!("when: {reason}"))?),
            When::Once { from_ms, to_ms } if from_ms < to_ms => None,
            When::Once { .. } => return Err("when: to_ms is not after from_ms".into()),
            When::For(_) => return Err("when: for counts from when the mute is set".into()),
        };
        Ok(CheckedMute { id: id.to_owned(), document: self, weekly })
    }
}

impl CheckedMute {
    /// Until when an alert is muted by it that is raised now; `None`: it is not. Milliseconds since 1970.
    pub(crate) fn until(&self, rule: &str, device: &str, facts: &Facts, now_ms: i64) -> Option<i64> {
        if !self.document.of.means(rule, device, facts) {
            return None;
        }
        match (&self.document.when, &self.weekly) {
            (When::Once { from_ms, to_ms }, _) => (*from_ms..*to_ms).contains(&now_ms).then_some(*to_ms),
            (When::Weekly(_), weekly) => weekly.as_ref()?.until(now_ms),
            (When::For(_), _) => None,
        }
    }
}
