//! The tables in columns ([`crate::scan`]): readings from runs and buffers, everything else from the books.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::RecordBatch;
use record::TenantId;

use super::Parquet;
use super::moment::{Group, Moment, Selection};
use crate::Result;
use crate::parquet::merge::Merging;
use crate::parquet::run::Detail;
use crate::parquet::{Entity, Rows};
use crate::scan::{
    BATCH_ROWS, Batches, Builder, Names, Scan, SeriesScan, Shape, Snapshot, lets, reading_row, shape,
};

const READINGS: &str = "telemetry";

/// Its columns that need more of a row than its times: `arrived_at`, `clock`, `device_time`.
const WHOLE: [usize; 3] = [1, 9, 10];

/// Where the exact whole number stands.
const INTEGER: usize = 12;

impl SeriesScan for Parquet {
    fn snapshot(&self, tenant: &TenantId) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(self.moment(tenant.as_str())?))
    }
}

impl Snapshot for Moment {
    fn tables(&self) -> Result<Vec<Shape>> {
        self.books.tables()
    }

    fn table(&self, name: &str) -> Result<Option<Shape>> {
        self.books.table(name)
    }

    fn scan(self: Arc<Self>, scan: Scan) -> Result<Batches> {
        match shape(READINGS) {
            Some(shape) if scan.table == READINGS => Ok(Box::new(OfReadings::new(self, scan, &shape)?)),
            _ => Arc::clone(&self.books).scan(scan),
        }
    }
}

/// A scan of the readings.
struct OfReadings {
    moment: Arc<Moment>,
    scan: Scan,
    builder: Builder,
    /// Rows that are still wanted.
    left: usize,
    devices: Option<Arc<[u32]>>,
    detail: Detail,
    groups: VecDeque<Group>,
    current: Option<Current>,
    /// The device that rows were told of last.
    device: Option<(u32, String)>,
    ended: bool,
}

/// The group that is being read.
struct Current {
    group: Group,
    merging: Merging,
    rows: Rows,
    /// The next row of these, and the next column in it.
    at: (usize, usize),
}

impl OfReadings {
    fn new(moment: Arc<Moment>, scan: Scan, shape: &Shape) -> Result<Self> {
        let builder = Builder::new(&shape.schema, scan.columns.as_deref());
        let detail =
            if WHOLE.iter().any(|&column| builder.wants(column)) { Detail::Whole } else { Detail::Times };
        let devices = match &scan.devices {
            Some(names) => {
                let tenant = moment.books.tenant().to_owned();
                let mut numbers = moment.books.ask("looking for devices", |connection| {
                    let number =
                        |name: &String| super::manifest::device(connection, &tenant, name).transpose();
                    names.iter().filter_map(number).collect::<rusqlite::Result<Vec<u32>>>()
                })?;
                numbers.sort_unstable();
                Some(numbers.into())
            }
            None => None,
        };
        let mut groups: VecDeque<Group> = moment.groups.iter().cloned().collect();
        for group in &mut groups {
            group.metrics.retain(|metric| lets(scan.metrics.as_ref(), &metric.name));
            group.metrics.sort_unstable_by_key(|metric| metric.no);
        }
        groups.retain(|group| !group.metrics.is_empty());
        let left = scan.limit.unwrap_or(usize::MAX);
        let (current, device) = (None, None);
        Ok(Self { moment, scan, builder, left, devices, detail, groups, current, device, ended: false })
    }

    /// Fills a batch, or as much of it as there is left.
    fn fill(&mut self) -> Result<()> {
        while !self.builder.is_full() && self.left > 0 {
            let Some(current) = &mut self.current else {
                let Some(group) = self.groups.pop_front() else { return Ok(()) };
                self.current = Some(self.open(group)?);
                continue;
            };
            if current.at.0 < current.rows.len() {
                self.tell()?;
                continue;
            }
            current.rows.clear();
            current.at = (0, 0);
            let mut more = true;
            while more && current.rows.len() < BATCH_ROWS {
                more = current.merging.read(BATCH_ROWS - current.rows.len(), &mut current.rows)?;
            }
            if current.rows.is_empty() {
                self.current = None;
            }
        }
        Ok(())
    }

    fn open(&self, group: Group) -> Result<Current> {
        let columns: Vec<_> = group.metrics.iter().map(|metric| metric.no).collect();
        // Clocks that were put right: event times do not follow the keys.
        let (earliest, latest) = self.moment.readings.shifts(group.table);
        let (first, last) = (self.scan.times.start().nanos(), self.scan.times.end().nanos());
        let claimed = first.saturating_sub(latest)..=last.saturating_sub(earliest);
        let rows = Rows::new(columns.iter().copied());
        let selection = Selection { columns, devices: self.devices.clone(), claimed, detail: self.detail };
        let merging = self.moment.readings.read(&group, &selection)?;
        Ok(Current { group, merging, rows, at: (0, 0) })
    }

    /// Puts rows that were read into the batch, until it is full.
    fn tell(&mut self) -> Result<()> {
        let Self { current: Some(current), builder, device, left, scan, moment, .. } = self else {
            return Ok(());
        };
        let Current { group, rows, at, .. } = current;
        while at.0 < rows.len() && !builder.is_full() && *left > 0 {
            let when = rows.when(at.0);
            if !scan.times.contains(&when.time) {
                *at = (at.0 + 1, 0);
                continue;
            }
            let no = Entity(rows.entity[at.0]).device();
            if builder.wants(2) && device.as_ref().is_none_or(|(known, _)| *known != no) {
                *device = Some((no, moment.device(no)?));
            }
            let id = device.as_ref().map_or("", |(_, id)| id);
            while at.1 < rows.columns.len() && !builder.is_full() && *left > 0 {
                if let Some(value) = rows.columns[at.1].cells.get(at.0) {
                    let names = Names { device: id, metric: &group.metrics[at.1].name };
                    reading_row(builder, names, &when, value, INTEGER);
                    builder.end_row();
                    *left -= 1;
                }
                at.1 += 1;
            }
            if at.1 == rows.columns.len() {
                *at = (at.0 + 1, 0);
            }
        }
        Ok(())
    }
}

impl Iterator for OfReadings {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if let Err(error) = self.fill() {
            self.ended = true;
            return Some(Err(error));
        }
        self.ended = self.builder.rows() == 0;
        (!self.ended).then(|| Ok(self.builder.finish()))
    }
}

impl Moment {
    /// The name of a device.
    fn device(&self, no: u32) -> Result<String> {
        self.books.ask("looking for a device", |connection| {
            connection.prepare_cached("SELECT id FROM device WHERE no = ?")?.query_row([no], |row| row.get(0))
        })
    }
}
