//! How many messages a person gets in any hour.

use std::collections::VecDeque;

use rule::Severity;
use serde::{Deserialize, Serialize};

/// What the limit is a limit on, milliseconds.
const HOUR_MS: i64 = 3_600_000;

/// The limit of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Messages in any hour, digests among them; 0: as many as there are.
    pub(crate) per_hour: usize,
    /// Critical ones beyond that.
    pub(crate) critical: usize,
    /// How long a digest gathers at least, milliseconds.
    pub(crate) digest_ms: i64,
}

/// When the messages of the last hour went out, milliseconds. At most as many times as the limit allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Quota {
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    singles: VecDeque<i64>,
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    critical: VecDeque<i64>,
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    digests: VecDeque<i64>,
}

impl Limit {
    const fn is_none(self) -> bool {
        self.per_hour == 0
    }

    /// Messages kept for digests: as many as the hour has times for them, but not more than half. So whoever is at the
    /// limit still hears how much there is.
    fn for_digests(self) -> usize {
        let times = usize::try_from(HOUR_MS / self.digest_ms.max(1)).unwrap_or(usize::MAX);
        times.min(self.per_hour / 2).max(1)
    }
}

impl Quota {
    /// Takes a message of its own; `false`: there is none left.
    pub(crate) fn take_single(&mut self, limit: Limit, severity: Severity, now_ms: i64) -> bool {
        limit.is_none()
            || take(&mut self.singles, limit.per_hour - limit.for_digests(), now_ms)
            || (severity == Severity::Critical && take(&mut self.critical, limit.critical, now_ms))
    }

    /// Takes a digest.
    ///
    /// # Errors
    /// When there will be one, milliseconds.
    pub(crate) fn take_digest(&mut self, limit: Limit, now_ms: i64) -> Result<(), i64> {
        if limit.is_none() || take(&mut self.digests, limit.for_digests(), now_ms) {
            return Ok(());
        }
        Err(self.digests.front().map_or(now_ms, |oldest| oldest + HOUR_MS).max(now_ms + 1))
    }
}

fn take(sent: &mut VecDeque<i64>, most: usize, now_ms: i64) -> bool {
    while sent.front().is_some_and(|&at| at <= now_ms - HOUR_MS) {
        sent.pop_front();
    }
    let free = sent.len() < most;
    if free {
        sent.push_back(now_ms);
    }
    free
}
