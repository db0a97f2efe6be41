//! People acknowledge and resolve alerts; conditions end.

use record::{TenantId, Timestamp};

use super::Alerts;
use super::onset::unknown;
use super::tell::Subject;
use crate::alert::{Alert, How, REMARK_BYTES, State, What, cut};
use crate::id::AlertId;
use crate::message::Kind;
use crate::rows::Work;
use crate::step::{AlertStep, StepKind};
use crate::{Error, Result};

/// How an alert ends.
pub(super) struct End<'a> {
    /// When, milliseconds since 1970.
    pub(super) at_ms: i64,
    /// Who says so; absent: the rule.
    pub(super) by: Option<&'a str>,
    pub(super) remark: Option<String>,
}

impl Alerts {
    /// Somebody looks after an alert: nobody else is told. Again: nothing changes.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::State`] when it is over or suppressed; [`Error::Metadata`].
    pub fn acknowledge(
        &self,
        tenant: &TenantId,
        id: &AlertId,
        by: &str,
        remark: Option<&str>,
        now: Timestamp,
    ) -> Result<Alert> {
        let (_changing, mut work) = self.begin();
        let alert = self.alert_mut(&mut work, tenant, id)?;
        match alert.state {
            State::Acknowledged => return Ok(alert.clone()),
            State::Raised => {}
            state => return Err(Error::State { id: id.to_string(), state, wanted: "acknowledged" }),
        }
        alert.state = State::Acknowledged;
        alert.acknowledged_at_ms = Some(now.millis());
        alert.note(now.millis(), What::Acknowledged, Some(cut(by, REMARK_BYTES)), remark.map(said));
        let alert = alert.clone();
        work.tally.acknowledged += 1;
        work.steps.push(AlertStep::of(
            tenant.as_str(),
            id.as_str(),
            &alert,
            StepKind::Acknowledged,
            now.millis(),
        ));
        self.commit(work)?;
        Ok(alert)
    }

    /// Somebody says that an alert is over. If its condition goes on, it raises no other one. Again: nothing changes.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::State`] when it is suppressed: resolve the one that stands for it; [`Error::Metadata`],
    /// [`Error::Directory`].
    pub fn resolve(
        &self,
        tenant: &TenantId,
        id: &AlertId,
        by: &str,
        remark: Option<&str>,
        now: Timestamp,
    ) -> Result<Alert> {
        let (_changing, mut work) = self.begin();
        let alert = self.alert_mut(&mut work, tenant, id)?;
        match alert.state {
            State::Resolved => return Ok(alert.clone()),
            State::Suppressed => {
                return Err(Error::State { id: id.to_string(), state: alert.state, wanted: "resolved" });
            }
            State::Raised | State::Acknowledged => {}
        }
        let now_ms = now.millis();
        let end = End { at_ms: now_ms, by: Some(cut(by, REMARK_BYTES)), remark: remark.map(said) };
        self.resolved(&mut work, tenant, id.as_str(), end, now_ms)?;
        let alert = self.alert_mut(&mut work, tenant, id)?.clone();
        self.commit(work)?;
        Ok(alert)
    }

    /// An open alert is over; who heard of it by itself hears that.
    pub(super) fn resolved(
        &self,
        work: &mut Work<'_>,
        tenant: &TenantId,
        id: &str,
        end: End<'_>,
        now_ms: i64,
    ) -> Result<()> {
        let row = work.alerts.get_mut(work.metadata, tenant.as_str(), id)?;
        let alert = row.ok_or_else(|| unknown("alert", id))?;
        alert.state = State::Resolved;
        alert.resolved_at_ms = Some(end.at_ms);
        alert.note(now_ms, What::Resolved, end.by, end.remark);
        let alert = alert.clone();
        work.tally.resolved += 1;
        work.steps.push(AlertStep::of(tenant.as_str(), id, &alert, StepKind::Resolved, now_ms));
        if alert.told.iter().all(|told| told.how != How::Single) {
            return Ok(());
        }
        let audience = self.audience(tenant)?;
        let facts = match alert.device() {
            Some(device) => self.facts(tenant, &device)?,
            None => record::Facts::default(),
        };
        let of = Subject { tenant, id, facts: &facts, now_ms };
        for told in alert.told.iter().filter(|told| told.how == How::Single) {
            let person = self.listener(&audience, tenant, &told.person)?;
            let Some(person) = person.filter(|person| person.document.resolved) else { continue };
            self.tell_again(work, of, &person, &alert, (Kind::Resolved, "resolved"))?;
        }
        Ok(())
    }

    fn alert_mut<'w>(
        &self,
        work: &'w mut Work<'_>,
        tenant: &TenantId,
        id: &AlertId,
    ) -> Result<&'w mut Alert> {
        let row = work.alerts.get_mut(work.metadata, tenant.as_str(), id.as_str())?;
        row.ok_or_else(|| unknown("alert", id.as_str()))
    }
}

fn said(remark: &str) -> String {
    cut(remark, REMARK_BYTES).to_owned()
}
