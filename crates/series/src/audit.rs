//! The third seam of the store: its own books, for the ledger, for verification and for tests.

use std::ops::Range;

use record::{DeviceId, MetricName, Reading, TenantId, Timestamp};

use crate::{AccountEntry, Amounts, ClockRow, Counts, Result, Source, WindowRow};

/// What the store keeps beside the readings. Calls block for disk accesses, some of them for many.
///
/// # What every backend promises
/// Each answer is of one moment: it holds every write that returned before the call, and no part of one that has
/// not.
pub trait SeriesAudit: Send + Sync + 'static {
    /// The lines of the account in a range of minutes, by rising key; of one tenant (`Some("")`: what could not be
    /// read), or of all.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn account(&self, tenant: Option<&str>, minutes: Range<Timestamp>) -> Result<Vec<AccountEntry>>;

    /// Everything that has to agree, counted. Reads every row there is.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn audit(&self) -> Result<Audit>;

    /// What can be counted without reading every row: cheap enough to be asked every few seconds.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn figures(&self) -> Result<Figures>;

    /// The pairs of device and metric of a tenant, by device. `visit` returns `false` to stop.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn series(&self, tenant: &TenantId, visit: &mut dyn FnMut(&str, &str) -> bool) -> Result<()>;

    /// The window results of one series that start in the range, by window and start.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn windows(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        starts: Range<Timestamp>,
    ) -> Result<Vec<WindowRow>>;

    /// The late readings of a tenant by device, metric and key, at most `limit`.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn late(&self, tenant: &TenantId, limit: u32) -> Result<Vec<LateReading>>;

    /// The values of a tenant that were replaced by others, by device, metric, key and the order of their
    /// replacement, at most `limit`.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn superseded(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Superseded>>;

    /// What is known of a tenant's clocks, by device.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn clocks(&self, tenant: &TenantId) -> Result<Vec<ClockRow>>;
}

/// A reading that came late. It is stored as any other; this is its entry in the list of late ones.
#[derive(Clone, Debug, PartialEq)]
pub struct LateReading {
    /// The reading as it came, or as it came last.
    pub reading: Reading,
    /// The watermark it came behind.
    pub watermark: Timestamp,
    /// How many values came late under its key: 1, and one more for each late correction.
    pub times: u64,
}

/// A value that another took the place of.
#[derive(Clone, Debug, PartialEq)]
pub struct Superseded {
    /// The reading as it was.
    pub reading: Reading,
    /// When the one arrived that took its place.
    pub replaced_at: Timestamp,
}

/// What has to agree, of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// For each tenant in the account or the tables (empty: what could not be read), by rising name.
    pub tenants: Vec<TenantAudit>,
    /// Which offsets of each partition the store has the outcome of, by partition.
    pub partitions: Vec<Covered>,
}

/// The account of a tenant and what is really there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantAudit {
    /// Whose; empty for what could not be read.
    pub tenant: String,
    /// The sum of the account's lines.
    pub account: Amounts,
    /// Lines whose residue is not zero.
    pub uneven_lines: u64,
    /// Readings in the store.
    pub points: u64,
    /// Values that came late: [`LateReading::times`], summed.
    pub late: u64,
    /// Values that were replaced.
    pub superseded: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// What was removed of these on purpose ([`crate::SeriesRemove`]).
    pub removed: Counts,
}

/// Where the store stands, and what should worry people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Which offsets of each partition the store has the outcome of, by partition.
    pub partitions: Vec<Covered>,
    /// Lines of the account whose residue is not zero: none, unless there is a bug.
    pub uneven_lines: u64,
    /// Their residues without the sign, summed.
    pub residue: u64,
    /// Dead messages there are now.
    pub dead_messages: u64,
}

/// The offsets `first..next` of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The partition.
    pub source: Source,
    /// Where the account of it begins.
    pub first: u64,
    /// The next offset the store wants.
    pub next: u64,
}
