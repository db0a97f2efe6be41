//! What a question needs of cold runs is fetched at once, before any of it is read.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;

use super::super::RunEntry;
use super::super::moment::{Group, Readings, Selection};
use crate::Result;
use crate::parquet::Entity;
use crate::parquet::run::{Block, EntityRows, Run, range};

/// Most that is fetched for one question before it is read, bytes; what is beyond comes piece by piece.
const MOST_BYTES: u64 = 16 << 20;

impl Readings {
    /// Whether an entity has rows in cold runs, in a range of claimed times.
    pub(in super::super) fn is_cold(&self, entity: Entity, claimed: &RangeInclusive<i64>) -> Result<bool> {
        for entry in
            self.runs().iter().filter(|run| run.object.is_some() && run.facts.may_hold(entity, claimed))
        {
            let known = self.open(entry)?.sidecar().entity(entity);
            if known.is_some_and(|(_, rows)| rows.last >= *claimed.start() && rows.first <= *claimed.end()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Fetches pages of the runs of a question that are cold, into the memory for pages.
    pub(in super::super) fn fetch_ahead(
        &self,
        runs: &[&Arc<RunEntry>],
        group: &Group,
        selection: &Selection,
    ) -> Result<()> {
        let cold: Vec<_> = runs.iter().filter_map(|run| Some((*run, run.object.as_ref()?))).collect();
        let Some((_, first)) = cold.first() else { return Ok(()) };
        let most_bytes = MOST_BYTES / cold.len() as u64;
        let mut wanted: Vec<(Arc<Run>, &str, Vec<Block>)> = Vec::new();
        for (entry, held) in &cold {
            if self.has_rows(entry.facts.no, group, selection) {
                continue;
            }
            let run = self.open(entry)?;
            let Some(object) = run.object() else { continue };
            let selection = selection.in_run(run.sidecar(), group.group);
            let pages = object.missing(pages_of(&run, group, &selection, most_bytes));
            if !pages.is_empty() {
                wanted.push((Arc::clone(&run), held.key(), pages));
            }
        }
        let ranges = |pages: &[Block]| pages.iter().map(|&page| range(page)).collect::<Vec<Range<u64>>>();
        let asked = wanted.iter().map(|(_, key, pages)| (format!("{key}.parquet"), ranges(pages))).collect();
        let fetched: Vec<Vec<Bytes>> = first.cold().fetch(asked)?;
        for ((run, _, pages), came) in wanted.iter().zip(fetched) {
            let Some(object) = run.object() else { continue };
            for (&page, bytes) in pages.iter().zip(came) {
                object.admit(page, bytes, true)?;
            }
        }
        Ok(())
    }
}

/// The pages of a run that hold what is selected.
fn pages_of(run: &Run, group: &Group, selection: &Selection, most_bytes: u64) -> Vec<Block> {
    let (columns, detail) = (&selection.columns, selection.detail);
    let mut pages: Vec<Block> = Vec::new();
    let mut bytes = 0;
    let mut add = |rows: &Range<u64>, one: bool| {
        if bytes >= most_bytes {
            return;
        }
        let more = run.pages_of(rows, columns, detail, one, most_bytes - bytes);
        bytes += more.iter().map(|page| u64::from(page.length)).sum::<u64>();
        pages.extend(more);
    };
    let meets =
        |rows: &EntityRows| rows.last >= *selection.claimed.start() && rows.first <= *selection.claimed.end();
    match &selection.devices {
        Some(devices) => {
            let named = devices.iter().map(|&device| Entity::new(group.group, device));
            for (rows, known) in named.filter_map(|entity| run.sidecar().entity(entity)) {
                if meets(&known) {
                    // Whose rows they are is read where many devices are.
                    add(&rows, devices.len() == 1);
                }
            }
        }
        None => add(&(0..run.sidecar().rows), false),
    }
    pages.sort_unstable_by_key(|page| page.offset);
    pages.dedup_by_key(|page| page.offset);
    pages
}
