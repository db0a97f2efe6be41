//! What retention is about to remove, written first where people can read it.

use std::fmt;

use arrow_array::RecordBatch;

use crate::Result;

/// Where it is written. Calls block for as long as that takes.
///
/// # What is promised
/// When a call has returned `Ok`, all of an object is there and survives a power cut; after an error some of it may be there. Objects
/// are written over and removed again, so that no row stands there twice, whenever the one who writes them dies.
pub trait Export: fmt::Debug + Send + Sync + 'static {
    /// Writes the rows of an object, in the columns of a table of SQL, in place of what is there under its key.
    ///
    /// # Errors
    /// [`crate::Error::Full`], [`crate::Error::Database`], and those of the rows.
    fn write(&self, key: &str, rows: &mut dyn Iterator<Item = Result<RecordBatch>>) -> Result<()>;

    /// Removes objects. One that is not there is removed.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    fn remove(&self, keys: &[String]) -> Result<()>;
}
