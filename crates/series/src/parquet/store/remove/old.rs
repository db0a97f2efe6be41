//! What is old. Of a run that holds nothing newer all goes, or the metrics that are meant: then it is written again with the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use record::{TenantId, Timestamp};
use rusqlite::Connection;

use super::super::moment::Readings;
use super::super::{Parquet, RunEntry, last, manifest};
use super::part::{Part, may_share_keys, outdated, parts};
use super::{OfTenant, export};
use crate::parquet::ColumnNo;
use crate::parquet::merge::Goes;
use crate::sqlite::Books as _;
use crate::sqlite::remove::{What, books, keep, keep_more, names_as_json};
use crate::sqlite::{fault, sync_directory_of};
use crate::{Counts, Error, Expiring, Old, Removal, Result};

/// So many large files are written again in one commit: so long merges wait, and that is done again after a crash.
const STEP_FILES: u64 = 2;

/// So often what goes is counted beside the writers, because rows came meanwhile that may have its keys; then while they wait.
const COUNTED: usize = 3;

/// Devices that are looked at a time.
const DEVICES: usize = 1024;

/// What a commit does: parts that have no key in common.
#[derive(Default)]
struct Step {
    parts: Vec<Part>,
    /// There is more to do.
    is_cut: bool,
}

/// What could not be removed, and why.
#[derive(Default)]
struct Left {
    runs: Vec<Arc<RunEntry>>,
    /// The first.
    error: Option<Error>,
    /// Something could not be exported, although it could be read.
    is_withheld: bool,
}

impl Left {
    /// One bad file is told, and does not keep the others.
    fn leave(&mut self, runs: impl IntoIterator<Item = Arc<RunEntry>>, error: Error) {
        let before = self.runs.len();
        self.runs.extend(runs);
        for run in &self.runs[before..] {
            tracing::warn!(file = %run.path.display(), %error, "a file of what is old stays");
        }
        self.error.get_or_insert(error);
    }
}

impl Parquet {
    pub(super) fn expire_old(&self, tenant: &TenantId, old: &Old, at: Timestamp) -> Result<Option<Removal>> {
        let (mut removal, mut left) = (Removal::of_old(old, at), Left::default());
        while self.expire_some(tenant, old, &mut removal, &mut left)? {}
        match left.error {
            Some(error) => Err(error),
            None => Ok((!removal.removed.is_zero()).then_some(removal)),
        }
    }

    /// One commit of it. Says whether there is more to do.
    fn expire_some(
        &self,
        tenant: &TenantId,
        old: &Old,
        removal: &mut Removal,
        left: &mut Left,
    ) -> Result<bool> {
        let _no_merge = self.compacting.lock();
        self.forget_exported()?;
        let (of, runs) = {
            // As of one moment: a run that came later may hold a metric that would go and not be exported.
            let visible = self.visible.read();
            (visible.of_tenant(tenant).concerned(old), visible.runs.clone())
        };
        let mut step = self.step((tenant, &of), &runs, old, left)?;
        // Files go when nobody has them any more.
        drop(runs);
        if step.parts.is_empty() && left.is_withheld {
            // Nothing could be exported: then nothing goes, what is in the books neither.
            return Ok(step.is_cut);
        }
        let committed = {
            // Rolls set last rows. They wait for the commit and not for the files, because batches wait for them.
            let _no_roll = self.rolling.lock();
            self.commit_step((tenant, &of), old, &mut step, removal, left)
        };
        committed.inspect_err(|_| step.parts.iter().for_each(Part::give_up))?;
        self.let_go(step.parts.into_iter().flat_map(|part| part.gone).collect())?;
        Ok(step.is_cut)
    }

    /// The runs that go, and what takes their place, written.
    fn step(
        &self,
        (tenant, of): (&TenantId, &OfTenant),
        runs: &[Arc<RunEntry>],
        old: &Old,
        left: &mut Left,
    ) -> Result<Step> {
        let (columns, mut step, mut bytes) = (of.columns(), Step::default(), 0);
        let most_bytes = STEP_FILES * self.options.file_bytes;
        for part in parts(outdated(runs, of, old.before)) {
            step.is_cut = bytes >= most_bytes;
            if step.is_cut {
                break;
            }
            let mut done = Part::default();
            for entry in part {
                bytes += self.leave_out(entry, old, &columns, &mut done, left);
            }
            if done.gone.is_empty() {
                continue;
            }
            match self.export(tenant, of, &done.gone) {
                Ok(exported) => {
                    done.exported = exported;
                    step.parts.push(done);
                }
                Err(error) => {
                    done.give_up();
                    left.is_withheld |= !matches!(error, Error::Damaged { .. });
                    left.leave(done.gone, error);
                }
            }
        }
        if let Some(first) = step.parts.iter().flat_map(|part| &part.made).next() {
            let synced = sync_directory_of(&first.path);
            synced.inspect_err(|_| step.parts.iter().for_each(Part::give_up))?;
        }
        Ok(step)
    }

    /// Leaves a run out, or the columns of it that go. Returns how many bytes are written again or exported for it.
    fn leave_out(
        &self,
        entry: &Arc<RunEntry>,
        old: &Old,
        columns: &BTreeMap<ColumnNo, u32>,
        part: &mut Part,
        left: &mut Left,
    ) -> u64 {
        // What is newer than a run that cannot be read stays with it: without it an older value would be seen again.
        if left.runs.iter().any(|of| of.facts.no == entry.facts.no) {
            return 0;
        }
        if let Some(with) = left.runs.iter().find(|of| may_share_keys(of, entry)) {
            tracing::warn!(file = %entry.path.display(), with = %with.path.display(), "a file of what is old stays with another");
            left.runs.push(Arc::clone(entry));
            return 0;
        }
        let kept = match old.metrics.is_all() {
            true => Ok(Some(Vec::new())),
            false => entry.columns().map(|held| others(&held, columns)),
        };
        let written = match kept {
            Ok(None) => return 0,
            Ok(Some(kept)) if kept.is_empty() => Ok(Vec::new()),
            Ok(Some(kept)) => {
                let run = self.cache.open(entry);
                run.and_then(|run| self.written_again(entry, &run, Goes::Others(&kept)))
            }
            Err(error) => Err(error),
        };
        match written {
            Ok(made) => {
                let is_read = !made.is_empty() || self.exports.is_some();
                part.exchange(entry, made);
                if is_read { entry.facts.size_bytes } else { 0 }
            }
            Err(error) => {
                left.leave([Arc::clone(entry)], error);
                0
            }
        }
    }

    /// Exchanges the runs, removes from the books, and keeps the record: one commit.
    fn commit_step(
        &self,
        (tenant, of): (&TenantId, &OfTenant),
        old: &Old,
        step: &mut Step,
        removal: &mut Removal,
        left: &mut Left,
    ) -> Result<()> {
        let failed = |error| fault("removing what is old", &self.manifest, error);
        let held = || self.visible.read().readings(&self.cache, |table| of.has(table));
        let mut tries = 0;
        let (writer, counts) = loop {
            let readings = held();
            let counts = step.count(&readings, of, left);
            let writer = self.writer.lock();
            if !step.parts.iter().any(|part| readings.is_overtaken(&self.visible.read(), &part.gone)) {
                break (writer, counts);
            }
            tries += 1;
            if tries == COUNTED {
                let counts = step.count(&held(), of, left);
                break (writer, counts);
            }
        };
        let gone: Vec<_> = step.parts.iter().flat_map(|part| &part.gone).cloned().collect();
        let made: Vec<_> = step.parts.iter().flat_map(|part| &part.made).cloned().collect();
        let columns = of.columns();
        let mut kept = removal.clone();
        // Held across the commit: nobody sees the books without it and the runs with it.
        let mut visible = self.visible.write();
        let metrics: Vec<_> = visible.groups(tenant.as_str()).flat_map(|group| group.metrics).collect();
        let names = names_as_json(&old.metrics, metrics.iter().map(|metric| metric.name.as_str()));
        let changed = self.exchange(&writer.connection, |connection| {
            let what = What::Old(old.what, old.before, names.as_deref());
            let removed = books(connection, Self::NAMING, tenant.as_str(), what)? + counts;
            gone.iter().try_for_each(|run| manifest::remove_run(connection, run.facts.no))?;
            made.iter().try_for_each(|run| manifest::add_run(connection, &run.facts))?;
            step.parts.iter().try_for_each(|part| export::went(connection, &part.exported))?;
            if removed.is_zero() {
                return Ok(());
            }
            kept.removed += removed;
            if kept.no > 0 {
                return keep_more(connection, &kept);
            }
            if old.what == Expiring::Readings {
                let goes = |column| old.metrics.is_all() || columns.contains_key(&column);
                forget_old_values(connection, tenant.as_str(), old.before, &goes)?;
            }
            keep(connection, tenant.as_str(), &mut kept)
        });
        changed.map_err(failed)?;
        *removal = kept;
        visible.exchange_runs(&gone, &made);
        Ok(())
    }
}

impl Step {
    /// How much goes. Parts that cannot be counted, because what may have their keys cannot be read, are left.
    fn count(&mut self, readings: &Readings, of: &OfTenant, left: &mut Left) -> Counts {
        let mut counts = Counts::default();
        self.parts = std::mem::take(&mut self.parts)
            .into_iter()
            .filter_map(|part| match part.count(readings, of) {
                Ok(of_part) => {
                    counts += of_part;
                    Some(part)
                }
                Err(error) => {
                    part.give_up();
                    left.leave(part.gone, error);
                    None
                }
            })
            .collect();
        counts
    }
}

/// The columns of a run that stay; `None` where all do, because none of them goes.
fn others(held: &[ColumnNo], going: &BTreeMap<ColumnNo, u32>) -> Option<Vec<ColumnNo>> {
    let kept: Vec<ColumnNo> = held.iter().copied().filter(|column| !going.contains_key(column)).collect();
    (kept.len() < held.len()).then_some(kept)
}

/// Takes what is old out of the last rows of a tenant's devices.
fn forget_old_values(
    connection: &Connection,
    tenant: &str,
    before: Timestamp,
    goes: &dyn Fn(ColumnNo) -> bool,
) -> rusqlite::Result<()> {
    let mut after = String::new();
    loop {
        let rows = manifest::last_rows(connection, tenant, &after, DEVICES)?;
        let Some((_, last, _)) = rows.last() else { return Ok(()) };
        after.clone_from(last);
        for (device, _, bytes) in rows {
            let Some(mut row) = bytes.as_deref().and_then(last::decode) else { continue };
            let values = row.len();
            row.retain(|&column, (when, _)| when.time >= before || !goes(column));
            match row.len() {
                0 => manifest::forget_last_row(connection, device)?,
                left if left < values => manifest::set_last_row(connection, device, &last::encode(&row))?,
                _ => {}
            }
        }
    }
}
