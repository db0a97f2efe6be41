//! From the configuration's text to levels, with every mistake named.

use record::limits;

use super::{Level, Role};

/// Why a template is refused. Every message names the template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// None of the templates has this text.
    #[error("there is no topic template {template:?}: write one of the templates as it stands there")]
    Unknown {
        /// What was asked for.
        template: String,
    },
    /// It has no text.
    #[error("a topic template is empty: remove it or write one such as devices/{{id}}/telemetry")]
    Empty,
    /// Two slashes in a row, or one at an end.
    #[error("topic template {template:?} has an empty level: remove the extra slash")]
    EmptyLevel {
        /// The template.
        template: String,
    },
    /// A wildcard.
    #[error("topic template {template:?} holds the wildcard {found:?}: use a placeholder such as {{site}}")]
    Wildcard {
        /// The template.
        template: String,
        /// `+` or `#`.
        found: char,
    },
    /// Begins with `$`.
    #[error(
        "topic template {template:?} begins with $, which belongs to the server: telemetry topics cannot"
    )]
    System {
        /// The template.
        template: String,
    },
    /// A brace in the middle of a level, or one that is not closed.
    #[error(
        "topic template {template:?}: {level:?} mixes text and braces: a placeholder takes a whole level"
    )]
    Brace {
        /// The template.
        template: String,
        /// The level.
        level: String,
    },
    /// A placeholder whose name is not made of letters, digits and `_`.
    #[error("topic template {template:?}: placeholder {name:?} needs a name of letters, digits and _")]
    Name {
        /// The template.
        template: String,
        /// What stood between the braces.
        name: String,
    },
    /// Two placeholders for the same thing.
    #[error("topic template {template:?} names the {what} twice: keep one of the placeholders")]
    Twice {
        /// The template.
        template: String,
        /// What is named twice.
        what: String,
    },
    /// A control character.
    #[error("topic template {template:?} holds a control character, which no topic may")]
    Control {
        /// The template.
        template: String,
    },
    /// Longer or deeper than topics may be.
    #[error(
        "topic template {template:?} has more than {} bytes or {} levels, as no topic may",
        limits::TOPIC_BYTES,
        limits::TOPIC_LEVELS
    )]
    TooLong {
        /// The template.
        template: String,
    },
    /// Two templates match just the same topics.
    #[error("topic template {template:?} matches the same topics as {other:?}: remove one")]
    Same {
        /// The later one.
        template: String,
        /// The earlier one.
        other: String,
    },
}

pub(super) fn levels(text: &str) -> Result<Box<[Level]>, TemplateError> {
    let template = || text.to_owned();
    if text.is_empty() {
        return Err(TemplateError::Empty);
    }
    if text.len() > limits::TOPIC_BYTES || text.split('/').count() > limits::TOPIC_LEVELS {
        return Err(TemplateError::TooLong { template: text.chars().take(80).collect() });
    }
    if text.starts_with('$') {
        return Err(TemplateError::System { template: template() });
    }
    if let Some(found) = text.chars().find(|c| matches!(c, '+' | '#')) {
        return Err(TemplateError::Wildcard { template: template(), found });
    }
    if text.chars().any(char::is_control) {
        return Err(TemplateError::Control { template: template() });
    }
    let mut levels: Vec<Level> = Vec::new();
    for part in text.split('/') {
        let level = level(text, part)?;
        if matches!(level, Level::Placeholder(_)) && levels.contains(&level) {
            let what = match level {
                Level::Placeholder(Role::Device) => "device".into(),
                Level::Placeholder(Role::Metric) => "metric".into(),
                Level::Placeholder(Role::Tenant) => "tenant".into(),
                Level::Placeholder(Role::Class) => "class".into(),
                Level::Placeholder(Role::Fact(name)) => name.into_string(),
                Level::Literal(text) => text.into_string(),
            };
            return Err(TemplateError::Twice { template: template(), what });
        }
        levels.push(level);
    }
    Ok(levels.into())
}

fn level(template: &str, part: &str) -> Result<Level, TemplateError> {
    let template = || template.to_owned();
    if part.is_empty() {
        return Err(TemplateError::EmptyLevel { template: template() });
    }
    let inner = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let Some(name) = inner.filter(|name| !name.contains(['{', '}'])) else {
        return if part.contains(['{', '}']) {
            Err(TemplateError::Brace { template: template(), level: part.to_owned() })
        } else {
            Ok(Level::Literal(part.into()))
        };
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(TemplateError::Name { template: template(), name: name.to_owned() });
    }
    Ok(Level::Placeholder(match name {
        "id" | "device" | "device_id" => Role::Device,
        "metric" | "measurement" => Role::Metric,
        "tenant" => Role::Tenant,
        "class" => Role::Class,
        _ => Role::Fact(name.into()),
    }))
}
