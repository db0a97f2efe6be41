//! Readings get their places: device, table, group, column. Looked up once in a batch, not once in a reading.

use record::{DeviceNo, ReadingRef, Readings, TenantId, When};

use super::write::{Incoming, IncomingRow, Writer};
use super::{Parquet, device_series};
use crate::parquet::{ColumnNo, Entity};
use crate::scan::Kinds;

/// Table, group and column of a metric, and the kinds of value it has had.
type Place = (u32, u32, ColumnNo, Kinds);

impl Parquet {
    /// Gives the readings of a batch their places; new names join the tables.
    pub(super) fn name<'b>(
        &self,
        writer: &mut Writer,
        tenant: &'b TenantId,
        readings: &'b Readings,
    ) -> rusqlite::Result<Incoming<'b>> {
        let mut devices: Vec<Option<u32>> = vec![None; readings.devices().len()];
        let mut places: Vec<Option<Place>> = vec![None; readings.metrics().len()];
        let mut columns = Vec::with_capacity(readings.len());
        let mut rows: Vec<IncomingRow> = Vec::new();
        let mut new = NewSeries::default();
        while columns.len() < readings.len() {
            let first = columns.len();
            let DeviceNo(at) = readings.device_column()[first];
            let when = readings.when(first).expect("the row is below the length");
            let device = match devices[at as usize] {
                Some(device) => device,
                None => self.name_device(writer, tenant, readings.device_name(DeviceNo(at)), &when)?,
            };
            devices[at as usize] = Some(device);
            for reading in first..readings.end_of_moment(first, readings.len()) {
                let place = &mut places[readings.metric_column()[reading].0 as usize];
                let known = match *place {
                    Some(known) => known,
                    None => self.name_metric(writer, tenant, readings, reading)?,
                };
                let (table, group, column, kinds) = known;
                let kind = Kinds::of(readings.kind_column()[reading]);
                if !kinds.has(kind) {
                    self.visible.write().metrics.add_kinds(&writer.connection, column, kind)?;
                }
                *place = Some((table, group, column, kinds.with(kind)));
                let entity = Entity::new(group, device);
                match rows.last_mut() {
                    Some(row)
                        if row.readings.start >= first && (row.table, row.entity) == (table, entity) =>
                    {
                        row.readings.end = reading + 1;
                    }
                    _ => {
                        rows.push(IncomingRow { readings: reading..reading + 1, device, table, entity, when })
                    }
                }
                columns.push(column);
            }
            new.look(writer, device, &columns[first..])?;
        }
        new.keep(writer)?;
        Ok(Incoming { tenant, readings, rows, columns })
    }

    fn name_device(
        &self,
        writer: &mut Writer,
        tenant: &TenantId,
        device: &str,
        when: &When,
    ) -> rusqlite::Result<u32> {
        let Writer { connection, names, .. } = writer;
        let no = names.device(connection, tenant, device, when.arrived_at)?;
        u32::try_from(no).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, no))
    }

    /// The place of the metric in a row. If it is new, those of the same message are looked at with it.
    fn name_metric(
        &self,
        writer: &Writer,
        tenant: &TenantId,
        readings: &Readings,
        row: usize,
    ) -> rusqlite::Result<Place> {
        let of = readings.get(row).expect("the row is below the length");
        if let Some(known) = self.visible.read().metrics.find(tenant.as_str(), of.metric) {
            return Ok((known.table, known.group, known.no, known.kinds));
        }
        let same_message = |other: &ReadingRef<'_>| other.device_no == of.device_no && other.when == of.when;
        let first = (0..row)
            .rev()
            .take_while(|&at| readings.get(at).is_some_and(|other| same_message(&other)))
            .last();
        let together: Vec<&str> = (first.unwrap_or(row)..readings.len())
            .map_while(|at| readings.get(at).filter(same_message))
            .map(|other| other.metric)
            .collect();
        let mut visible = self.visible.write();
        visible.metrics.add(&writer.connection, tenant.as_str(), &together)?;
        let known = visible.metrics.find(tenant.as_str(), of.metric).expect("it was added just now");
        Ok((known.table, known.group, known.no, known.kinds))
    }
}

/// Series of a device that the books do not have yet: those of the device that is being looked at, so that they become one row.
#[derive(Default)]
struct NewSeries {
    device: u32,
    /// Rising.
    columns: Vec<ColumnNo>,
}

impl NewSeries {
    /// Sees to it that the books will know some series of a device.
    fn look(&mut self, writer: &mut Writer, device: u32, columns: &[ColumnNo]) -> rusqlite::Result<()> {
        if writer.known_series.contains_all(device, columns) {
            return Ok(());
        }
        if self.device != device {
            self.keep(writer)?;
            self.device = device;
        }
        if !writer.known_series.knows(device) {
            let there = device_series::of(&writer.connection, device)?;
            writer.known_series.insert(device, &there);
        }
        for &column in columns {
            if !writer.known_series.contains(device, column)
                && let Err(at) = self.columns.binary_search(&column)
            {
                self.columns.insert(at, column);
            }
        }
        Ok(())
    }

    /// Puts them into the books.
    fn keep(&mut self, writer: &mut Writer) -> rusqlite::Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        device_series::add(&writer.connection, self.device, &self.columns)?;
        writer.known_series.insert(self.device, &self.columns);
        self.columns.clear();
        Ok(())
    }
}
