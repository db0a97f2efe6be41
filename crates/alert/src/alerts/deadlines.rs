//! What was put off is done when its time has come.

use metadata::{Change, Row, Table};
use record::{DeviceId, TenantId, Timestamp};
use rule::RuleId;

use super::Alerts;
use super::halves::in_halves;
use super::take::pair_id;
use super::tell::Subject;
use crate::alert::{State, What};
use crate::core::pair::Pair;
use crate::id::forwards;
use crate::message::Kind;
use crate::rows::{Due, Work, read};
use crate::step::{AlertStep, StepKind};
use crate::{Error, Result};

/// Most deadlines that one tick looks at: so much is in memory and in one commit. The next tick does the rest.
const DUE_PER_TICK: usize = 500;

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Deadlines that were over.
    pub done: usize,
    /// Whether there are more: tick again at once.
    pub more: bool,
}

impl Alerts {
    /// Lets time pass: groups and digests go out, suppressions and mutes end, what nobody acknowledged is escalated. Called
    /// about every second. Deadlines are kept: after a restart the first tick does what is overdue.
    ///
    /// What needs a damaged row is told, counted and left undone, so that it holds up nothing else.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Directory`]: the next tick tries again.
    pub fn tick(&self, now: Timestamp) -> Result<Ticked> {
        let due = self.due(now.millis())?;
        let ticked = Ticked { done: due.len(), more: due.len() == DUE_PER_TICK };
        let attempt = &mut |part: &[Row]| self.do_due(part, now.millis());
        in_halves(&due, attempt, &mut |row, error| self.leave_undone(row, error))?;
        Ok(ticked)
    }

    /// In one commit, or not at all.
    fn do_due(&self, due: &[Row], now_ms: i64) -> Result<()> {
        let (_changing, mut work) = self.begin();
        for row in due {
            work.changes.push(done(row));
            match read::<Due>(Table::AlertDue, row) {
                Ok(due) => self.handle(&mut work, &row.id, &due, now_ms)?,
                // It must not keep what comes after it from being done.
                Err(error) => tracing::error!(%error, "something that was put off will not be done"),
            }
        }
        self.commit(work)
    }

    fn leave_undone(&self, row: &Row, error: &Error) -> Result<()> {
        tracing::error!(due = row.id, %error, "something that was put off will not be done");
        let (_changing, mut work) = self.begin();
        work.changes.push(done(row));
        work.tally.passed_over += 1;
        self.commit(work)
    }

    fn due(&self, now_ms: i64) -> Result<Vec<Row>> {
        // Greater than every id of this millisecond.
        let last = format!("{}~", forwards(now_ms));
        let mut rows = Vec::new();
        self.metadata.scan_after(Table::AlertDue, "", "", &mut |row| {
            let is_due = row.id < last;
            if is_due {
                rows.push(row);
            }
            is_due && rows.len() < DUE_PER_TICK
        })?;
        Ok(rows)
    }

    fn handle(&self, work: &mut Work<'_>, row: &str, due: &Due, now_ms: i64) -> Result<()> {
        // Rows of ours have ids that parse; of one that does not nobody could be told.
        let tenant = |text: &str| TenantId::parse(text).ok();
        match due {
            Due::Outlast { tenant: name, rule, device } => {
                let (Some(tenant), Ok(device)) = (tenant(name), DeviceId::parse(device)) else {
                    return Ok(());
                };
                self.outlast(work, &tenant, &RuleId(rule.as_str().into()), &device, now_ms)
            }
            Due::Escalate { tenant: name, alert, list, step } => match tenant(name) {
                Some(tenant) => self.escalate(work, &tenant, alert, list, *step, now_ms),
                None => Ok(()),
            },
            Due::Inbox { tenant: name, person } => match tenant(name) {
                Some(tenant) => self.empty(work, &tenant, person, row, now_ms),
                None => Ok(()),
            },
            Due::Mute { tenant: name, mute } => match tenant(name) {
                Some(tenant) => self.mute_ended(work, &tenant, mute, now_ms),
                None => Ok(()),
            },
        }
    }

    /// The condition of a suppressed alert lasted longer than the suppression: now it stands on its own.
    fn outlast(
        &self,
        work: &mut Work<'_>,
        tenant: &TenantId,
        rule: &RuleId,
        device: &DeviceId,
        now_ms: i64,
    ) -> Result<()> {
        let (name, pair_id) = (tenant.as_str(), pair_id(rule, device));
        let Some(pair) = work.pairs.get(work.metadata, name, &pair_id)? else { return Ok(()) };
        let waiting = pair.waiting.clone().filter(|waiting| waiting.due_ms <= now_ms);
        let (Some(waiting), standing) = (waiting, pair.alert.clone()) else { return Ok(()) };
        let row = work.alerts.get(work.metadata, name, &waiting.alert)?;
        let waits = row.filter(|alert| alert.state == State::Suppressed && alert.ended_at_ms.is_none());
        let Some(mut alert) = waits.cloned() else { return Ok(()) };
        if let Some(standing) = work.alerts.get_mut(work.metadata, name, &standing)? {
            standing.suppressed = standing.suppressed.saturating_sub(1);
        }
        alert.state = State::Raised;
        alert.note(now_ms, What::Outlasted, None, None);
        work.tally.outlasted += 1;
        let terms = self.terms(tenant, rule, alert.rule_version)?;
        let facts = self.facts(tenant, device)?;
        let of = Subject { tenant, id: &waiting.alert, facts: &facts, now_ms };
        let is_muted = self.stand(work, of, &mut alert, &terms)?;
        work.steps.push(AlertStep::of(name, &waiting.alert, &alert, StepKind::Raised, now_ms));
        work.alerts.put(name, &waiting.alert, alert);
        if is_muted {
            work.pairs.remove(name, &pair_id);
        } else {
            // It stands for what follows from now on, not from when it began.
            work.pairs.put(name, &pair_id, Pair::of(waiting.alert, waiting.due_ms));
        }
        Ok(())
    }

    fn escalate(
        &self,
        work: &mut Work<'_>,
        tenant: &TenantId,
        id: &str,
        list: &str,
        step: usize,
        now_ms: i64,
    ) -> Result<()> {
        let audience = self.audience(tenant)?;
        let Some(escalation) = audience.escalation(list) else { return Ok(()) };
        let Some(current) = escalation.steps.get(step) else { return Ok(()) };
        let row = work.alerts.get_mut(work.metadata, tenant.as_str(), id)?;
        let Some(alert) = row.filter(|alert| alert.state == State::Raised) else { return Ok(()) };
        alert.note(now_ms, What::Escalated, None, Some(format!("{list}, step {}", step + 1)));
        let alert = alert.clone();
        work.tally.escalated += 1;
        let facts = match alert.device() {
            Some(device) => self.facts(tenant, &device)?,
            None => record::Facts::default(),
        };
        let name = format!("escalated-{step}");
        let of = Subject { tenant, id, facts: &facts, now_ms };
        for person in current.people.iter().filter_map(|person| audience.person(person)) {
            self.tell_again(work, of, person, &alert, (Kind::Escalated, &name))?;
        }
        if let Some(next) = escalation.steps.get(step + 1) {
            let due = Due::Escalate {
                tenant: tenant.to_string(),
                alert: id.to_owned(),
                list: list.to_owned(),
                step: step + 1,
            };
            work.later(now_ms + i64::from(next.after_s) * 1000, &due);
        }
        Ok(())
    }

    /// What was gathered for a person goes out.
    fn empty(&self, work: &mut Work<'_>, tenant: &TenantId, id: &str, row: &str, now_ms: i64) -> Result<()> {
        let audience = self.audience(tenant)?;
        // Removed meanwhile: what was gathered went with them.
        let Some(person) = self.listener(&audience, tenant, id)? else { return Ok(()) };
        let on = self.circumstances(work, &person, now_ms);
        let Some(inbox) = work.inboxes.get_mut(work.metadata, tenant.as_str(), id)? else { return Ok(()) };
        // The row of this deadline is gone with this commit.
        let due = Due::Inbox { tenant: tenant.to_string(), person: id.to_owned() };
        inbox.noted_due_ms.take_if(|at_ms| due.id(*at_ms) == row);
        let (messages, moved) = inbox.tick(on, tenant.as_str());
        messages.into_iter().for_each(|message| self.send(work, tenant, &person, message));
        moved.into_iter().for_each(|moved| self.moved(work, tenant, &person, moved, now_ms));
        Ok(())
    }

    fn mute_ended(&self, work: &mut Work<'_>, tenant: &TenantId, mute: &str, now_ms: i64) -> Result<()> {
        let muted = work.muted.get(work.metadata, tenant.as_str(), mute)?;
        if muted.is_none_or(|muted| muted.until_ms > now_ms) {
            return Ok(());
        }
        self.tell_muted(work, tenant, mute, now_ms)
    }
}

/// What was put off is not any more.
fn done(row: &Row) -> Change {
    Change::Delete { table: Table::AlertDue, tenant: String::new(), id: row.id.clone() }
}
