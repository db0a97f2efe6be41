//! What becomes of a rule, for a device, when it is looked at.

use std::cell::RefCell;

use record::{MetricName, TenantId, Timestamp};

use super::device::{Active, Device};
use super::look::Look;
use super::{Output, Routed};
use crate::set::{Compiled, Tenant};
use crate::window::Totals;
use crate::{Kind, Transition};

/// An instant at which a device is looked at, ns since the epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instant {
    /// In event time.
    pub(super) at: i64,
    /// By the server's clock.
    pub(super) now: i64,
    /// Whether it is of the past.
    pub(super) retrospective: bool,
}

/// Looks at rules, each once.
pub(super) fn look_at(
    tenant: &Tenant,
    device: &mut Device,
    rules: &mut Vec<u32>,
    instant: Instant,
    out: &mut Output,
) {
    rules.sort_unstable();
    rules.dedup();
    let mut totals = Vec::new();
    for rule in rules.drain(..) {
        look(tenant, device, rule, instant, &mut totals, out);
    }
}

fn look(
    tenant: &Tenant,
    device: &mut Device,
    rule: u32,
    instant: Instant,
    totals: &mut Vec<(u32, Totals)>,
    out: &mut Output,
) {
    let compiled = tenant.rule(rule);
    if device.cohort.as_ref().is_none_or(|cohort| cohort.plan.is_common && !cohort.has(tenant, rule)) {
        return;
    }
    let look = Look { tenant, device, now: instant.now, totals: RefCell::new(std::mem::take(totals)) };
    let holds = compiled.when.expr.truth(&look) == Some(true);
    if compiled.route.is_some() {
        if holds && is_open(compiled, instant.at) {
            out.routed.push(routed(&look, rule, instant));
        }
        *totals = look.totals.into_inner();
        return;
    }
    let active = look.device.active(rule);
    let next = match active {
        None if holds => began(compiled, instant),
        Some(Active::Pending { .. }) if !holds => None,
        Some(Active::Raised { cause, taken_over: true }) if holds => {
            let is_reached = time_of(compiled, instant) >= cause;
            Some(Active::Raised { cause, taken_over: !is_reached })
        }
        Some(Active::Raised { cause, taken_over: true }) if lies_ahead(compiled, cause, instant) => active,
        Some(Active::Raised { .. }) if ends(compiled, &look, holds) => None,
        same => same,
    };
    let told = told(&look, rule, active, next, instant);
    *totals = look.totals.into_inner();
    out.transitions.extend(told);
    device.set_active(rule, next);
}

/// Raises what is on its way where its time has come, in event time or by the server's clock, as of what was seen so far.
pub(super) fn raise(tenant: &Tenant, device: &mut Device, instant: Instant, out: &mut Output) {
    for place in 0..device.active.len() {
        let (rule, active) = device.active[place];
        let Active::Pending { cause, at, due } = active else { continue };
        // Of a silence the server's clock alone is proof: a device whose clock is ahead was not silent for longer.
        let is_proven = tenant.rule(rule).silences.is_empty() && at <= instant.at;
        if !is_proven && due > instant.now {
            continue;
        }
        let next = Active::Raised { cause, taken_over: false };
        let look = Look { tenant, device, now: instant.now, totals: RefCell::default() };
        let began = Instant { at, ..instant };
        out.transitions.extend(told(&look, rule, Some(active), Some(next), began));
        device.active[place].1 = next;
    }
}

/// Ends what is raised, and forgets what is on its way, for a reason that lies not in the readings.
pub(super) fn end(
    tenant: &TenantId,
    rule: (&crate::RuleId, u32),
    device: &Device,
    active: Active,
    instant: Instant,
    why: &str,
) -> Option<Transition> {
    let Active::Raised { cause, .. } = active else { return None };
    Some(Transition {
        tenant: tenant.clone(),
        device: device.id.clone(),
        rule: rule.0.clone(),
        version: rule.1,
        kind: Kind::Ended,
        cause: Timestamp::from_nanos(cause),
        at: Timestamp::from_nanos(instant.at.max(cause)),
        retrospective: instant.retrospective,
        why: why.to_owned(),
    })
}

/// What a condition becomes that began to hold: raised at once, later, or never, if its schedule has no day any more.
fn began(rule: &Compiled, instant: Instant) -> Option<Active> {
    let cause = instant.at;
    let at = rule.raised_at(cause)?;
    if at == cause {
        return Some(Active::Raised { cause, taken_over: false });
    }
    Some(Active::Pending { cause, at, due: instant.now.saturating_add(at - cause) })
}

/// Whether a cause that was taken over from somebody who had read on may still be to come: readings given again from before it do not end
/// it, nor do those of its own time, of which a later one began it.
pub(super) fn lies_ahead(rule: &Compiled, cause: i64, instant: Instant) -> bool {
    time_of(rule, instant) <= cause
}

/// The time of an instant as a rule's causes tell it. Where silence alone begins them that is the server's, behind which the device's may be.
fn time_of(rule: &Compiled, instant: Instant) -> i64 {
    let is_silence = rule.watches.is_empty() && !rule.wakes;
    if is_silence { instant.now } else { instant.at }
}

fn is_open(rule: &Compiled, at: i64) -> bool {
    let at = Timestamp::from_nanos(at);
    rule.hours.as_ref().is_none_or(|hours| hours.next_open(at) == Some(at))
}

fn ends(rule: &Compiled, look: &Look<'_>, holds: bool) -> bool {
    !holds && rule.clear.as_ref().is_none_or(|clear| clear.expr.truth(look) == Some(true))
}

/// What is told of a change.
fn told(
    look: &Look<'_>,
    rule: u32,
    before: Option<Active>,
    next: Option<Active>,
    instant: Instant,
) -> Option<Transition> {
    let raised = |active: Option<Active>| match active {
        Some(Active::Raised { cause, .. }) => Some(cause),
        _ => None,
    };
    let (id, version, compiled) = &look.tenant.rules[rule as usize];
    let (kind, cause, condition) = match (raised(before), raised(next)) {
        (None, Some(cause)) => (Kind::Began, cause, &compiled.when),
        (Some(cause), None) => (Kind::Ended, cause, compiled.clear.as_ref().unwrap_or(&compiled.when)),
        _ => return None,
    };
    Some(Transition {
        tenant: look.tenant.id.clone(),
        device: look.device.id.clone(),
        rule: id.clone(),
        version: *version,
        kind,
        cause: Timestamp::from_nanos(cause),
        at: Timestamp::from_nanos(instant.at.max(cause)),
        retrospective: instant.retrospective,
        why: look.words(condition),
    })
}

fn routed(look: &Look<'_>, rule: u32, instant: Instant) -> Routed {
    let (id, version, compiled) = &look.tenant.rules[rule as usize];
    let value = |metric: &u32| {
        let name = MetricName::parse(&look.tenant.names.metrics()[*metric as usize]).ok()?;
        Some((name, look.device.slot(*metric)?.value.to_value()?))
    };
    Routed {
        tenant: look.tenant.id.clone(),
        device: look.device.id.clone(),
        rule: id.clone(),
        version: *version,
        route: compiled.route.clone().expect("only routing rules come here"),
        at: Timestamp::from_nanos(instant.at),
        values: compiled.when.metrics.iter().filter_map(value).collect(),
    }
}
