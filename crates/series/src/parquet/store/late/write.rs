//! The late readings of a batch: their places, how often such came before, and into the buffer.

use std::sync::Arc;

use record::{TenantId, Timestamp, ValueRef, When};

use super::Part::{Deliveries, Value, Watermark};
use crate::Result;
use crate::parquet::store::buffer::row_key;
use crate::parquet::store::fresh::Block;
use crate::parquet::store::metrics::{Derived, LATE};
use crate::parquet::store::write::{Beside, Held, Incoming, Sought, Writer};
use crate::parquet::store::{Parquet, Visible};
use crate::parquet::{ColumnNo, Entity};
use crate::sqlite::fault;
use crate::{LateReading, LateRow, WriteBatch};

/// The late readings of a batch in their places.
pub(in crate::parquet::store) struct LateReadings<'b> {
    placed: Vec<Placed<'b>>,
    /// What runs hold under their keys.
    held: Held,
}

struct Placed<'b> {
    of: Arc<Derived>,
    entity: Entity,
    when: When,
    value: ValueRef<'b>,
    watermark: Timestamp,
    /// How often it came now.
    deliveries: u64,
}

impl Parquet {
    /// Gives the late readings of a batch their places, and looks for what is listed under their keys.
    pub(in crate::parquet::store) fn place_late<'b>(
        &self,
        writer: &mut Writer,
        batch: &WriteBatch,
        named: &[(Incoming<'b>, Held)],
        beside: &Beside<'b>,
    ) -> Result<LateReadings<'b>> {
        let failed = |error| fault("listing late readings", &self.manifest, error);
        let mut placed: Vec<Placed<'b>> = Vec::new();
        for (incoming, _) in named {
            let tenant = incoming.tenant;
            for &LateRow { row, watermark } in batch.late.get(tenant).into_iter().flatten() {
                let reading = incoming.readings.get(row as usize).expect("it is a row of the batch");
                let of = self.list(writer, tenant, reading.metric).map_err(failed)?;
                let (entity, when) = (Entity::new(of.group, incoming.device(row as usize)), reading.when);
                placed.push(Placed { of, entity, when, value: reading.value, watermark, deliveries: 1 });
            }
        }
        for (tenant, listed) in beside.late {
            let LateReading { reading, watermark, times } = listed;
            let of = self.list(writer, tenant, reading.metric.as_str()).map_err(failed)?;
            let Writer { connection, names, .. } = &mut *writer;
            let device = names.device(connection, tenant, reading.device.as_str(), reading.when.arrived_at);
            let device = device.and_then(|no| {
                u32::try_from(no).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, no))
            });
            placed.push(Placed {
                entity: Entity::new(of.group, device.map_err(failed)?),
                of,
                when: reading.when,
                value: reading.value.as_ref(),
                watermark: *watermark,
                deliveries: *times,
            });
        }
        let held = self.held_in_runs(placed.iter().map(|Placed { of, entity, when, .. }| Sought {
            table: of.table,
            entity: *entity,
            claimed: when.claimed.nanos(),
            columns: of.column(Watermark).0..=of.column(Deliveries).0,
        }))?;
        Ok(LateReadings { placed, held })
    }

    /// The columns of a metric's list.
    fn list(&self, writer: &Writer, tenant: &TenantId, metric: &str) -> rusqlite::Result<Arc<Derived>> {
        if let Some(known) = self.visible.read().metrics.find_derived(tenant.as_str(), LATE, metric) {
            return Ok(Arc::clone(known));
        }
        let metrics = &mut self.visible.write().metrics;
        metrics.add_derived(&writer.connection, tenant.as_str(), &LATE.into(), metric)
    }
}

impl Visible {
    /// Puts late readings into the buffer, and into the block that is kept until they stand in a run.
    pub(in crate::parquet::store) fn put_late(&mut self, late: &LateReadings<'_>, block: &mut Block) {
        for part in late.placed.chunk_by(|a, b| a.of.table == b.of.table) {
            let table = part[0].of.table;
            let rolling = self.rolling.as_ref().and_then(|rolling| rolling.buffers.get(&table)).cloned();
            let rolling = rolling.as_ref().map(|buffer| buffer.read());
            let mut buffer = self.buffers.entry(table).or_default().write();
            let (mut last, mut rows, mut rolling_rows) = (None, Vec::new(), Vec::new());
            for &Placed { ref of, entity, when, value, watermark, deliveries: now } in part {
                let key = row_key(entity, when.claimed, when.seq);
                if last.replace(key) != Some(key) {
                    buffer.rows_of_key(key, &mut rows);
                    rolling.iter().for_each(|rolling| rolling.rows_of_key(key, &mut rolling_rows));
                }
                let in_runs = |column: ColumnNo| {
                    let (_, value) = late.held.get(&entity)?.get(&(key.claimed, key.seq, column))?;
                    Some(value.as_ref())
                };
                let before = deliveries(|part| buffer.newest(&rows, of.column(part)).map(|(_, value)| value))
                    .or_else(|| {
                        let rolling = rolling.as_ref()?;
                        deliveries(|part| {
                            rolling.newest(&rolling_rows, of.column(part)).map(|(_, value)| value)
                        })
                    })
                    .or_else(|| deliveries(|part| in_runs(of.column(part))));
                let mut put = |part, value: ValueRef<'_>| {
                    let row = buffer.put(entity, of.column(part), when, value);
                    block.put(entity, of.column(part), when, value);
                    row
                };
                put(Value, value);
                let row = put(Watermark, ValueRef::Int(watermark.nanos()));
                let all = before.unwrap_or(0) + now;
                if all > 1 {
                    put(Deliveries, ValueRef::Int(all.cast_signed()));
                }
                if rows.last() != Some(&row) {
                    rows.push(row);
                }
            }
        }
    }
}

/// How many values came late under a key, from its cells.
pub(super) fn deliveries<'c>(cell: impl Fn(super::Part) -> Option<ValueRef<'c>>) -> Option<u64> {
    cell(Watermark)?;
    Some(cell(Deliveries).and_then(|count| count.as_f64()).map_or(1, |count| count as u64))
}
