//! A data directory is made of what lies in the cold tier.

use std::path::{Path, PathBuf};

use series::parquet::store::Options;
use series::parquet::store::restore::{self, Progress, Restored, Restoring};

use crate::config::ColdSettings;
use crate::lock::DirLock;
use crate::{ConfigError, StartError, cold};

/// What a data directory may have in it and is empty still: the lock, a restore that did not come to its end, and what a file
/// system makes for itself.
const EMPTY: [&str; 3] = ["penstock.lock", "series.restoring", "lost+found"];

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The address is none.
    #[error(transparent)]
    Url(#[from] ConfigError),
    /// The address is a directory that is not there.
    #[error("--url: there is no directory {}: give the address that series.cold.url had", .directory.display())]
    NoDirectory {
        /// Which.
        directory: PathBuf,
    },
    /// There is something in the data directory.
    #[error(
        "{} is not empty, there is {found:?} in it: name a directory that is empty or not there yet; nothing was changed",
        .directory.display()
    )]
    NotEmpty {
        /// Which.
        directory: PathBuf,
        /// What is in it.
        found: String,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] StartError),
    /// Disk or object store.
    #[error(transparent)]
    Store(#[from] series::Error),
}

/// Makes a data directory of the objects at an address. What an earlier attempt did is not done again. Blocks, for as long as it takes
/// to read all of them.
///
/// # Errors
/// [`RestoreError`] says what to do. What was restored until then stays, for the next attempt.
pub fn restore(
    url: &str,
    data_dir: &Path,
    wanted: &Restoring,
    told: &dyn Fn(Progress<'_>),
) -> Result<Restored, RestoreError> {
    let settings = ColdSettings::at(url, "--url")?;
    is_empty(data_dir)?;
    if let Ok(directory) = settings.url.to_file_path()
        && settings.url.scheme() == "file"
        && !directory.is_dir()
    {
        return Err(RestoreError::NoDirectory { directory });
    }
    let cold = cold::open(&settings)?;
    let _lock = DirLock::take(data_dir)?;
    // Somebody may have begun in between.
    is_empty(data_dir)?;
    let restored = restore::restore(&data_dir.join("series"), &cold, Options::default(), wanted, told)?;
    Ok(restored)
}

fn is_empty(directory: &Path) -> Result<(), RestoreError> {
    let failed = |source: std::io::Error| StartError::DataDir {
        directory: directory.to_owned(),
        source: std::sync::Arc::new(source),
    };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let found = entry.map_err(failed)?.file_name();
        if !EMPTY.iter().any(|allowed| found == *allowed) {
            let found = found.to_string_lossy().into_owned();
            return Err(RestoreError::NotEmpty { directory: directory.to_owned(), found });
        }
    }
    Ok(())
}
