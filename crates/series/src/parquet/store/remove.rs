//! What is removed on purpose: a device, by writing the runs that hold it again without it; old readings, by leaving out
//! the runs that hold nothing newer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use record::{DeviceId, TenantId, Timestamp};
use rusqlite::Connection;

use super::buffer::Buffer;
use super::last;
use super::manifest::{self, RunFacts};
use super::metrics::Holds;
use super::moment::{DerivedGroup, Group, Readings, Selection};
use super::roll::facts;
use super::write::Writer;
use super::{Buffers, Parquet, RunEntry, Visible, fresh, late, windows};
use crate::parquet::merge::without;
use crate::parquet::run::Detail;
use crate::parquet::{ColumnNo, Entity, Rows};
use crate::sqlite::Books as _;
use crate::sqlite::names::Names;
use crate::sqlite::remove::{What, books, keep, removals_of, tenants_of};
use crate::sqlite::{fault, sync_directory_of};
use crate::{Counts, Expiring, Removal, Result, SeriesRemove};

/// Rows that are counted at a time.
const PIECE_ROWS: usize = 8192;

/// Devices that are looked at a time.
const DEVICES: usize = 1024;

/// Counts what stands in runs that are wanted, and in the buffers.
type Counting<'c> = &'c dyn Fn(&dyn Fn(&RunEntry) -> bool) -> Result<u64>;

/// What takes the place of runs.
type Exchange = (Vec<Arc<RunEntry>>, Vec<Arc<RunEntry>>);

impl SeriesRemove for Parquet {
    fn erase(&self, tenant: &TenantId, device: &DeviceId, reason: &str, at: Timestamp) -> Result<Removal> {
        let mut removal = Removal {
            no: 0,
            device: Some(device.clone()),
            before: None,
            reason: reason.to_owned(),
            at,
            removed: Counts::default(),
        };
        // Most of what is buffered becomes runs first: what is left to be done while writers wait is little.
        self.roll()?;
        let _no_roll = self.rolling.lock();
        let _no_merge = self.compacting.lock();
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

    fn expire(
        &self,
        tenant: &TenantId,
        what: Expiring,
        before: Timestamp,
        at: Timestamp,
    ) -> Result<Option<Removal>> {
        // Neither rolls, which set last rows, nor merges.
        let _no_roll = self.rolling.lock();
        let _no_merge = self.compacting.lock();
        let reason = what.reason().to_owned();
        let mut removal =
            Removal { no: 0, device: None, before: Some(before), reason, at, removed: Counts::default() };
        let (gone, outdated) = self.outdated(tenant, what, before)?;
        let failed = |error| fault("removing what is old", &self.manifest, error);
        let writer = self.writer.lock();
        // Held across the commit: nobody sees the books without it and the runs with it.
        let mut visible = self.visible.write();
        let changed = self.exchange(&writer.connection, |connection| {
            removal.removed = books(connection, Self::NAMING, tenant.as_str(), What::Old(what, before))?;
            removal.removed += outdated;
            gone.iter().try_for_each(|run| manifest::remove_run(connection, run.facts.no))?;
            if removal.removed.is_zero() {
                return Ok(());
            }
            if what == Expiring::Readings {
                forget_old_values(connection, tenant.as_str(), before)?;
            }
            keep(connection, tenant.as_str(), &mut removal)
        });
        changed.map_err(failed)?;
        visible.runs.retain(|run| !gone.iter().any(|gone| Arc::ptr_eq(run, gone)));
        drop((visible, writer));
        self.let_go(gone)?;
        Ok((!removal.removed.is_zero()).then_some(removal))
    }

    fn tenants(&self) -> Result<Vec<TenantId>> {
        tenants_of(self)
    }

    fn removals(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Removal>> {
        removals_of(self, tenant, limit)
    }
}

/// What a tenant may have rows of.
struct OfTenant {
    readings: Vec<Group>,
    windows: Vec<DerivedGroup>,
    late: Vec<DerivedGroup>,
}

impl Visible {
    fn of_tenant(&self, tenant: &TenantId) -> OfTenant {
        let tenant = tenant.as_str();
        OfTenant {
            readings: self.groups(tenant).collect(),
            windows: self.derived_groups(tenant, Holds::Windows).collect(),
            late: self.derived_groups(tenant, Holds::Late).collect(),
        }
    }
}

impl OfTenant {
    fn derived(&self) -> impl Iterator<Item = &DerivedGroup> {
        self.windows.iter().chain(&self.late)
    }

    fn groups(&self) -> impl Iterator<Item = &Group> {
        self.readings.iter().chain(self.derived().map(|derived| &derived.group))
    }

    fn has(&self, table: u32) -> bool {
        self.groups().any(|group| group.table == table)
    }

    /// Which table each column is in.
    fn columns(&self) -> BTreeMap<ColumnNo, u32> {
        let readings = self.readings.iter();
        let readings = readings.flat_map(|group| group.metrics.iter().map(|metric| (metric.no, group.table)));
        let derived = self.derived().flat_map(|group| &group.members);
        let derived = derived.flat_map(|member| member.columns().map(|column| (column, member.table)));
        readings.chain(derived).collect()
    }
}

impl Parquet {
    /// Writes the runs that hold a device again, without it.
    fn written_without(&self, of: &OfTenant, device: u32) -> Result<Exchange> {
        let runs = self.visible.read().runs.clone();
        let (mut gone, mut made) = Exchange::default();
        for entry in runs.iter().filter(|run| of.has(run.facts.table)) {
            let run = self.cache.open(entry)?;
            if !run.sidecar().entities.iter().any(|rows| rows.entity.device() == device) {
                continue;
            }
            let mut numbers = Vec::new();
            let outputs = without(&run, device, || {
                let no = self.next_run_no();
                numbers.push(no);
                manifest::run_path(&self.runs, no)
            });
            let outputs = outputs.inspect_err(|_| {
                let paths = numbers.iter().map(|&no| manifest::run_path(&self.runs, no));
                paths.for_each(|path| super::remove_files(&path));
                made.iter().for_each(|run: &Arc<RunEntry>| run.doom());
            })?;
            let RunFacts { table, period, level, generation, .. } = entry.facts;
            made.extend(outputs.iter().zip(&numbers).map(|(output, &no)| {
                let facts = facts(&output.written, table, period, level);
                RunEntry::new(&self.runs, RunFacts { no, generation, ..facts })
            }));
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
            counts.windows = windows::count(&held, &of.windows, Some(device), |_| true)?;
            counts.late = late::count(&held, &of.late, Some(device), |_| true)?;
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
        visible.runs.retain(|run| !gone.iter().any(|gone| Arc::ptr_eq(run, gone)));
        visible.runs.extend(made.iter().cloned());
        visible.runs.sort_by_key(|run| (run.facts.generation, run.facts.no));
        visible.buffers.extend(left);
        drop(visible);
        // They know a number that nobody has any more.
        writer.names = Names::default();
        writer.known_series.clear();
        Ok(())
    }

    /// The runs of a tenant that hold nothing of a kind from after a time, and how much goes with them.
    fn outdated(
        &self,
        tenant: &TenantId,
        what: Expiring,
        before: Timestamp,
    ) -> Result<(Vec<Arc<RunEntry>>, Counts)> {
        let moment = self.moment(tenant.as_str())?;
        let stands_in = |groups: &[DerivedGroup], table| groups.iter().any(|of| of.group.table == table);
        let of_kind = |run: &RunEntry| match (what, run.facts.table) {
            (Expiring::Readings, table) => {
                moment.groups.iter().any(|group| group.table == table) || stands_in(&moment.late, table)
            }
            (Expiring::Windows, table) => stands_in(&moment.windows, table),
        };
        let is_old = |run: &RunEntry| {
            let latest = run.facts.claimed.1.saturating_add(run.facts.shifts.1);
            latest < before.nanos() && of_kind(run)
        };
        let mut counts = Counts::default();
        let gone: Vec<_> = moment.readings.runs().iter().filter(|run| is_old(run)).cloned().collect();
        if gone.is_empty() {
            return Ok((gone, counts));
        }
        // With what is old, and without it.
        let difference =
            |count: Counting<'_>| Ok::<_, crate::Error>(count(&|_| true)? - count(&|run| !is_old(run))?);
        match what {
            Expiring::Readings => {
                for groups in moment.groups.chunk_by(|a, b| a.table == b.table) {
                    counts.readings += moment.readings.count_difference(groups, is_old)?;
                }
                counts.late = difference(&|wants| late::count(&moment.readings, &moment.late, None, wants))?;
            }
            Expiring::Windows => {
                counts.windows =
                    difference(&|wants| windows::count(&moment.readings, &moment.windows, None, wants))?;
            }
        }
        Ok((gone, counts))
    }

    /// Files go once the commit that does without them is on disk.
    fn let_go(&self, gone: Vec<Arc<RunEntry>>) -> Result<()> {
        gone.iter().for_each(|run| self.cache.forget(run.facts.no));
        self.durable.sync()?;
        gone.iter().for_each(|run| run.doom());
        self.durable.carry();
        drop(gone);
        if let Err(error) = self.remove_unwanted() {
            // They stand in the manifest until they are gone.
            tracing::warn!(%error, "objects of what was removed are still in the cold tier; trying again");
        }
        Ok(())
    }
}

/// Takes what is old out of the last rows of a tenant's devices.
fn forget_old_values(connection: &Connection, tenant: &str, before: Timestamp) -> rusqlite::Result<()> {
    let mut after = String::new();
    loop {
        let rows = manifest::last_rows(connection, tenant, &after, DEVICES)?;
        let Some((_, last, _)) = rows.last() else { return Ok(()) };
        after.clone_from(last);
        for (device, _, bytes) in rows {
            let Some(mut row) = bytes.as_deref().and_then(last::decode) else { continue };
            let values = row.len();
            row.retain(|_, (when, _)| when.time >= before);
            match row.len() {
                0 => manifest::forget_last_row(connection, device)?,
                left if left < values => manifest::set_last_row(connection, device, &last::encode(&row))?,
                _ => {}
            }
        }
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
