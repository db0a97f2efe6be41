//! Errors of the disk and of the Parquet library, in the words of this crate.

use std::path::Path;

use parquet::errors::ParquetError;

use crate::Error;

pub(crate) fn io_fault(operation: &'static str, path: &Path, error: &std::io::Error) -> Error {
    Error::refused(operation, path.display().to_string(), error)
}

/// The library wraps errors of the disk.
pub(super) fn parquet_fault(operation: &'static str, path: &Path, error: ParquetError) -> Error {
    if let ParquetError::External(inner) = &error
        && let Some(error) = inner.downcast_ref::<std::io::Error>()
    {
        return io_fault(operation, path, error);
    }
    Error::Database { operation, place: path.display().to_string(), reason: error.to_string() }
}
