//! A scan of the latest readings, device by device.

use std::collections::{BTreeSet, HashMap, btree_set};
use std::sync::Arc;

use record::{Value, When};

use super::Fill;
use super::readings::INTEGER;
use crate::Result;
use crate::parquet::ColumnNo;
use crate::parquet::store::metrics::Metric;
use crate::parquet::store::moment::{Group, Moment};
use crate::parquet::store::{last, manifest};
use crate::scan::{Builder, Scan, Shape, kind_name, lets, reading_rows};

/// The scan.
pub(super) struct OfLatest {
    moment: Arc<Moment>,
    scan: Scan,
    builder: Builder,
    left: usize,
    /// Those that are still to be looked up; `None`: all.
    devices: Option<btree_set::IntoIter<String>>,
    /// The metrics that are wanted, and the same by groups.
    metrics: HashMap<ColumnNo, Arc<Metric>>,
    groups: Vec<Group>,
    /// Devices that were looked up and not told yet, the next one last, and the last id that was looked up.
    found: Vec<manifest::DeviceRow>,
    after: String,
    /// A device, and what is still to be told of it.
    device: String,
    readings: Vec<(Arc<Metric>, When, Value)>,
}

/// Devices that are looked up at a time.
const DEVICES: usize = 1024;

impl OfLatest {
    pub(super) fn new(moment: Arc<Moment>, scan: Scan, shape: &Shape) -> Self {
        let wants = |metric: &Arc<Metric>| {
            lets(scan.metrics.as_ref(), &metric.name)
                && metric.kinds.any(|kind| lets(scan.kinds.as_ref(), kind))
        };
        let mut groups = moment.groups.clone();
        groups.iter_mut().for_each(|group| group.metrics.retain(wants));
        groups.retain(|group| !group.metrics.is_empty());
        let wanted = groups.iter().flat_map(|group| &group.metrics);
        Self {
            metrics: wanted.map(|metric| (metric.no, Arc::clone(metric))).collect(),
            groups,
            builder: Builder::new(&shape.schema, scan.columns.as_deref()),
            devices: scan.devices.clone().map(BTreeSet::into_iter),
            left: scan.limit.unwrap_or(usize::MAX),
            moment,
            scan,
            found: Vec::new(),
            after: String::new(),
            device: String::new(),
            readings: Vec::new(),
        }
    }

    fn look_up(&mut self) -> Result<()> {
        if self.metrics.is_empty() {
            return Ok(());
        }
        let (books, after) = (&self.moment.books, &mut self.after);
        let tenant = books.tenant();
        // Of some devices each is asked for, of all a page.
        self.found = books.ask("reading the latest values", |connection| match &mut self.devices {
            Some(names) => {
                let mut known =
                    names.filter_map(|name| manifest::last_row_of(connection, tenant, &name).transpose());
                known.next().into_iter().collect()
            }
            None => manifest::last_rows(connection, tenant, after, DEVICES),
        })?;
        if let Some((_, last, _)) = self.found.last() {
            after.clone_from(last);
        }
        self.found.reverse();
        Ok(())
    }

    fn read(&mut self, no: u32, row: Option<Vec<u8>>) -> Result<()> {
        let Self { moment, metrics, groups, scan, .. } = self;
        let decode = |bytes: Vec<u8>| last::decode_of(&bytes, |no| metrics.contains_key(&no));
        let row = row.map(|bytes| decode(bytes).ok_or_else(|| last::damaged(moment.books.place(), no)));
        let mut row = row.transpose()?.unwrap_or_default();
        moment.readings.renew(&mut row, groups, no)?;
        let wants = |when: &When, value: &Value| {
            let kind = kind_name(value.as_ref().kind());
            scan.times.contains(&when.time) && lets(scan.kinds.as_ref(), kind)
        };
        let wanted = row.into_iter().filter(|(_, (when, value))| wants(when, value));
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
