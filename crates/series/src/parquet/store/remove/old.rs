//! What is old. Of a run that holds nothing newer all goes, or the metrics that are meant: then it is written again with the others.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use record::{TenantId, Timestamp};
use rusqlite::Connection;

use super::super::moment::Readings;
use super::super::period::Grain;
use super::super::{Parquet, RunEntry, last, late, manifest, windows};
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

/// What a commit does.
#[derive(Default)]
struct Step {
    gone: Vec<Arc<RunEntry>>,
    made: Vec<Arc<RunEntry>>,
    /// How many readings go with each of those that go.
    readings: BTreeMap<u64, u64>,
    /// Objects of what goes.
    exported: Vec<String>,
    /// There is more to do.
    is_cut: bool,
}

/// What could not be removed, and why.
#[derive(Default)]
struct Left {
    runs: Vec<Arc<RunEntry>>,
    error: Option<Error>,
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
        let step = self.step((tenant, &of), &runs, old, left)?;
        // Files go when nobody has them any more.
        drop(runs);
        if step.gone.is_empty() && left.error.is_some() {
            // Nothing could be exported or read: then nothing goes, what is in the books neither.
            return Ok(step.is_cut);
        }
        let committed = {
            // Rolls set last rows. They wait for the commit and not for the files, because batches wait for them.
            let _no_roll = self.rolling.lock();
            self.commit_step((tenant, &of), old, &step, removal)
        };
        committed.inspect_err(|_| step.made.iter().for_each(|run| run.doom()))?;
        self.let_go(step.gone)?;
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
            let mut done = Step::default();
            for entry in part {
                bytes += self.leave_out(entry, old, &columns, &mut done, left);
            }
            match self.export(tenant, of, &done.gone) {
                Ok(exported) => step.add(Step { exported, ..done }),
                Err(error) => {
                    done.made.iter().for_each(|run| run.doom());
                    left.runs.extend(done.gone);
                    left.error.get_or_insert(error);
                }
            }
        }
        if let Some(first) = step.made.first() {
            let synced = sync_directory_of(&first.path);
            synced.inspect_err(|_| step.made.iter().for_each(|run| run.doom()))?;
        }
        Ok(step)
    }

    /// Leaves a run out, or the columns of it that go. Returns how many bytes are written again or exported for it.
    fn leave_out(
        &self,
        entry: &Arc<RunEntry>,
        old: &Old,
        columns: &BTreeMap<ColumnNo, u32>,
        step: &mut Step,
        left: &mut Left,
    ) -> u64 {
        // What is newer than a run that cannot be read stays with it: without it an older value would be seen again.
        if left.runs.iter().any(|of| of.facts.no == entry.facts.no) {
            return 0;
        }
        if left.runs.iter().any(|of| may_share_keys(of, entry)) {
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
                step.exchange(entry, made);
                if is_read { entry.facts.size_bytes } else { 0 }
            }
            Err(error) => {
                left.runs.push(Arc::clone(entry));
                left.error.get_or_insert(error);
                0
            }
        }
    }

    /// Exchanges the runs, removes from the books, and keeps the record: one commit.
    fn commit_step(
        &self,
        (tenant, of): (&TenantId, &OfTenant),
        old: &Old,
        step: &Step,
        removal: &mut Removal,
    ) -> Result<()> {
        let failed = |error| fault("removing what is old", &self.manifest, error);
        let held = || self.visible.read().readings(&self.cache, |table| of.has(table));
        let mut tries = 0;
        let (writer, counts) = loop {
            let readings = held();
            let counts = count(&readings, of, step)?;
            let writer = self.writer.lock();
            if !readings.is_overtaken(&self.visible.read(), &step.gone) {
                break (writer, counts);
            }
            tries += 1;
            if tries == COUNTED {
                let counts = count(&held(), of, step)?;
                break (writer, counts);
            }
        };
        let columns = of.columns();
        let mut kept = removal.clone();
        // Held across the commit: nobody sees the books without it and the runs with it.
        let mut visible = self.visible.write();
        let metrics: Vec<_> = visible.groups(tenant.as_str()).flat_map(|group| group.metrics).collect();
        let names = names_as_json(&old.metrics, metrics.iter().map(|metric| metric.name.as_str()));
        let changed = self.exchange(&writer.connection, |connection| {
            let what = What::Old(old.what, old.before, names.as_deref());
            let removed = books(connection, Self::NAMING, tenant.as_str(), what)? + counts;
            step.gone.iter().try_for_each(|run| manifest::remove_run(connection, run.facts.no))?;
            step.made.iter().try_for_each(|run| manifest::add_run(connection, &run.facts))?;
            export::went(connection, &step.exported)?;
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
        visible.exchange_runs(&step.gone, &step.made);
        Ok(())
    }
}

impl Step {
    fn add(&mut self, part: Self) {
        self.gone.extend(part.gone);
        self.made.extend(part.made);
        self.readings.extend(part.readings);
        self.exported.extend(part.exported);
    }

    fn exchange(&mut self, entry: &Arc<RunEntry>, made: Vec<Arc<RunEntry>>) {
        let left: u64 = made.iter().map(|run| run.facts.readings).sum();
        self.readings.insert(entry.facts.no, entry.facts.readings - left);
        self.gone.push(Arc::clone(entry));
        self.made.extend(made);
    }
}

/// The columns of a run that stay; `None` where all do, because none of them goes.
fn others(held: &[ColumnNo], going: &BTreeMap<ColumnNo, u32>) -> Option<Vec<ColumnNo>> {
    let kept: Vec<ColumnNo> = held.iter().copied().filter(|column| !going.contains_key(column)).collect();
    (kept.len() < held.len()).then_some(kept)
}

/// The runs that hold nothing from after a time, by rising generation. One that may have a newer value of a key of a day's run is left as
/// long as that one is: the older value would be seen again. Runs of longer periods are not waited for, which might be for ever.
fn outdated<'r>(runs: &'r [Arc<RunEntry>], of: &OfTenant, before: Timestamp) -> Vec<&'r Arc<RunEntry>> {
    let (mut old, mut newer): (Vec<&Arc<RunEntry>>, Vec<&Arc<RunEntry>>) = (Vec::new(), Vec::new());
    for run in runs.iter().filter(|run| of.has(run.facts.table)) {
        let latest = run.facts.claimed.1.saturating_add(run.facts.shifts.1);
        let waits = || newer.iter().any(|other| may_share_keys(other, run));
        if latest < before.nanos() && !waits() {
            old.push(run);
        } else if run.facts.period.grain == Grain::Day {
            newer.push(run);
        }
    }
    old
}

/// Runs that may have keys in common go in one commit, the oldest first: so a reading that several of them hold is counted, and exported,
/// once.
fn parts(mut runs: Vec<&Arc<RunEntry>>) -> Vec<Vec<&Arc<RunEntry>>> {
    let mut parts = Vec::new();
    while !runs.is_empty() {
        let mut part = vec![runs.remove(0)];
        let mut at = 0;
        while let Some(&run) = part.get(at) {
            let meets = |other: &&Arc<RunEntry>| may_share_keys(other, run) || may_share_keys(run, other);
            let (more, others) = runs.into_iter().partition::<Vec<_>, _>(meets);
            part.extend(more);
            runs = others;
            at += 1;
        }
        part.sort_by_key(|run| (run.facts.generation, run.facts.no));
        parts.push(part);
    }
    parts
}

/// Whether a run may have keys of an older one.
fn may_share_keys(older: &RunEntry, run: &RunEntry) -> bool {
    let (older, run) = (&older.facts, &run.facts);
    older.table == run.table
        && older.generation < run.generation
        && older.overlaps(run)
        && older.claimed.0 <= run.claimed.1
        && run.claimed.0 <= older.claimed.1
}

/// How much goes.
fn count(readings: &Readings, of: &OfTenant, step: &Step) -> Result<Counts> {
    let goes = |run: &RunEntry| step.readings.contains_key(&run.facts.no);
    let mut counts = Counts::default();
    for groups in of.readings.chunk_by(|a, b| a.table == b.table) {
        counts.readings += readings.count_difference(groups, &step.readings)?;
    }
    // With what goes, and without it; as far as there is anything of it.
    let difference = |tables: &[u32], count: Counting<'_>| -> Result<u64> {
        let gone = step.gone.iter().filter(|run| tables.contains(&run.facts.table));
        let claimed = gone.map(|run| run.facts.claimed).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let Some((first, last)) = claimed else { return Ok(0) };
        Ok(count(&(first..=last), &|_| true)? - count(&(first..=last), &|run| !goes(run))?)
    };
    let tables =
        |groups: &[super::DerivedGroup]| groups.iter().map(|of| of.group.table).collect::<Vec<u32>>();
    counts.late = difference(&tables(&of.late), &|claimed, wants| {
        late::count(readings, &of.late, None, claimed, wants)
    })?;
    counts.windows = difference(&tables(&of.windows), &|claimed, wants| {
        windows::count(readings, &of.windows, None, claimed, wants)
    })?;
    Ok(counts)
}

/// Counts what stands in runs that are wanted, and in the buffers, of some time.
type Counting<'c> = &'c dyn Fn(&RangeInclusive<i64>, &dyn Fn(&RunEntry) -> bool) -> Result<u64>;

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
