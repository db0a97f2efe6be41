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

#[cfg(test)]
mod tests {
    use std::io::{Error as IoError, ErrorKind};

    use super::*;

    #[test]
    fn a_full_disk_is_full_however_deep_it_is_said() {
        let wrapped = |kind: ErrorKind| object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(object_store::Error::Generic {
                store: "file",
                source: IoError::from(kind).into(),
            }),
        };
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            let refused = Error::refused("writing", "there".to_owned(), &wrapped(kind));
            assert!(matches!(&refused, Error::Full { place } if place == "there"), "{refused}");
        }
        let refused = Error::refused("writing", "there".to_owned(), &wrapped(ErrorKind::PermissionDenied));
        assert!(matches!(&refused, Error::Database { operation: "writing", .. }), "{refused}");
    }
}
