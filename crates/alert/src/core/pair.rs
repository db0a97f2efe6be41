//! Suppression: of one rule and device, only so many alerts stand.

use serde::{Deserialize, Serialize};

/// The last alert of a rule and device that stood, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pair {
    /// Its id.
    pub(crate) alert: String,
    /// When it became one, in event time.
    pub(crate) triggered_at_ms: i64,
    /// One that it stands for and whose condition still holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waiting: Option<Waiting>,
}

/// A suppressed alert whose condition holds: when the suppression is over it stands on its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) alert: String,
    pub(crate) due_ms: i64,
}

/// What becomes of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stands on its own.
    Stands,
    /// It is too soon after this one.
    SuppressedBy(String),
}

/// Whether an alert of a rule and device that became one at `at_ms` stands. Within the window both ways: what comes late into
/// order is as near.
pub(crate) fn judge(last: Option<&Pair>, at_ms: i64, window_ms: i64) -> Verdict {
    match last {
        Some(last) if at_ms.saturating_sub(last.triggered_at_ms).saturating_abs() < window_ms => {
            Verdict::SuppressedBy(last.alert.clone())
        }
        _ => Verdict::Stands,
    }
}

impl Pair {
    /// Of an alert that stands.
    pub(crate) const fn of(alert: String, triggered_at_ms: i64) -> Self {
        Self { alert, triggered_at_ms, waiting: None }
    }

    /// A suppressed one waits. The deadline is by the clock: event time stands still when a device is silent.
    pub(crate) fn wait(&mut self, alert: String, window_ms: i64, now_ms: i64) -> i64 {
        let due_ms = self.triggered_at_ms.saturating_add(window_ms).max(now_ms);
        self.waiting = Some(Waiting { alert, due_ms });
        due_ms
    }

    /// Whether this suppressed one waits.
    pub(crate) fn awaits(&self, alert: &str) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.alert == alert)
    }
}
