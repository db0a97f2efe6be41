//! An alert begins: it stands, or another one stands for it.

use record::{DeviceId, TenantId, Timestamp};
use rule::{RuleId, Severity};

use super::Alerts;
use super::take::pair_id;
use super::tell::Subject;
use crate::alert::{Alert, REMARK_BYTES, State, WHY_BYTES, What, cut};
use crate::core::pair::{Pair, Verdict, judge};
use crate::id::AlertId;
use crate::rows::{Due, Work};
use crate::step::{AlertStep, StepKind};
use crate::terms::Terms;
use crate::{Error, Result};

/// Longest id of a rule, bytes.
const RULE_BYTES: usize = 64;

/// An alert from outside: `POST /v1/alerts`.
#[derive(Clone, Debug, PartialEq)]
pub struct Raise {
    /// Whose.
    pub tenant: TenantId,
    /// About which device.
    pub device: DeviceId,
    /// Under which rule's name. There need not be such a rule.
    pub rule: RuleId,
    /// How bad; absent: as the rule says, or a warning.
    pub severity: Option<Severity>,
    /// In words, at most [`WHY_BYTES`]; more is cut off.
    pub why: String,
    /// Who raises it.
    pub by: Option<String>,
    /// When it happened. The same tenant, device, rule and time are the same alert.
    pub at: Timestamp,
}

/// What became of an alert from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    /// Its id.
    pub id: AlertId,
    /// Whether it is new.
    pub is_new: bool,
    /// The alert.
    pub alert: Alert,
}

/// How an alert begins.
pub(super) struct Onset<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) device: &'a DeviceId,
    pub(super) rule: &'a RuleId,
    pub(super) version: u32,
    pub(super) cause: Timestamp,
    pub(super) at: Timestamp,
    pub(super) retrospective: bool,
    pub(super) why: &'a str,
    pub(super) by: Option<&'a str>,
    /// Whether a rule found it, which will say when it ended.
    pub(super) from_rule: bool,
    pub(super) severity: Severity,
}

impl Alerts {
    /// Raises an alert from outside. It stands until somebody resolves it.
    ///
    /// # Errors
    /// [`Error::Refused`] when the rule's name is none; [`Error::Metadata`], [`Error::Directory`].
    pub fn raise(&self, raise: &Raise, now: Timestamp) -> Result<Raised> {
        check_rule(&raise.rule)?;
        let (_changing, mut work) = self.begin();
        let tenant = &raise.tenant;
        let id = AlertId::of(tenant, &raise.rule, &raise.device, raise.at);
        let is_new = work.alerts.get(work.metadata, tenant.as_str(), id.as_str())?.is_none();
        if is_new {
            let mut terms = self.terms(tenant, &raise.rule, 0)?;
            terms.severity = raise.severity.unwrap_or(terms.severity);
            let onset = Onset {
                tenant,
                device: &raise.device,
                rule: &raise.rule,
                version: 0,
                cause: raise.at,
                at: raise.at,
                retrospective: false,
                why: &raise.why,
                by: raise.by.as_deref().map(|by| cut(by, REMARK_BYTES)),
                from_rule: false,
                severity: terms.severity,
            };
            self.onset(&mut work, &id, &onset, &terms, now)?;
        } else {
            work.tally.repeated += 1;
        }
        let alert = work.alerts.get(work.metadata, tenant.as_str(), id.as_str())?;
        let alert = alert.cloned().ok_or_else(|| unknown("alert", id.as_str()))?;
        self.commit(work)?;
        Ok(Raised { id, is_new, alert })
    }

    /// A new alert: what becomes of it, and who hears of it.
    pub(super) fn onset(
        &self,
        work: &mut Work<'_>,
        id: &AlertId,
        onset: &Onset<'_>,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<()> {
        let (name, now_ms) = (onset.tenant.as_str(), now.millis());
        let mut alert = onset.alert(terms, now_ms);
        work.tally.raised += 1;
        if onset.retrospective && !terms.tell_retrospective {
            work.tally.retrospective += 1;
            work.steps.push(AlertStep::of(name, id.as_str(), &alert, StepKind::Raised, now_ms));
            work.alerts.put(name, id.as_str(), alert);
            return Ok(());
        }
        let pair_id = pair_id(onset.rule, onset.device);
        let window_ms = terms.suppress_ms.unwrap_or(self.settings.suppress_ms);
        let last = work.pairs.get(work.metadata, name, &pair_id)?;
        // One about the past does not take the place of a newer one.
        let is_newest = last.is_none_or(|last| last.triggered_at_ms <= onset.at.millis());
        match judge(last, onset.at.millis(), window_ms) {
            Verdict::Stands => {
                let facts = self.facts(onset.tenant, onset.device)?;
                let of = Subject { tenant: onset.tenant, id: id.as_str(), facts: &facts, now_ms };
                let is_muted = self.stand(work, of, &mut alert, terms)?;
                if !is_muted && is_newest {
                    work.pairs.put(name, &pair_id, Pair::of(id.to_string(), alert.triggered_at_ms));
                }
            }
            Verdict::SuppressedBy(standing) => {
                suppress(work, name, &standing, &mut alert, now_ms)?;
                // Without a rule nobody will say that it ended.
                if onset.from_rule && !onset.retrospective {
                    wait(work, name, &pair_id, id, onset, window_ms, now_ms)?;
                }
            }
        }
        let kind = if alert.state == State::Suppressed { StepKind::Suppressed } else { StepKind::Raised };
        work.steps.push(AlertStep::of(name, id.as_str(), &alert, kind, now_ms));
        work.alerts.put(name, id.as_str(), alert);
        Ok(())
    }
}

impl Onset<'_> {
    fn alert(&self, terms: &Terms, now_ms: i64) -> Alert {
        let mut alert = Alert {
            device_id: self.device.as_str().into(),
            rule_id: self.rule.0.clone(),
            rule_version: self.version,
            rule_name: cut(&terms.name, REMARK_BYTES).to_owned(),
            severity: self.severity,
            state: State::Raised,
            cause_ns: self.cause.nanos(),
            triggered_at_ms: self.at.millis(),
            raised_at_ms: now_ms,
            acknowledged_at_ms: None,
            resolved_at_ms: None,
            ended_at_ms: None,
            why: cut(self.why, WHY_BYTES).to_owned(),
            retrospective: self.retrospective,
            suppressed_by: None,
            suppressed: 0,
            muted_by: None,
            told: Vec::new(),
            history: Vec::new(),
            history_more: 0,
        };
        alert.note(now_ms, What::Raised, self.by, None);
        alert
    }
}

fn suppress(work: &mut Work<'_>, tenant: &str, standing: &str, alert: &mut Alert, now_ms: i64) -> Result<()> {
    alert.state = State::Suppressed;
    alert.suppressed_by = Some(standing.to_owned());
    alert.note(now_ms, What::Suppressed, None, None);
    work.tally.suppressed += 1;
    if let Some(standing) = work.alerts.get_mut(work.metadata, tenant, standing)? {
        standing.suppressed += 1;
    }
    Ok(())
}

/// If the condition still holds when the suppression is over, people must hear of it.
fn wait(
    work: &mut Work<'_>,
    tenant: &str,
    pair_id: &str,
    id: &AlertId,
    onset: &Onset<'_>,
    window_ms: i64,
    now_ms: i64,
) -> Result<()> {
    let Some(pair) = work.pairs.get_mut(work.metadata, tenant, pair_id)? else { return Ok(()) };
    let due_ms = pair.wait(id.to_string(), window_ms, now_ms);
    let due = Due::Outlast {
        tenant: tenant.to_owned(),
        rule: onset.rule.0.to_string(),
        device: onset.device.to_string(),
    };
    work.later(due_ms, &due);
    Ok(())
}

fn check_rule(rule: &RuleId) -> Result<()> {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if (1..=RULE_BYTES).contains(&rule.0.len()) && rule.0.bytes().all(good) {
        return Ok(());
    }
    let reason = format!("{:?} is not possible: 1 to {RULE_BYTES} of a-z 0-9 -", cut(&rule.0, 80));
    Err(Error::Refused { what: "rule", reason })
}

pub(super) fn unknown(what: &'static str, id: &str) -> Error {
    Error::Unknown { what, id: cut(id, 80).to_owned() }
}
