//! The tables of the store without a disk, in columns.

use std::sync::Arc;

use arrow_array::RecordBatch;
use record::{TenantId, Timestamp};

use super::{Cell, Memory, Series, State};
use crate::scan::{
    Batches, Builder, Dead, Names, Scan, SeriesScan, Shape, Snapshot, TABLES, WindowCells, account_row,
    dead_row, device_row, lets, reading_row, shape, window_row,
};
use crate::{Completeness, Result, WindowRow};

impl SeriesScan for Memory {
    fn snapshot(&self, tenant: &TenantId) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(Moment { state: self.state.read().clone(), tenant: tenant.clone() }))
    }
}

struct Moment {
    state: State,
    tenant: TenantId,
}

impl Snapshot for Moment {
    fn tables(&self) -> Result<Vec<Shape>> {
        Ok(TABLES.iter().filter_map(|table| shape(table)).collect())
    }

    fn table(&self, name: &str) -> Result<Option<Shape>> {
        Ok(shape(name))
    }

    fn scan(self: Arc<Self>, scan: Scan) -> Result<Batches> {
        let Some(shape) = shape(&scan.table) else { return Ok(Box::new(std::iter::empty())) };
        let builder = Builder::new(&shape.schema, scan.columns.as_deref());
        let left = scan.limit.unwrap_or(usize::MAX);
        let mut rows = Rows { scan: &scan, builder, batches: Vec::new(), left };
        match scan.table.as_str() {
            "telemetry" => self.readings(&mut rows, |series| series.cells.values().collect()),
            "latest" => self.readings(&mut rows, |series| series.latest().into_iter().collect()),
            "late" => self.late(&mut rows),
            "corrections" => self.corrections(&mut rows),
            "aggregations" => self.windows(&mut rows),
            "devices" => self.devices(&mut rows),
            "dlq" => self.dead(&mut rows),
            _ => self.account(&mut rows),
        }
        if rows.builder.rows() > 0 {
            rows.batches.push(rows.builder.finish());
        }
        Ok(Box::new(rows.batches.into_iter().map(Ok)))
    }
}

struct Rows<'a> {
    scan: &'a Scan,
    builder: Builder,
    batches: Vec<RecordBatch>,
    left: usize,
}

impl Rows<'_> {
    /// Adds a row if the conditions let it through.
    fn add(&mut self, (time, device, metric): Place<'_>, put: impl FnOnce(&mut Builder)) {
        let Scan { times, devices, metrics, .. } = self.scan;
        let wanted = time.is_none_or(|time| times.contains(&time))
            && device.is_none_or(|device| lets(devices.as_ref(), device))
            && metric.is_none_or(|metric| lets(metrics.as_ref(), metric));
        if !wanted || self.left == 0 {
            return;
        }
        self.left -= 1;
        put(&mut self.builder);
        if self.builder.is_full() {
            self.batches.push(self.builder.finish());
        }
    }
}

type Place<'a> = (Option<Timestamp>, Option<&'a str>, Option<&'a str>);

impl Moment {
    fn readings(&self, rows: &mut Rows<'_>, of: impl Fn(&Series) -> Vec<&Cell>) {
        for ((_, device), (_, metrics)) in self.state.devices.iter().filter(|((of, _), _)| *of == self.tenant)
        {
            for (metric, series) in metrics {
                let names = Names { device: device.as_str(), metric: metric.as_str() };
                for cell in of(series) {
                    let place = (Some(cell.when.time), Some(names.device), Some(names.metric));
                    rows.add(place, |row| {
                        reading_row(row, names, &cell.when, cell.value.as_ref(), 12);
                        row.end_row();
                    });
                }
            }
        }
    }

    fn late(&self, rows: &mut Rows<'_>) {
        for (_, late) in self.state.late.iter().filter(|((of, ..), _)| *of == self.tenant) {
            let reading = &late.reading;
            let names = Names { device: reading.device.as_str(), metric: reading.metric.as_str() };
            rows.add((Some(reading.when.time), Some(names.device), Some(names.metric)), |row| {
                reading_row(row, names, &reading.when, reading.value.as_ref(), 14);
                row.time(12, Some(late.watermark));
                row.int(13, i64::try_from(late.times).ok());
                row.end_row();
            });
        }
    }

    fn corrections(&self, rows: &mut Rows<'_>) {
        for (_, old) in self.state.superseded.iter().filter(|(of, _)| *of == self.tenant) {
            let reading = &old.reading;
            let names = Names { device: reading.device.as_str(), metric: reading.metric.as_str() };
            rows.add((Some(reading.when.time), Some(names.device), Some(names.metric)), |row| {
                reading_row(row, names, &reading.when, reading.value.as_ref(), 13);
                row.time(12, Some(old.replaced_at));
                row.end_row();
            });
        }
    }

    fn windows(&self, rows: &mut Rows<'_>) {
        for window in self.state.windows.values().filter(|row| row.key.tenant == self.tenant) {
            let WindowRow { key, end, count, sum, min, max, stddev, p95, first, last, revised } = window;
            let names = Names { device: key.device.as_str(), metric: key.metric.as_str() };
            let floats = [*sum, *min, *max, *stddev, *p95, *first, *last];
            rows.add((Some(key.start), Some(names.device), Some(names.metric)), |row| {
                let cells = WindowCells {
                    window: &key.window,
                    start: key.start,
                    end: *end,
                    count: *count,
                    floats,
                    revised: *revised,
                };
                window_row(row, names, &cells);
            });
        }
    }

    fn devices(&self, rows: &mut Rows<'_>) {
        for (key, (device, metrics)) in self.state.devices.iter().filter(|((of, _), _)| *of == self.tenant) {
            let clock = self.state.clocks.get(key).map(|row| (row.skew_nanos, row.suspect));
            rows.add((None, Some(device.id.as_str()), None), |row| {
                let times = (device.created_at, device.last_seen);
                device_row(row, device.id.as_str(), times, metrics.len() as u64, clock);
            });
        }
    }

    fn dead(&self, rows: &mut Rows<'_>) {
        for message in self.state.dead.values().filter(|message| message.tenant == self.tenant.as_str()) {
            for letter in &message.letters {
                rows.add((Some(message.arrived_at), Some(&message.device), None), |row| {
                    let dead = Dead {
                        source: message.source,
                        offset: message.offset,
                        device: &message.device,
                        topic: &message.topic,
                        stage: message.stage,
                        arrived_at: message.arrived_at,
                        last_at: message.last_at,
                        attempts: message.attempts,
                        partly_stored: message.completeness == Completeness::Part,
                        reading: letter.index,
                        reason: &letter.reason,
                        record: &message.record,
                    };
                    dead_row(row, &dead);
                });
            }
        }
    }

    fn account(&self, rows: &mut Rows<'_>) {
        for (key, amounts) in self.state.account.iter().filter(|(key, _)| key.tenant == self.tenant.as_str())
        {
            rows.add((Some(key.minute), None, None), |row| account_row(row, &key.topic, key.minute, amounts));
        }
    }
}
