//! How a rig ends.

use std::process::ExitCode;

/// Why a rig did not pass.
#[derive(Debug)]
pub enum Failure {
    /// A promise was broken: this is what rigs look for.
    Broken(String),
    /// This machine cannot run the rig.
    CannotRun(String),
    /// The rig itself failed.
    Rig(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Rig(error.into())
    }
}

/// The result of a rig.
pub type Result<T> = std::result::Result<T, Failure>;

/// A broken promise, as an error.
///
/// # Errors
/// Always.
pub fn broken<T>(what: impl Into<String>) -> Result<T> {
    Err(Failure::Broken(what.into()))
}

/// The exit code of a rig, after saying on stderr what happened.
#[must_use]
pub fn exit(rig: &str, result: Result<String>) -> ExitCode {
    match result {
        Ok(summary) => {
            eprintln!("{rig}: passed: {summary}");
            ExitCode::SUCCESS
        }
        Err(Failure::Broken(what)) => {
            eprintln!("{rig}: BROKEN PROMISE: {what}");
            ExitCode::from(1)
        }
        Err(Failure::Rig(error)) => {
            eprintln!("{rig}: the rig failed: {error:#}");
            ExitCode::from(2)
        }
        Err(Failure::CannotRun(why)) => {
            eprintln!("{rig}: NOT RUN, NOTHING PROVEN: {why}");
            ExitCode::from(77)
        }
    }
}
