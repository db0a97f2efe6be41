//! The cardinality budget (R4.7): how many devices and series a tenant may have.
//!
//! A device or series beyond it does not come into being: its readings become dead letters whose reason says what blew the
//! budget. What is there already goes on. The counts are live and shared by all partitions, so the answers lie outside
//! a partition's state: the pipeline asks through what notes its answers, and a replay does not ask here again.

mod config;
mod pattern;
#[cfg(test)]
mod tests;

pub use config::{BudgetConfig, Limits, TenantBudget, TenantName};

use std::collections::BTreeMap;
use std::fmt;

use parking_lot::Mutex;
use record::TenantId;

use pattern::Patterns;

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// A device.
    Device,
    /// A metric of a device.
    Series,
}

/// The budgets of all tenants and what they have used of them. Shared by the partitions.
#[derive(Debug)]
pub struct Budget {
    config: BudgetConfig,
    tenants: Mutex<BTreeMap<TenantId, Used>>,
}

/// How many there are, of devices and of series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Devices.
    pub devices: u64,
    /// Series.
    pub series: u64,
}

#[derive(Debug, Default)]
struct Used {
    counts: Cardinality,
    refused: Cardinality,
    devices: Patterns,
    metrics: Patterns,
}

/// A budget that is spent, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Whose.
    pub tenant: TenantId,
    /// Of what.
    pub counted: Counted,
    /// How many there are.
    pub held: u64,
    /// How many there may be.
    pub budget: u64,
    /// What most of the newest ids look like, their numbers replaced by `#`, and how many in a hundred do.
    pub pattern: Option<(String, u8)>,
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, counted, held, budget, pattern } = self;
        let (what, ids, key) = match counted {
            Counted::Device => ("devices", "device ids", "max_devices"),
            Counted::Series => ("series", "metrics", "max_series"),
        };
        write!(f, "the budget of tenant {tenant} is spent: it has {held} {what} of {budget}")?;
        if let Some((pattern, percent)) = pattern {
            write!(f, "; {percent} % of its newest {ids} look like {pattern:?}")?;
        }
        write!(f, "; stop what makes them, or raise {key}")
    }
}

impl Limits {
    /// Why a device that has `held` series gets no more; `None` when it may. Follows from the partition's state alone.
    #[must_use]
    pub fn device_spent(&self, device: &str, held: usize) -> Option<String> {
        let budget = self.series_per_device;
        (budget > 0 && held as u64 >= budget).then(|| {
            format!(
                "device {device} has {held} series of {budget}: does it make up metric names? stop it, or raise \
                 max_series_per_device"
            )
        })
    }
}

impl Budget {
    /// Budgets as configured; nothing is used yet.
    #[must_use]
    pub fn new(config: BudgetConfig) -> Self {
        Self { config, tenants: Mutex::new(BTreeMap::new()) }
    }

    /// What a tenant may have.
    #[must_use]
    pub fn limits(&self, tenant: &TenantId) -> Limits {
        self.config.of(tenant.as_str())
    }

    /// Whether [`Budget::set`] has been told what the tenant has.
    #[must_use]
    pub fn knows(&self, tenant: &TenantId) -> bool {
        self.tenants.lock().contains_key(tenant)
    }

    /// Sets what a tenant has, as the store counts it: before the tenant's first admission, and whenever the store has let
    /// old series go. Admissions not yet committed are not among them and would be forgotten.
    pub fn set(&self, tenant: &TenantId, counts: Cardinality) {
        self.tenants.lock().entry(tenant.clone()).or_default().counts = counts;
    }

    /// Admits one more, if there is room. `id` is the device or the metric, for the explanation. A new device and its first
    /// series are admitted one by one.
    pub fn admit(&self, tenant: &TenantId, counted: Counted, id: &str) -> bool {
        let limits = self.limits(tenant);
        let mut tenants = self.tenants.lock();
        let used = tenants.entry(tenant.clone()).or_default();
        let (held, refused, budget, patterns) = match counted {
            Counted::Device => {
                (&mut used.counts.devices, &mut used.refused.devices, limits.devices, &mut used.devices)
            }
            Counted::Series => {
                (&mut used.counts.series, &mut used.refused.series, limits.series, &mut used.metrics)
            }
        };
        patterns.note(id);
        let is_room = budget == 0 || *held < budget;
        *(if is_room { held } else { refused }) += 1;
        is_room
    }

    /// Why the tenant's next one was not admitted.
    #[must_use]
    pub fn spent(&self, tenant: &TenantId, counted: Counted) -> Spent {
        let limits = self.limits(tenant);
        let tenants = self.tenants.lock();
        let used = tenants.get(tenant);
        let of = |devices: u64, series: u64| if counted == Counted::Device { devices } else { series };
        let patterns =
            used.map(|used| if counted == Counted::Device { &used.devices } else { &used.metrics });
        Spent {
            tenant: tenant.clone(),
            counted,
            held: used.map_or(0, |used| of(used.counts.devices, used.counts.series)),
            budget: of(limits.devices, limits.series),
            pattern: patterns.and_then(Patterns::commonest),
        }
    }

    /// What each tenant has, and how many it was refused since the start: for metrics and for people.
    #[must_use]
    pub fn used(&self) -> Vec<(TenantId, Cardinality, Cardinality)> {
        let tenants = self.tenants.lock();
        tenants.iter().map(|(tenant, used)| (tenant.clone(), used.counts, used.refused)).collect()
    }
}
