//! Which metrics a setting is about.

use record::{MetricName, TenantId};

/// A metric name in which each `*` stands for any run of characters, none included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Box<[Box<str>]>);

/// The series a setting is about: metrics by pattern, of one tenant or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    tenant: Option<TenantId>,
    metric: Pattern,
}

/// Why a text is not a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Neither a name nor a pattern.
    #[error("metric {0:?} is neither a metric name nor a pattern such as \"motor.*\"")]
    Metric(String),
    /// No tenant has such a name.
    #[error("tenant: {0}")]
    Tenant(record::IdError),
}

impl Selector {
    /// Checks the two parts as written.
    pub(crate) fn new(tenant: Option<&str>, metric: &str) -> Result<Self, SelectorError> {
        if MetricName::check(metric).is_err() {
            return Err(SelectorError::Metric(metric.to_owned()));
        }
        let tenant = tenant.map(TenantId::parse).transpose().map_err(SelectorError::Tenant)?;
        Ok(Self { tenant, metric: Pattern::of(metric) })
    }

    pub(crate) fn selects(&self, tenant: &str, metric: &str) -> bool {
        self.tenant.as_ref().is_none_or(|wanted| wanted.as_str() == tenant) && self.metric.matches(metric)
    }
}

impl Pattern {
    pub(crate) fn of(text: &str) -> Self {
        Self(text.split('*').map(Into::into).collect())
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let [first, rest @ ..] = &*self.0 else { return false };
        let Some((last, middle)) = rest.split_last() else { return **first == *name };
        let Some(name) = name.strip_prefix(&**first).and_then(|name| name.strip_suffix(&**last)) else {
            return false;
        };
        // Each piece as early as it stands leaves the most room for those after it.
        let find = |rest: &str, piece: &str| rest.find(piece).map(|at| at + piece.len());
        let mut rest = name;
        middle.iter().all(|piece| find(rest, piece).map(|end| rest = &rest[end..]).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_written() {
        for (pattern, yes, no) in [
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
            let selector = Selector::new(None, pattern).unwrap();
            yes.iter().for_each(|name| assert!(selector.selects("t", name), "{pattern} {name}"));
            no.iter().for_each(|name| assert!(!selector.selects("t", name), "{pattern} {name}"));
        }
    }

    #[test]
    fn a_tenant_narrows_it_and_nonsense_is_refused() {
        let selector = Selector::new(Some("acme"), "t*").unwrap();
        assert!(selector.selects("acme", "t1") && !selector.selects("other", "t1"));
        assert_eq!(
            Selector::new(None, "").unwrap_err().to_string(),
            "metric \"\" is neither a metric name nor a pattern such as \"motor.*\""
        );
        let refused = Selector::new(Some("a/b"), "t").unwrap_err().to_string();
        assert!(refused.starts_with("tenant: the tenant id holds the character '/'"), "{refused}");
    }
}
