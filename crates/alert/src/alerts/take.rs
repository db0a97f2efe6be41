//! Transitions of rules come in.

use std::collections::BTreeMap;

use metadata::{Row, Table};
use record::{DeviceId, TenantId, Timestamp};
use rule::{Kind, RuleId, Transition};
use serde::{Deserialize, Serialize};

use super::Alerts;
use super::halves::in_halves;
use super::onset::Onset;
use super::settle::End;
use crate::alert::{State, What};
use crate::counters::Tally;
use crate::id::AlertId;
use crate::rows::{CauseRow, Work, put, read};
use crate::{Error, Result};

/// Before the names of positions, in [`Table::AlertState`].
const POSITION: &str = "position/";

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Transitions that changed something.
    pub new: usize,
    /// Those that were known already, or end what has no alert.
    pub known: usize,
    /// Those that needed a row that is damaged: they were told in the server's log, and are not taken again.
    pub passed_over: usize,
}

/// A cause that has its alert and whose end has not been seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCause {
    /// Whose.
    pub tenant: TenantId,
    /// Of which device.
    pub device: DeviceId,
    /// Which rule's.
    pub rule: RuleId,
    /// The version that raised it.
    pub version: u32,
    /// Since when the condition holds, in event time.
    pub cause: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct PositionRow {
    offset: u64,
}

impl Alerts {
    /// Takes what rules found, in order, and where the reader stands after it. All that follows is one commit: either the
    /// alerts, the messages and the positions are there, or nothing is. A transition that was taken before changes nothing, however
    /// long ago that was.
    ///
    /// A transition that needs a damaged row is passed over, told and counted, because what cannot be read now cannot be read later either, and
    /// the rules of everybody would wait for it. The others are taken in several commits then, the positions with the last.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Directory`]: the same may be given again.
    pub fn take(
        &self,
        transitions: &[Transition],
        positions: &[(String, u64)],
        now: Timestamp,
    ) -> Result<Taken> {
        match self.take_whole(transitions, positions, now) {
            Err(Error::Row { .. }) => {}
            done => return done,
        }
        let (mut taken, mut passed_over) = (Taken::default(), 0);
        in_halves(
            transitions,
            &mut |part| {
                let Taken { new, known, .. } = self.take_whole(part, &[], now)?;
                (taken.new, taken.known) = (taken.new + new, taken.known + known);
                Ok(())
            },
            &mut |transition, error| {
                let Transition { tenant, device, rule, kind, .. } = transition;
                tracing::error!(%tenant, %device, rule = %rule.0, ?kind, %error, "a rule's finding is passed over");
                self.counters.add(Tally { passed_over: 1, ..Tally::default() });
                passed_over += 1;
                Ok(())
            },
        )?;
        self.take_whole(&[], positions, now)?;
        Ok(Taken { passed_over, ..taken })
    }

    /// In one commit, or not at all.
    fn take_whole(
        &self,
        transitions: &[Transition],
        positions: &[(String, u64)],
        now: Timestamp,
    ) -> Result<Taken> {
        let (_changing, mut work) = self.begin();
        let mut taken = Taken::default();
        for transition in transitions {
            let is_new = match transition.kind {
                Kind::Began => self.began(&mut work, transition, now)?,
                Kind::Ended => self.ended(&mut work, transition, now)?,
            };
            if is_new {
                taken.new += 1;
            } else {
                taken.known += 1;
            }
        }
        for (name, offset) in positions {
            let row = PositionRow { offset: *offset };
            work.changes.push(put(Table::AlertState, "", &format!("{POSITION}{name}"), &row));
        }
        self.commit(work)?;
        Ok(taken)
    }

    /// Where the reader stood after the last batch that was taken, by the names it gave.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Row`].
    pub fn positions(&self) -> Result<BTreeMap<String, u64>> {
        let mut positions = BTreeMap::new();
        let mut failed = None;
        self.metadata.scan_after(Table::AlertState, "", POSITION, &mut |row| {
            let Some(name) = row.id.strip_prefix(POSITION) else { return false };
            match read::<PositionRow>(Table::AlertState, &row) {
                Ok(position) => drop(positions.insert(name.to_owned(), position.offset)),
                Err(error) => failed = Some(error),
            }
            failed.is_none()
        })?;
        failed.map_or(Ok(positions), Err)
    }

    /// The causes that have their alert and whose end has not been seen, of the devices that `wanted` says yes to: what an
    /// evaluator whose state is gone has to know, so that it raises nothing twice and leaves nothing open. Alerts that people
    /// resolved are among them while the condition holds. A row that cannot be read is told and left out: its cause is found again, and known
    /// by its alert.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn open_causes(&self, wanted: &dyn Fn(&TenantId, &DeviceId) -> bool) -> Result<Vec<OpenCause>> {
        let mut causes = Vec::new();
        self.metadata.scan(Table::AlertCauses, None, &mut |row| {
            match open_cause(&row) {
                Ok(cause) if wanted(&cause.tenant, &cause.device) => causes.push(cause),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "what holds cannot be read"),
            }
            true
        })?;
        Ok(causes)
    }

    fn began(&self, work: &mut Work<'_>, transition: &Transition, now: Timestamp) -> Result<bool> {
        let tenant = &transition.tenant;
        let id = AlertId::of(tenant, &transition.rule, &transition.device, transition.cause);
        if work.alerts.get(work.metadata, tenant.as_str(), id.as_str())?.is_some() {
            work.tally.repeated += 1;
            return Ok(false);
        }
        let terms = self.terms(tenant, &transition.rule, transition.version)?;
        if !transition.retrospective {
            let cause = CauseRow {
                rule: transition.rule.0.to_string(),
                device: transition.device.to_string(),
                version: transition.version,
                cause_ns: transition.cause.nanos(),
            };
            work.causes.put(tenant.as_str(), &pair_id(&transition.rule, &transition.device), cause);
        }
        let onset = Onset {
            tenant,
            device: &transition.device,
            rule: &transition.rule,
            version: transition.version,
            cause: transition.cause,
            at: transition.at,
            retrospective: transition.retrospective,
            why: &transition.why,
            by: None,
            from_rule: true,
            severity: terms.severity,
        };
        self.onset(work, &id, &onset, &terms, now)?;
        Ok(true)
    }

    fn ended(&self, work: &mut Work<'_>, transition: &Transition, now: Timestamp) -> Result<bool> {
        let (tenant, now_ms) = (&transition.tenant, now.millis());
        let id = AlertId::of(tenant, &transition.rule, &transition.device, transition.cause);
        let pair_id = pair_id(&transition.rule, &transition.device);
        let (metadata, name) = (work.metadata, tenant.as_str());
        let cause = work.causes.get(metadata, name, &pair_id)?;
        if cause.is_some_and(|row| row.cause_ns == transition.cause.nanos()) {
            work.causes.remove(name, &pair_id);
        }
        let pair = work.pairs.get(metadata, name, &pair_id)?;
        if pair.is_some_and(|pair| pair.awaits(id.as_str()))
            && let Some(pair) = work.pairs.get_mut(metadata, name, &pair_id)?
        {
            pair.waiting = None;
        }
        let Some(alert) = work.alerts.get_mut(metadata, name, id.as_str())? else {
            work.tally.unmatched += 1;
            return Ok(false);
        };
        if alert.ended_at_ms.is_some() {
            return Ok(false);
        }
        let at_ms = transition.at.millis();
        alert.ended_at_ms = Some(at_ms);
        alert.note(now_ms, What::Ended, None, None);
        if alert.state == State::Suppressed {
            alert.resolved_at_ms = Some(at_ms);
        } else if alert.is_open() {
            let end = End { at_ms, by: None, remark: None };
            self.resolved(work, tenant, id.as_str(), end, now_ms)?;
        }
        Ok(true)
    }
}

/// The id of the rows about a rule and device. Neither has a `/`.
pub(super) fn pair_id(rule: &RuleId, device: &DeviceId) -> String {
    format!("{}/{device}", rule.0)
}

fn open_cause(row: &Row) -> Result<OpenCause> {
    let cause: CauseRow = read(Table::AlertCauses, row)?;
    let broken = |error: record::IdError| Error::Row {
        table: Table::AlertCauses.name(),
        tenant: row.tenant.clone(),
        id: row.id.clone(),
        reason: error.to_string(),
    };
    Ok(OpenCause {
        tenant: TenantId::parse(&row.tenant).map_err(broken)?,
        device: DeviceId::parse(&cause.device).map_err(broken)?,
        rule: RuleId(cause.rule.into()),
        version: cause.version,
        cause: Timestamp::from_nanos(cause.cause_ns),
    })
}
