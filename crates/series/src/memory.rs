//! The store without a disk: for tests of what stands above it. Gone with the process.

mod audit;
mod remove;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use parking_lot::{Mutex, RwLock};
use record::{DeviceId, MetricName, Reading, ReadingRef, TenantId, Timestamp, Value, When};

use crate::model::same;
use crate::{
    AccountKey, Amounts, Cardinality, ClockRow, DeadMessage, Device, Error, Key, LateReading, Note, Point,
    Position, Removal, Result, SeriesReader, SeriesWriter, Source, Span, Superseded, WindowKey, WindowRow,
    WriteBatch, Written,
};

/// A store in memory.
#[derive(Debug, Default)]
pub struct Memory {
    state: RwLock<State>,
    /// What a power cut leaves, where there may be one.
    flushed: Option<Mutex<State>>,
}

type DeviceKey = (TenantId, DeviceId);

/// Which reading of a series: the claimed time and the sequence number.
type RowKey = (Timestamp, u64);

#[derive(Clone, Debug, Default)]
struct State {
    devices: BTreeMap<DeviceKey, (Device, BTreeMap<MetricName, Series>)>,
    windows: BTreeMap<WindowKey, WindowRow>,
    late: BTreeMap<(TenantId, DeviceId, MetricName, RowKey), LateReading>,
    superseded: Vec<(TenantId, Superseded)>,
    dead: BTreeMap<(Source, u64), DeadMessage>,
    account: BTreeMap<AccountKey, Amounts>,
    clocks: BTreeMap<DeviceKey, ClockRow>,
    notes: BTreeMap<(u16, u64), Vec<u8>>,
    /// Where the account of a partition begins, and the next offset.
    positions: BTreeMap<Source, (u64, u64)>,
    removals: Vec<(TenantId, Removal)>,
}

#[derive(Clone, Debug, Default)]
struct Series {
    cells: BTreeMap<RowKey, Cell>,
    /// Event time, sequence number, claimed time.
    by_time: BTreeSet<(Timestamp, u64, Timestamp)>,
}

#[derive(Clone, Debug)]
struct Cell {
    value: Value,
    when: When,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that can lose what was not flushed, as a disk does. Each flush costs a copy of everything.
    #[must_use]
    pub fn with_power_cuts() -> Self {
        Self { flushed: Some(Mutex::default()), ..Self::default() }
    }

    /// Loses what was not flushed, if the store is one that can.
    pub fn cut_power(&self) {
        if let Some(flushed) = &self.flushed {
            *self.state.write() = flushed.lock().clone();
        }
    }
}

impl SeriesWriter for Memory {
    fn write(&self, batch: &WriteBatch) -> Result<Written> {
        let mut state = self.state.write();
        for span in &batch.spans {
            match state.positions.get(&span.source) {
                Some(&(_, held)) if held != span.from => {
                    return Err(Error::Conflict { source_partition: span.source, held, from: span.from });
                }
                _ => {}
            }
        }
        let mut written = Written::default();
        for (tenant, readings) in &batch.readings {
            for reading in readings.iter() {
                state.put(tenant, reading, &mut written);
            }
            for late in batch.late.get(tenant).into_iter().flatten() {
                let reading = readings.get(late.row as usize).expect("a late row is a row of the batch");
                state.put_late(tenant, reading, late.watermark);
            }
        }
        written.dead_letters = batch.dead.iter().map(|message| message.letters.len() as u64).sum();
        state.keep_books(batch);
        Ok(written)
    }

    fn flush(&self) -> Result<()> {
        if let Some(flushed) = &self.flushed {
            *flushed.lock() = self.state.read().clone();
        }
        Ok(())
    }

    fn positions(&self) -> Result<Vec<Position>> {
        let state = self.state.read();
        let positions = state.positions.iter();
        Ok(positions.map(|(&source, &(_, offset))| Position { source, offset }).collect())
    }

    fn notes(&self) -> Result<Vec<Note>> {
        let state = self.state.read();
        let note = |(&(partition, number), bytes): (&(u16, u64), &Vec<u8>)| Note {
            partition,
            number,
            bytes: bytes.clone(),
        };
        Ok(state.notes.iter().map(note).collect())
    }
}

impl State {
    fn put(&mut self, tenant: &TenantId, reading: ReadingRef<'_>, written: &mut Written) {
        let reading = reading.to_reading();
        let arrived_at = reading.when.arrived_at;
        let (device, metrics) =
            self.devices.entry((tenant.clone(), reading.device.clone())).or_insert_with(|| {
                let id = reading.device.clone();
                (Device { id, created_at: arrived_at, last_seen: arrived_at }, BTreeMap::new())
            });
        device.last_seen = device.last_seen.max(arrived_at);
        let series = metrics.entry(reading.metric.clone()).or_default();
        let key = (reading.when.claimed, reading.when.seq);
        match series.cells.get(&key) {
            Some(held) if same(held.value.as_ref(), reading.value.as_ref()) => {
                written.duplicates += 1;
                return;
            }
            Some(held) => {
                written.corrections += 1;
                series.by_time.remove(&(held.when.time, held.when.seq, held.when.claimed));
                let Cell { value, when } = held.clone();
                let old =
                    Reading { device: reading.device.clone(), metric: reading.metric.clone(), when, value };
                self.superseded.push((tenant.clone(), Superseded { reading: old, replaced_at: arrived_at }));
            }
            None => written.stored += 1,
        }
        series.by_time.insert((reading.when.time, reading.when.seq, reading.when.claimed));
        series.cells.insert(key, Cell { value: reading.value, when: reading.when });
    }

    fn put_late(&mut self, tenant: &TenantId, reading: ReadingRef<'_>, watermark: Timestamp) {
        let reading = reading.to_reading();
        let row = (reading.when.claimed, reading.when.seq);
        let key = (tenant.clone(), reading.device.clone(), reading.metric.clone(), row);
        let times = self.late.get(&key).map_or(0, |late| late.times) + 1;
        self.late.insert(key, LateReading { reading, watermark, times });
    }

    fn put_windows(&mut self, batch: &WriteBatch) {
        // Spans may overlap: each is looked at before any result goes.
        let (mut replaced, mut gone) = (BTreeSet::new(), BTreeSet::new());
        for void in &batch.void_windows {
            let until = WindowKey { start: void.until, ..void.key.clone() };
            let mut found = self.windows.range(&void.key..&until).map(|(key, _)| key.clone()).peekable();
            if found.peek().is_some() {
                replaced.insert(&void.key);
            }
            gone.extend(found);
        }
        gone.iter().for_each(|key| drop(self.windows.remove(key)));
        let is_there = |row: &&WindowRow| self.windows.contains_key(&row.key);
        let revised: Vec<&WindowRow> = batch.revised_windows.iter().filter(is_there).collect();
        for row in batch.windows.iter().chain(revised) {
            let mut row = row.clone();
            row.revised |= replaced.contains(&row.key);
            if let Some(before) = self.windows.get(&row.key) {
                let as_before = WindowRow { revised: row.revised, ..before.clone() };
                row.revised |= before.revised || as_before != row;
            }
            self.windows.insert(row.key.clone(), row);
        }
    }

    /// Everything of a batch but its readings.
    fn keep_books(&mut self, batch: &WriteBatch) {
        self.put_windows(batch);
        for message in &batch.dead {
            self.dead.insert((message.source, message.offset), message.clone());
        }
        for place in &batch.resolved {
            self.dead.remove(place);
        }
        for entry in &batch.account {
            *self.account.entry(entry.key.clone()).or_default() += entry.amounts;
        }
        for row in &batch.clocks {
            self.clocks.insert((row.tenant.clone(), row.device.clone()), row.clone());
        }
        for note in &batch.notes {
            self.notes.insert((note.partition, note.number), note.bytes.clone());
        }
        for &(partition, number) in &batch.forget {
            self.notes.retain(|&(of, n), _| of != partition || n >= number);
        }
        for &Span { source, from, to } in &batch.spans {
            self.positions.entry(source).or_insert((from, to)).1 = to;
        }
    }

    fn series(&self, tenant: &str, device: &str, metric: &str) -> Option<&Series> {
        let (tenant, device) = (TenantId::parse(tenant).ok()?, DeviceId::parse(device).ok()?);
        self.devices.get(&(tenant, device))?.1.get(&MetricName::parse(metric).ok()?)
    }
}

impl Series {
    fn latest(&self) -> Option<&Cell> {
        let &(_, seq, claimed) = self.by_time.last()?;
        self.cells.get(&(claimed, seq))
    }
}

impl SeriesReader for Memory {
    fn points(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        range: Range<Timestamp>,
        visit: &mut dyn FnMut(Point) -> bool,
    ) -> Result<()> {
        let state = self.state.read();
        let Some(series) = state.series(tenant.as_str(), device.as_str(), metric.as_str()) else {
            return Ok(());
        };
        if range.start >= range.end {
            return Ok(());
        }
        let lowest = Timestamp::from_nanos(i64::MIN);
        for &(time, seq, claimed) in series.by_time.range((range.start, 0, lowest)..(range.end, 0, lowest)) {
            if !visit(Point { time, value: series.cells[&(claimed, seq)].value.clone() }) {
                break;
            }
        }
        Ok(())
    }

    fn latest(&self, tenant: &TenantId, device: &DeviceId) -> Result<Vec<Reading>> {
        let state = self.state.read();
        let Some((_, metrics)) = state.devices.get(&(tenant.clone(), device.clone())) else {
            return Ok(Vec::new());
        };
        let last = metrics.iter().filter_map(|(metric, series)| {
            let Cell { value, when } = series.latest()?.clone();
            Some(Reading { device: device.clone(), metric: metric.clone(), when, value })
        });
        Ok(last.collect())
    }

    fn device(&self, tenant: &TenantId, device: &DeviceId) -> Result<Option<Device>> {
        Ok(self.state.read().devices.get(&(tenant.clone(), device.clone())).map(|(device, _)| device.clone()))
    }

    fn devices(&self, tenant: &TenantId, after: Option<&str>, limit: u32) -> Result<Vec<Device>> {
        let state = self.state.read();
        let of_tenant = state.devices.iter().filter(|((owner, _), _)| owner == tenant).map(|(_, (d, _))| d);
        let wanted = of_tenant.filter(|device| after.is_none_or(|after| device.id.as_str() > after));
        Ok(wanted.take(limit as usize).cloned().collect())
    }

    fn held(&self, keys: &[Key<'_>]) -> Result<Vec<Option<Value>>> {
        let state = self.state.read();
        let held = |key: &Key<'_>| {
            let series = state.series(key.tenant, key.device, key.metric)?;
            series.cells.get(&(key.claimed, key.seq)).map(|cell| cell.value.clone())
        };
        Ok(keys.iter().map(held).collect())
    }

    fn cardinality(&self, tenant: &TenantId) -> Result<Cardinality> {
        let state = self.state.read();
        let of_tenant = state.devices.iter().filter(|((owner, _), _)| owner == tenant);
        Ok(of_tenant.fold(Cardinality::default(), |sum, (_, (_, metrics))| Cardinality {
            devices: sum.devices + 1,
            series: sum.series + metrics.len() as u64,
        }))
    }

    fn dead_message(&self, source: Source, offset: u64) -> Result<Option<DeadMessage>> {
        Ok(self.state.read().dead.get(&(source, offset)).cloned())
    }

    fn dead_messages(&self, tenant: &str, limit: u32) -> Result<Vec<DeadMessage>> {
        let state = self.state.read();
        let mut dead: Vec<_> =
            state.dead.values().filter(|message| message.tenant == tenant).cloned().collect();
        dead.sort_by_key(|message| std::cmp::Reverse((message.arrived_at, message.source, message.offset)));
        dead.truncate(limit as usize);
        Ok(dead)
    }
}
