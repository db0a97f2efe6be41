//! The last steps: what only all runs together say, and then the folder gets its name.

use std::path::Path;
use std::sync::Arc;

use rusqlite::params;

use super::super::super::last;
use super::super::super::moment::Group;
use super::super::super::{Options, Parquet, RunEntry, manifest};
use super::super::owner;
use super::{Catalogue, Place};
use crate::parquet::Entity;
use crate::parquet::run::fault::io_fault;
use crate::sqlite::{fault, sync_directory_of};
use crate::{Error, Result, SeriesAudit as _, SeriesWriter as _, TenantAudit};

/// Devices whose last rows are looked at at a time.
const DEVICES: usize = 1024;

impl Place<'_> {
    /// Makes a store of what was taken. Returns how many readings each tenant has.
    pub(super) fn finish(
        self,
        directory: &Path,
        options: Options,
        catalogue: &Catalogue,
    ) -> Result<Vec<(String, u64)>> {
        let Self { work, manifest, connection, cold, _lock: lock, .. } = self;
        let failed = |error| fault("restoring", &manifest, error);
        let cold = Arc::clone(cold);
        let generation = "UPDATE counter SET value = (SELECT coalesce(max(generation), 0) FROM run) WHERE name = 'generation'";
        connection.execute(generation, []).map_err(failed)?;
        // The next catalogue has a number that none has.
        manifest::set_counter(&connection, "cold", catalogue.newest + 1).map_err(failed)?;
        drop((connection, lock));
        let store = Parquet::open_with(&work, options, Some(Arc::clone(&cold)))?;
        store.settle_last_rows()?;
        let audit = store.audit()?;
        let number = owner::next(&cold, &catalogue.store)?;
        let writer = store.writer.lock();
        let written = store.exchange(&writer.connection, |connection| {
            connection.execute("DELETE FROM account", [])?;
            audit.tenants.iter().try_for_each(|tenant| open_account(connection, tenant))?;
            manifest::put_counter(connection, owner::COUNTER, number)
        });
        written.map_err(failed)?;
        drop(writer);
        store.flush()?;
        drop(store);
        if !owner::tell(&cold, &catalogue.store, number)? {
            return Err(Error::Database {
                operation: "restoring",
                place: cold.name(&catalogue.store),
                reason: "somebody else restores the same store: stop one of the two, and try again"
                    .to_owned(),
            });
        }
        std::fs::rename(&work, directory).map_err(|error| io_fault("naming", directory, &error))?;
        sync_directory_of(directory)?;
        Ok(audit.tenants.into_iter().map(|tenant| (tenant.tenant, tenant.points)).collect())
    }
}

/// What is there was accounted for in books that are lost: it becomes the first line of the new ones. The lost ones also had what was
/// removed since, of which the records are there.
fn open_account(connection: &rusqlite::Connection, tenant: &TenantAudit) -> rusqlite::Result<()> {
    let TenantAudit { tenant, points, late, removed, .. } = tenant;
    let all = |there: u64, removed: u64| there.saturating_add(removed).cast_signed();
    let (late, corrected) = (all(*late, removed.late), removed.superseded.cast_signed());
    let dead = removed.dead_letters.cast_signed();
    // Less than nothing where only the list of late readings is left of a day.
    let stored = all(*points, removed.readings) + corrected - late;
    connection
        .prepare_cached("INSERT INTO account VALUES (?1, '(opening)', 0, 0, ?2, ?3, 0, ?4, ?5, 0, ?6)")?
        .execute(params![tenant, stored + late + dead, stored, dead, late, corrected])
        .map(drop)
}

impl Parquet {
    /// Where the times of a key differ from run to run, the newest run's counts: a last reading that may be an older version is looked
    /// for in all of them.
    fn settle_last_rows(&self) -> Result<()> {
        let runs = self.visible.read().runs.clone();
        let shifted = |run: &RunEntry| run.facts.shifts != (0, 0);
        let meets = |a: &RunEntry, b: &RunEntry| a.facts.no != b.facts.no && a.facts.meets(&b.facts);
        let unsure = |run: &&Arc<RunEntry>| {
            runs.iter().any(|other| meets(run, other) && (shifted(run) || shifted(other)))
        };
        let unsure: Vec<&Arc<RunEntry>> = runs.iter().filter(unsure).collect();
        if unsure.is_empty() {
            return Ok(());
        }
        let tenants: Vec<String> = self.visible.read().metrics.tenants().map(str::to_owned).collect();
        for tenant in tenants {
            let groups: Vec<Group> = self.visible.read().groups(&tenant).collect();
            let mut after = String::new();
            loop {
                let rows = self.with_committed("reading the latest values", |connection| {
                    manifest::last_rows(connection, &tenant, &after, DEVICES)
                })?;
                let Some((_, last, _)) = rows.last() else { break };
                after.clone_from(last);
                for (device, _, bytes) in rows {
                    self.settle_last_row(device, bytes.as_deref(), &groups, &unsure)?;
                }
            }
        }
        Ok(())
    }

    fn settle_last_row(
        &self,
        device: u32,
        bytes: Option<&[u8]>,
        groups: &[Group],
        unsure: &[&Arc<RunEntry>],
    ) -> Result<()> {
        let Some(mut row) = bytes.and_then(last::decode) else { return Ok(()) };
        let mut changed = false;
        for group in groups {
            let entity = Entity::new(group.group, device);
            for metric in &group.metrics {
                let Some((when, value)) = row.get(&metric.no) else { continue };
                let at = when.claimed.nanos();
                let held = |run: &&Arc<RunEntry>| {
                    run.facts.table == group.table && run.facts.may_hold(entity, &(at..=at))
                };
                if !unsure.iter().any(held) {
                    continue;
                }
                let latest = self.readings_of(group.table).search_last(group, device, metric.no)?;
                if let Some((found, other)) = latest
                    && (found != *when || other != *value)
                {
                    row.insert(metric.no, (found, other));
                    changed = true;
                }
            }
        }
        if !changed {
            return Ok(());
        }
        let writer = self.writer.lock();
        let written = manifest::set_last_row(&writer.connection, device, &last::encode(&row));
        written.map_err(|error| fault("restoring", &self.manifest, error))
    }
}
