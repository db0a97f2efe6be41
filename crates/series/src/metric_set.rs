//! Which metrics a removal is about.

use std::fmt;
use std::str::FromStr;

use record::MetricPattern;

/// Some metrics: the first pattern that a name fits says whether it is one of them; a name that fits none is not.
///
/// As a text it is a line for each pattern, `+` before those whose names belong to it and `-` before those whose do not. Names and
/// patterns hold no line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSet(Vec<(MetricPattern, bool)>);

/// A line of a text that is no set of metrics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no pattern of metrics with + or - before it")]
pub struct NoSet(String);

impl MetricSet {
    /// Every metric.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![(MetricPattern::any(), true)])
    }

    /// By patterns, of which the first that fits counts, and for what fits none of them.
    #[must_use]
    pub fn first_of(patterns: Vec<(MetricPattern, bool)>, others: bool) -> Self {
        let mut patterns = patterns;
        // What says the same as what comes after it all is not needed.
        while patterns.last().is_some_and(|&(_, belongs)| belongs == others) {
            patterns.pop();
        }
        if others {
            patterns.push((MetricPattern::any(), true));
        }
        Self(patterns)
    }

    /// Whether it is every metric.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// Whether a metric is one of them.
    #[must_use]
    pub fn holds(&self, metric: &str) -> bool {
        self.0.iter().find(|(pattern, _)| pattern.matches(metric)).is_some_and(|&(_, belongs)| belongs)
    }
}

impl fmt::Display for MetricSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (pattern, belongs)) in self.0.iter().enumerate() {
            let (line, sign) = (if at > 0 { "\n" } else { "" }, if *belongs { '+' } else { '-' });
            write!(f, "{line}{sign}{}", pattern.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for MetricSet {
    type Err = NoSet;

    fn from_str(text: &str) -> Result<Self, NoSet> {
        let read = |line: &str| {
            let (belongs, pattern) = match line.split_at_checked(1)? {
                ("+", pattern) => (true, pattern),
                ("-", pattern) => (false, pattern),
                _ => return None,
            };
            Some((MetricPattern::parse(pattern).ok()?, belongs))
        };
        let lines = text.split('\n').map(|line| read(line).ok_or_else(|| NoSet(line.to_owned())));
        lines.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(patterns: &[(&str, bool)], others: bool) -> MetricSet {
        let patterns = patterns.iter().map(|&(text, belongs)| (MetricPattern::parse(text).unwrap(), belongs));
        MetricSet::first_of(patterns.collect(), others)
    }

    #[test]
    fn the_first_pattern_that_fits_counts() {
        let some = set(&[("debug.error", false), ("debug.*", true)], false);
        assert_eq!(["debug.error", "debug.x", "x"].map(|name| some.holds(name)), [false, true, false]);
        let others = set(&[("debug.error", true), ("debug.*", false)], true);
        assert_eq!(["debug.error", "debug.x", "x"].map(|name| others.holds(name)), [true, false, true]);
        assert!(set(&[], true).is_all() && set(&[("a", true)], true).is_all() && !others.is_all());
        assert_eq!(set(&[("a", true), ("b", false)], false), set(&[("a", true)], false));
    }

    #[test]
    fn it_is_a_text_and_read_from_it() {
        for (of, text) in [
            (set(&[("debug.error", false), ("debug.*", true)], false), "-debug.error\n+debug.*"),
            (set(&[("+", false), ("- a", true)], true), "-+\n+*"),
            (MetricSet::all(), "+*"),
        ] {
            assert_eq!((of.to_string(), text.parse()), (text.to_owned(), Ok(of)));
        }
        for wrong in ["", "a", "+", "+a\n", "°a"] {
            assert!(wrong.parse::<MetricSet>().is_err(), "{wrong:?}");
        }
    }
}
