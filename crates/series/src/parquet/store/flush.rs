//! From the buffer to files, and the commit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::last::{self, LastRow};
use super::manifest::{self, RunFacts};
use super::period::{Period, day};
use super::write::Writer;
use super::{Parquet, RunEntry, Visible, remove_files};
use crate::Result;
use crate::parquet::Rows;
use crate::parquet::run::{Plan, Writer as RunWriter, Written};
use crate::sqlite::{fault, sync_directory_of};

impl Parquet {
    /// Makes everything that was written durable. Writers wait meanwhile, readers of points do not.
    pub(super) fn flush_all(&self) -> Result<()> {
        let mut writer = self.writer()?;
        if !writer.dirty && writer.leaving.is_empty() && writer.uncommitted.is_empty() {
            return Ok(());
        }
        let mut made = Vec::new();
        let outcome = self.flush_into(&mut writer, &mut made);
        if outcome.is_err() {
            made.iter().for_each(|run: &Arc<RunEntry>| run.doom());
        }
        outcome
    }

    fn flush_into(&self, writer: &mut Writer, made: &mut Vec<Arc<RunEntry>>) -> Result<()> {
        let failed = |error| fault("flushing", &self.manifest, error);
        let generation = manifest::counter(&writer.connection, "generation").map_err(failed)? + 1;
        {
            // Held so that nothing changes; only another write could wait for it, and that waits for us anyway.
            let visible = self.visible.read();
            for (&table, buffer) in visible.buffers.iter().filter(|(_, buffer)| !buffer.is_empty()) {
                let periods = Period::assign(&buffer.count(day));
                for (period, rows) in buffer.sorted(|claimed| periods[&day(claimed)]) {
                    made.push(self.write_run(&visible, &rows, (table, period, generation))?);
                }
            }
        }
        if !made.is_empty() {
            sync_directory_of(&made[0].path)?;
        }
        let rows = self.last_rows(writer)?;
        writer.connection.execute_batch("SAVEPOINT flush").map_err(failed)?;
        let outcome = note(&writer.connection, made, &rows, generation)
            .and_then(|()| writer.connection.execute_batch("COMMIT"));
        if let Err(error) = outcome {
            self.uncommit(writer)?;
            return Err(failed(error));
        }
        // From here on it is durable, whatever happens.
        writer.dirty = false;
        writer.dirty_since_ms = None;
        writer.uncommitted.clear();
        let mut visible = self.visible.write();
        visible.buffers.clear();
        visible.fresh_devices.clear();
        visible.durable = visible.positions.clone();
        visible.runs.append(made);
        visible.runs.sort_by_key(|run| (run.facts.generation, run.facts.no));
        drop(visible);
        for run in writer.leaving.drain(..) {
            run.doom();
        }
        writer.connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)
    }

    /// The commit failed: either the transaction is as it was, or it is gone.
    fn uncommit(&self, writer: &mut Writer) -> Result<()> {
        if writer.connection.is_autocommit() {
            return self.reset(writer);
        }
        let failed = |error| fault("flushing", &self.manifest, error);
        writer.connection.execute_batch("ROLLBACK TO flush; RELEASE flush").map_err(failed)
    }

    fn write_run(
        &self,
        visible: &Visible,
        rows: &Rows,
        (table, period, generation): (u32, Period, u64),
    ) -> Result<Arc<RunEntry>> {
        let no = self.next_run_no();
        let path = manifest::run_path(&self.runs, no);
        let name =
            |column| visible.metrics.get(column).map_or_else(String::new, |metric| metric.name.clone());
        let written = write_file(&path, rows, Plan::of(rows, name));
        let written = written.inspect_err(|_| remove_files(&path))?;
        let facts = facts(&written, table, period, 0);
        Ok(RunEntry::new(&self.runs, RunFacts { no, generation, ..facts }))
    }

    /// The last rows of all devices that have something in the buffer, as they will be.
    fn last_rows(&self, writer: &Writer) -> Result<Vec<(u32, Vec<u8>)>> {
        let failed = |error| fault("flushing", &self.manifest, error);
        let mut devices: BTreeMap<u32, String> = BTreeMap::new();
        {
            let visible = self.visible.read();
            for (table, tenant) in visible.metrics.tables() {
                for entity in visible.buffers.get(&table).map(super::Buffer::entities).unwrap_or_default() {
                    devices.entry(entity.device()).or_insert_with(|| tenant.to_owned());
                }
            }
        }
        let mut rows = Vec::with_capacity(devices.len());
        for (device, tenant) in devices {
            let buffered = self.visible.read().buffered_of(&tenant, device);
            let stored = manifest::last_row(&writer.connection, device).map_err(failed)?;
            let mut row = match stored {
                Some(bytes) => last::decode(&bytes).ok_or_else(|| self.bad_last_row(device))?,
                None => LastRow::new(),
            };
            self.renew(&mut row, buffered)?;
            rows.push((device, last::encode(&row)));
        }
        Ok(rows)
    }
}

fn write_file(path: &Path, rows: &Rows, plan: Plan) -> Result<Written> {
    let mut writer = RunWriter::create(path, plan)?;
    writer.write(rows, 0..rows.len())?;
    writer.finish()
}

/// What the manifest is to know of a file; number and generation are still to be.
pub(super) fn facts(written: &Written, table: u32, period: Period, level: u32) -> RunFacts {
    let sidecar = &written.sidecar;
    let entity = |at: Option<&crate::parquet::run::EntityRows>| {
        at.map_or(crate::parquet::Entity(0), |rows| rows.entity)
    };
    RunFacts {
        no: 0,
        table,
        period,
        level,
        generation: 0,
        entities: (entity(sidecar.entities.first()), entity(sidecar.entities.last())),
        claimed: sidecar.claimed_range().unwrap_or((0, 0)),
        shifts: sidecar.entities.iter().fold((0, 0), |(least, most), rows| {
            (least.min(rows.earliest_shift), most.max(rows.latest_shift))
        }),
        rows: sidecar.rows,
        readings: sidecar.readings,
        size_bytes: written.size_bytes,
    }
}

fn note(
    connection: &rusqlite::Connection,
    made: &[Arc<RunEntry>],
    rows: &[(u32, Vec<u8>)],
    generation: u64,
) -> rusqlite::Result<()> {
    for run in made {
        manifest::add_run(connection, &run.facts)?;
    }
    for (device, row) in rows {
        manifest::set_last_row(connection, *device, row)?;
    }
    manifest::set_counter(connection, "generation", generation)
}
