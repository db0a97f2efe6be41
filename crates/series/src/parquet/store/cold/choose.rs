//! Which runs become cold.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use record::{TenantId, Timestamp};

use super::super::manifest::RunFacts;
use super::super::metrics::Holds;
use super::super::{Parquet, RunEntry, Visible};

/// So long after its end a period's runs become cold; `None`: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColdAges {
    /// Those of readings, and of the list of late ones.
    pub readings: Option<Duration>,
    /// Those of results of windows.
    pub windows: Option<Duration>,
}

/// Ages by tenant. A file holds many metrics, and one kind of rows of one tenant: so finer than that it is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColdPolicy {
    /// Of tenants that have none of their own.
    pub all: ColdAges,
    /// Of these.
    pub tenants: BTreeMap<TenantId, ColdAges>,
}

impl ColdPolicy {
    fn of(&self, tenant: &str) -> ColdAges {
        let own = self.tenants.iter().find(|(name, _)| name.as_str() == tenant);
        own.map_or(self.all, |(_, ages)| *ages)
    }
}

/// Whose rows a table has, and of which kind.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) tenant: String,
    pub(super) kind: &'static str,
    age: Option<Duration>,
}

impl Parquet {
    /// The run that is to be moved next: the one whose period ended first.
    pub(super) fn next_to_move(&self, now: Timestamp, policy: &ColdPolicy) -> Option<(Arc<RunEntry>, Owner)> {
        let visible = self.visible.read();
        let owners = visible.owners(policy);
        let mut due: Vec<(i64, &Arc<RunEntry>, &Owner)> = Vec::new();
        for run in visible.runs.iter().filter(|run| run.object.is_none()) {
            let Some(owner) = owners.get(&run.facts.table) else { continue };
            let Some(age) = owner.age else { continue };
            let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
            let end = end_of(&run.facts);
            if end.saturating_add(age) <= now.nanos() {
                due.push((end, run, owner));
            }
        }
        due.sort_by_key(|(end, run, _)| (*end, run.facts.no));
        let settled = |run: &RunEntry| !visible.has_to_merge(run.facts.table, run.facts.period);
        let found = due.into_iter().find(|(_, run, _)| settled(run));
        found.map(|(_, run, owner)| (Arc::clone(run), owner.clone()))
    }
}

/// When nothing more is expected for a run. The period that is all of time does not end: there it is what the run holds.
fn end_of(facts: &RunFacts) -> i64 {
    match facts.period.end() {
        i64::MAX => facts.claimed.1.saturating_add(facts.shifts.1),
        end => end,
    }
}

impl Visible {
    fn owners(&self, policy: &ColdPolicy) -> HashMap<u32, Owner> {
        let mut owners = HashMap::new();
        for tenant in self.metrics.tenants() {
            let ages = policy.of(tenant);
            let mut own = |table, kind, age| {
                owners.entry(table).or_insert_with(|| Owner { tenant: tenant.to_owned(), kind, age });
            };
            self.groups(tenant).for_each(|group| own(group.table, "readings", ages.readings));
            let derived = |holds| self.derived_groups(tenant, holds).map(|of| of.group.table);
            derived(Holds::Windows).for_each(|table| own(table, "windows", ages.windows));
            derived(Holds::Late).for_each(|table| own(table, "late", ages.readings));
        }
        owners
    }
}
