//! Who looks after a store's objects: the store that wrote them, until another one was made of them.
//!
//! A restored store has the number, and so the keys, of the one whose disk is lost. Should that one live after all, each would remove
//! what only the other knows. So each restore puts a number beside the objects, higher than any before, and keeps it: who finds a
//! higher one than its own moves and removes nothing any more.

use bytes::Bytes;
use rusqlite::Connection;

use super::super::manifest;
use super::{Tier, key};
use crate::parquet::cold::Cold;
use crate::{Error, Result};

/// The counter of a store that was made of objects.
pub(super) const COUNTER: &str = "owner";

/// Which number a store has; 0: it wrote its objects itself.
pub(super) fn own(connection: &Connection) -> rusqlite::Result<u64> {
    manifest::counter_if_any(connection, COUNTER).map(Option::unwrap_or_default)
}

/// The highest number beside the objects of a store, 0 without one, and its key.
fn highest(cold: &Cold, store: &str) -> Result<(u64, String)> {
    let found = cold.list(&key::owners(store))?;
    let number = |key: &str| key.rsplit('/').next().and_then(|name| name.parse().ok()).unwrap_or(0);
    let found = found.into_iter().map(|found| (number(&found.key), found.key)).max();
    Ok(found.unwrap_or_default())
}

/// The number that a new owner would have.
pub(super) fn next(cold: &Cold, store: &str) -> Result<u64> {
    highest(cold, store).map(|(number, _)| number + 1)
}

/// Says beside the objects that they have a new owner. `false`: somebody else was quicker.
pub(super) fn tell(cold: &Cold, store: &str, number: u64) -> Result<bool> {
    let key = format!("{}/{number:06}", key::owners(store));
    cold.put_new(
        &key,
        Bytes::from_static(b"a data directory was made of these objects, which looks after them now\n"),
    )
}

impl Tier {
    /// Whether the objects are this store's to look after.
    ///
    /// # Errors
    /// [`Error::Database`] when another store was made of them.
    pub(super) fn is_owner(&self) -> Result<()> {
        let (number, key) = highest(&self.cold, &self.id)?;
        if number <= self.owner {
            return Ok(());
        }
        Err(Error::Database {
            operation: "looking after the cold tier",
            place: self.cold.name(&key),
            reason: "another data directory was made of this store's objects (penstock cold restore), and they are its now: this one \
                     moves and removes none any more. Stop this server; or, if the other one is gone for good, remove this object"
                .to_owned(),
        })
    }
}
