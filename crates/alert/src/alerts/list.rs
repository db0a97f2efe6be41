//! Alerts are found.

use metadata::Table;
use record::{TenantId, Timestamp};
use rule::Severity;
use serde::{Deserialize, Serialize};

use super::Alerts;
use crate::Result;
use crate::alert::{Alert, State};
use crate::id::{AlertId, backwards};
use crate::rows::read;

/// Most alerts of a page.
pub(super) const PAGE: usize = 1000;
/// Most rows that are looked at for a page: whoever looks for something rare turns pages that may be empty.
const LOOKED_AT: usize = 20_000;

/// Most alerts that are counted: a second of work.
pub const COUNTED: usize = 200_000;

/// How many alerts there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Raised or acknowledged.
    pub open: u64,
    /// Of these, critical ones.
    pub open_critical: u64,
    /// Nobody has said anything yet.
    pub raised: u64,
    /// Somebody looks after them.
    pub acknowledged: u64,
    /// Over.
    pub resolved: u64,
    /// Others stand for them.
    pub suppressed: u64,
    /// Whether there are older ones that were not looked at.
    pub is_partial: bool,
}

/// Which alerts. What is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this device.
    pub device: Option<String>,
    /// Of this rule.
    pub rule: Option<String>,
    /// That stand there; empty: wherever.
    pub states: Vec<State>,
    /// At least so bad.
    pub from: Option<Severity>,
    /// Whose cause is not earlier, in event time.
    pub since: Option<Timestamp>,
    /// Whose cause is earlier, in event time.
    pub until: Option<Timestamp>,
}

/// Some alerts, the newest cause first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// With their ids.
    pub alerts: Vec<(AlertId, Alert)>,
    /// To go on: give it as `after`. Absent: that was all.
    pub next: Option<String>,
}

impl Alerts {
    /// One alert.
    ///
    /// # Errors
    /// [`crate::Error::Metadata`], [`crate::Error::Row`].
    pub fn get(&self, tenant: &TenantId, id: &AlertId) -> Result<Option<Alert>> {
        let row = self.metadata.get(Table::Alerts, tenant.as_str(), id.as_str())?;
        row.map(|row| read(Table::Alerts, &row)).transpose()
    }

    /// Alerts by the time of their cause, the newest first: those after `after`, at most `limit` and 1000. A page may hold
    /// fewer, or none, and still have a next one. One that cannot be read is told in the server's log and left out: the others are to be seen.
    ///
    /// # Errors
    /// [`crate::Error::Metadata`].
    pub fn list(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page> {
        let limit = limit.clamp(1, PAGE);
        // Every id of an instant is greater than the text of the instant alone; `until` itself is not meant.
        let until = filter.until.map(|until| format!("{}~", backwards(until))).unwrap_or_default();
        let after = after.unwrap_or_default().max(&until);
        let last = filter.since.map(|since| format!("{}~", backwards(since)));
        let (mut page, mut looked_at) = (Page::default(), 0);
        let (mut next, mut is_all) = (None, true);
        self.metadata.scan_after(Table::Alerts, tenant.as_str(), after, &mut |row| {
            if last.as_ref().is_some_and(|last| row.id > *last) {
                return false;
            }
            if page.alerts.len() == limit || looked_at == LOOKED_AT {
                is_all = false;
                return false;
            }
            looked_at += 1;
            next = Some(row.id.clone());
            match (read::<Alert>(Table::Alerts, &row), AlertId::parse(&row.id)) {
                (Ok(alert), Some(id)) if filter.means(&alert) => page.alerts.push((id, alert)),
                (Ok(_), _) => {}
                (Err(error), _) => tracing::error!(%error, "an alert cannot be shown"),
            }
            true
        })?;
        page.next = next.filter(|_| !is_all);
        Ok(page)
    }
}

/// What is counted of an alert.
#[derive(Deserialize)]
struct Counted {
    state: State,
    severity: Severity,
}

impl Alerts {
    /// How many alerts there are in each state, the newest [`COUNTED`] looked at.
    ///
    /// # Errors
    /// [`crate::Error::Metadata`].
    pub fn counts(&self, tenant: &TenantId) -> Result<Counts> {
        let (mut counts, mut looked_at) = (Counts::default(), 0);
        self.metadata.scan(Table::Alerts, Some(tenant.as_str()), &mut |row| {
            if looked_at == COUNTED {
                counts.is_partial = true;
                return false;
            }
            looked_at += 1;
            match read::<Counted>(Table::Alerts, &row) {
                Ok(alert) => counts.add(alert.state, alert.severity),
                Err(error) => tracing::error!(%error, "an alert cannot be counted"),
            }
            true
        })?;
        Ok(counts)
    }
}

impl Counts {
    const fn add(&mut self, state: State, severity: Severity) {
        let count = match state {
            State::Raised => &mut self.raised,
            State::Acknowledged => &mut self.acknowledged,
            State::Resolved => &mut self.resolved,
            State::Suppressed => &mut self.suppressed,
        };
        *count += 1;
        let is_open = matches!(state, State::Raised | State::Acknowledged);
        self.open += is_open as u64;
        self.open_critical += (is_open && matches!(severity, Severity::Critical)) as u64;
    }
}

impl Filter {
    fn means(&self, alert: &Alert) -> bool {
        self.device.as_deref().is_none_or(|device| device == &*alert.device_id)
            && self.rule.as_deref().is_none_or(|rule| rule == &*alert.rule_id)
            && (self.states.is_empty() || self.states.contains(&alert.state))
            && self.from.is_none_or(|from| alert.severity >= from)
    }
}
