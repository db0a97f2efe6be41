//! Budgets as configured.

use std::collections::BTreeMap;

use record::TenantId;
use serde::{Deserialize, Serialize};

/// What a tenant may have; 0: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Devices.
    pub devices: u64,
    /// Series, of all its devices.
    pub series: u64,
    /// Series of one device.
    pub series_per_device: u64,
}

impl Default for Limits {
    /// A large fleet, twenty metrics each; a device with more than 10 000 metrics makes them up.
    fn default() -> Self {
        Self { devices: 100_000, series: 2_000_000, series_per_device: 10_000 }
    }
}

/// `[stream.budget]` as written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetConfig {
    /// Devices of a tenant; 0: no limit.
    pub max_devices: u64,
    /// Series of a tenant; 0: no limit.
    pub max_series: u64,
    /// Series of a device; 0: no limit.
    pub max_series_per_device: u64,
    /// What holds for single tenants instead.
    pub tenants: BTreeMap<TenantName, TenantBudget>,
}

/// `[stream.budget.tenants.NAME]` as written. What is absent is as for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantBudget {
    /// Devices; 0: no limit.
    pub max_devices: Option<u64>,
    /// Series; 0: no limit.
    pub max_series: Option<u64>,
    /// Series of a device; 0: no limit.
    pub max_series_per_device: Option<u64>,
}

/// A tenant's name as a key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantName(TenantId);

impl TryFrom<String> for TenantName {
    type Error = record::IdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        TenantId::parse(&text).map(Self)
    }
}

impl From<TenantName> for String {
    fn from(name: TenantName) -> Self {
        name.0.as_str().to_owned()
    }
}

impl std::borrow::Borrow<str> for TenantName {
    fn borrow(&self) -> &str {
        self.0.as_str()
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            max_devices: limits.devices,
            max_series: limits.series,
            max_series_per_device: limits.series_per_device,
            tenants: BTreeMap::new(),
        }
    }
}

impl BudgetConfig {
    pub(super) fn of(&self, tenant: &str) -> Limits {
        let own = self.tenants.get(tenant).copied().unwrap_or_default();
        Limits {
            devices: own.max_devices.unwrap_or(self.max_devices),
            series: own.max_series.unwrap_or(self.max_series),
            series_per_device: own.max_series_per_device.unwrap_or(self.max_series_per_device),
        }
    }
}
