//! Who is told when nobody answers.

use serde::{Deserialize, Serialize};

/// Most steps of a list.
const STEPS: usize = 16;
/// Most people of a step.
const PEOPLE: usize = 16;
/// Longest wait, seconds: a week.
const WAIT_S: u32 = 7 * 86_400;

/// An escalation list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// One after the other, until somebody acknowledges.
    pub steps: Vec<Step>,
}

/// Who is told when nobody acknowledged in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// How long after the one before, or after the alert was raised, seconds.
    pub after_s: u32,
    /// Who, by id. Those who are not there (any more) are passed over.
    pub people: Vec<String>,
}

impl Escalation {
    /// # Errors
    /// Which part is not possible, and what is.
    pub(crate) fn check(&self, id: &str) -> Result<(), String> {
        super::check_id(id)?;
        if self.steps.is_empty() || self.steps.len() > STEPS {
            return Err(format!("steps has {} entries: 1 to {STEPS}", self.steps.len()));
        }
        for step in &self.steps {
            if step.people.is_empty() || step.people.len() > PEOPLE {
                return Err(format!("people of a step has {} entries: 1 to {PEOPLE}", step.people.len()));
            }
            if !(1..=WAIT_S).contains(&step.after_s) {
                return Err(format!("after_s is {}: 1 to {WAIT_S}", step.after_s));
            }
        }
        Ok(())
    }
}
