//! Why a rule is where it is, for people.

use std::cell::RefCell;

use record::{Timestamp, Value};

use super::Evaluator;
use super::device::Active;
use super::look::Look;
use crate::RuleId;
use crate::language::{Condition, Datum};

/// How a rule stands for a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Whether the rule is for this device.
    pub is_for_device: bool,
    /// Whether `when` holds now; `None` is unknown: something it needs was never seen.
    pub holds: Option<bool>,
    /// Whether `clear_when` does, if there is one.
    pub clears: Option<bool>,
    /// How far it is.
    pub phase: Phase,
    /// The parts of both that have a value of their own.
    pub parts: Vec<Part>,
    /// The newest event time that the device was judged at, if any.
    pub seen: Option<Timestamp>,
}

/// How far a rule is, for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is raised.
    Quiet,
    /// The condition holds, not for long enough or not within the schedule.
    Pending {
        /// Since when.
        cause: Timestamp,
        /// When it is raised, if it holds on.
        at: Timestamp,
    },
    /// It is raised.
    Raised {
        /// Since when the condition held.
        cause: Timestamp,
    },
}

/// A part of a condition that has a value of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// As it is written.
    pub text: String,
    /// What it is; `None` is NULL.
    pub value: Option<Value>,
    /// Why, if a detector says so.
    pub why: Option<String>,
}

impl Evaluator {
    /// How a rule stands for a device; `None` when this partition knows no such rule or device.
    #[must_use]
    pub fn explain(&self, tenant: &str, rule: &RuleId, device: &str) -> Option<Explanation> {
        let place = *self.tenant_places.get(tenant)?;
        let tenant = &self.tenants[place as usize].tenant;
        let number = *tenant.by_id.get(rule)?;
        let device = self.live.get(self.live.find(place, device)?)?;
        let compiled = tenant.rule(number);
        let now = self.now.max(device.times.clock);
        let look = Look { tenant, device, now, totals: RefCell::default() };
        let mut parts = parts(&look, &compiled.when);
        for part in compiled.clear.iter().flat_map(|clear| self::parts(&look, clear)) {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        Some(Explanation {
            is_for_device: device.cohort.as_ref().is_some_and(|cohort| cohort.has(tenant, number)),
            holds: compiled.when.expr.truth(&look),
            clears: compiled.clear.as_ref().and_then(|clear| clear.expr.truth(&look)),
            phase: phase(device.active(number)),
            parts,
            seen: (device.times.seen != i64::MIN).then(|| Timestamp::from_nanos(device.times.seen)),
        })
    }
}

fn phase(active: Option<Active>) -> Phase {
    match active {
        None => Phase::Quiet,
        Some(Active::Pending { cause, at, .. }) => {
            Phase::Pending { cause: Timestamp::from_nanos(cause), at: Timestamp::from_nanos(at) }
        }
        Some(Active::Raised { cause, .. }) => Phase::Raised { cause: Timestamp::from_nanos(cause) },
    }
}

fn parts(look: &Look<'_>, condition: &Condition) -> Vec<Part> {
    let part = |leaf: &crate::language::Leaf| Part {
        text: leaf.label.to_string(),
        value: match leaf.expr.eval(look) {
            Datum::Null => None,
            Datum::Number(value) => Some(Value::Float(value)),
            Datum::Bool(value) => Some(Value::Bool(value)),
            Datum::Text(text) => Some(Value::Text(text.to_owned())),
            Datum::Place(lat, lng) => Some(Value::Location { lat, lng }),
        },
        why: look.why(&leaf.expr),
    };
    condition.leaves.iter().map(part).collect()
}
