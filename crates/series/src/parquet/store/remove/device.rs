//! A device that is to be forgotten.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use record::{DeviceId, TenantId, Timestamp};
use rusqlite::Connection;

use super::super::buffer::Buffer;
use super::super::moment::{ALWAYS, Group, Readings, Selection};
use super::super::write::Writer;
use super::super::{Buffers, Parquet, RunEntry, fresh, late, manifest, windows};
use super::{Exchange, OfTenant};
use crate::parquet::merge::Goes;
use crate::parquet::run::Detail;
use crate::parquet::{ColumnNo, Entity, Rows};
use crate::sqlite::Books as _;
use crate::sqlite::names::Names;
use crate::sqlite::remove::{What, books, keep};
use crate::sqlite::{fault, sync_directory_of};
use crate::{Counts, Removal, Result};

/// Rows that are counted at a time.
const PIECE_ROWS: usize = 8192;

impl Parquet {
    pub(super) fn erase_device(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        reason: &str,
        at: Timestamp,
    ) -> Result<Removal> {
        let mut removal = Removal::of_device(device, reason, at);
        let _no_merge = self.compacting.lock();
        // Most of what is buffered becomes runs first: what is left to be done while writers wait is little.
        self.roll()?;
        let _no_roll = self.rolling.lock();
        let no = self.with_committed("looking for a device", |connection| {
            manifest::device(connection, tenant.as_str(), device.as_str())
        })?;
        let of = self.visible.read().of_tenant(tenant);
        let (gone, made) = match no {
            Some(no) => self.written_without(&of, no)?,
            None => Exchange::default(),
        };
        let mut writer = self.writer.lock();
        let outcome = self.exchange_without(&mut writer, (tenant, no, &of), (&gone, &made), &mut removal);
        drop(writer);
        if let Err(error) = outcome {
            made.iter().for_each(|run| run.doom());
            return Err(error);
        }
        self.let_go(gone)?;
        Ok(removal)
    }

    /// Writes the runs that hold a device again, without it.
    fn written_without(&self, of: &OfTenant, device: u32) -> Result<Exchange> {
        let runs = self.visible.read().runs.clone();
        let (mut gone, mut made): Exchange = Exchange::default();
        for entry in runs.iter().filter(|run| of.has(run.facts.table)) {
            let run = self.cache.open(entry)?;
            if !run.sidecar().entities.iter().any(|rows| rows.entity.device() == device) {
                continue;
            }
            let again = self.written_again(entry, &run, Goes::Device(device));
            made.extend(again.inspect_err(|_| made.iter().for_each(|run| run.doom()))?);
            gone.push(Arc::clone(entry));
        }
        if let Some(first) = made.first() {
            sync_directory_of(&first.path)?;
        }
        Ok((gone, made))
    }

    /// Exchanges the runs, removes the device from what is buffered and from the books, and keeps the record: one commit.
    fn exchange_without(
        &self,
        writer: &mut Writer,
        (tenant, device, of): (&TenantId, Option<u32>, &OfTenant),
        (gone, made): (&[Arc<RunEntry>], &[Arc<RunEntry>]),
        removal: &mut Removal,
    ) -> Result<()> {
        let failed = |error| fault("removing a device", &self.manifest, error);
        let held = self.visible.read().readings(&self.cache, |table| of.has(table));
        let mut counts = Counts::default();
        if let Some(device) = device {
            counts.readings = count(&held, &of.readings, device)?;
            counts.windows = windows::count(&held, &of.windows, Some(device), &ALWAYS, |_| true)?;
            counts.late = late::count(&held, &of.late, Some(device), &ALWAYS, |_| true)?;
        }
        let buffers = self.visible.read().buffers.clone();
        let mut left = Buffers::new();
        let name = removal.device.clone();
        // Held across the commit: nobody sees the books without the device and the runs with it.
        let mut visible = self.visible.write();
        let changed = self.exchange(&writer.connection, |connection| {
            let what = What::Device(name.as_ref().map_or("", DeviceId::as_str));
            removal.removed = books(connection, Self::NAMING, tenant.as_str(), what)?;
            removal.removed += counts;
            gone.iter().try_for_each(|run| manifest::remove_run(connection, run.facts.no))?;
            made.iter().try_for_each(|run| manifest::add_run(connection, &run.facts))?;
            if let Some(device) = device {
                manifest::forget_last_row(connection, device)?;
                left = blocks_without(connection, device, of, &buffers)?;
            }
            keep(connection, tenant.as_str(), removal)
        });
        changed.map_err(failed)?;
        visible.exchange_runs(gone, made);
        visible.buffers.extend(left);
        drop(visible);
        // They know a number that nobody has any more.
        writer.names = Names::default();
        writer.known_series.clear();
        Ok(())
    }
}

/// How many readings a device has.
fn count(readings: &Readings, groups: &[Group], device: u32) -> Result<u64> {
    let mut count = 0;
    for group in groups {
        let mut columns: Vec<ColumnNo> = group.metrics.iter().map(|metric| metric.no).collect();
        columns.sort_unstable();
        let (devices, claimed) = (Some([device].into()), i64::MIN..=i64::MAX);
        let selection = Selection { columns, rows_of: None, devices, claimed, detail: Detail::Times };
        let mut merging = readings.read(group, &selection)?;
        let mut rows = Rows::new(selection.columns.iter().copied());
        while merging.read(PIECE_ROWS, &mut rows)? {
            if rows.len() >= PIECE_ROWS {
                count += rows.readings();
                rows.clear();
            }
        }
        count += rows.readings();
    }
    Ok(count)
}

/// Takes a device out of the blocks of fresh readings, and makes the buffers of its tables anew from what is left.
fn blocks_without(
    connection: &Connection,
    device: u32,
    of: &OfTenant,
    buffers: &Buffers,
) -> rusqlite::Result<Buffers> {
    let concerned = |table: &u32| {
        let holds = |group: &Group| {
            let entity = Entity::new(group.group, device);
            buffers.get(table).is_some_and(|buffer| buffer.read().holds(entity))
        };
        of.groups().filter(|group| group.table == *table).any(holds)
    };
    let concerned: Vec<u32> = buffers.keys().copied().filter(concerned).collect();
    if concerned.is_empty() {
        return Ok(Buffers::new());
    }
    let table_of = of.columns();
    let mut left: BTreeMap<u32, Buffer> = concerned.iter().map(|&table| (table, Buffer::default())).collect();
    let mut changed: Vec<(i64, Vec<u8>)> = Vec::new();
    let visited = manifest::fresh(connection, &mut |no, bytes| {
        let (mut block, mut touched) = (fresh::Block::default(), false);
        left.values_mut().for_each(Buffer::seal);
        fresh::read(bytes, &mut |entity, column, when, value| {
            if entity.device() == device && table_of.contains_key(&column) {
                touched = true;
                return;
            }
            block.put(entity, column, when, value);
            if let Some(buffer) = table_of.get(&column).and_then(|table| left.get_mut(table)) {
                buffer.put(entity, column, when, value);
            }
        })
        .map_err(|reason| fresh::damaged(Path::new(manifest::FILE), no, reason))?;
        if touched {
            changed.push((no, block.seal().map(<[u8]>::to_vec).unwrap_or_default()));
        }
        Ok(())
    })?;
    visited.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    for (no, bytes) in changed {
        manifest::replace_fresh(connection, no, &bytes)?;
    }
    Ok(left.into_iter().map(|(table, buffer)| (table, Arc::new(RwLock::new(buffer)))).collect())
}
