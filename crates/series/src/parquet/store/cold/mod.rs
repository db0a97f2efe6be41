//! The cold tier: runs of periods that are long over, in an object store.
//!
//! ```text
//! choose ─▶ seal ─▶ PUT sidecar, PUT file ─▶ look at its size ─▶ one commit ─▶ the local file goes
//!                                            │                   │
//!        a crash leaves: the local run,  ────┘                   └──── the cold run, and a file that is
//!        and an object that nobody knows                               removed when the store is opened
//! ```
//!
//! The sidecar and the seal stay on the disk, so that a question fetches pages and nothing else. An object of a run that is gone
//! stands in the manifest until it is removed, so that no failure and no crash makes it forgotten.

mod ahead;
mod before;
mod catalogue;
mod choose;
mod key;
mod owner;
pub mod restore;
mod tables;
mod tier;

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::RunEntry;
use super::manifest::RunFacts;
use crate::parquet::cold::{Cold, Held};
use crate::sqlite::fault;
use crate::{Error, Result};

pub use choose::{ColdAges, ColdPolicy};
pub(super) use key::of_expired;
pub(super) use tables::{TABLES, unwant};

/// The cold tier of a store, and what is known of it from one call to the next.
#[derive(Debug)]
pub(super) struct Tier {
    pub(super) cold: Arc<Cold>,
    /// The store's own number, in every key.
    id: String,
    /// Its number among those that looked after these objects ([`owner`]).
    owner: u64,
    /// One at a time who removes objects, or forgets that one is to be removed.
    removing: parking_lot::Mutex<()>,
    /// One at a time who moves; when it was last looked for objects that nobody knows, and a catalogue was written.
    moving: parking_lot::Mutex<tier::Last>,
}

impl Tier {
    pub(super) fn open(connection: &Connection, cold: Arc<Cold>) -> rusqlite::Result<Self> {
        let id = key::store_id(super::manifest::counter(connection, "store")?);
        cold.set_unwanted(tables::unwanted(connection)?.len() as u64);
        let owner = owner::own(connection)?;
        Ok(Self {
            cold,
            id,
            owner,
            removing: parking_lot::Mutex::default(),
            moving: parking_lot::Mutex::default(),
        })
    }
}

/// The runs that the manifest knows, each with the object that its file is in, if it is in one.
pub(super) fn entries(
    connection: &Connection,
    (directory, manifest): (&Path, &Path),
    known: &[RunFacts],
    cold: Option<&Arc<Cold>>,
) -> Result<Vec<Arc<RunEntry>>> {
    let failed = |error| fault("opening the store", manifest, error);
    let objects = tables::objects(connection).map_err(failed)?;
    let entry = |facts: &RunFacts| match (objects.get(&facts.no), cold) {
        (None, _) => Ok(RunEntry::new(directory, facts.clone())),
        (Some(key), Some(cold)) => {
            Ok(RunEntry::of(directory, facts.clone(), Some(Held::new(cold, facts.no, key))))
        }
        (Some(_), None) => Err(Error::Database {
            operation: "opening the store",
            place: manifest.display().to_string(),
            reason: format!(
                "{} of its runs are in the cold tier, and none is configured: say where with series.cold.url",
                objects.len()
            ),
        }),
    };
    known.iter().map(entry).collect()
}
