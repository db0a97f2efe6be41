//! Wide tables that others name: what devices sent, whatever it is called.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Batches, Scan, Shape};
use crate::Result;

/// Which series there are at a moment. A later moment's is never less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesMark {
    /// The last erasure of a device, of any tenant: with it series go, and the numbers of new ones may be theirs.
    pub erasure: u64,
    /// The last series, of any tenant.
    pub series: u64,
}

/// What a tenant's devices sent, in wide rows: at the moment of the [`super::Snapshot`] it is of. Calls block for disk accesses.
pub trait Moments: Send + Sync + 'static {
    /// A table without a name whose columns are those of a wide table, with a field for each of these metrics, called as the
    /// metric is without its tags.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn shape(&self, metrics: &BTreeSet<String>) -> Result<Shape>;

    /// Its rows: one for each moment of a device (and set of tags) that has a value of one of [`Scan::metrics`], which are those
    /// that the table was shaped by. [`Scan::table`] says nothing.
    ///
    /// # Errors
    /// [`crate::Error::Database`], here or from the batches, of which nothing comes after it.
    fn rows(self: Arc<Self>, scan: Scan) -> Result<Batches>;

    /// Visits device and metric of the series that are there now and were not at a mark of the same erasures, in the order they came.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn series(&self, since: SeriesMark, visit: &mut dyn FnMut(&str, &str)) -> Result<()>;

    /// The metrics of a device.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn metrics_of(&self, device: &str) -> Result<Vec<String>>;

    /// How far the store is.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn mark(&self) -> Result<SeriesMark>;
}
