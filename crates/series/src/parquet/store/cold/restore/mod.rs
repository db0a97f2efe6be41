//! A store is made of what lies in an object store: the disk that knew it is lost.
//!
//! ```text
//! newest catalogue ─▶ names ─▶ of each run, the newest first:
//!     GET sidecar, GET file ─▶ sizes, checksums, every value ─▶ seal ─▶ one commit: run, series, last rows ─▶ the file goes
//! ─▶ opening lines of the account ─▶ owner ─▶ the folder gets its name
//! ```
//!
//! The objects stay where they are, and nothing is copied. All happens in a folder beside the one that is to be: what a crash leaves
//! there is gone on with.

mod catalogue;
mod finish;
mod rows;
mod take;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::super::metrics::Metrics;
use super::super::{Options, lock, manifest};
use super::{owner, tables};
use crate::parquet::cold::Cold;
use crate::parquet::run::fault::io_fault;
use crate::sqlite::{fault, sync_directory_of};
use crate::{Error, Result};
use catalogue::{Catalogue, Listed};

/// The counter that says which catalogue a folder is made of.
const OF: &str = "restored";
/// An object store that does not answer is asked so often.
const TRIES: u32 = 6;

/// What is to be restored.
#[derive(Clone, Debug, Default)]
pub struct Restoring {
    /// Which store, by the number in its keys, where there are several.
    pub store: Option<String>,
    /// Goes on without objects that are damaged or not there. Else they are named, and there is no store yet.
    pub without_damaged: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// The number of the store, as its keys have it.
    pub store: String,
    /// The catalogue it was made of.
    pub catalogue: String,
    /// Runs that are in the store.
    pub runs: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// Readings of each tenant; empty when the store is not finished.
    pub readings: Vec<(String, u64)>,
    /// What is wrong with each run that is not in it.
    pub damaged: Vec<Error>,
    /// Objects of runs that the catalogue does not name: moved after it was written, or to be removed.
    pub unlisted: Vec<String>,
    /// Whether there is a store now.
    pub is_finished: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// So much is to be looked at.
    Expect {
        /// Runs.
        runs: u64,
        /// Their bytes.
        size_bytes: u64,
    },
    /// So many bytes were looked at, or had been before.
    Took(u64),
    /// What is wrong with an object, or with the newest catalogue.
    Damaged(&'a Error),
    /// The object store failed; it is asked again.
    Again(&'a Error),
}

/// Makes the store in `directory`, which must not be there, of the objects. What was done before is not done again.
///
/// # Errors
/// [`Error::Database`] when there is no such store, or disk or object store refuse: called again it goes on.
/// [`Error::Damaged`] when no catalogue can be read, [`Error::Newer`] when a later version wrote something.
pub fn restore(
    directory: &Path,
    cold: &Arc<Cold>,
    options: Options,
    wanted: &Restoring,
    told: &dyn Fn(Progress<'_>),
) -> Result<Restored> {
    if directory.exists() {
        return Err(Error::Database {
            operation: "restoring",
            place: directory.display().to_string(),
            reason: "there is a store already, and it is not written over".to_owned(),
        });
    }
    let work = folder(directory);
    let catalogue = Catalogue::find(cold, wanted.store.as_deref())?.fetch(cold, &work, told)?;
    let place = Place::open(work, cold, &catalogue)?;
    let mut restored = Restored {
        store: catalogue.store.clone(),
        catalogue: catalogue.place.clone(),
        unlisted: catalogue.unlisted()?,
        ..Restored::default()
    };
    let runs = catalogue.runs()?;
    let size_bytes = runs.iter().map(|run| run.facts.size_bytes).sum();
    told(Progress::Expect { runs: runs.len() as u64, size_bytes });
    let done = place.done()?;
    for run in &runs {
        let taken = match done.contains(&run.facts.no) {
            true => Ok(()),
            false => persistently(cold, told, || place.take(run)),
        };
        match taken {
            Ok(()) => {
                restored.runs += 1;
                restored.size_bytes += run.facts.size_bytes;
            }
            Err(error @ Error::Damaged { .. }) => {
                told(Progress::Damaged(&error));
                restored.damaged.push(error);
            }
            Err(error) => return Err(error),
        }
        told(Progress::Took(run.facts.size_bytes));
    }
    if restored.damaged.is_empty() || wanted.without_damaged {
        restored.readings = place.finish(directory, options, &catalogue)?;
        restored.is_finished = true;
    }
    Ok(restored)
}

/// Where it happens, for a store that is to be in `directory`.
#[must_use]
pub fn folder(directory: &Path) -> PathBuf {
    directory.with_extension("restoring")
}

/// A restore takes hours, and an object store that fails for some seconds must not end it.
fn persistently<T>(
    cold: &Cold,
    told: &dyn Fn(Progress<'_>),
    mut what: impl FnMut() -> Result<T>,
) -> Result<T> {
    let (mut pause, most) = cold.rests();
    for _ in 1..TRIES {
        match what() {
            Err(error @ Error::Database { .. }) => told(Progress::Again(&error)),
            outcome => return outcome,
        }
        // Longer than it is left alone.
        std::thread::sleep(pause + Duration::from_millis(u64::from(!pause.is_zero()) * 100));
        pause = (pause * 2).min(most);
    }
    what()
}

/// The folder in which the store comes to be.
struct Place<'c> {
    work: PathBuf,
    runs: PathBuf,
    manifest: PathBuf,
    connection: Connection,
    metrics: Metrics,
    cold: &'c Arc<Cold>,
    _lock: std::fs::File,
}

impl<'c> Place<'c> {
    /// Goes on with what is there, if it was made of this catalogue; else it begins anew.
    fn open(work: PathBuf, cold: &'c Arc<Cold>, catalogue: &Catalogue) -> Result<Self> {
        let runs = work.join("runs");
        let broken = |error: std::io::Error| io_fault("creating", &runs, &error);
        std::fs::create_dir_all(&runs).map_err(broken)?;
        let lock = lock(&work)?;
        let (mut connection, mut manifest) = manifest::open(&work)?;
        let failed = |error| fault("restoring", &work.join(manifest::FILE), error);
        let of = catalogue.state();
        if state(&connection).map_err(failed)?.is_some_and(|found| found != of) {
            drop(connection);
            for file in ["manifest.db", "manifest.db-wal", "manifest.db-shm"] {
                match std::fs::remove_file(work.join(file)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(broken(error)),
                    _ => {}
                }
            }
            std::fs::remove_dir_all(&runs).and_then(|()| std::fs::create_dir(&runs)).map_err(broken)?;
            (connection, manifest) = manifest::open(&work)?;
        }
        if state(&connection).map_err(failed)?.is_none() {
            let transaction = connection.unchecked_transaction().map_err(failed)?;
            catalogue.copy_names(&transaction)?;
            let (store, number) = of;
            manifest::put_counter(&transaction, "store", store)
                .and_then(|()| manifest::put_counter(&transaction, OF, number))
                .and_then(|()| transaction.commit())
                .map_err(failed)?;
        }
        sync_directory_of(&work)?;
        let metrics = Metrics::load(&connection).map_err(failed)?;
        Ok(Self { work, runs, manifest, connection, metrics, cold, _lock: lock })
    }

    /// The runs that were taken before.
    fn done(&self) -> Result<HashSet<u64>> {
        let failed = |error| fault("restoring", &self.manifest, error);
        Ok(tables::objects(&self.connection).map_err(failed)?.into_keys().collect())
    }
}

/// Of which store and catalogue a folder is made; `None`: of none yet.
fn state(connection: &Connection) -> rusqlite::Result<Option<(u64, u64)>> {
    match manifest::counter_if_any(connection, OF)? {
        Some(number) => Ok(Some((manifest::counter(connection, "store")?, number))),
        None => Ok(None),
    }
}

/// Whether a store was made of objects.
pub(in super::super) fn is_restored(connection: &Connection) -> rusqlite::Result<bool> {
    manifest::counter_if_any(connection, owner::COUNTER).map(|number| number.is_some())
}
