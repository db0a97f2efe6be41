//! The fifth seam of the store: what is removed on purpose, and the record of it.

use std::ops::{Add, AddAssign};

use record::{DeviceId, MetricName, TenantId, Timestamp};

use crate::{MetricSet, Result};

/// Removes for good. Calls block for disk accesses, some of them for many.
///
/// # What every backend promises
/// 1. **All of it.** When a call has returned `Ok`, no question shows what was removed, and it is in no file of the store: not
///    in the readings, the latest values, the windows, the late, replaced and dead ones. Snapshots that were taken before
///    still see it until they end.
/// 2. **With a record.** What was removed is counted, and the record stands in the store in the same commit. So the account
///    balances afterwards: what it says was stored is there, or was removed.
/// 3. **Nothing else.** No other reading changes.
///
/// The log and its copies are not the store's: what stands there goes with the log's retention.
pub trait SeriesRemove: Send + Sync + 'static {
    /// Removes all that is known of a device. `reason` is kept in the record, in the words of who asked.
    ///
    /// # Errors
    /// [`crate::Error::Full`], [`crate::Error::Database`], [`crate::Error::Damaged`]: nothing was removed.
    fn erase(&self, tenant: &TenantId, device: &DeviceId, reason: &str, at: Timestamp) -> Result<Removal>;

    /// Removes what is old of a tenant's. A backend may leave readings that it cannot part from later ones for a later call, and
    /// removes nothing from after that time, and of no other metric. `None`: there was nothing to remove.
    ///
    /// # Errors
    /// As [`SeriesRemove::erase`]; but where much is to be done it is done in several commits, and what was removed before the error
    /// is, with its record.
    fn expire(&self, tenant: &TenantId, old: &Old, at: Timestamp) -> Result<Option<Removal>>;

    /// The tenants whose devices have sent something.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn tenants(&self) -> Result<Vec<TenantId>>;

    /// The records of a tenant, the latest first, at most `limit`.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn removals(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Removal>>;

    /// From before when readings of a metric of a tenant's were removed because of their age, the latest such time; `None`: none were. It
    /// is asked with each question: what it costs does not grow with the records.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn expired_before(&self, tenant: &TenantId, metric: &MetricName) -> Result<Option<Timestamp>>;
}

/// What is old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Old {
    /// Of which kind.
    pub what: Expiring,
    /// Of which metrics.
    pub metrics: MetricSet,
    /// What is from before this time.
    pub before: Timestamp,
}

impl Old {
    /// What is from before a time, of all metrics.
    #[must_use]
    pub fn all(what: Expiring, before: Timestamp) -> Self {
        Self { what, metrics: MetricSet::all(), before }
    }
}

/// What becomes old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiring {
    /// Readings, with the lists of late and of replaced ones. A device keeps its latest value as long as that is not old.
    Readings,
    /// Results of windows, by their end.
    Windows,
}

impl Expiring {
    /// The reason in the record.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Readings => "retention of readings",
            Self::Windows => "retention of windows",
        }
    }
}

/// The record of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Rising in the store.
    pub no: u64,
    /// Which device; `None`: all of them.
    pub device: Option<DeviceId>,
    /// Which metrics.
    pub metrics: MetricSet,
    /// Only what is from before this time; `None`: everything.
    pub before: Option<Timestamp>,
    /// Why, in the words of who asked.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// How much.
    pub removed: Counts,
}

impl Removal {
    /// The record of a device that is removed, of nothing yet.
    pub(crate) fn of_device(device: &DeviceId, reason: &str, at: Timestamp) -> Self {
        let (device, metrics, reason) = (Some(device.clone()), MetricSet::all(), reason.to_owned());
        Self { no: 0, device, metrics, before: None, reason, at, removed: Counts::default() }
    }

    /// The record of what is old, of nothing yet.
    pub(crate) fn of_old(old: &Old, at: Timestamp) -> Self {
        let (metrics, reason) = (old.metrics.clone(), old.what.reason().to_owned());
        Self {
            no: 0,
            device: None,
            metrics,
            before: Some(old.before),
            reason,
            at,
            removed: Counts::default(),
        }
    }
}

/// How much was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Readings.
    pub readings: u64,
    /// Values that others had replaced.
    pub superseded: u64,
    /// Values that came late ([`crate::LateReading::times`], summed).
    pub late: u64,
    /// Results of windows.
    pub windows: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

impl Counts {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            readings: self.readings + other.readings,
            superseded: self.superseded + other.superseded,
            late: self.late + other.late,
            windows: self.windows + other.windows,
            dead_letters: self.dead_letters + other.dead_letters,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
