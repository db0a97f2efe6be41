//! Many runs become few. Merging happens beside everything else; what it made takes the place of what it was made from in
//! one commit, and the files of that go once the commit is on disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::manifest::{self, RunFacts};
use super::period::Period;
use super::roll::facts;
use super::{Parquet, RunEntry, Visible};
use crate::Result;
use crate::parquet::merge::merge;
use crate::sqlite::{fault, sync_directory_of};

/// Most runs of a period that may hold one entity: what a question about a device's day opens at most, per period.
const MOST_OVERLAPPING: usize = 8;

/// A run joins a merge of newer ones when it is not larger than so many times all of them together: so a reading is
/// written again a few times, not with every merge.
const SIZE_RATIO: u64 = 2;

/// A merge of cold runs that failed is tried again after so long, at first and at most.
const REFUSED_MS: (i64, i64) = (60_000, 3_600_000);

impl Parquet {
    /// What is due at `now_ms` (milliseconds since the epoch, of a clock that does not jump): [`Parquet::roll_when_due`], then
    /// [`Parquet::merge_when_due`], which says whether there is more to do at once.
    ///
    /// # Errors
    /// As these two.
    pub fn maintain(&self, now_ms: i64) -> Result<bool> {
        self.roll_when_due(now_ms)?;
        self.merge_when_due(now_ms)
    }

    /// Rolls the buffer into runs where it is large or old. To be called often, on a thread that may block and is not slower
    /// than those that write: where the buffer is full, they wait for it.
    ///
    /// # Errors
    /// [`crate::Error::Full`], [`crate::Error::Database`] when the disk refuses. What was buffered stays so, and is tried again
    /// with the next call.
    pub fn roll_when_due(&self, now_ms: i64) -> Result<()> {
        if self.roll_due(now_ms) { self.roll() } else { Ok(()) }
    }

    /// One merge at most; where there is none to do, room in the manifest is given back. Says whether there is more to do at
    /// once. To be called every second or so, on a thread that may block: nobody waits for it.
    ///
    /// # Errors
    /// [`crate::Error::Full`], [`crate::Error::Database`] when the disk refuses; [`crate::Error::Damaged`] when a run cannot
    /// be merged: it is tried again later.
    pub fn merge_when_due(&self, now_ms: i64) -> Result<bool> {
        let merged = self.merge_once(now_ms)?;
        if !merged {
            self.shrink().map_err(|error| fault("giving room back", &self.manifest, error))?;
        }
        Ok(merged)
    }

    /// Gives the room that blocks had back to the system, until somebody writes, who needs it again.
    fn shrink(&self) -> rusqlite::Result<()> {
        let last_block = self.writer.lock().last_block;
        loop {
            let writer = self.writer.lock();
            if !manifest::shrink(&writer.connection)? || writer.last_block != last_block {
                return Ok(());
            }
            parking_lot::MutexGuard::unlock_fair(writer);
        }
    }

    fn roll_due(&self, now_ms: i64) -> bool {
        let mut since = self.rolling.lock();
        let visible = self.visible.read();
        let (bytes, readings) = visible.all_buffers().fold((0, 0), |(bytes, readings), buffer| {
            let buffer = buffer.read();
            (bytes + buffer.size_bytes(), readings + buffer.readings())
        });
        if readings == 0 {
            *since = None;
            return false;
        }
        let waited = now_ms - *since.get_or_insert(now_ms);
        let few = readings < self.options.small_readings;
        let after = if few { self.options.roll_small_after_ms } else { self.options.roll_after_ms };
        bytes >= self.options.buffer_bytes / 2 || waited >= after || visible.rolling.is_some()
    }

    /// Merges once, where it is most needed. Says whether it did.
    fn merge_once(&self, now_ms: i64) -> Result<bool> {
        let mut quiet = self.compacting.lock();
        let job = self.visible.read().job(now_ms, self.options.quiet_after_ms, &mut quiet);
        let Some(job) = job else { return Ok(false) };
        let inputs = job.iter().map(|entry| self.cache.open(entry)).collect::<Result<Vec<_>>>();
        let inputs = inputs.inspect_err(|_| quiet.refuse(&job, now_ms))?;
        let mut numbers = Vec::new();
        let of_one = |a: &usize, b: &usize| job[*a].facts.generation == job[*b].facts.generation;
        let order: Vec<usize> = (0..job.len()).collect();
        let generations: Vec<Vec<_>> = order
            .chunk_by(of_one)
            .map(|runs| runs.iter().map(|&at| Arc::clone(&inputs[at])).collect())
            .collect();
        let outputs = merge(&generations, self.options.file_bytes, || {
            let no = self.next_run_no();
            numbers.push(no);
            manifest::run_path(&self.runs, no)
        });
        let outputs = match outputs {
            Ok(outputs) => outputs,
            Err(error) => {
                // Not tried again at once, with every other merge behind it.
                quiet.refuse(&job, now_ms);
                numbers.iter().for_each(|&no| super::remove_files(&manifest::run_path(&self.runs, no)));
                return Err(error);
            }
        };
        let first = &job[0].facts;
        let generation = job.iter().map(|entry| entry.facts.generation).max().unwrap_or(0);
        let level = job.iter().map(|entry| entry.facts.level).max().unwrap_or(0) + 1;
        let made = outputs.iter().zip(&numbers).map(|(output, &no)| {
            let facts = facts(&output.written, first.table, first.period, level);
            RunEntry::new(&self.runs, RunFacts { no, generation, ..facts })
        });
        self.replace(&job, made.collect())?;
        Ok(true)
    }

    /// A number no other file has had since the store was opened: also not one that readers still have. After a crash
    /// files that no commit holds are removed, and their numbers are free again.
    pub(super) fn next_run_no(&self) -> u64 {
        self.last_run_no.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn replace(&self, job: &[Arc<RunEntry>], made: Vec<Arc<RunEntry>>) -> Result<()> {
        if let Some(first) = made.first() {
            sync_directory_of(&first.path)?;
        }
        let writer = self.writer.lock();
        let exchanged = self.exchange(&writer.connection, |connection| {
            job.iter().try_for_each(|entry| manifest::remove_run(connection, entry.facts.no))?;
            made.iter().try_for_each(|run| manifest::add_run(connection, &run.facts))
        });
        if let Err(error) = exchanged {
            made.iter().for_each(|run| run.doom());
            return Err(fault("replacing runs", &self.manifest, error));
        }
        let mut visible = self.visible.write();
        visible.runs.retain(|run| !job.iter().any(|entry| Arc::ptr_eq(run, entry)));
        visible.runs.extend(made);
        visible.runs.sort_by_key(|run| (run.facts.generation, run.facts.no));
        drop((visible, writer));
        job.iter().for_each(|entry| self.cache.forget(entry.facts.no));
        // Before the commit is on disk a power cut would bring back a manifest that knows the old files. Should it not
        // get there, they stay until the store is opened again.
        self.durable.sync()?;
        job.iter().for_each(|entry| entry.doom());
        Ok(())
    }
}

/// Since when the periods that are over have had their newest run, so that late data is merged once it has come and not
/// with every flush of it.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    since: HashMap<(u32, Period), (u64, i64)>,
    /// Where a merge failed: until when it is not tried again, and how long that is.
    refused: HashMap<(u32, Period), (i64, i64)>,
}

impl Quiet {
    /// After a merge of cold runs that failed: the object store may be away for long.
    fn refuse(&mut self, job: &[Arc<RunEntry>], now_ms: i64) {
        if job.iter().any(|run| run.object.is_some()) {
            let refused = self.refused.entry((job[0].facts.table, job[0].facts.period)).or_default();
            let pause = (refused.1 * 2).clamp(REFUSED_MS.0, REFUSED_MS.1);
            *refused = (now_ms.saturating_add(pause), pause);
        }
    }

    fn is_refused(&self, place: (u32, Period), now_ms: i64) -> bool {
        self.refused.get(&place).is_some_and(|(until, _)| now_ms < *until)
    }

    fn is_over(&mut self, place: (u32, Period), newest: u64, now_ms: i64, after_ms: i64) -> bool {
        let known = self.since.entry(place).or_insert((newest, now_ms));
        if known.0 != newest {
            *known = (newest, now_ms);
        }
        now_ms.saturating_sub(known.1) >= after_ms
    }
}

impl Visible {
    /// What to merge: where too many runs hold an entity, or a period has become quiet.
    fn job(&self, now_ms: i64, quiet_after_ms: i64, since: &mut Quiet) -> Option<Vec<Arc<RunEntry>>> {
        let mut places: Vec<_> = self.runs.iter().map(|run| (run.facts.table, run.facts.period)).collect();
        places.sort_unstable();
        places.dedup();
        let mut quiet = None;
        since.since.retain(|place, _| places.binary_search(place).is_ok());
        since.refused.retain(|place, _| places.binary_search(place).is_ok());
        for (table, period) in places {
            if since.is_refused((table, period), now_ms) {
                continue;
            }
            let runs = self.runs_in(table, period);
            let deepest = deepest(&runs);
            if generations(&deepest) > MOST_OVERLAPPING {
                return Some(closed(newest_of_a_size(deepest), &runs));
            }
            let ended = period.end() / 1_000_000 <= now_ms.saturating_sub(quiet_after_ms);
            let newest = deepest.iter().map(|run| run.facts.generation).max().unwrap_or(0);
            if generations(&deepest) > 1
                && ended
                && since.is_over((table, period), newest, now_ms, quiet_after_ms)
                && quiet.is_none()
            {
                quiet = worth_merging(deepest, &runs);
            }
        }
        quiet
    }

    fn runs_in(&self, table: u32, period: Period) -> Vec<Arc<RunEntry>> {
        let here = |run: &&Arc<RunEntry>| (run.facts.table, run.facts.period) == (table, period);
        self.runs.iter().filter(here).cloned().collect()
    }

    /// Whether runs of a period would still be merged once it is over and quiet.
    pub(super) fn has_to_merge(&self, table: u32, period: Period) -> bool {
        let runs = self.runs_in(table, period);
        let deepest = deepest(&runs);
        let ends = period.end() != i64::MAX;
        generations(&deepest) > MOST_OVERLAPPING || (ends && worth_merging(deepest, &runs).is_some())
    }
}

/// What is merged of a period that is over: all of it, but that a cold run is only fetched for what is not much smaller.
fn worth_merging(mut runs: Vec<Arc<RunEntry>>, all: &[Arc<RunEntry>]) -> Option<Vec<Arc<RunEntry>>> {
    let is_cold = |run: &Arc<RunEntry>| run.object.is_some();
    runs.sort_by_key(|run| std::cmp::Reverse((run.facts.generation, run.facts.no)));
    let mut size_bytes = 0;
    let worth = runs.iter().take_while(|run| {
        let joins = !is_cold(run) || run.facts.size_bytes <= SIZE_RATIO * size_bytes;
        size_bytes += run.facts.size_bytes;
        joins
    });
    let count = worth.count();
    runs.truncate(count);
    if generations(&runs) < 2 {
        return None;
    }
    let job = closed(runs, all);
    let bytes = |cold: bool| {
        job.iter().filter(|run| is_cold(run) == cold).map(|run| run.facts.size_bytes).sum::<u64>()
    };
    (bytes(true) <= SIZE_RATIO * bytes(false)).then_some(job)
}

/// How many versions of a reading there may be: runs of one generation are parts of one flush or one merge and have no
/// key in common, also where the day of a device is so large that it had to be parted.
fn generations(runs: &[Arc<RunEntry>]) -> usize {
    runs.iter().map(|run| run.facts.generation).collect::<std::collections::BTreeSet<_>>().len()
}

/// The largest set of runs that may all hold one entity. Ranges begin where a run begins.
fn deepest(runs: &[Arc<RunEntry>]) -> Vec<Arc<RunEntry>> {
    let at = |start: &Arc<RunEntry>| {
        let entity = start.facts.entities.0;
        let holds = |run: &&Arc<RunEntry>| (run.facts.entities.0..=run.facts.entities.1).contains(&entity);
        runs.iter().filter(holds).cloned().collect::<Vec<_>>()
    };
    runs.iter().map(at).max_by_key(|runs| generations(runs)).unwrap_or_default()
}

/// The newest of these, and older ones as long as they are not much larger than those together.
fn newest_of_a_size(mut runs: Vec<Arc<RunEntry>>) -> Vec<Arc<RunEntry>> {
    runs.sort_by_key(|run| std::cmp::Reverse((run.facts.generation, run.facts.no)));
    let mut size_bytes = 0;
    let worth = runs.iter().enumerate().take_while(|(at, run)| {
        let joins = *at < 2 || run.facts.size_bytes <= SIZE_RATIO * size_bytes;
        size_bytes += run.facts.size_bytes;
        joins
    });
    let count = worth.count();
    runs.truncate(count);
    runs
}

/// With every run that lies between the oldest and the newest of them and holds entities of theirs: were it left out, what
/// is merged would be newer than it, or older, in parts. The oldest first.
fn closed(mut job: Vec<Arc<RunEntry>>, runs: &[Arc<RunEntry>]) -> Vec<Arc<RunEntry>> {
    loop {
        let oldest = job.iter().map(|run| run.facts.generation).min();
        let newest = job.iter().map(|run| run.facts.generation).max();
        let missing = runs.iter().find(|run| {
            let generation = Some(run.facts.generation);
            generation >= oldest
                && generation <= newest
                && !job.iter().any(|of| Arc::ptr_eq(of, run))
                && job.iter().any(|of| of.facts.overlaps(&run.facts))
        });
        match missing {
            Some(run) => job.push(Arc::clone(run)),
            None => break,
        }
    }
    job.sort_by_key(|run| (run.facts.generation, run.facts.no));
    job
}
