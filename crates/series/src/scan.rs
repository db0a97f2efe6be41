//! The fourth seam of the store: its tables in columns, for SQL.
//!
//! ```text
//!   SeriesScan ──snapshot(tenant)──▶ Snapshot ──scan(table, columns, times, devices)──▶ batches of columns
//! ```
//!
//! Batches are Arrow's, because the engines that read them are; nothing else of such an engine is known here.

mod build;
mod moments;
mod rows;
mod shape;
mod wide;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::RecordBatch;
use record::{TenantId, Timestamp};

use crate::Result;

pub(crate) use build::Builder;
pub use moments::{Moments, SeriesMark};
pub(crate) use rows::{
    Dead, Names, WindowCells, account_row, dead_row, device_row, kind_name, reading_row, reading_rows,
    window_row,
};
pub use shape::{EXACT, Shape, TABLES, UTC, shape};
pub(crate) use wide::{Holds, Kinds, Parted, Wide};

/// Most rows of a batch: some hundred kilobytes, so that a scan can be stopped, and its memory counted, often.
pub const BATCH_ROWS: usize = 8192;

/// Batches of columns. `next` blocks for disk accesses.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// The store as tables. Calls block for a disk access.
///
/// # What every backend promises
/// 1. **One moment.** Everything read from a snapshot is of the moment it was taken: every write that returned before,
///    no part of one that had not. Reading never waits for the writer, nor the writer for a reader. A snapshot may hold
///    back the reclaiming of space, so it is not kept longer than a question takes.
/// 2. **One tenant.** A snapshot shows no row of any other tenant, and no table that only another tenant has.
/// 3. **The tables.** Those of [`TABLES`], with the columns of [`shape`]; beyond them what the backend has for this
///    tenant, such as a wide table for each kind of reading. Their columns may become more from one snapshot to the
///    next, never less.
/// 4. **By id.** The rows of `devices` come by rising id.
/// 5. **Exact.** Each reading once, with the value that holds; integers exact, floats bit for bit, except that a NaN is
///    NULL.
pub trait SeriesScan: Send + Sync + 'static {
    /// The store as a tenant sees it now.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn snapshot(&self, tenant: &TenantId) -> Result<Arc<dyn Snapshot>>;
}

/// The store as a tenant saw it at one moment. Scans of one snapshot may be read side by side.
pub trait Snapshot: Send + Sync + 'static {
    /// The tables there are, by name.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn tables(&self) -> Result<Vec<Shape>>;

    /// A table; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn table(&self, name: &str) -> Result<Option<Shape>>;

    /// The rows of a table, in no order that is promised but that of `devices`. Of a table that is not there, none.
    ///
    /// # Errors
    /// [`crate::Error::Database`], here or from the batches, of which nothing comes after it.
    fn scan(self: Arc<Self>, scan: Scan) -> Result<Batches>;

    /// What others make wide tables of; `None`: the store has no wide rows.
    fn moments(self: Arc<Self>) -> Option<Arc<dyn Moments>> {
        None
    }
}

/// What to read. Each condition is kept exactly where the table has the column it speaks of, and is nothing where it has
/// none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Which table.
    pub table: String,
    /// Which columns, by their place in the table, in this order; `None`: all. With none at all, batches only say how
    /// many rows there are.
    pub columns: Option<Vec<usize>>,
    /// Rows whose [`Shape::time`] lies within.
    pub times: RangeInclusive<Timestamp>,
    /// Rows of these devices ([`Shape::device`]); `None`: of all.
    pub devices: Option<BTreeSet<String>>,
    /// Rows of these metrics ([`Shape::metric`]); `None`: of all.
    pub metrics: Option<BTreeSet<String>>,
    /// Rows whose value is of these kinds, by the words of [`Shape::kind`]; `None`: of any.
    pub kinds: Option<BTreeSet<String>>,
    /// How many rows are enough; `None`: all.
    pub limit: Option<usize>,
}

impl Scan {
    /// All of a table.
    #[must_use]
    pub fn all(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            columns: None,
            times: Timestamp::from_nanos(i64::MIN)..=Timestamp::from_nanos(i64::MAX),
            devices: None,
            metrics: None,
            kinds: None,
            limit: None,
        }
    }
}

/// Whether a set that may be absent lets a name through.
pub(crate) fn lets(set: Option<&BTreeSet<String>>, name: &str) -> bool {
    set.is_none_or(|set| set.contains(name))
}
