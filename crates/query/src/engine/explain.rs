//! The engine's errors in words for people.

use datafusion::common::{Column, SchemaError};
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

/// Columns that are named to who asked for another.
const NAMED: usize = 24;

/// An error of the statement itself.
pub(super) fn plain(error: &DataFusionError) -> Error {
    let root = error.find_root();
    let words = root.strip_backtrace();
    // What follows the first line tells people to report it to DataFusion.
    let words = words.lines().next().unwrap_or_default();
    let words = ["Error during planning: ", "SQL error: ", "Execution error: ", "Schema error: "]
        .iter()
        .find_map(|prefix| words.strip_prefix(prefix))
        .unwrap_or(words);
    let words =
        words.strip_prefix("ParserError(\"").and_then(|words| words.strip_suffix("\")")).unwrap_or(words);
    let words = words.split("This issue was likely caused by a bug").next().unwrap_or(words).trim_end();
    Error::Statement(match root {
        DataFusionError::SchemaError(wrong, _) => match &**wrong {
            SchemaError::FieldNotFound { valid_fields, .. } => no_column(words, valid_fields),
            _ => words.to_owned(),
        },
        _ => no_table(words).unwrap_or_else(|| words.to_owned()),
    })
}

/// Mostly a column is misspelt, or a text stands in the quotes of names.
fn no_column(words: &str, there: &[Column]) -> String {
    let mut names: Vec<&str> = there.iter().map(Column::name).collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    let list = match names.len() {
        0 => String::new(),
        1..=NAMED => format!(" There are {}.", names.join(", ")),
        _ => format!(" There are {} and others (DESCRIBE the table).", names[..NAMED].join(", ")),
    };
    format!("{words}{list} A text stands in single quotes: 'd1'.")
}

fn no_table(words: &str) -> Option<String> {
    let name = words.strip_prefix("table '")?.strip_suffix("' not found")?;
    let name = name.strip_prefix("penstock.public.").unwrap_or(name);
    Some(format!(
        "table {name} not found: SHOW TABLES lists the tables; that of a metric or of a type of device is there once one has sent something"
    ))
}
