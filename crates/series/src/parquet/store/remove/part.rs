//! Which runs are old, which of them go together, and how much goes with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use record::Timestamp;

use super::super::moment::{DerivedGroup, Readings};
use super::super::period::Grain;
use super::super::{RunEntry, late, windows};
use super::OfTenant;
use crate::{Counts, Result};

/// Runs that go together, and what takes their place.
#[derive(Default)]
pub(super) struct Part {
    pub(super) gone: Vec<Arc<RunEntry>>,
    pub(super) made: Vec<Arc<RunEntry>>,
    /// How many readings go with each of those that go.
    readings: BTreeMap<u64, u64>,
    /// Objects of what goes.
    pub(super) exported: Vec<String>,
}

impl Part {
    pub(super) fn exchange(&mut self, entry: &Arc<RunEntry>, made: Vec<Arc<RunEntry>>) {
        let left: u64 = made.iter().map(|run| run.facts.readings).sum();
        self.readings.insert(entry.facts.no, entry.facts.readings - left);
        self.gone.push(Arc::clone(entry));
        self.made.extend(made);
    }

    /// What was to take the place of others goes itself.
    pub(super) fn give_up(&self) {
        self.made.iter().for_each(|run| run.doom());
    }

    /// How much goes. Only what may have keys of its runs is read.
    pub(super) fn count(&self, readings: &Readings, of: &OfTenant) -> Result<Counts> {
        let mut counts = Counts::default();
        for groups in of.readings.chunk_by(|a, b| a.table == b.table) {
            counts.readings += readings.count_difference(groups, &self.readings)?;
        }
        let claimed = self.gone.iter().map(|run| run.facts.claimed);
        let Some((first, last)) = claimed.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
            return Ok(counts);
        };
        let claimed = first..=last;
        let meets = |run: &RunEntry| self.gone.iter().any(|gone| gone.facts.meets(&run.facts));
        let stays = |run: &RunEntry| meets(run) && !self.readings.contains_key(&run.facts.no);
        let concerned = |groups: &[DerivedGroup]| -> Vec<DerivedGroup> {
            let goes = |of: &&DerivedGroup| self.gone.iter().any(|run| run.facts.table == of.group.table);
            groups.iter().filter(goes).cloned().collect()
        };
        // With what goes, and without it.
        let of_late = concerned(&of.late);
        counts.late = late::count(readings, &of_late, None, &claimed, meets)?
            - late::count(readings, &of_late, None, &claimed, stays)?;
        let of_windows = concerned(&of.windows);
        counts.windows = windows::count(readings, &of_windows, None, &claimed, meets)?
            - windows::count(readings, &of_windows, None, &claimed, stays)?;
        Ok(counts)
    }
}

/// The runs that hold nothing from after a time, by rising generation. One that may have a newer value of a key of a day's run is left as
/// long as that one is: the older value would be seen again. Runs of longer periods are not waited for, which might be for ever.
pub(super) fn outdated<'r>(
    runs: &'r [Arc<RunEntry>],
    of: &OfTenant,
    before: Timestamp,
) -> Vec<&'r Arc<RunEntry>> {
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
pub(super) fn parts(mut runs: Vec<&Arc<RunEntry>>) -> Vec<Vec<&Arc<RunEntry>>> {
    let mut parts = Vec::new();
    while !runs.is_empty() {
        let mut part = vec![runs.remove(0)];
        let mut at = 0;
        while let Some(&run) = part.get(at) {
            let meets = |other: &&Arc<RunEntry>| other.facts.meets(&run.facts);
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
pub(super) fn may_share_keys(older: &RunEntry, run: &RunEntry) -> bool {
    older.facts.generation < run.facts.generation && older.facts.meets(&run.facts)
}
