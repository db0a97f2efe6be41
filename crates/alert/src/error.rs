//! Why something was not done.

use crate::alert::State;

/// Why something was not done. Nothing of it was, then.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The metadata cannot be read or written: try again.
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The state of rules cannot be kept.
    #[error("the state of rules cannot be kept in {place}: {reason}")]
    Checkpoint {
        /// Where.
        place: String,
        /// The system's words.
        reason: String,
    },
    /// The system gives no thread.
    #[error(
        "the thread {name:?} cannot be started: {reason}: free memory or allow more threads, then start again"
    )]
    Thread {
        /// What it is called.
        name: &'static str,
        /// The system's words.
        reason: String,
    },
    /// The folder of models cannot be read.
    #[error("models for rules cannot be read from {place}: {reason}: mend it, or leave alert.models.dir out")]
    Models {
        /// Where.
        place: String,
        /// The system's words.
        reason: String,
    },
    /// A rule does not compile.
    #[error(transparent)]
    Rule(#[from] rule::CompileError),
    /// What was stored cannot be read.
    #[error(transparent)]
    History(#[from] series::Error),
    /// A row is not what it should be.
    #[error("the {table} row {id:?} of tenant {tenant:?} cannot be read: {reason}: remove or repair it")]
    Row {
        /// In which table.
        table: &'static str,
        /// Whose.
        tenant: String,
        /// Which.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// What a rule wants or what is known of a device cannot be said now: try again.
    #[error("{what} of tenant {tenant:?} cannot be looked up: {reason}")]
    Directory {
        /// Which rule or device.
        what: String,
        /// Whose.
        tenant: String,
        /// Why not.
        reason: String,
    },
    /// There is no such thing.
    #[error("there is no {what} {id:?}: list them to see which there are")]
    Unknown {
        /// An alert, a person.
        what: &'static str,
        /// Which.
        id: String,
    },
    /// An alert cannot go there from where it stands.
    #[error("alert {id} is {state:?} and cannot be {wanted}")]
    State {
        /// Which alert.
        id: String,
        /// Where it stands.
        state: State,
        /// What was asked for.
        wanted: &'static str,
    },
    /// What was given is not possible.
    #[error("{what}: {reason}")]
    Refused {
        /// What was given.
        what: &'static str,
        /// Why not, and what is.
        reason: String,
    },
}

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;
