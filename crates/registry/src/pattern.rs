//! Patterns over topics: filters with placeholders for the device and tenant of whoever is asking.

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the topic pattern {pattern:?} {reason}")]
pub struct PatternError {
    pattern: String,
    reason: &'static str,
}

/// Who is asking: what the placeholders of a pattern stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) tenant: &'a str,
    /// `None` for a service: a pattern with a device level is never its own.
    pub(crate) device: Option<&'a str>,
}

/// An MQTT topic filter in which `{id}`, `{device_id}` or `{device}` stands for the asker's device, `{org}` or
/// `{tenant}` for its tenant, and any other `{name}` for any one level, as in a topic template (R1.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    levels: Box<[Level]>,
    /// Ends in `#`.
    tail: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Literal(Box<str>),
    Device,
    Tenant,
    Any,
}

impl Pattern {
    /// Reads a pattern, a topic template or a topic filter.
    ///
    /// # Errors
    /// [`PatternError`] when it is empty, holds a wildcard inside a level, or a `#` before its end.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let wrong = |reason| PatternError { pattern: text.to_owned(), reason };
        if text.is_empty() || text.len() > record::limits::TOPIC_BYTES || text.contains('\0') {
            return Err(wrong("is empty, too long or holds a NUL"));
        }
        let mut levels: Vec<&str> = text.split('/').collect();
        if levels.len() > record::limits::TOPIC_LEVELS {
            return Err(wrong("has too many levels"));
        }
        let tail = levels.last() == Some(&"#");
        if tail {
            levels.pop();
        }
        let level = |level: &str| match level {
            "{id}" | "{device_id}" | "{device}" => Ok(Level::Device),
            "{org}" | "{tenant}" => Ok(Level::Tenant),
            "+" => Ok(Level::Any),
            name if name.starts_with('{') && name.ends_with('}') => Ok(Level::Any),
            name if name.contains(['+', '#']) => {
                Err(wrong("holds a wildcard that is not a level of its own, or a # before its end"))
            }
            name if name.contains(['{', '}']) => Err(wrong("holds a brace inside a level")),
            name => Ok(Level::Literal(name.into())),
        };
        let levels = levels.into_iter().map(level).collect::<Result<_, _>>()?;
        Ok(Self { levels, tail })
    }

    /// Whether a level stands for the device.
    #[must_use]
    pub fn names_device(&self) -> bool {
        self.levels.contains(&Level::Device)
    }

    /// What level of `topic` the pattern reads as the device, if the topic has the pattern's shape. A topic
    /// of another tenant does not.
    pub(crate) fn device_in<'t>(&self, topic: &'t str, tenant: &str) -> Option<&'t str> {
        let mut device = None;
        self.walk(topic, |level, found| match level {
            Level::Device => {
                // A pattern that names the device twice must find the same one.
                let same = device.is_none_or(|before| before == found);
                device = Some(found);
                same
            }
            Level::Tenant => found == tenant,
            Level::Literal(literal) => **literal == *found,
            Level::Any => true,
        })
        .then_some(device)
        .flatten()
    }

    /// Whether the pattern, read for `asker`, matches a topic name.
    pub(crate) fn matches(&self, topic: &str, asker: Asker<'_>) -> bool {
        self.walk(topic, |level, found| level.fits(found, asker) || *level == Level::Any)
    }

    /// Whether every topic that `filter` matches is matched by the pattern, read for `asker`. A wildcard of
    /// the filter is covered only by a wildcard of the pattern, so it never reaches past a literal, a device
    /// or a tenant.
    pub(crate) fn covers(&self, filter: &str, asker: Asker<'_>) -> bool {
        self.walk(filter, |level, found| match found {
            "#" => false,
            "+" => *level == Level::Any,
            _ => *level == Level::Any || level.fits(found, asker),
        })
    }

    /// Compares level by level. `a/#` takes in `a` itself; a wildcard or placeholder at the start takes in no
    /// `$` topic (MQTT 5.0 section 4.7.2).
    fn walk<'t>(&self, topic: &'t str, mut fits: impl FnMut(&Level, &'t str) -> bool) -> bool {
        let spelled_out = matches!(self.levels.first(), Some(Level::Literal(_)));
        if !spelled_out && topic.starts_with('$') {
            return false;
        }
        let mut topic_levels = topic.split('/');
        for level in &self.levels {
            match topic_levels.next() {
                Some(found) if fits(level, found) => {}
                _ => return false,
            }
        }
        self.tail || topic_levels.next().is_none()
    }
}

impl Level {
    fn fits(&self, found: &str, asker: Asker<'_>) -> bool {
        match self {
            Self::Literal(literal) => **literal == *found,
            Self::Device => asker.device == Some(found),
            Self::Tenant => asker.tenant == found,
            Self::Any => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D1: Asker<'_> = Asker { tenant: "acme", device: Some("d1") };

    #[test]
    fn a_pattern_covers_only_filters_that_stay_inside_it() {
        for (pattern, filter, expect) in [
            ("devices/{id}/telemetry", "devices/d1/telemetry", true),
            ("devices/{id}/telemetry", "devices/d2/telemetry", false),
            ("devices/{id}/telemetry", "devices/+/telemetry", false),
            ("devices/{id}/telemetry", "devices/d1/+", false),
            ("devices/{id}/telemetry", "devices/d1/#", false),
            ("devices/{id}/telemetry", "devices/d1/telemetry/#", false),
            ("cmd/{id}/#", "cmd/d1/#", true),
            ("cmd/{id}/#", "cmd/d1", true),
            ("cmd/{id}/#", "cmd/d1/+/x/#", true),
            ("cmd/{id}/#", "cmd/#", false),
            ("cmd/{id}/#", "#", false),
            ("cmd/{id}/#", "+/d1/#", false),
            ("{org}/{site}/{type}/{device_id}/{measurement}", "acme/+/+/d1/+", true),
            ("{org}/{site}/{type}/{device_id}/{measurement}", "+/+/+/d1/+", false),
            ("{org}/{site}/{type}/{device_id}/{measurement}", "acme/s/t/+/temp", false),
            ("{org}/{site}/{type}/{device_id}/{measurement}", "acme/+/+/d1/#", false),
            ("{org}/{site}/{type}/{device_id}/{measurement}", "other/+/+/d1/+", false),
            ("#", "#", true),
            ("#", "a/+/b", true),
            ("#", "$SYS/#", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/broker/+", true),
            ("+/+", "+", false),
            ("+/+", "+/+", true),
            ("+/#", "a/#", true),
            ("a/#", "a", true),
            ("a/+", "a", false),
            ("a//b", "a//b", true),
            ("a/+/b", "a//b", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().covers(filter, D1), expect, "{pattern} of {filter}");
        }
    }

    #[test]
    fn a_pattern_reads_the_device_of_a_topic() {
        for (pattern, topic, expect) in [
            ("devices/{id}/telemetry", "devices/d2/telemetry", Some("d2")),
            ("devices/{id}/telemetry", "devices/d2/state", None),
            ("{org}/{device_id}", "acme/d2", Some("d2")),
            ("{org}/{device_id}", "other/d2", None),
            ("cmd/{id}/#", "cmd/d2", Some("d2")),
            ("{id}/x/{id}", "d1/x/d2", None),
            ("{id}/#", "$SYS/x", None),
        ] {
            assert_eq!(
                Pattern::parse(pattern).unwrap().device_in(topic, "acme"),
                expect,
                "{pattern} of {topic}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for wrong in ["", "a/#/b", "a+/b", "a/b#", "a/{id/b", "x{id}"] {
            let error = Pattern::parse(wrong).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the topic pattern {wrong:?} ")), "{error}");
        }
    }
}
