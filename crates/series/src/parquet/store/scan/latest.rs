//! A scan of the latest readings, device by device.

use std::collections::HashMap;
use std::sync::Arc;

use record::{Value, When};

use super::Fill;
use super::readings::INTEGER;
use crate::Result;
use crate::parquet::ColumnNo;
use crate::parquet::store::metrics::Metric;
use crate::parquet::store::moment::Moment;
use crate::parquet::store::{last, manifest};
use crate::scan::{Builder, Scan, Shape, lets, reading_rows};

/// The scan.
pub(super) struct OfLatest {
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
    pub(super) fn new(moment: Arc<Moment>, scan: Scan, shape: &Shape) -> Result<Self> {
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
