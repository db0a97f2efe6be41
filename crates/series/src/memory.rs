//! The store without a disk: for tests of what stands above it. Gone with the process.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use parking_lot::RwLock;
use record::{DeviceId, MetricName, Reading, TenantId, Timestamp, Value, When};

use crate::{
    DeadMessage, Device, Error, Point, Position, Result, SeriesReader, SeriesWriter, Source, WriteBatch,
    Written,
};

/// A store in memory.
#[derive(Debug, Default)]
pub struct Memory(RwLock<State>);

type DeviceKey = (TenantId, DeviceId);
type Series = BTreeMap<Timestamp, Cell>;

#[derive(Debug, Default)]
struct State {
    devices: BTreeMap<DeviceKey, (Device, BTreeMap<MetricName, Series>)>,
    dead: BTreeMap<(Source, u64), DeadMessage>,
    positions: BTreeMap<Source, u64>,
}

#[derive(Debug)]
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
}

impl SeriesWriter for Memory {
    fn write(&self, batch: &WriteBatch) -> Result<Written> {
        let mut state = self.0.write();
        for span in &batch.spans {
            match state.positions.get(&span.source) {
                Some(&held) if held != span.from => {
                    return Err(Error::Conflict { source_partition: span.source, held, from: span.from });
                }
                _ => {}
            }
        }
        let mut written = Written::default();
        for (tenant, readings) in &batch.readings {
            for reading in readings.iter() {
                state.put(tenant, reading.to_reading(), &mut written);
            }
        }
        for message in &batch.dead {
            written.dead_letters += message.letters.len() as u64;
            state.dead.insert((message.source, message.offset), message.clone());
        }
        state.positions.extend(batch.spans.iter().map(|span| (span.source, span.to)));
        Ok(written)
    }

    fn positions(&self) -> Result<Vec<Position>> {
        let state = self.0.read();
        Ok(state.positions.iter().map(|(&source, &offset)| Position { source, offset }).collect())
    }
}

impl State {
    fn put(&mut self, tenant: &TenantId, reading: Reading, written: &mut Written) {
        let key = (tenant.clone(), reading.device.clone());
        let arrived_at = reading.when.arrived_at;
        let (device, metrics) = self.devices.entry(key).or_insert_with(|| {
            let id = reading.device.clone();
            (Device { id, created_at: arrived_at, last_seen: arrived_at }, BTreeMap::new())
        });
        device.last_seen = device.last_seen.max(arrived_at);
        let cell = Cell { value: reading.value, when: reading.when };
        match metrics.entry(reading.metric).or_default().entry(reading.when.time) {
            Entry::Vacant(place) => {
                place.insert(cell);
                written.stored += 1;
            }
            Entry::Occupied(there) if same(&there.get().value, &cell.value) => written.duplicates += 1,
            Entry::Occupied(mut there) => {
                there.insert(cell);
                written.corrections += 1;
            }
        }
    }
}

/// Equal for the contract: a NaN that was delivered twice is a duplicate, not a correction.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
        _ => a == b,
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
        let state = self.0.read();
        let series =
            state.devices.get(&(tenant.clone(), device.clone())).and_then(|(_, metrics)| metrics.get(metric));
        if let Some(series) = series
            && range.start < range.end
        {
            for (&time, cell) in series.range(range) {
                if !visit(Point { time, value: cell.value.clone() }) {
                    break;
                }
            }
        }
        Ok(())
    }

    fn latest(&self, tenant: &TenantId, device: &DeviceId) -> Result<Vec<Reading>> {
        let state = self.0.read();
        let Some((_, metrics)) = state.devices.get(&(tenant.clone(), device.clone())) else {
            return Ok(Vec::new());
        };
        let last = metrics.iter().filter_map(|(metric, series)| {
            let (_, cell) = series.last_key_value()?;
            Some(Reading {
                device: device.clone(),
                metric: metric.clone(),
                when: cell.when,
                value: cell.value.clone(),
            })
        });
        Ok(last.collect())
    }

    fn device(&self, tenant: &TenantId, device: &DeviceId) -> Result<Option<Device>> {
        Ok(self.0.read().devices.get(&(tenant.clone(), device.clone())).map(|(device, _)| device.clone()))
    }

    fn devices(&self, tenant: &TenantId, after: Option<&str>, limit: u32) -> Result<Vec<Device>> {
        let state = self.0.read();
        let of_tenant = state.devices.iter().filter(|((owner, _), _)| owner == tenant).map(|(_, (d, _))| d);
        let wanted = of_tenant.filter(|device| after.is_none_or(|after| device.id.as_str() > after));
        Ok(wanted.take(limit as usize).cloned().collect())
    }

    fn dead_messages(&self, tenant: &str, limit: u32) -> Result<Vec<DeadMessage>> {
        let state = self.0.read();
        let mut dead: Vec<_> =
            state.dead.values().filter(|message| message.tenant == tenant).cloned().collect();
        dead.sort_by_key(|message| std::cmp::Reverse((message.arrived_at, message.source, message.offset)));
        dead.truncate(limit as usize);
        Ok(dead)
    }
}
