//! Dead messages that are tried again.
//!
//! A replay is processed as the message was, except that only what was dead of it counts: the other readings of the
//! message were kept the first time. Its account goes to the line of the original: what was dead there is taken off, what
//! comes of it now is added. A message that is no longer dead was put right before; there is nothing to do then.

use record::ReplayOf;
use series::{Amounts, DeadMessage, Source};

use crate::answers::{Answers, Dead, Unanswered};
use crate::output::Output;

use super::decode::Telemetry;

/// A dead message being tried again.
pub(super) struct TriedAgain {
    pub(super) of: ReplayOf,
    pub(super) dead: Dead,
    /// The message; absent while notes are replayed, when the outcome is thrown away.
    pub(super) message: Option<Box<DeadMessage>>,
}

impl TriedAgain {
    /// Whether an element of the message was dead.
    pub(super) fn concerns(&self, element: Option<u32>) -> bool {
        !self.dead.partly_stored || self.dead.elements.iter().any(|dead| dead.is_none() || *dead == element)
    }

    /// What leaves the account before the outcome is added.
    pub(super) fn taken_off(&self) -> Amounts {
        let letters = self.dead.elements.len() as i64;
        Amounts { accepted: -letters, dead: -letters, ..Amounts::default() }
    }

    pub(super) fn source(&self) -> Source {
        Source { topic: self.of.topic, lane: self.of.lane, partition: self.of.partition }
    }
}

/// The dead message that is tried again; `None` when it is not dead any more.
pub(super) fn begin(of: ReplayOf, answers: &mut dyn Answers) -> Result<Option<TriedAgain>, Unanswered> {
    Ok(answers.dead(of)?.map(|(dead, message)| TriedAgain { of, dead, message }))
}

/// A replay of what is not dead any more is a record like any other, with nothing in it.
pub(super) fn nothing_to_do(telemetry: &Telemetry<'_, '_>, output: &mut Output) {
    let envelope = &telemetry.envelope;
    output.account.line(telemetry.tenant.as_str(), &telemetry.topic, envelope.arrived_at).records += 1;
}
