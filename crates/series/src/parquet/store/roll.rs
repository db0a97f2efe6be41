//! From the buffer to runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use record::Timestamp;

use super::heard;
use super::last::{self, LastRow};
use super::manifest::{self, RunFacts};
use super::moment::Group;
use super::period::{Grain, Period, day};
use super::{Parquet, Rolling, RunEntry, remove_files};
use crate::Result;
use crate::parquet::run::{Plan, Sidecar, Writer as RunWriter, Written};
use crate::parquet::{Entity, Rows};
use crate::sqlite::{at_one_moment, fault, sync_directory_of};

/// Devices whose last rows are read at a time.
const DEVICES: usize = 1024;

/// What the manifest is to have of the devices of a roll.
#[derive(Default)]
struct LastRows {
    rows: Vec<(u32, Vec<u8>)>,
    heard: BTreeMap<u32, Timestamp>,
}

impl Parquet {
    /// Makes runs of what is buffered, which [`Parquet::maintain`] does when it is due. Batches go into a new buffer
    /// meanwhile.
    ///
    /// # Errors
    /// [`crate::Error::Full`], [`crate::Error::Database`] when the disk refuses: what was buffered stays so.
    pub fn roll(&self) -> Result<()> {
        let mut since = self.rolling.lock();
        let Some(rolling) = self.freeze() else { return Ok(()) };
        let failed = |error| fault("rolling the buffer into runs", &self.manifest, error);
        let generation =
            self.with_committed("reading the manifest", |c| manifest::counter(c, "generation"))? + 1;
        let mut made = Vec::new();
        let outcome = self.write_runs(&rolling, generation, &mut made).and_then(|()| {
            let rows = self.last_rows(&rolling)?;
            let writer = self.writer.lock();
            let moved = self.exchange(&writer.connection, |connection| {
                note(connection, &made, &rows, generation)?;
                manifest::forget_fresh(connection, rolling.last_block)
            });
            moved.map_err(failed)?;
            let mut visible = self.visible.write();
            visible.rolling = None;
            visible.runs.extend(made.iter().cloned());
            visible.runs.sort_by_key(|run| (run.facts.generation, run.facts.no));
            drop(visible);
            self.durable.carry();
            Ok(())
        });
        if outcome.is_err() && self.visible.read().rolling.is_some() {
            made.iter().for_each(|run: &Arc<RunEntry>| run.doom());
        }
        *since = None;
        outcome
    }

    /// The buffers that become runs: those that a roll before this one could not finish, or all there are now.
    fn freeze(&self) -> Option<Rolling> {
        let writer = self.writer.lock();
        let mut visible = self.visible.write();
        if visible.rolling.is_none() {
            let buffers = std::mem::take(&mut visible.buffers);
            if buffers.values().all(|buffer| buffer.read().is_empty()) {
                return None;
            }
            visible.rolling = Some(Rolling { buffers, last_block: writer.last_block });
        }
        visible.rolling.clone()
    }

    /// Changes the manifest in a transaction of its own.
    pub(super) fn exchange(
        &self,
        connection: &rusqlite::Connection,
        change: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let transaction = connection.unchecked_transaction()?;
        change(&transaction)?;
        transaction.commit()
    }

    fn write_runs(&self, rolling: &Rolling, generation: u64, made: &mut Vec<Arc<RunEntry>>) -> Result<()> {
        for (&table, buffer) in &rolling.buffers {
            let buffer = buffer.read();
            let periods = Period::assign(&buffer.count(day));
            let parts = buffer.sorted(|claimed| periods[&day(claimed)]);
            drop(buffer);
            for (period, rows) in parts {
                made.push(self.write_run(&rows, (table, period, generation))?);
            }
        }
        made.first().map_or(Ok(()), |run| sync_directory_of(&run.path))
    }

    fn write_run(
        &self,
        rows: &Rows,
        (table, period, generation): (u32, Period, u64),
    ) -> Result<Arc<RunEntry>> {
        let no = self.next_run_no();
        let path = manifest::run_path(&self.runs, no);
        let plan = {
            let visible = self.visible.read();
            Plan::of(rows, |column| visible.metrics.column_name(column))
        };
        let written = write_file(&path, rows, plan);
        let written = written.inspect_err(|_| remove_files(&path))?;
        let facts = facts(&written, table, period, 0);
        Ok(RunEntry::new(&self.runs, RunFacts { no, generation, ..facts }))
    }

    /// The last rows of all devices that have something in these buffers, as they will be, and when those were heard.
    fn last_rows(&self, rolling: &Rolling) -> Result<LastRows> {
        let (tenants, readings) = {
            let visible = self.visible.read();
            let tenants: Vec<Vec<Group>> =
                visible.metrics.tenants().map(|tenant| visible.groups(tenant).collect()).collect();
            (tenants, visible.readings(&self.cache, |_| true).only(rolling))
        };
        let mut last = LastRows::default();
        for groups in tenants {
            last.heard.extend(readings.heard_of_all(&groups));
            let mut tables: Vec<u32> = groups.iter().map(|group| group.table).collect();
            tables.dedup();
            let buffers = tables.iter().filter_map(|table| rolling.buffers.get(table));
            let devices: BTreeSet<u32> =
                buffers.flat_map(|buffer| buffer.read().entities()).map(Entity::device).collect();
            let devices: Vec<u32> = devices.into_iter().collect();
            for devices in devices.chunks(DEVICES) {
                for (&device, mut row) in devices.iter().zip(self.last_rows_of(devices)?) {
                    readings.renew(&mut row, &groups, device)?;
                    last.rows.push((device, last::encode(&row)));
                }
            }
        }
        Ok(last)
    }

    /// The last row that the manifest has of a device.
    pub(super) fn last_row(&self, device: u32) -> Result<LastRow> {
        let stored = self.with_committed("reading the latest values", |c| manifest::last_row(c, device))?;
        self.decoded(stored, device)
    }

    /// The last rows that the manifest has of some devices, in their order: one transaction, as to begin one costs as much as a row.
    fn last_rows_of(&self, devices: &[u32]) -> Result<Vec<LastRow>> {
        let stored = self.with_committed("reading the latest values", |connection| {
            at_one_moment(connection, |connection| {
                let row = |&device: &u32| manifest::last_row(connection, device);
                devices.iter().map(row).collect::<rusqlite::Result<Vec<_>>>()
            })
        })?;
        stored.into_iter().zip(devices).map(|(stored, &device)| self.decoded(stored, device)).collect()
    }

    fn decoded(&self, stored: Option<Vec<u8>>, device: u32) -> Result<LastRow> {
        match stored {
            Some(bytes) => last::decode(&bytes).ok_or_else(|| last::damaged(&self.manifest, device)),
            None => Ok(LastRow::new()),
        }
    }
}

fn write_file(path: &Path, rows: &Rows, plan: Plan) -> Result<Written> {
    let mut writer = RunWriter::create(path, plan)?.with_small_pages();
    writer.write(rows, 0..rows.len())?;
    writer.finish()
}

/// What the manifest is to know of a file; number and generation are still to be.
pub(super) fn facts(written: &Written, table: u32, period: Period, level: u32) -> RunFacts {
    RunFacts { table, period, level, size_bytes: written.size_bytes, ..facts_of(&written.sidecar) }
}

/// What a sidecar says of it.
pub(super) fn facts_of(sidecar: &Sidecar) -> RunFacts {
    let entity = |at: Option<&crate::parquet::run::EntityRows>| {
        at.map_or(crate::parquet::Entity(0), |rows| rows.entity)
    };
    RunFacts {
        no: 0,
        table: 0,
        period: Period::of(Grain::Ever, 0),
        level: 0,
        generation: 0,
        entities: (entity(sidecar.entities.first()), entity(sidecar.entities.last())),
        claimed: sidecar.claimed_range().unwrap_or((0, 0)),
        shifts: sidecar.entities.iter().fold((0, 0), |(least, most), rows| {
            (least.min(rows.earliest_shift), most.max(rows.latest_shift))
        }),
        rows: sidecar.rows,
        readings: sidecar.readings,
        size_bytes: 0,
    }
}

fn note(
    connection: &rusqlite::Connection,
    made: &[Arc<RunEntry>],
    last: &LastRows,
    generation: u64,
) -> rusqlite::Result<()> {
    for run in made {
        manifest::add_run(connection, &run.facts)?;
    }
    for (device, row) in &last.rows {
        manifest::set_last_row(connection, *device, row)?;
    }
    heard::note(connection, last.heard.iter().map(|(&device, &at)| (device, at)))?;
    manifest::set_counter(connection, "generation", generation)
}
