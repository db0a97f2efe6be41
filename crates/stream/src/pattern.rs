//! Which series a setting is about.

use record::{MetricPattern, TenantId};

/// The series a setting is about: metrics by pattern, of one tenant or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    tenant: Option<TenantId>,
    metric: MetricPattern,
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
        let metric = MetricPattern::parse(metric).map_err(|_| SelectorError::Metric(metric.to_owned()))?;
        let tenant = tenant.map(TenantId::parse).transpose().map_err(SelectorError::Tenant)?;
        Ok(Self { tenant, metric })
    }

    pub(crate) fn selects(&self, tenant: &str, metric: &str) -> bool {
        self.tenant.as_ref().is_none_or(|wanted| wanted.as_str() == tenant) && self.metric.matches(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
