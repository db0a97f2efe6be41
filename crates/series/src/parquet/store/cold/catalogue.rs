//! What is needed to read the objects without this machine: beside them, as a database of their names.

use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::super::{Parquet, manifest};
use super::{Tier, key, tables};
use crate::parquet::run::fault::io_fault;
use crate::sqlite::fault;
use crate::sqlite::scan::Heard;
use crate::{Error, Result};

/// How many are kept: the newest, and one that was whole before it.
const KEPT: usize = 2;

/// When devices were heard since the last roll.
const HEARD: &str = "CREATE TEMP TABLE heard (device INTEGER PRIMARY KEY, at INTEGER NOT NULL);";

/// Copies what cold runs, and names in them, are.
const COPY: &str = "
CREATE TABLE out.device AS SELECT no, tenant, id, created_at, max(last_seen, coalesce(heard.at, last_seen)) AS last_seen
    FROM main.device LEFT JOIN temp.heard ON heard.device = device.no;
CREATE TABLE out.metric AS SELECT * FROM main.metric;
CREATE TABLE out.derived_metric AS SELECT * FROM main.derived_metric;
CREATE TABLE out.run AS SELECT run.*, cold.object FROM main.run JOIN main.cold ON cold.run = run.no;
CREATE TABLE out.removal AS SELECT * FROM main.removal;
";

impl Parquet {
    /// Writes down which objects there are and what names stand for, if that has changed. Says whether it did.
    pub(super) fn write_catalogue(&self, tier: &Tier) -> Result<bool> {
        let failed = |error| fault("writing the catalogue of the cold tier", &self.manifest, error);
        let state = self.with_committed("reading the manifest", |connection| {
            Ok((manifest::counter(connection, "cold")?, manifest::counter(connection, "catalogue")?))
        })?;
        if state.0 == state.1 {
            return Ok(false);
        }
        tier.is_owner()?;
        let path = self.manifest.with_file_name("catalogue.tmp");
        let broken = |error: std::io::Error| io_fault("writing", &path, &error);
        let gone = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(broken(error)),
        };
        std::fs::remove_file(&path).or_else(gone)?;
        let heard = self.heard_of_all();
        let copied = copy(&self.manifest, &path, &heard).map_err(failed)?;
        let bytes = std::fs::read(&path).map_err(broken)?;
        std::fs::remove_file(&path).map_err(broken)?;
        let name = format!("{}/{copied:012}.db", key::catalogues(&tier.id));
        let is_new = tier.cold.put_new(&name, Bytes::from(bytes))?;
        let writer = self.writer.lock();
        let noted = self.exchange(&writer.connection, |connection| match is_new {
            true => manifest::set_counter(connection, "catalogue", copied),
            // A state that a power cut took back had this number: the next one is tried.
            false => tables::changed(connection),
        });
        noted.map_err(failed)?;
        drop(writer);
        if is_new {
            self.remove_old_catalogues(tier)?;
            return Ok(true);
        }
        Err(Error::Database {
            operation: "writing the catalogue of the cold tier",
            place: tier.cold.name(&name),
            reason: "there is one of this number; the next number is tried".to_owned(),
        })
    }

    fn remove_old_catalogues(&self, tier: &Tier) -> Result<()> {
        let mut names: Vec<String> =
            tier.cold.list(&key::catalogues(&tier.id))?.into_iter().map(|found| found.key).collect();
        names.sort_unstable();
        names.truncate(names.len().saturating_sub(KEPT));
        tier.cold.remove(&names)
    }
}

/// Copies into a file of its own, and returns which state that is.
fn copy(from: &Path, to: &Path, heard: &Heard) -> rusqlite::Result<u64> {
    let connection = Connection::open(from)?;
    connection.execute("ATTACH ? AS out", params![to.to_string_lossy()])?;
    connection.pragma_update(Some("out"), "user_version", manifest::VERSION)?;
    let transaction = connection.unchecked_transaction()?;
    let state = manifest::counter(&transaction, "cold")?;
    transaction.execute_batch(HEARD)?;
    let mut note = transaction.prepare("INSERT INTO heard VALUES (?, ?)")?;
    heard.iter().try_for_each(|(device, at)| note.execute(params![device, at.nanos()]).map(drop))?;
    drop(note);
    transaction.execute_batch(COPY)?;
    transaction.commit()?;
    connection.execute_batch("DETACH out")?;
    Ok(state)
}
