//! `[log_output]`: what the server says about itself, on stderr.

use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

/// `[log_output]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLogOutput {
    /// For people or for programs.
    pub format: LogFormat,
    /// What is said: `info`, or by part, `info,penstock_gateway=debug`.
    pub filter: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

impl Default for RawLogOutput {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".into() }
    }
}

/// A filter as it is, where all its levels are some.
///
/// A word that is no level would be taken for the name of a part that there is not, and nothing would be said at all.
///
/// # Errors
/// Says which word is none, and which there are.
pub fn log_filter(filter: &str) -> Result<String, String> {
    // Spans and their fields have a language of their own.
    let is_simple = !filter.contains(['[', '{', '"']);
    for word in filter.split(',').filter(|_| is_simple) {
        let level = match word.rsplit_once('=') {
            Some((_, level)) => level,
            None if word.trim().starts_with("penstock") || word.contains("::") => continue,
            None => word,
        };
        if level.trim().parse::<LevelFilter>().is_err() {
            return Err(format!(
                "{:?} is no level: write off, error, warn, info, debug or trace; of one part more, info,penstock_gateway=debug",
                level.trim()
            ));
        }
    }
    Ok(filter.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused_with_those_there_are() {
        for good in [
            "info",
            "WARN",
            "off",
            "",
            "info,penstock_gateway=debug",
            "info, penstock_gateway = debug",
            "warn,penstock_gateway",
            "penstock_log::embedded=trace",
            "hyper::proto",
            "penstock_api[request{path=/,x=1}]=debug",
        ] {
            assert_eq!(log_filter(good), Ok(good.to_owned()));
        }
        for (wrong, word) in
            [("verbose", "verbose"), ("info,warning", "warning"), ("penstock_gateway=all", "all")]
        {
            let refused = log_filter(wrong).expect_err(wrong);
            assert!(refused.starts_with(&format!("{word:?} is no level")), "{refused}");
            assert!(refused.contains("error, warn, info, debug or trace"), "{refused}");
        }
    }
}
