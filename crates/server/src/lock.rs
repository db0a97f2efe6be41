//! One process per data directory: two writers of one log would destroy it.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::StartError;

/// Holds the data directory for this process; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Creates the directory where it is missing, and takes it.
    pub(crate) fn take(directory: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::DataDir {
            directory: directory.to_owned(),
            source: std::sync::Arc::new(source),
        };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let path = directory.join("penstock.lock");
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder); // only words for people
                return Err(StartError::InUse {
                    directory: directory.to_owned(),
                    process: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}
