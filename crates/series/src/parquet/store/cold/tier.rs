//! One thing after the other: what the cold tier has to do.

use std::sync::Arc;

use record::Timestamp;

use super::super::{Parquet, RunEntry};
use super::choose::Owner;
use super::{ColdPolicy, Tier, key, tables};
use crate::Result;
use crate::parquet::cold::Held;
use crate::parquet::run::{seal, seal_path, sidecar_path};
use crate::sqlite::{fault, sync_directory_of};

/// How often it is looked for objects that nobody knows.
const SWEEP_EVERY_NANOS: i64 = 86_400_000_000_000;
/// An object that nobody knows is left alone so long: somebody may just be putting it there.
const GRACE_NANOS: i64 = 86_400_000_000_000;
/// A catalogue is written so often at most: what became cold since would be lost with the disk.
const CATALOGUE_EVERY_NANOS: i64 = 600_000_000_000;
/// While there is always more to move, it is not waited for the end of that for longer.
const CATALOGUE_AFTER_NANOS: i64 = 3_600_000_000_000;

/// When things were done, nanoseconds since the epoch.
#[derive(Debug, Default)]
pub(super) struct Last {
    swept: Option<i64>,
    catalogued: Option<i64>,
    /// Since when runs are moved that no catalogue names.
    unnamed: Option<i64>,
}

impl Parquet {
    /// Does one thing for the cold tier: objects that are not wanted are removed, a run is moved, what is there is written
    /// down. Says whether there is more to do at once. To be called now and then, on a thread that may block for as long as
    /// the object store takes; nothing else waits for it.
    ///
    /// # Errors
    /// [`crate::Error::Database`] when the object store or the disk refuses, [`crate::Error::Damaged`] when a run that is to
    /// be moved is. It is tried again with the next call.
    pub fn tier(&self, now: Timestamp, policy: &ColdPolicy) -> Result<bool> {
        let Some(tier) = &self.tier else { return Ok(false) };
        let mut last = tier.moving.lock();
        // What cannot be removed keeps nothing else back.
        let removed = self.remove_unwanted();
        let due = |at: Option<i64>, every: i64| at.is_none_or(|at| now.nanos().saturating_sub(at) >= every);
        if due(last.swept, SWEEP_EVERY_NANOS) {
            self.sweep(tier, now)?;
            last.swept = Some(now.nanos());
        }
        let waited = last.unnamed.is_some() && due(last.unnamed, CATALOGUE_AFTER_NANOS);
        if let Some((run, owner)) = self.next_to_move(now, policy).filter(|_| !waited) {
            self.move_run(tier, &run, &owner)?;
            last.unnamed.get_or_insert(now.nanos());
            return Ok(true);
        }
        if due(last.catalogued, CATALOGUE_EVERY_NANOS) || waited {
            last.unnamed = None;
            if self.write_catalogue(tier)? {
                last.catalogued = Some(now.nanos());
            }
            // It was not the end that it was written at.
            return removed.map(|()| waited);
        }
        removed.map(|()| false)
    }

    /// Makes a run cold. A crash leaves it as it was, or cold; and at most files or objects that nobody knows.
    fn move_run(&self, tier: &Tier, entry: &Arc<RunEntry>, owner: &Owner) -> Result<()> {
        let failed = |error| fault("moving a run to the cold tier", &self.manifest, error);
        tier.is_owner()?;
        seal(&entry.path)?;
        sync_directory_of(&entry.path)?;
        let checksum = self.cache.open(entry)?.sidecar().checksum();
        let key = key::of_run(&tier.id, &owner.tenant, owner.kind, &entry.facts, checksum);
        {
            // It may be there already, and on the list: then it is wanted again, and nobody may be about to remove it.
            let _nobody_removes = tier.removing.lock();
            let writer = self.writer.lock();
            tables::forget_unwanted(&writer.connection, &key).map_err(failed)?;
        }
        tier.cold.put_file(&format!("{key}.side"), &sidecar_path(&entry.path))?;
        tier.cold.put_file(&format!("{key}.parquet"), &entry.path)?;
        self.commit_move(tier, entry, &key)
    }

    fn commit_move(&self, tier: &Tier, entry: &Arc<RunEntry>, key: &str) -> Result<()> {
        let failed = |error| fault("moving a run to the cold tier", &self.manifest, error);
        // Neither merges nor removals.
        let _no_merge = self.compacting.lock();
        let no = entry.facts.no;
        let is_there = self.visible.read().runs.iter().any(|run| Arc::ptr_eq(run, entry));
        let writer = self.writer.lock();
        if !is_there {
            // It was merged or removed meanwhile.
            self.exchange(&writer.connection, |connection| tables::unwant_object(connection, key))
                .map_err(failed)?;
            drop(writer);
            let _ = std::fs::remove_file(seal_path(&entry.path));
            return Ok(());
        }
        self.exchange(&writer.connection, |connection| tables::add(connection, no, key)).map_err(failed)?;
        let moved = RunEntry::of(&self.runs, entry.facts.clone(), Some(Held::new(&tier.cold, no, key)));
        let mut visible = self.visible.write();
        for run in visible.runs.iter_mut().filter(|run| Arc::ptr_eq(run, entry)) {
            *run = Arc::clone(&moved);
        }
        drop((visible, writer));
        self.cache.close(no);
        // Before the commit is on disk a power cut would bring back a manifest that knows the local file.
        self.durable.sync()?;
        entry.leave();
        tier.cold.moved(entry.facts.size_bytes);
        Ok(())
    }

    /// Removes the objects of runs that are gone and that nobody reads any more.
    pub(in super::super) fn remove_unwanted(&self) -> Result<()> {
        let Some(tier) = &self.tier else { return Ok(()) };
        let _alone = tier.removing.lock();
        let failed = |error| fault("removing objects of the cold tier", &self.manifest, error);
        let mut unwanted = self.with_committed("reading the manifest", tables::unwanted)?;
        tier.cold.set_unwanted(unwanted.len() as u64);
        unwanted.retain(|key| !tier.cold.is_in_use(key));
        if unwanted.is_empty() {
            return Ok(());
        }
        tier.is_owner()?;
        // A commit that a power cut takes back must not have cost an object that is then known again.
        self.durable.sync()?;
        for key in unwanted {
            tier.cold.remove(&[format!("{key}.parquet"), format!("{key}.side")])?;
            let writer = self.writer.lock();
            tables::forget_unwanted(&writer.connection, &key).map_err(failed)?;
        }
        let left = self.with_committed("reading the manifest", tables::unwanted)?;
        tier.cold.set_unwanted(left.len() as u64);
        Ok(())
    }

    /// Objects of this store that the manifest does not know, from before the grace, are not wanted: a crash came between
    /// their upload and the commit.
    fn sweep(&self, tier: &Tier, now: Timestamp) -> Result<()> {
        let found = tier.cold.list(&key::runs(&tier.id))?;
        let known = self.with_committed("reading the manifest", tables::objects)?;
        let known: std::collections::HashSet<&str> = known.values().map(String::as_str).collect();
        let is_old = |at: i64| at < now.nanos().saturating_sub(GRACE_NANOS);
        let mut stray: Vec<String> = found
            .into_iter()
            .filter(|found| is_old(found.at))
            .filter_map(|found| found.key.rsplit_once('.').map(|(key, _)| key.to_owned()))
            .filter(|key| !known.contains(key.as_str()))
            .collect();
        stray.sort_unstable();
        stray.dedup();
        if stray.is_empty() {
            return Ok(());
        }
        let writer = self.writer.lock();
        let noted = self.exchange(&writer.connection, |connection| {
            stray.iter().try_for_each(|key| tables::unwant_object(connection, key))
        });
        drop(writer);
        noted.map_err(|error| fault("removing objects of the cold tier", &self.manifest, error))?;
        self.remove_unwanted()
    }
}
