//! Compiled rules of all tenants.

mod cohort;
mod compiled;
mod plan;
mod tenant;

use std::sync::Arc;

use hashbrown::HashMap;
use record::TenantId;

pub(crate) use cohort::{Cohort, Cohorts};
pub(crate) use compiled::Compiled;
pub(crate) use plan::{Levels, MetricPlan};
pub(crate) use tenant::Tenant;

use crate::limits::RULES_PER_TENANT;
use crate::{CompileError, Duration, Rule, RuleId};

/// The enabled rules of all tenants, compiled. Does not change; shared by the evaluators of all partitions.
#[derive(Debug, Default)]
pub struct RuleSet {
    tenants: HashMap<Box<str>, Arc<Tenant>>,
}

/// What rules need to see of a tenant's readings.
#[derive(Clone, Copy, Debug)]
pub struct Wants<'a> {
    /// The metrics that are named.
    pub metrics: &'a [Box<str>],
    /// Whether any reading counts, because some rule waits for a device that is silent.
    pub any: bool,
}

impl RuleSet {
    /// Compiles rules. Those that are disabled are only remembered as such; those that do not compile are left out and told.
    /// The order of the rules does not matter.
    #[must_use]
    pub fn compile(rules: &[Rule]) -> (Self, Vec<(TenantId, RuleId, CompileError)>) {
        let mut sorted: Vec<&Rule> = rules.iter().collect();
        sorted.sort_by(|a, b| (&a.tenant, &a.id, a.version).cmp(&(&b.tenant, &b.id, b.version)));
        let mut tenants: HashMap<Box<str>, Tenant> = HashMap::new();
        let mut refused = Vec::new();
        for rule in sorted {
            let tenant =
                tenants.entry(rule.tenant.as_str().into()).or_insert_with(|| Tenant::new(&rule.tenant));
            if let Err(error) = tenant.add(rule) {
                refused.push((rule.tenant.clone(), rule.id.clone(), error));
            }
        }
        let tenants = tenants.into_iter().map(|(name, tenant)| (name, Arc::new(tenant))).collect();
        (Self { tenants }, refused)
    }

    /// What a tenant's rules need to see; `None` when it has none that are enabled.
    #[must_use]
    pub fn wants(&self, tenant: &str) -> Option<Wants<'_>> {
        let tenant = self.tenant(tenant)?;
        Some(Wants { metrics: tenant.names.metrics(), any: tenant.any_silence })
    }

    /// The longest time that a rule looks back over, in windows or for `no_data`: how much history a cold start is to be
    /// given to know what it would know otherwise.
    #[must_use]
    pub fn longest_window(&self) -> Duration {
        let longest = self.tenants.values().map(|tenant| tenant.longest_ns).max();
        Duration::from_nanos(longest.unwrap_or_default())
    }

    /// How many rules are evaluated.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tenants.values().map(|tenant| tenant.rules.len()).sum()
    }

    /// Whether no rule is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tenants that have rules that are enabled, by name.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        let mut all: Vec<_> = self.tenants.values().filter(|tenant| !tenant.rules.is_empty()).collect();
        all.sort_by_key(|tenant| tenant.id.as_str());
        all.into_iter()
    }

    /// A tenant's rules, if it has some that are enabled.
    pub(crate) fn tenant(&self, tenant: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(tenant).filter(|tenant| !tenant.rules.is_empty())
    }

    /// Why a rule of a tenant is not evaluated any more.
    pub(crate) fn why_gone(&self, tenant: &str, rule: &RuleId) -> &'static str {
        match self.tenants.get(tenant) {
            Some(tenant) if tenant.disabled.contains(rule) => "the rule was disabled",
            Some(tenant) if tenant.by_id.contains_key(rule) => "the rule was changed",
            _ => "the rule was removed",
        }
    }
}

/// Refuses one rule too many.
fn check_count(rules: usize) -> Result<(), CompileError> {
    if rules < RULES_PER_TENANT {
        return Ok(());
    }
    Err(CompileError::about(
        "rules",
        format!("are more than {RULES_PER_TENANT}, the most of a tenant: remove some"),
    ))
}
