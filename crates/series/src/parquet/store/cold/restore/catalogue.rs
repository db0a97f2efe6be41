//! What there is: the newest catalogue beside the objects that can be read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::super::super::manifest::{self, RunFacts};
use super::super::key;
use super::{Progress, persistently};
use crate::parquet::cold::Cold;
use crate::parquet::run::fault::io_fault;
use crate::sqlite::fault;
use crate::{Error, Result};

/// Tables of names, of the columns that both have.
const NAMES: [&str; 4] = ["device", "metric", "derived_metric", "removal"];

/// The catalogues of a store, and what else lies beside them.
pub(super) struct Found {
    store: String,
    /// Numbers, rising.
    catalogues: Vec<u64>,
    /// Keys of objects of runs.
    objects: Vec<String>,
}

/// A catalogue, open.
pub(super) struct Catalogue {
    pub(super) store: String,
    number: u64,
    /// Which object it is, for people.
    pub(super) place: String,
    path: PathBuf,
    connection: Connection,
    objects: Vec<String>,
    /// The highest number of all catalogues of the store.
    pub(super) newest: u64,
}

/// A run that the catalogue names.
pub(super) struct Listed {
    pub(super) facts: RunFacts,
    /// The key of its object, without the ending.
    pub(super) object: String,
}

impl Catalogue {
    /// The catalogues of the one store that lies there, or of the one that is wanted.
    pub(super) fn find(cold: &Cold, wanted: Option<&str>) -> Result<Found> {
        let mut stores: BTreeMap<String, Found> = BTreeMap::new();
        for found in cold.list("")? {
            let mut parts = found.key.splitn(3, '/');
            let (Some(store), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            if key::store_number(store).is_none() {
                continue;
            }
            let empty = || Found { store: store.to_owned(), catalogues: Vec::new(), objects: Vec::new() };
            let of = stores.entry(store.to_owned()).or_insert_with(empty);
            match (kind, name.strip_suffix(".db").and_then(|number| number.parse().ok())) {
                ("catalogue", Some(number)) => of.catalogues.push(number),
                ("runs", _) => of.objects.push(found.key),
                _ => {}
            }
        }
        let failed = |reason: String| Error::Database {
            operation: "looking for a store",
            place: cold.name("").trim_end_matches('/').to_owned(),
            reason,
        };
        let names = stores.keys().map(|store| id_of(store)).collect::<Vec<_>>().join(", ");
        let chosen = match (wanted, stores.len()) {
            (_, 0) => {
                return Err(failed("there is none: give the address that series.cold.url had".to_owned()));
            }
            (Some(wanted), _) => stores.get(&format!("store={}", id_of(wanted))).map(|of| of.store.clone()),
            (None, 1) => stores.keys().next().cloned(),
            (None, _) => {
                return Err(failed(format!("there are several: say which with --store: {names}")));
            }
        };
        let Some(mut chosen) = chosen.and_then(|store| stores.remove(&store)) else {
            let wanted = wanted.unwrap_or_default();
            return Err(failed(format!("there is none of the number {wanted}; there are {names}")));
        };
        chosen.catalogues.sort_unstable();
        if chosen.catalogues.is_empty() {
            return Err(failed(format!(
                "{} has no catalogue, so nobody knows whose readings its {} objects hold: they are Parquet files, which other programs \
                 read (docs/your-data-without-us.md)",
                chosen.store,
                chosen.objects.len()
            )));
        }
        Ok(chosen)
    }

    /// Of which store it is, and its number.
    pub(super) fn state(&self) -> (u64, u64) {
        (key::store_number(&self.store).unwrap_or_default(), self.number)
    }

    fn failed(&self, error: rusqlite::Error) -> Error {
        fault("reading the catalogue of the cold tier", Path::new(&self.place), error)
    }

    fn damaged(&self, reason: String) -> Error {
        Error::Damaged { place: self.place.clone(), at: "its rows".to_owned(), reason }
    }

    /// The runs, those with the newest values first.
    pub(super) fn runs(&self) -> Result<Vec<Listed>> {
        let facts = manifest::runs(&self.connection).map_err(|error| self.failed(error))?;
        let mut objects = self.objects_by_run()?;
        let prefix = format!("{}/", key::runs(&self.store));
        let mut runs = Vec::with_capacity(facts.len());
        for facts in facts.into_iter().rev() {
            match objects.remove(&facts.no).filter(|object| object.starts_with(&prefix)) {
                Some(object) => runs.push(Listed { facts, object }),
                None => return Err(self.damaged(format!("run {} has no object of this store", facts.no))),
            }
        }
        Ok(runs)
    }

    fn objects_by_run(&self) -> Result<BTreeMap<u64, String>> {
        let read = || -> rusqlite::Result<BTreeMap<u64, String>> {
            let mut statement = self.connection.prepare("SELECT no, object FROM run")?;
            let rows =
                statement.query_map([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))?;
            rows.collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// Parquet files of runs that it does not name.
    pub(super) fn unlisted(&self) -> Result<Vec<String>> {
        let named: std::collections::HashSet<String> = self.objects_by_run()?.into_values().collect();
        let files = self.objects.iter().filter_map(|key| Some((key, key.strip_suffix(".parquet")?)));
        Ok(files.filter(|(_, run)| !named.contains(*run)).map(|(key, _)| key.clone()).collect())
    }

    /// Copies the names into a new manifest.
    pub(super) fn copy_names(&self, to: &Connection) -> Result<()> {
        NAMES.iter().try_for_each(|table| copy_rows(&self.connection, to, table)).map_err(|e| self.failed(e))
    }
}

impl Found {
    /// The newest that is whole; there are two, because the newest may not be.
    pub(super) fn fetch(self, cold: &Cold, work: &Path, told: &dyn Fn(Progress<'_>)) -> Result<Catalogue> {
        std::fs::create_dir_all(work).map_err(|error| io_fault("creating", work, &error))?;
        let Self { store, catalogues, objects } = self;
        let newest = catalogues.last().copied().unwrap_or_default();
        let mut refused = None;
        for &number in catalogues.iter().rev() {
            let key = format!("{}/{number:012}.db", key::catalogues(&store));
            let (place, path) = (cold.name(&key), work.join("catalogue.db"));
            let fetched = persistently(cold, told, || cold.get_file(&key, cold.size(&key)?, &path));
            match fetched.and_then(|()| open(&path, &place)) {
                Ok(connection) => {
                    return Ok(Catalogue { store, number, place, path, connection, objects, newest });
                }
                Err(error @ Error::Damaged { .. }) => {
                    told(Progress::Damaged(&error));
                    refused = refused.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused.expect("there is a catalogue"))
    }
}

impl Drop for Catalogue {
    fn drop(&mut self) {
        // It is one of many files of a folder that goes, or stays until somebody goes on.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens it to be read, whoever made it.
fn open(path: &Path, place: &str) -> Result<Connection> {
    let damaged = |reason: String| Error::Damaged {
        place: place.to_owned(),
        at: "the object itself".to_owned(),
        reason,
    };
    let whole = || -> rusqlite::Result<(Connection, String, u32, u32)> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")?;
        let checked: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        // A view could be anything.
        let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'
            AND name IN ('device', 'metric', 'derived_metric', 'run', 'removal')";
        let tables: u32 = connection.query_row(tables, [], |row| row.get(0))?;
        Ok((connection, checked, version, tables))
    };
    match whole() {
        Err(error) => Err(damaged(format!("it is no database: {error}"))),
        Ok((_, checked, ..)) if checked != "ok" => Err(damaged(checked)),
        Ok((_, _, found, _)) if found > manifest::VERSION => {
            Err(Error::Newer { place: place.to_owned(), found, known: manifest::VERSION })
        }
        Ok((.., tables)) if tables != 5 => Err(damaged("tables are missing".to_owned())),
        Ok((connection, ..)) => Ok(connection),
    }
}

/// The columns that both have: what is newer than the catalogue has its default.
fn copy_rows(from: &Connection, to: &Connection, table: &str) -> rusqlite::Result<()> {
    let there = columns(from, table)?;
    let mut names = columns(to, table)?;
    names.retain(|name| there.contains(name));
    let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let places = vec!["?"; names.len()].join(", ");
    let mut insert = to.prepare(&format!("INSERT INTO {table} ({list}) VALUES ({places})"))?;
    let mut select = from.prepare(&format!("SELECT {list} FROM {table}"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..names.len()).map(|at| row.get::<_, Value>(at)).collect::<rusqlite::Result<Vec<_>>>();
        insert.execute(params_from_iter(values?))?;
    }
    Ok(())
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?)")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

/// A store's number as people write it: with or without what the keys have before it.
fn id_of(store: &str) -> &str {
    store.strip_prefix("store=").unwrap_or(store)
}
