//! The tables in columns ([`crate::scan`]): readings, windows and what came late from runs and buffers, everything else
//! from the books.

mod latest;
mod moments;
pub(super) mod pieces;
mod readings;
mod wide;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::RecordBatch;
use record::TenantId;

use super::Parquet;
use super::late::OfLate;
use super::manifest;
use super::moment::Moment;
use super::windows::OfWindows;
use crate::Result;
use crate::parquet::{Entity, Rows};
use crate::scan::{Batches, Builder, Moments, Scan, SeriesScan, Shape, Snapshot, TABLES, shape};
use latest::OfLatest;
use pieces::Pieces;
use readings::OfReadings;
pub(super) use readings::claimed_around;
use wide::OfWide;

pub(super) const READINGS: &str = "telemetry";
pub(super) const WINDOWS: &str = "aggregations";
const LATE: &str = "late";
/// Of each metric of a device the reading with the latest event time.
const LATEST: &str = "latest";

impl SeriesScan for Parquet {
    fn snapshot(&self, tenant: &TenantId) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(self.moment(tenant.as_str())?))
    }
}

impl Snapshot for Moment {
    fn tables(&self) -> Result<Vec<Shape>> {
        let mut tables = TABLES.iter().map(|table| self.table(table)).collect::<Result<Vec<_>>>()?;
        tables.extend(self.wide_tables().into_iter().map(Some));
        Ok(tables.into_iter().flatten().collect())
    }

    fn table(&self, name: &str) -> Result<Option<Shape>> {
        match name {
            LATEST => Ok(shape(LATEST).map(|latest| {
                let kind = latest.schema.index_of("kind").ok();
                Shape { kind, ..latest }
            })),
            _ => Ok(self.books.table(name)?.or_else(|| self.wide(name).map(|wide| wide.shape))),
        }
    }

    fn scan(self: Arc<Self>, scan: Scan) -> Result<Batches> {
        let Some(shape) = self.table(&scan.table)? else { return Ok(Box::new(std::iter::empty())) };
        let moment = Arc::clone(&self);
        Ok(match &*scan.table {
            READINGS => {
                let groups = self.groups.iter().map(|group| (group.clone(), group.metrics.clone()));
                filled(Pieces::new(moment, scan, &shape, groups, OfReadings::new)?)
            }
            LATEST => filled(OfLatest::new(self, scan, &shape)),
            WINDOWS => {
                let groups = self.windows.iter().map(|of| (of.group.clone(), of.members.clone()));
                filled(Pieces::new(moment, scan, &shape, groups, OfWindows::new)?)
            }
            LATE => {
                let groups = self.late.iter().map(|of| (of.group.clone(), of.members.clone()));
                filled(Pieces::new(moment, scan, &shape, groups, OfLate::new)?)
            }
            name => match crate::scan::shape(name).is_none().then(|| self.wide(name)).flatten() {
                Some(wide) => {
                    let groups = self.groups.iter();
                    let groups = groups.map(|of| (of.clone(), OfWide::members(&wide, &of.metrics)));
                    let table = |builder: &Builder| OfWide::new(wide.clone(), builder);
                    filled(Pieces::new(moment, scan, &shape, groups, table)?)
                }
                None => {
                    let heard = self.heard_for(&scan, &shape)?;
                    Arc::clone(&self.books).scan_heard(scan, heard)
                }
            },
        })
    }

    fn moments(self: Arc<Self>) -> Option<Arc<dyn Moments>> {
        Some(self)
    }
}

/// What fills one batch after the other.
pub(super) trait Fill: Send {
    /// Fills a batch, or as much of it as there is left.
    fn fill(&mut self) -> Result<()>;

    fn builder(&mut self) -> &mut Builder;
}

fn filled(scan: impl Fill + 'static) -> Batches {
    Box::new(Filled { scan, ended: false })
}

/// The batches of a scan. Nothing comes after an error.
struct Filled<F> {
    scan: F,
    ended: bool,
}

impl<F: Fill> Iterator for Filled<F> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if let Err(error) = self.scan.fill() {
            self.ended = true;
            return Some(Err(error));
        }
        self.ended = self.scan.builder().rows() == 0;
        (!self.ended).then(|| Ok(self.scan.builder().finish()))
    }
}

impl Moment {
    /// The name of a device.
    fn device(&self, no: u32) -> Result<String> {
        self.books.ask("looking for a device", |connection| {
            connection.prepare_cached("SELECT id FROM device WHERE no = ?")?.query_row([no], |row| row.get(0))
        })
    }

    /// The devices of rows, each where its rows end; without names, where they are not asked for.
    pub(super) fn devices_of(
        &self,
        rows: &Rows,
        with_names: bool,
        devices: &mut Vec<(usize, String)>,
    ) -> Result<()> {
        devices.clear();
        if !with_names {
            devices.push((rows.len(), String::new()));
            return Ok(());
        }
        let mut end = 0;
        let number = |entity: u64| Entity(entity).device();
        for of_one in rows.entity.chunk_by(|a, b| number(*a) == number(*b)) {
            end += of_one.len();
            devices.push((end, self.device(number(of_one[0]))?));
        }
        Ok(())
    }

    /// The numbers of devices, rising; of those that never sent anything none.
    pub(super) fn numbers(&self, names: &BTreeSet<String>) -> Result<Arc<[u32]>> {
        let tenant = self.books.tenant();
        let mut numbers = self.books.ask("looking for devices", |connection| {
            let number = |name: &String| manifest::device(connection, tenant, name).transpose();
            names.iter().filter_map(number).collect::<rusqlite::Result<Vec<u32>>>()
        })?;
        numbers.sort_unstable();
        Ok(numbers.into())
    }
}
