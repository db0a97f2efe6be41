//! The tables in columns ([`crate::scan`]).
//!
//! A snapshot is a connection in a read transaction. Its scans share the connection: each batch is a few statements of
//! its own that go on behind the last row of the one before, in the order of an index. So scans can be read side by side,
//! and none holds a statement open.

mod pages;
mod sources;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use parking_lot::Mutex;
use record::{TenantId, Timestamp};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::naming::Naming;
use super::{IDLE_READERS, Sqlite, fault, open_reader};
use crate::Result;
use crate::scan::{Batches, Builder, Scan, SeriesScan, Shape, Snapshot, TABLES, lets, shape};
use pages::Page;
use sources::{Beside, Of, Source, sources};

/// Series looked up at a time.
const SERIES_PER_PAGE: i64 = 1024;

impl SeriesScan for Sqlite {
    fn snapshot(&self, tenant: &TenantId) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(self.scanners.moment(tenant.as_str())?))
    }
}

/// Prepared statements a scanning connection keeps: all there are.
const STATEMENTS: usize = 64;

/// Connections between two snapshots.
type Idle = Arc<Mutex<Vec<Connection>>>;

/// Takes snapshots of a database.
#[derive(Debug)]
pub(crate) struct Scanners {
    path: PathBuf,
    naming: &'static Naming,
    idle: Idle,
}

impl Scanners {
    pub(crate) fn new(path: &Path, naming: &'static Naming) -> Self {
        Self { path: path.to_owned(), naming, idle: Idle::default() }
    }

    /// The database as it is now, of which a tenant's rows are shown.
    pub(crate) fn moment(&self, tenant: &str) -> Result<Moment> {
        let begin = |connection: Connection| -> rusqlite::Result<Connection> {
            // A transaction sees the moment of its first read.
            connection.execute_batch("BEGIN; SELECT 1 FROM position LIMIT 1;")?;
            Ok(connection)
        };
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => Ok(connection),
            None => open_reader(&self.path).inspect(|connection| {
                connection.set_prepared_statement_cache_capacity(STATEMENTS);
            }),
        };
        let connection =
            connection.and_then(begin).map_err(|error| fault("taking a snapshot", &self.path, error))?;
        let (tenant, place) = (tenant.to_owned(), self.path.clone());
        let (connection, idle) = (Mutex::new(Some(connection)), Arc::clone(&self.idle));
        Ok(Moment { connection, naming: self.naming, tenant, place, idle })
    }
}

/// A database at one moment.
#[derive(Debug)]
pub(crate) struct Moment {
    /// `None` only while it is dropped.
    connection: Mutex<Option<Connection>>,
    naming: &'static Naming,
    tenant: String,
    place: PathBuf,
    idle: Idle,
}

impl Moment {
    /// Whose rows are shown.
    pub(crate) fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Its file.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Asks it something else than to scan a table.
    pub(crate) fn ask<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let connection = self.connection.lock();
        let connection = connection.as_ref().expect("it is there as long as the snapshot");
        read(connection).map_err(|error| fault(operation, &self.place, error))
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        let Some(connection) = self.connection.get_mut().take() else { return };
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_READERS && connection.execute_batch("COMMIT").is_ok() {
            idle.push(connection);
        }
    }
}

impl Snapshot for Moment {
    fn tables(&self) -> Result<Vec<Shape>> {
        Ok(TABLES.iter().filter_map(|table| shape(table)).collect())
    }

    fn table(&self, name: &str) -> Result<Option<Shape>> {
        Ok(shape(name))
    }

    fn scan(self: Arc<Self>, scan: Scan) -> Result<Batches> {
        Ok(self.scan_heard(scan, Heard::new()))
    }
}

/// When devices were heard last, by number, where somebody knows it better than the books.
pub(crate) type Heard = HashMap<u32, Timestamp>;

impl Moment {
    /// The rows of a table; those of `devices` with when they were heard.
    pub(crate) fn scan_heard(self: Arc<Self>, scan: Scan, heard: Heard) -> Batches {
        let Some(shape) = shape(&scan.table) else { return Box::new(std::iter::empty()) };
        let builder = Builder::new(&shape.schema, scan.columns.as_deref());
        let left = scan.limit.unwrap_or(usize::MAX);
        let cursor = Cursor::new(&scan);
        Box::new(Scanning { moment: self, scan, heard, builder, cursor, left, ended: false })
    }
}

struct Scanning {
    moment: Arc<Moment>,
    scan: Scan,
    heard: Heard,
    builder: Builder,
    cursor: Cursor,
    /// Rows that are still wanted.
    left: usize,
    ended: bool,
}

impl Iterator for Scanning {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let moment = Arc::clone(&self.moment);
        match moment.ask("scanning a table", |connection| self.fill(connection)) {
            Ok(()) if self.builder.rows() == 0 => {
                self.ended = true;
                None
            }
            Ok(()) => {
                self.left = self.left.saturating_sub(self.builder.rows());
                self.ended |= self.left == 0;
                Some(Ok(self.builder.finish()))
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl Scanning {
    /// Fills a batch, or as much of it as there is left.
    fn fill(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        while !self.builder.is_full() && self.builder.rows() < self.left {
            let Some(source) = self.cursor.source(connection, &self.moment.tenant, &self.scan)? else {
                return Ok(());
            };
            let Cursor { series, after, .. } = &mut self.cursor;
            let (tenant, scan, beside) =
                (&self.moment.tenant, &self.scan, Beside { series: series.last(), heard: &self.heard });
            let naming = self.moment.naming;
            let page = Page { source, naming, tenant, beside, scan, after, rows: self.left };
            if page.read(connection, &mut self.builder)? {
                self.cursor.advance();
            }
        }
        Ok(())
    }
}

/// A series as its rows are read.
#[derive(Debug)]
pub(super) struct Series {
    no: i64,
    device: String,
    metric: String,
}

/// Where a scan stands: which series, which of the tables behind the public one, behind which row.
struct Cursor {
    sources: &'static [Source],
    source: usize,
    /// The key of the last row that was read.
    after: Vec<Value>,
    /// Series found and not yet read, the next one last.
    series: Vec<Series>,
    /// How series are found; `None` for tables that know their tenant themselves.
    names: Option<Names>,
}

struct Names {
    /// Devices still to be looked at, the next one last; `None`: all of the tenant's, behind `last`.
    devices: Option<Vec<String>>,
    last: (String, String),
    ended: bool,
}

impl Cursor {
    fn new(scan: &Scan) -> Self {
        let sources = sources(&scan.table);
        let by_series = sources.first().is_some_and(|source| source.of == Of::Series);
        let devices = scan.devices.as_ref().map(|devices| devices.iter().rev().cloned().collect());
        let names = by_series.then(|| Names { devices, last: (String::new(), String::new()), ended: false });
        Self { sources, source: 0, after: Vec::new(), series: Vec::new(), names }
    }

    /// The table to read from now, with the series found, if it goes by series; `None` at the end.
    fn source(
        &mut self,
        connection: &Connection,
        tenant: &str,
        scan: &Scan,
    ) -> rusqlite::Result<Option<&'static Source>> {
        let Some(names) = &mut self.names else { return Ok(self.sources.get(self.source)) };
        while self.series.is_empty() {
            if names.ended {
                return Ok(None);
            }
            let mut found = names.next(connection, tenant, self.sources)?;
            found.retain(|series| lets(scan.metrics.as_ref(), &series.metric));
            found.reverse();
            self.series = found;
        }
        Ok(self.sources.get(self.source))
    }

    /// What the source holds is read: on to the next, or to the next series.
    fn advance(&mut self) {
        self.after.clear();
        self.source += 1;
        if self.names.is_some() && self.source == self.sources.len() {
            self.source = 0;
            self.series.pop();
        }
    }
}

impl Names {
    /// More series, those of one device or a page of all.
    fn next(
        &mut self,
        connection: &Connection,
        tenant: &str,
        sources: &[Source],
    ) -> rusqlite::Result<Vec<Series>> {
        // Few series have late readings, or corrected times: an index says which before they are looked at one by one.
        let any: Vec<String> = sources
            .iter()
            .map(|source| format!("EXISTS (SELECT 1 FROM {0} WHERE {0}.series = series.no)", source.table))
            .collect();
        let any = any.join(" OR ");
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Series { no: row.get(0)?, device: row.get(1)?, metric: row.get(2)? })
        };
        let select = "SELECT series.no, id, metric FROM device JOIN series ON series.device = device.no";
        if let Some(devices) = &mut self.devices {
            let Some(device) = devices.pop() else {
                self.ended = true;
                return Ok(Vec::new());
            };
            let sql = format!("{select} WHERE tenant = ?1 AND id = ?2 AND ({any})");
            return connection.prepare_cached(&sql)?.query_map((tenant, device), read)?.collect();
        }
        let sql = format!(
            "{select} WHERE tenant = ?1 AND id >= ?2 AND (id, metric) > (?2, ?3) AND ({any})
             ORDER BY id, metric LIMIT ?4"
        );
        let (device, metric) = &self.last;
        let found: Vec<Series> = connection
            .prepare_cached(&sql)?
            .query_map((tenant, device, metric, SERIES_PER_PAGE), read)?
            .collect::<rusqlite::Result<_>>()?;
        match found.last() {
            Some(last) => self.last = (last.device.clone(), last.metric.clone()),
            None => self.ended = true,
        }
        Ok(found)
    }
}
