//! What is removed on purpose: a device, by writing the runs that hold it again without it; what is old, by leaving out the runs that
//! hold nothing newer, or by writing them again without the metrics that go.

mod device;
mod export;
mod old;
mod part;

use std::collections::BTreeMap;
use std::sync::Arc;

use record::{DeviceId, MetricName, TenantId, Timestamp};

use super::manifest::{self, RunFacts};
use super::metrics::Holds;
use super::moment::{DerivedGroup, Group};
use super::roll::facts;
use super::{Parquet, RunEntry, Visible};
use crate::parquet::ColumnNo;
use crate::parquet::merge::{Goes, without};
use crate::parquet::run::Run;
use crate::sqlite::remove::{expired_before, removals_of, tenants_of};
use crate::{Expiring, Old, Removal, Result, SeriesRemove};

pub(super) use export::TABLE as EXPORTING;

/// Runs that go, and those that take their place.
type Exchange = (Vec<Arc<RunEntry>>, Vec<Arc<RunEntry>>);

impl SeriesRemove for Parquet {
    fn erase(&self, tenant: &TenantId, device: &DeviceId, reason: &str, at: Timestamp) -> Result<Removal> {
        self.erase_device(tenant, device, reason, at)
    }

    fn expire(&self, tenant: &TenantId, old: &Old, at: Timestamp) -> Result<Option<Removal>> {
        self.expire_old(tenant, old, at)
    }

    fn tenants(&self) -> Result<Vec<TenantId>> {
        tenants_of(self)
    }

    fn removals(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Removal>> {
        removals_of(self, tenant, limit)
    }

    fn expired_before(&self, tenant: &TenantId, metric: &MetricName) -> Result<Option<Timestamp>> {
        expired_before(self, tenant, metric)
    }
}

/// What a tenant may have rows of.
struct OfTenant {
    readings: Vec<Group>,
    windows: Vec<DerivedGroup>,
    late: Vec<DerivedGroup>,
}

impl Visible {
    fn of_tenant(&self, tenant: &TenantId) -> OfTenant {
        let tenant = tenant.as_str();
        OfTenant {
            readings: self.groups(tenant).collect(),
            windows: self.derived_groups(tenant, Holds::Windows).collect(),
            late: self.derived_groups(tenant, Holds::Late).collect(),
        }
    }
}

impl OfTenant {
    fn derived(&self) -> impl Iterator<Item = &DerivedGroup> {
        self.windows.iter().chain(&self.late)
    }

    fn groups(&self) -> impl Iterator<Item = &Group> {
        self.readings.iter().chain(self.derived().map(|derived| &derived.group))
    }

    fn has(&self, table: u32) -> bool {
        self.groups().any(|group| group.table == table)
    }

    /// Which table each column is in.
    fn columns(&self) -> BTreeMap<ColumnNo, u32> {
        let readings = self.readings.iter();
        let readings = readings.flat_map(|group| group.metrics.iter().map(|metric| (metric.no, group.table)));
        let derived = self.derived().flat_map(|group| &group.members);
        let derived = derived.flat_map(|member| member.columns().map(|column| (column, member.table)));
        readings.chain(derived).collect()
    }

    /// What of it may become old: of one kind, and of some metrics.
    fn concerned(mut self, old: &Old) -> Self {
        let holds = |name: &str| old.metrics.holds(name);
        self.readings.iter_mut().for_each(|group| group.metrics.retain(|metric| holds(&metric.name)));
        let derived = self.windows.iter_mut().chain(&mut self.late);
        derived.for_each(|of| of.members.retain(|member| holds(&member.metric)));
        match old.what {
            Expiring::Readings => self.windows.clear(),
            Expiring::Windows => {
                self.readings.clear();
                self.late.clear();
            }
        }
        self.readings.retain(|group| !group.metrics.is_empty());
        self.windows.retain(|of| !of.members.is_empty());
        self.late.retain(|of| !of.members.is_empty());
        self
    }
}

impl Visible {
    /// Other runs take the place of some.
    fn exchange_runs(&mut self, gone: &[Arc<RunEntry>], made: &[Arc<RunEntry>]) {
        self.runs.retain(|run| !gone.iter().any(|gone| Arc::ptr_eq(run, gone)));
        self.runs.extend(made.iter().cloned());
        self.runs.sort_by_key(|run| (run.facts.generation, run.facts.no));
    }
}

impl Parquet {
    /// Writes a run again without something. What there is of an attempt that fails goes.
    fn written_again(&self, entry: &RunEntry, run: &Arc<Run>, goes: Goes<'_>) -> Result<Vec<Arc<RunEntry>>> {
        let mut numbers = Vec::new();
        let outputs = without(run, goes, || {
            let no = self.next_run_no();
            numbers.push(no);
            manifest::run_path(&self.runs, no)
        });
        let outputs = outputs.inspect_err(|_| {
            let paths = numbers.iter().map(|&no| manifest::run_path(&self.runs, no));
            paths.for_each(|path| super::remove_files(&path));
        })?;
        let RunFacts { table, period, level, generation, .. } = entry.facts;
        let made = outputs.iter().zip(&numbers).map(|(output, &no)| {
            let facts = facts(&output.written, table, period, level);
            RunEntry::new(&self.runs, RunFacts { no, generation, ..facts })
        });
        Ok(made.collect())
    }

    /// Files go once the commit that does without them is on disk.
    fn let_go(&self, gone: Vec<Arc<RunEntry>>) -> Result<()> {
        gone.iter().for_each(|run| self.cache.forget(run.facts.no));
        self.durable.sync()?;
        gone.iter().for_each(|run| run.doom());
        self.durable.carry();
        drop(gone);
        if let Err(error) = self.remove_unwanted() {
            // They stand in the manifest until they are gone.
            tracing::warn!(%error, "objects of what was removed are still in the cold tier; trying again");
        }
        Ok(())
    }
}
