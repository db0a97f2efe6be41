//! The tables in columns ([`crate::scan`]): readings from runs and buffers, everything else from the books.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use arrow_array::RecordBatch;
use record::{TenantId, Timestamp, Value, When};

use super::Parquet;
use super::last;
use super::manifest;
use super::metrics::{Metric, TABLE_COLUMNS};
use super::moment::{Group, Moment, Selection};
use super::windows::OfWindows;
use crate::Result;
use crate::parquet::cells::EMPTY;
use crate::parquet::merge::Merging;
use crate::parquet::run::Detail;
use crate::parquet::{ColumnNo, Entity, Rows};
use crate::scan::{
    BATCH_ROWS, Batches, Builder, Scan, SeriesScan, Shape, Snapshot, lets, reading_rows, shape,
};

const READINGS: &str = "telemetry";
const WINDOWS: &str = "aggregations";
/// Of each metric of a device the reading with the latest event time.
const LATEST: &str = "latest";

/// Its columns that need more of a row than its times: `arrived_at`, `clock`, `device_time`.
const WHOLE: [usize; 3] = [1, 9, 10];

/// Rows that are read at a time: with those of the last key, of which there is one for each metric at most, they fit into a
/// batch.
const PIECE_ROWS: usize = BATCH_ROWS - 2 * TABLE_COLUMNS as usize;

/// Where the device stands.
const DEVICE: usize = 2;

/// Where the exact whole number stands.
const INTEGER: usize = 12;

impl SeriesScan for Parquet {
    fn snapshot(&self, tenant: &TenantId) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(self.moment(tenant.as_str())?))
    }
}

impl Snapshot for Moment {
    fn tables(&self) -> Result<Vec<Shape>> {
        let mut tables = self.books.tables()?;
        tables.extend(self.table(LATEST)?);
        Ok(tables)
    }

    fn table(&self, name: &str) -> Result<Option<Shape>> {
        match name {
            LATEST => Ok(shape(READINGS).map(|readings| Shape { name: LATEST.into(), ..readings })),
            _ => self.books.table(name),
        }
    }

    fn scan(self: Arc<Self>, scan: Scan) -> Result<Batches> {
        let Some(shape) = self.table(&scan.table)? else { return Ok(Box::new(std::iter::empty())) };
        Ok(match &*scan.table {
            READINGS => filled(OfReadings::new(self, scan, &shape)?),
            LATEST => filled(OfLatest::new(self, scan, &shape)?),
            WINDOWS => filled(OfWindows::new(self, scan, &shape)?),
            _ => Arc::clone(&self.books).scan(scan)?,
        })
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
}

/// The group that is being read.
struct Current {
    group: Group,
    merging: Merging,
    /// A piece of it.
    rows: Rows,
    /// Its next column.
    column: usize,
    /// The devices of the piece, each where its rows end.
    devices: Vec<(usize, String)>,
}

impl OfReadings {
    fn new(moment: Arc<Moment>, scan: Scan, shape: &Shape) -> Result<Self> {
        let builder = Builder::new(&shape.schema, scan.columns.as_deref());
        let whole = WHOLE.iter().any(|&column| builder.wants(column));
        let detail = if whole { Detail::Whole } else { Detail::Times };
        let devices = scan.devices.as_ref().map(|names| moment.numbers(names)).transpose()?;
        let mut groups: VecDeque<Group> = moment.groups.iter().cloned().collect();
        for group in &mut groups {
            group.metrics.retain(|metric| lets(scan.metrics.as_ref(), &metric.name));
            group.metrics.sort_unstable_by_key(|metric| metric.no);
        }
        groups.retain(|group| !group.metrics.is_empty());
        let left = scan.limit.unwrap_or(usize::MAX);
        Ok(Self { moment, scan, builder, left, devices, detail, groups, current: None })
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
        let column = group.metrics.len();
        Ok(Current { group, merging, rows, column, devices: Vec::new() })
    }
}

impl Fill for OfReadings {
    fn fill(&mut self) -> Result<()> {
        while self.left > 0 && !self.builder.is_full() {
            let Some(current) = &mut self.current else {
                let Some(group) = self.groups.pop_front() else { return Ok(()) };
                self.current = Some(self.open(group)?);
                continue;
            };
            if current.column < current.group.metrics.len() {
                let told = current.tell(&self.scan, &mut self.builder, self.left);
                let Some(told) = told else { return Ok(()) };
                self.left -= told;
            } else if !current.next_piece(&self.moment, self.builder.wants(DEVICE))? {
                self.current = None;
            }
        }
        Ok(())
    }

    fn builder(&mut self) -> &mut Builder {
        &mut self.builder
    }
}

impl Current {
    /// `false`: there is none.
    fn next_piece(&mut self, moment: &Moment, with_devices: bool) -> Result<bool> {
        let rows = &mut self.rows;
        rows.clear();
        while rows.len() < PIECE_ROWS && self.merging.read(PIECE_ROWS - rows.len(), rows)? {}
        self.column = 0;
        moment.devices_of(rows, with_devices, &mut self.devices)?;
        Ok(!rows.is_empty())
    }

    /// Puts the next column of the piece into the batch, and says how many readings that were. `None`: it does not fit in.
    fn tell(&mut self, scan: &Scan, builder: &mut Builder, left: usize) -> Option<usize> {
        let Self { group, rows, column, devices, .. } = self;
        let cells = &rows.columns[*column].cells;
        let mut device = 0;
        let mut taken: Vec<(u32, u32)> = Vec::with_capacity(rows.len());
        for (row, (&time, &kind)) in rows.time.iter().zip(cells.kinds()).enumerate() {
            device += usize::from(devices[device].0 <= row);
            if kind != EMPTY && scan.times.contains(&Timestamp::from_nanos(time)) {
                taken.push((row as u32, device as u32));
            }
        }
        taken.truncate(left);
        if builder.rows() > 0 && builder.rows() + taken.len() > BATCH_ROWS {
            return None;
        }
        let readings = taken.iter().filter_map(|&(row, device)| {
            let value = cells.get(row as usize)?;
            Some((devices[device as usize].1.as_str(), rows.when(row as usize), value))
        });
        reading_rows(builder, &group.metrics[*column].name, INTEGER, readings);
        builder.end_rows(taken.len());
        *column += 1;
        Some(taken.len())
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

/// A scan of the latest readings, device by device.
struct OfLatest {
    moment: Arc<Moment>,
    scan: Scan,
    builder: Builder,
    left: usize,
    devices: Option<Arc<[u32]>>,
    metrics: HashMap<ColumnNo, Arc<Metric>>,
    /// Devices that were looked up and not told yet, the next one last, and the last number that was looked up.
    found: Vec<manifest::DeviceRow>,
    after: i64,
    /// A device, and what is still to be told of it.
    device: String,
    readings: Vec<(Arc<Metric>, When, Value)>,
}

/// Devices that are looked up at a time.
const DEVICES: usize = 1024;

impl OfLatest {
    fn new(moment: Arc<Moment>, scan: Scan, shape: &Shape) -> Result<Self> {
        let wanted = moment.groups.iter().flat_map(|group| &group.metrics);
        let wanted = wanted.filter(|metric| lets(scan.metrics.as_ref(), &metric.name));
        Ok(Self {
            metrics: wanted.map(|metric| (metric.no, Arc::clone(metric))).collect(),
            builder: Builder::new(&shape.schema, scan.columns.as_deref()),
            devices: scan.devices.as_ref().map(|names| moment.numbers(names)).transpose()?,
            left: scan.limit.unwrap_or(usize::MAX),
            moment,
            scan,
            found: Vec::new(),
            after: -1,
            device: String::new(),
            readings: Vec::new(),
        })
    }

    fn look_up(&mut self) -> Result<()> {
        // Of some devices each is asked for, of all a page.
        let (after, limit) = match &self.devices {
            Some(devices) => {
                let next = devices.partition_point(|&device| i64::from(device) <= self.after);
                let Some(&next) = devices.get(next) else { return Ok(()) };
                (i64::from(next) - 1, 1)
            }
            None => (self.after, DEVICES),
        };
        let books = &self.moment.books;
        self.found = books.ask("reading the latest values", |connection| {
            manifest::last_rows(connection, books.tenant(), after, limit)
        })?;
        self.after = self.found.last().map_or(i64::MAX, |(no, ..)| i64::from(*no));
        self.found.reverse();
        Ok(())
    }

    fn read(&mut self, no: u32, row: Option<Vec<u8>>) -> Result<()> {
        let Self { moment, metrics, scan, .. } = self;
        let row =
            row.map(|bytes| last::decode(&bytes).ok_or_else(|| last::damaged(moment.books.place(), no)));
        let mut row = row.transpose()?.unwrap_or_default();
        moment.readings.renew(&mut row, &moment.groups, no)?;
        let wanted = row.into_iter().filter(|(_, (when, _))| scan.times.contains(&when.time));
        let readings =
            wanted.filter_map(|(no, (when, value))| Some((metrics.get(&no)?.clone(), when, value)));
        self.readings = readings.collect();
        Ok(())
    }
}

impl Fill for OfLatest {
    fn fill(&mut self) -> Result<()> {
        while self.left > 0 && !self.builder.is_full() {
            if let Some((metric, when, value)) = self.readings.pop() {
                let reading = std::iter::once((self.device.as_str(), when, value.as_ref()));
                reading_rows(&mut self.builder, &metric.name, INTEGER, reading);
                self.builder.end_row();
                self.left -= 1;
            } else if let Some((no, id, row)) = self.found.pop() {
                self.device = id;
                self.read(no, row)?;
            } else {
                self.look_up()?;
                if self.found.is_empty() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn builder(&mut self) -> &mut Builder {
        &mut self.builder
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
