//! The engine's errors in words for people.

use datafusion::error::DataFusionError;

use crate::{Error, Limits};

/// An error of a question that runs within limits.
pub(super) fn explain(error: &DataFusionError, limits: Limits) -> Error {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(words) if words.contains("would make") => {
            Error::TooMuch(format!("the statement needs too much memory: {words}"))
        }
        DataFusionError::ResourcesExhausted(_) => {
            let most = limits.memory;
            Error::TooMuch(format!(
                "the statement needs more than {most} bytes of memory: narrow it, by time or by device, or group by less"
            ))
        }
        DataFusionError::External(inner) => match inner.downcast_ref::<series::Error>() {
            Some(store) => Error::Store(store.clone()),
            None => match inner.downcast_ref::<Error>() {
                Some(own) => own.clone(),
                None => Error::Statement(inner.to_string()),
            },
        },
        _ => plain(error),
    }
}

/// An error of the statement itself.
pub(super) fn plain(error: &DataFusionError) -> Error {
    let words = error.find_root().strip_backtrace();
    // What follows the first line tells people to report it to DataFusion.
    let words = words.lines().next().unwrap_or_default();
    let words = ["Error during planning: ", "SQL error: ", "Execution error: ", "Schema error: "]
        .iter()
        .find_map(|prefix| words.strip_prefix(prefix))
        .unwrap_or(words);
    let words =
        words.strip_prefix("ParserError(\"").and_then(|words| words.strip_suffix("\")")).unwrap_or(words);
    let words = words.split("This issue was likely caused by a bug").next().unwrap_or(words).trim_end();
    Error::Statement(words.to_owned())
}
