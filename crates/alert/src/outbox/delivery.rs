//! A delivery: a message to a person by one of their channels.

use std::time::Duration;

use rule::Severity;
use serde::{Deserialize, Serialize};

use crate::message::Kind;
use crate::people::Address;

/// How long the first pause after a failure is, milliseconds; each further one is twice as long.
const FIRST_PAUSE_MS: i64 = 2000;
/// The longest pause: a receiver that comes back after hours hears within so long.
const LONGEST_PAUSE_MS: i64 = 15 * 60_000;
/// The longest that a receiver may ask us to wait.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// Longest text that is kept of what a receiver said, bytes.
const SAID_BYTES: usize = 512;

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is to be tried (again).
    Pending,
    /// The receiver has it.
    Delivered,
    /// It was given up.
    Failed,
    /// The message was not sent: what it would have told is in the message `said` names.
    Moved,
}

/// A delivery, as it is kept. One that is tried again has the same id, key and content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id: the message's, `.`, and the channel's name.
    #[serde(skip)]
    pub id: String,
    /// What the receiver knows it again by; no other delivery of any tenant has it.
    pub key: String,
    /// The message's id.
    pub message: String,
    /// What it says.
    pub kind: Kind,
    /// How bad that is.
    pub severity: Severity,
    /// To whom.
    pub person: String,
    /// By which of their channels.
    pub channel: String,
    /// Where to.
    pub address: Address,
    /// For e-mail: the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What is sent: a text, or the JSON of [`crate::Body`].
    pub content: String,
    /// When it was written, milliseconds since 1970.
    pub created_at_ms: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, while it is pending.
    pub next_attempt_ms: i64,
    /// What became of it.
    pub outcome: Outcome,
    /// When that was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at_ms: Option<i64>,
    /// What the receiver said last, or why it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

/// A receiver took a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What it said: `204`, `250 queued as 4711`.
    pub said: String,
}

/// A delivery did not arrive, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether it may arrive later. What is wrong with the address or the content stays wrong.
    pub may_pass: bool,
    /// Why, in words.
    pub reason: String,
    /// How long the receiver asks us to wait.
    pub wait: Option<Duration>,
}

impl Failure {
    /// It may arrive later.
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Self { may_pass: true, reason: reason.into(), wait: None }
    }

    /// It never will.
    pub(crate) fn lasting(reason: impl Into<String>) -> Self {
        Self { may_pass: false, reason: reason.into(), wait: None }
    }
}

impl Delivery {
    /// What follows from an attempt. `jitter` is a random number, 0 to 1: it keeps many that failed together from coming back
    /// together.
    pub(crate) fn tried(
        &mut self,
        result: &Result<Receipt, Failure>,
        attempts: u32,
        now_ms: i64,
        jitter: f64,
    ) {
        self.attempts += 1;
        let (outcome, said) = match result {
            Ok(receipt) => (Outcome::Delivered, &receipt.said),
            Err(failure) if failure.may_pass && self.attempts < attempts => {
                let pause = pause_ms(self.attempts, jitter);
                let asked = failure.wait.map_or(0, |wait| wait.min(LONGEST_ASKED).as_millis());
                self.next_attempt_ms = now_ms + pause.max(i64::try_from(asked).unwrap_or(0));
                (Outcome::Pending, &failure.reason)
            }
            Err(failure) => (Outcome::Failed, &failure.reason),
        };
        self.outcome = outcome;
        self.said = Some(crate::alert::cut(said, SAID_BYTES).to_owned());
        self.finished_at_ms = (outcome != Outcome::Pending).then_some(now_ms);
    }
}

/// The pause after so many failures: half of it for certain, half by chance.
fn pause_ms(failures: u32, jitter: f64) -> i64 {
    let whole = FIRST_PAUSE_MS.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LONGEST_PAUSE_MS);
    let half = whole / 2;
    #[expect(clippy::cast_possible_truncation, reason = "at most half of the longest pause")]
    let chance = (half as f64 * jitter.clamp(0.0, 1.0)) as i64;
    half + chance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!([1, 2, 3, 4].map(|failures| pause_ms(failures, 1.0)), [2000, 4000, 8000, 16_000]);
        assert_eq!([1, 2, 3, 4].map(|failures| pause_ms(failures, 0.0)), [1000, 2000, 4000, 8000]);
        assert_eq!((pause_ms(50, 1.0), pause_ms(50, 7.0)), (LONGEST_PAUSE_MS, LONGEST_PAUSE_MS));
    }
}
