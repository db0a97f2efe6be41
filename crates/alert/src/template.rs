//! Texts with places for what they are about.

use record::Timestamp;
use rule::Severity;

use crate::message::{Body, Kind};

/// Longest text that a template makes, bytes.
pub(crate) const RENDERED_BYTES: usize = 16 << 10;
/// Longest template, bytes: half of that, so that there is room for what is put in.
const TEMPLATE_BYTES: usize = 8 << 10;

/// A text with places: `{what}` (raised, resolved, …), `{device}` (or devices), `{rule}`, `{severity}`, `{why}`, `{at}`, `{link}`,
/// `{tenant}`, `{count}`. `{{` and `}}` are brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    What,
    Device,
    Rule,
    Severity,
    Why,
    At,
    Link,
    Tenant,
    Count,
}

/// Every place, by name.
const PLACES: [(&str, Place); 9] = [
    ("what", Place::What),
    ("device", Place::Device),
    ("rule", Place::Rule),
    ("severity", Place::Severity),
    ("why", Place::Why),
    ("at", Place::At),
    ("link", Place::Link),
    ("tenant", Place::Tenant),
    ("count", Place::Count),
];

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It names a place that there is not.
    #[error(
        "there is no {{{name}}}: write one of {{what}} {{device}} {{rule}} {{severity}} {{why}} {{at}} {{link}} {{tenant}} {{count}}"
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// A bracket stands alone.
    #[error("the bracket at byte {at} stands alone: write {{{{ or }}}} for a bracket")]
    Bracket {
        /// Where, bytes.
        at: usize,
    },
    /// It is too long.
    #[error("it has {found} bytes, at most {TEMPLATE_BYTES} are possible")]
    TooLong {
        /// How long it is.
        found: usize,
    },
}

impl Template {
    /// Checks a text.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_BYTES {
            return Err(TemplateError::TooLong { found: text.len() });
        }
        let (mut parts, mut plain, mut at) = (Vec::new(), String::new(), 0);
        while let Some(next) = text[at..].chars().next() {
            let rest = &text[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                plain.push(next);
                at += 2;
            } else if next == '{' {
                let end = rest.find('}').ok_or(TemplateError::Bracket { at })?;
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Place(place(&rest[1..end])?));
                at += end + 1;
            } else if next == '}' {
                return Err(TemplateError::Bracket { at });
            } else {
                plain.push(next);
                at += next.len_utf8();
            }
        }
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    /// The text about a message. At most 16 KiB.
    #[must_use]
    pub fn render(&self, body: &Body) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Place(place) => text.push_str(&value(*place, body)),
            }
        }
        text.truncate(text.floor_char_boundary(RENDERED_BYTES));
        text.truncate(text.trim_end().len());
        text
    }
}

fn place(name: &str) -> Result<Place, TemplateError> {
    let found = PLACES.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, place)| *place)
        .ok_or_else(|| TemplateError::Unknown { name: name.chars().take(40).collect() })
}

fn value(place: Place, body: &Body) -> String {
    match place {
        Place::What => what(body.kind).into(),
        Place::Device => line(&body.devices_in_words()),
        Place::Rule => line(body.rule_in_words()),
        Place::Severity => severity(body.severity).into(),
        Place::Why => body.why.clone(),
        Place::At => at(body),
        Place::Link => body.link.clone().unwrap_or_default(),
        Place::Tenant => body.tenant.clone(),
        Place::Count => crate::message::grouped(body.count),
    }
}

/// Names stay in their line: one with a line break would look like more than a name.
fn line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::Raised => "Raised",
        Kind::Resolved => "Resolved",
        Kind::Escalated => "Not acknowledged",
        Kind::Group => "Raised, together",
        Kind::Digest => "Held back",
        Kind::Routed => "Passed on",
        Kind::Test => "Test",
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// When it happened; for several, when the message was written. To the second, UTC.
fn at(body: &Body) -> String {
    let at_ms = match (&body.alert, body.kind) {
        (Some(alert), Kind::Resolved) => alert.resolved_at_ms.unwrap_or(alert.triggered_at_ms),
        (Some(alert), _) => alert.triggered_at_ms,
        (None, _) => body.at_ms,
    };
    let text = Timestamp::from_millis(at_ms).unwrap_or_default().to_rfc3339();
    format!("{}Z", text.split('.').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_that_there_are_may_be_named() {
        for (text, words) in [
            ("{devise}", "there is no {devise}"),
            ("a {", "the bracket at byte 2 stands alone"),
            ("a } b", "the bracket at byte 2 stands alone"),
            ("{}", "there is no {}"),
        ] {
            let told = Template::parse(text).unwrap_err().to_string();
            assert!(told.starts_with(words), "{told}");
        }
        let long = "x".repeat(TEMPLATE_BYTES + 1);
        assert_eq!(Template::parse(&long), Err(TemplateError::TooLong { found: long.len() }));
    }
}
