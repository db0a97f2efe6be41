//! Questions whose answers lie outside a partition's state, and how the same answers are given again.
//!
//! The pipeline asks while it works; what it is told goes into the note of the commit. After a crash the same
//! records are processed with the noted answers ([`Noted`]), because the store has moved on meanwhile and would
//! answer otherwise.

use record::{ReplayOf, TenantId, ValueRef};
use serde::{Deserialize, Serialize};
use series::{DeadMessage, Key};

use crate::budget::Counted;
pub(crate) use crate::dedup::Held;

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The stream is to stop; the step is given up and done again after the next start.
    #[error("the stream is stopping")]
    Stopping,
    /// The turn before did not get into the store, so this one began from a state that is not kept.
    #[error("the turn before was not stored")]
    GivenUp,
    /// The notes do not hold what the pipeline asks: another version of it wrote them, or the log is another.
    #[error("the notes do not fit the log: {0}")]
    Mismatch(&'static str),
}

/// An answer, as it is noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// What the store knows of a device: the latest time it claimed (nanoseconds), and its metrics.
    Device { newest: Option<i64>, metrics: Vec<String> },
    /// Whether a key is held.
    Held(Held),
    /// What is dead at an offset.
    Dead(Option<Dead>),
    /// Whether the tenant's budget admits one more device or series.
    Admitted(bool),
}

/// What is dead of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dead {
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// Whether its good readings were stored.
    pub(crate) partly_stored: bool,
    /// The elements that are dead; `None`: the message as a whole.
    pub(crate) elements: Vec<Option<u32>>,
}

impl Dead {
    fn of(message: &DeadMessage) -> Self {
        Self {
            attempts: message.attempts,
            partly_stored: message.completeness == series::Completeness::Part,
            elements: message.letters.iter().map(|letter| letter.index).collect(),
        }
    }
}

/// What is dead of a message, with the message itself where it is at hand: not while notes are replayed.
pub(crate) type DeadThere = (Dead, Option<Box<DeadMessage>>);

/// What the pipeline may ask. Every answer is noted.
pub(crate) trait Answers {
    /// What the store knows of a device that the state does not know.
    fn device(&mut self, tenant: &str, device: &str) -> Result<(Option<i64>, Vec<String>), Unanswered>;

    /// Whether the store, or the batch in hand, holds a value under a key, and the same.
    fn held(&mut self, key: &Key<'_>, value: ValueRef<'_>) -> Result<Held, Unanswered>;

    /// What is dead of a message.
    fn dead(&mut self, of: ReplayOf) -> Result<Option<DeadThere>, Unanswered>;

    /// Whether the tenant's budget admits one more; `id` is the device or the metric.
    fn admitted(&mut self, tenant: &TenantId, counted: Counted, id: &str) -> Result<bool, Unanswered>;
}

/// Who is asked the first time: the store.
pub(crate) trait Source {
    /// As [`Answers::device`].
    fn device(&mut self, tenant: &str, device: &str) -> Result<(Option<i64>, Vec<String>), Unanswered>;
    /// As [`Answers::held`].
    fn held(&mut self, key: &Key<'_>, value: ValueRef<'_>) -> Result<Held, Unanswered>;
    /// The dead message itself.
    fn dead(&mut self, of: ReplayOf) -> Result<Option<DeadMessage>, Unanswered>;
    /// As [`Answers::admitted`].
    fn admitted(&mut self, tenant: &TenantId, counted: Counted, id: &str) -> Result<bool, Unanswered>;
}

/// Asks a source and notes what it says.
pub(crate) struct Noting<'a> {
    source: &'a mut dyn Source,
    noted: &'a mut Vec<Answer>,
}

impl<'a> Noting<'a> {
    pub(crate) fn new(source: &'a mut dyn Source, noted: &'a mut Vec<Answer>) -> Self {
        Self { source, noted }
    }
}

impl Answers for Noting<'_> {
    fn device(&mut self, tenant: &str, device: &str) -> Result<(Option<i64>, Vec<String>), Unanswered> {
        let (newest, metrics) = self.source.device(tenant, device)?;
        self.noted.push(Answer::Device { newest, metrics: metrics.clone() });
        Ok((newest, metrics))
    }

    fn held(&mut self, key: &Key<'_>, value: ValueRef<'_>) -> Result<Held, Unanswered> {
        let held = self.source.held(key, value)?;
        self.noted.push(Answer::Held(held));
        Ok(held)
    }

    fn dead(&mut self, of: ReplayOf) -> Result<Option<DeadThere>, Unanswered> {
        let message = self.source.dead(of)?;
        let dead = message.map(|message| (Dead::of(&message), Some(Box::new(message))));
        self.noted.push(Answer::Dead(dead.as_ref().map(|(dead, _)| dead.clone())));
        Ok(dead)
    }

    fn admitted(&mut self, tenant: &TenantId, counted: Counted, id: &str) -> Result<bool, Unanswered> {
        let admitted = self.source.admitted(tenant, counted, id)?;
        self.noted.push(Answer::Admitted(admitted));
        Ok(admitted)
    }
}

/// Gives noted answers again.
pub(crate) struct Noted(std::vec::IntoIter<Answer>);

impl Noted {
    pub(crate) fn new(answers: Vec<Answer>) -> Self {
        Self(answers.into_iter())
    }

    /// Whether every answer was asked for, as the first time.
    pub(crate) fn is_used_up(&self) -> bool {
        self.0.len() == 0
    }
}

impl Answers for Noted {
    fn device(&mut self, _tenant: &str, _device: &str) -> Result<(Option<i64>, Vec<String>), Unanswered> {
        match self.0.next() {
            Some(Answer::Device { newest, metrics }) => Ok((newest, metrics)),
            _ => Err(Unanswered::Mismatch("what is known of a device was not asked there")),
        }
    }

    fn held(&mut self, _key: &Key<'_>, _value: ValueRef<'_>) -> Result<Held, Unanswered> {
        match self.0.next() {
            Some(Answer::Held(held)) => Ok(held),
            _ => Err(Unanswered::Mismatch("a reading's key was not asked there")),
        }
    }

    fn dead(&mut self, _of: ReplayOf) -> Result<Option<DeadThere>, Unanswered> {
        match self.0.next() {
            Some(Answer::Dead(dead)) => Ok(dead.map(|dead| (dead, None))),
            _ => Err(Unanswered::Mismatch("a dead message was not asked there")),
        }
    }

    fn admitted(&mut self, _tenant: &TenantId, _counted: Counted, _id: &str) -> Result<bool, Unanswered> {
        match self.0.next() {
            Some(Answer::Admitted(admitted)) => Ok(admitted),
            _ => Err(Unanswered::Mismatch("the budget was not asked there")),
        }
    }
}
