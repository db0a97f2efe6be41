//! Questions: from the buffer and the runs together, the newest value of each key.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use record::{DeviceId, MetricName, Reading, TenantId, Timestamp, Value, ValueRef, When};

use super::last;
use super::moment::{Group, Selection};
use super::{Parquet, RunEntry, Visible, cold, manifest};
use crate::parquet::run::Detail;
use crate::parquet::{ColumnNo, Entity, Rows};
use crate::sqlite::read as tables;
use crate::{Cardinality, DeadMessage, Device, Key, Point, Result, SeriesReader, Source};

/// Values by claimed time, sequence number and metric.
pub(super) type Found = BTreeMap<(i64, u64, ColumnNo), (When, Value)>;

/// What is known of one entity at a moment: files, and what the buffer had.
struct Snapshot {
    entity: Entity,
    runs: Vec<Arc<RunEntry>>,
    buffered: Found,
}

impl Visible {
    fn snapshot(
        &self,
        table: u32,
        entity: Entity,
        columns: &[ColumnNo],
        claimed: &RangeInclusive<i64>,
    ) -> Snapshot {
        let of_table = self.runs.iter().filter(|run| run.facts.table == table);
        let runs: Vec<_> = of_table.filter(|run| run.facts.may_hold(entity, claimed)).cloned().collect();
        let mut buffered = Found::new();
        for buffer in self.buffers_of(table) {
            let buffer = buffer.read();
            buffer.visit(entity, claimed, columns, usize::MAX, &mut |no, when, value| {
                buffered.insert((when.claimed.nanos(), when.seq, no), (when, value.to_value()));
            });
        }
        Snapshot { entity, runs, buffered }
    }
}

impl Parquet {
    /// The newest values of an entity's keys in a range of claimed times.
    pub(super) fn find(
        &self,
        table: u32,
        entity: Entity,
        columns: &[ColumnNo],
        claimed: &RangeInclusive<i64>,
    ) -> Result<Found> {
        let snapshot = self.visible.read().snapshot(table, entity, columns, claimed);
        self.merge(&snapshot, columns, claimed)
    }

    fn merge(
        &self,
        snapshot: &Snapshot,
        columns: &[ColumnNo],
        claimed: &RangeInclusive<i64>,
    ) -> Result<Found> {
        let mut found = Found::new();
        for entry in &snapshot.runs {
            if !entry.facts.may_hold(snapshot.entity, claimed) {
                continue;
            }
            let run = self.cache.open(entry)?;
            let (first, last) = (*claimed.start(), *claimed.end());
            if first == last && !self.cache.may_have(&run, entry.facts.no, snapshot.entity, first)? {
                continue;
            }
            let Some(rows) = run.entity(snapshot.entity, claimed, columns, Detail::Whole)? else { continue };
            for column in rows.columns() {
                for row in 0..rows.len() {
                    if let Some(value) = column.cells.get(row) {
                        let when = rows.when(row);
                        found.insert((when.claimed.nanos(), when.seq, column.no), (when, value.to_value()));
                    }
                }
            }
        }
        let buffered = snapshot.buffered.range((*claimed.start(), 0, ColumnNo(0))..);
        let buffered = buffered.take_while(|((at, ..), _)| at <= claimed.end());
        found.extend(buffered.map(|(key, held)| (*key, held.clone())));
        Ok(found)
    }

    fn device_no(&self, tenant: &str, device: &str) -> Result<Option<u32>> {
        self.with_committed("looking for a device", |connection| manifest::device(connection, tenant, device))
    }

    /// Table, entity and column of a series; `None` when nobody ever sent it.
    pub(super) fn series_place(
        &self,
        tenant: &str,
        device: &str,
        metric: &str,
    ) -> Result<Option<(u32, Entity, ColumnNo)>> {
        let metric = self.visible.read().metrics.find(tenant, metric).cloned();
        let Some(metric) = metric else { return Ok(None) };
        let device = self.device_no(tenant, device)?;
        Ok(device.map(|device| (metric.table, Entity::new(metric.group, device), metric.no)))
    }
}

/// Rows that are visited at a time.
const PIECE_ROWS: usize = 8192;

impl SeriesReader for Parquet {
    fn is_restored(&self) -> Result<bool> {
        self.with_committed("reading the manifest", cold::restore::is_restored)
    }

    fn points(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        range: Range<Timestamp>,
        visit: &mut dyn FnMut(Point) -> bool,
    ) -> Result<()> {
        let place = self.series_place(tenant.as_str(), device.as_str(), metric.as_str())?;
        let Some((table, entity, column)) = place else { return Ok(()) };
        if range.start >= range.end {
            return Ok(());
        }
        let readings = self.readings_of(table);
        let shifts = readings.shifts(table);
        let claimed = claimed(&range, shifts);
        let (devices, detail) = (Some([entity.device()].into()), Detail::Times);
        let selection = Selection { columns: vec![column], rows_of: None, devices, claimed, detail };
        let group = Group { table, group: entity.group(), metrics: Vec::new() };
        let mut merging = readings.read(&group, &selection)?;
        let mut rows = Rows::new([column]);
        if shifts != (0, 0) {
            // Where clocks were put right, event times do not follow the keys: sorted as a whole.
            while merging.read(PIECE_ROWS, &mut rows)? {}
            let mut order: Vec<usize> = (0..rows.len()).collect();
            order.sort_by_key(|&row| last::order(&rows.when(row)));
            visit_rows(&rows, order, &range, visit);
            return Ok(());
        }
        while merging.read(PIECE_ROWS - rows.len(), &mut rows)? {
            if rows.len() >= PIECE_ROWS {
                if !visit_rows(&rows, 0..rows.len(), &range, visit) {
                    return Ok(());
                }
                rows.clear();
            }
        }
        visit_rows(&rows, 0..rows.len(), &range, visit);
        Ok(())
    }

    fn device_points(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metrics: &[MetricName],
        range: Range<Timestamp>,
        visit: &mut dyn FnMut(usize, Timestamp, ValueRef<'_>),
    ) -> Result<()> {
        let Some(no) = self.device_no(tenant.as_str(), device.as_str())? else { return Ok(()) };
        if range.start >= range.end {
            return Ok(());
        }
        // Metrics that come together are read together.
        let mut groups: BTreeMap<(u32, u32), Vec<(ColumnNo, usize)>> = BTreeMap::new();
        {
            let visible = self.visible.read();
            for (at, metric) in metrics.iter().enumerate() {
                let Some(known) = visible.metrics.find(tenant.as_str(), metric.as_str()) else { continue };
                groups.entry((known.table, known.group)).or_default().push((known.no, at));
            }
        }
        for ((table, group), mut columns) in groups {
            columns.sort_unstable();
            let readings = self.readings_of(table);
            let selection = Selection {
                columns: columns.iter().map(|(no, _)| *no).collect(),
                devices: Some([no].into()),
                claimed: claimed(&range, readings.shifts(table)),
                rows_of: None,
                detail: Detail::Times,
            };
            let group = Group { table, group, metrics: Vec::new() };
            let mut merging = readings.read(&group, &selection)?;
            let mut rows = Rows::new(selection.columns.iter().copied());
            let mut more = true;
            while more {
                more = merging.read(PIECE_ROWS, &mut rows)?;
                for ((_, at), column) in columns.iter().zip(rows.columns()) {
                    for (row, &time) in rows.time.iter().enumerate() {
                        let time = Timestamp::from_nanos(time);
                        if let Some(value) = column.cells.get(row).filter(|_| range.contains(&time)) {
                            visit(*at, time, value);
                        }
                    }
                }
                rows.clear();
            }
        }
        Ok(())
    }

    fn is_cold(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        range: Range<Timestamp>,
    ) -> Result<bool> {
        let place = self.series_place(tenant.as_str(), device.as_str(), metric.as_str())?;
        let Some((table, entity, _)) = place.filter(|_| range.start < range.end) else { return Ok(false) };
        let readings = self.readings_of(table);
        readings.is_cold(entity, &claimed(&range, readings.shifts(table)))
    }

    fn latest(&self, tenant: &TenantId, device: &DeviceId) -> Result<Vec<Reading>> {
        let Some(no) = self.device_no(tenant.as_str(), device.as_str())? else { return Ok(Vec::new()) };
        let (held, groups) = self.buffered_of(tenant);
        let mut row = self.last_row(no)?;
        held.renew(&mut row, &groups, no)?;
        let mut readings = Vec::with_capacity(row.len());
        let visible = self.visible.read();
        for (column, (when, value)) in row {
            let metric = visible.metrics.get(column).and_then(|known| MetricName::parse(&known.name).ok());
            let metric = metric.ok_or_else(|| last::damaged(&self.manifest, no))?;
            readings.push(Reading { device: device.clone(), metric, when, value });
        }
        readings.sort_by(|a, b| a.metric.cmp(&b.metric));
        Ok(readings)
    }

    fn device(&self, tenant: &TenantId, device: &DeviceId) -> Result<Option<Device>> {
        let (held, groups) = self.buffered_of(tenant);
        let found = tables::device_of(self, tenant, device)?;
        Ok(found.map(|found| held.renew_device(&groups, found)))
    }

    fn devices(&self, tenant: &TenantId, after: Option<&str>, limit: u32) -> Result<Vec<Device>> {
        let (held, groups) = self.buffered_of(tenant);
        let found = tables::devices_of(self, tenant, after, limit)?;
        Ok(found.into_iter().map(|found| held.renew_device(&groups, found)).collect())
    }

    fn held(&self, keys: &[Key<'_>]) -> Result<Vec<Option<Value>>> {
        let mut held = Vec::with_capacity(keys.len());
        // Keys of one series usually come together.
        let mut last = None;
        for key in keys {
            let names = (key.tenant, key.device, key.metric);
            let place = match last {
                Some((of, place)) if of == names => place,
                _ => self.series_place(key.tenant, key.device, key.metric)?,
            };
            last = Some((names, place));
            let claimed = key.claimed.nanos();
            let found = place.map(|(table, entity, column)| {
                let mut found = self.find(table, entity, &[column], &(claimed..=claimed))?;
                Ok(found.remove(&(claimed, key.seq, column)).map(|(_, value)| value))
            });
            held.push(found.transpose()?.flatten());
        }
        Ok(held)
    }

    fn cardinality(&self, tenant: &TenantId) -> Result<Cardinality> {
        tables::cardinality_of(self, tenant)
    }

    fn dead_message(&self, source: Source, offset: u64) -> Result<Option<DeadMessage>> {
        tables::dead_message_of(self, source, offset)
    }

    fn dead_messages(&self, tenant: &str, limit: u32) -> Result<Vec<DeadMessage>> {
        tables::dead_messages_of(self, tenant, limit)
    }
}

/// Where the claimed times of a range of event times are.
fn claimed(range: &Range<Timestamp>, (earliest, latest): (i64, i64)) -> RangeInclusive<i64> {
    range.start.nanos().saturating_sub(latest)..=(range.end.nanos() - 1).saturating_sub(earliest)
}

/// Visits what rows have of one metric. `false`: enough.
fn visit_rows(
    rows: &Rows,
    order: impl IntoIterator<Item = usize>,
    range: &Range<Timestamp>,
    visit: &mut dyn FnMut(Point) -> bool,
) -> bool {
    let cells = &rows.columns[0].cells;
    order.into_iter().all(|row| {
        let time = Timestamp::from_nanos(rows.time[row]);
        match cells.get(row).filter(|_| range.contains(&time)) {
            Some(value) => visit(Point { time, value: value.to_value() }),
            None => true,
        }
    })
}
