//! Which metrics a setting is about.

use crate::ids::{IdError, MetricName};

/// A metric name in which each `*` stands for any run of characters, none included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricPattern(Box<str>);

impl MetricPattern {
    /// Checks a text and takes it as a pattern: it is as long as a name, and has the characters of one.
    ///
    /// # Errors
    /// [`IdError`], as of a metric's name.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        MetricName::check(text)?;
        Ok(Self(text.into()))
    }

    /// What every name fits: `*`.
    #[must_use]
    pub fn any() -> Self {
        Self("*".into())
    }

    /// As people write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return *self.0 == *name };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(name) = name.strip_prefix(first).and_then(|name| name.strip_suffix(last)) else {
            return false;
        };
        // Each piece as early as it stands leaves the most room for those after it.
        let find = |rest: &str, piece: &str| rest.find(piece).map(|at| at + piece.len());
        let mut rest = name;
        middle.split('*').all(|piece| find(rest, piece).map(|end| rest = &rest[end..]).is_some())
    }

    /// Whether every name fits that the other is fit by. A star of the other can only be part of what a star of this one stands for.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> MetricPattern {
        MetricPattern::parse(text).unwrap()
    }

    #[test]
    fn patterns_match_as_written() {
        for (text, yes, no) in [
            ("temperature", &["temperature"][..], &["temperature2", "a temperature", "temp"][..]),
            ("*", &["a", "any.thing"], &[]),
            ("motor.*", &["motor.", "motor.rpm"], &["motor", "a.motor.rpm"]),
            ("*.rpm", &["motor.rpm", ".rpm"], &["rpm", "motor.rpm2"]),
            ("a*b*c", &["abc", "a-b-c", "abbcc", "abcbc"], &["acb", "ab", "ac"]),
            ("ab*ba", &["abba", "abxba"], &["aba"]),
            ("a**b", &["ab", "axb"], &["a"]),
            ("*x*x*", &["xx", "axbxc"], &["x"]),
            ("*°*", &["°", "t°C"], &["tC"]),
        ] {
            let pattern = pattern(text);
            yes.iter().for_each(|name| assert!(pattern.matches(name), "{text} {name}"));
            no.iter().for_each(|name| assert!(!pattern.matches(name), "{text} {name}"));
        }
        assert!(MetricPattern::parse("").is_err() && MetricPattern::parse("a\nb").is_err());
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        for (wide, narrow) in
            [("*", "a"), ("*", "*"), ("a*", "a.*"), ("a*", "a*b*"), ("*x*", "x"), ("a", "a")]
        {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
        for (narrow, wide) in [("a", "*"), ("a.*", "a*"), ("a*b", "a*"), ("ab*", "a*")] {
            assert!(!pattern(narrow).covers(&pattern(wide)), "{narrow} {wide}");
        }
    }
}
