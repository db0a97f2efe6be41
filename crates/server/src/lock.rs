//! One process per data directory: two writers of one log would destroy it.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
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

/// Who holds the data directory, as it wrote down itself: the number of its process. Looks, and takes nothing.
///
/// # Errors
/// The lock cannot be looked at.
pub fn holder(directory: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(directory.join("penstock.lock")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    // Shared, and let go at once: a server that starts in this instant would say that the directory is in use.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            file.read_to_string(&mut process)?;
            Ok(Some(process.trim().to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What to do about a data directory that cannot be used.
pub(crate) fn advice(directory: &Path, error: &io::Error) -> String {
    let Some(place) = directory.ancestors().find(|place| place.exists()) else { return String::new() };
    match (error.kind(), std::fs::metadata(place)) {
        (ErrorKind::PermissionDenied, Ok(there)) => format!(
            ": {} belongs to user {}, this process runs as user {}: run it as that user, or give the directory to this one (chown -R)",
            place.display(),
            there.uid(),
            rustix::process::geteuid().as_raw()
        ),
        (ErrorKind::StorageFull, _) => ": free space on its disk, or name another with --data".into(),
        (ErrorKind::ReadOnlyFilesystem, _) => {
            ": its file system is mounted read-only: see why (dmesg), or name another with --data".into()
        }
        _ => ": name another with --data".into(),
    }
}
