//! Which pages rows stand in: what is fetched before it is asked for, where fetching takes long.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::object::{Object, external};
use super::page;
use super::read::{Detail, Run};
use super::schema::{self, Hidden};
use super::sidecar::Block;
use super::source::{Place, Source};
use crate::parquet::ColumnNo;

/// So much is fetched at once for a scan that goes on, bytes.
const AHEAD_BYTES: u64 = 8 << 20;

/// Leaf columns of a file that are read: those of keys and times, and each metric's.
pub(super) struct Leaves {
    pub(super) hidden: Vec<(Hidden, usize)>,
    pub(super) metrics: Vec<Range<usize>>,
}

/// What of a row is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants<'c> {
    /// Which of the plan's columns, rising.
    pub(super) columns: &'c [usize],
    pub(super) detail: Detail,
    /// Whose rows they are is known.
    pub(super) one_entity: bool,
    /// Their times are known.
    pub(super) times_known: bool,
}

/// What was fetched for some row groups.
#[derive(Debug)]
pub(super) struct Ahead {
    groups: Range<usize>,
    source: Arc<Source>,
}

impl Run {
    pub(super) fn leaves(&self, wants: Wants<'_>) -> Leaves {
        let sidecar = self.sidecar();
        let plan = &sidecar.plan;
        let columns = schema::hidden(plan, sidecar.spared);
        let needless = |column: Hidden| match column {
            Hidden::Group | Hidden::Device => wants.one_entity,
            Hidden::Time | Hidden::Shift | Hidden::Seq => wants.times_known,
            Hidden::Delay | Hidden::Origin => wants.detail == Detail::Times,
            Hidden::Exceptions => sidecar.exceptions == 0 || wants.columns.is_empty(),
        };
        let hidden = columns.iter().enumerate().filter(|(_, column)| !needless(**column));
        let hidden = hidden.map(|(leaf, &column)| (column, leaf)).collect();
        let mut leaf = columns.len();
        let mut metrics = Vec::new();
        for (at, column) in plan.columns.iter().enumerate() {
            let width = schema::width(column.kind);
            if wants.columns.contains(&at) {
                metrics.push(leaf..leaf + width);
            }
            leaf += width;
        }
        Leaves { hidden, metrics }
    }

    /// The pages that rows stand in, of an entity if it is known whose they are; at most about so many bytes of them.
    pub(crate) fn pages_of(
        &self,
        rows: &Range<u64>,
        columns: &[ColumnNo],
        detail: Detail,
        one_entity: bool,
        most_bytes: u64,
    ) -> Vec<Block> {
        let plan = &self.sidecar().plan;
        let columns: Vec<usize> = columns.iter().filter_map(|&no| plan.position(no)).collect();
        let wants = Wants { columns: &columns, detail, one_entity, times_known: false };
        let leaves = self.leaves(wants);
        let first = self.group_starts.partition_point(|&start| start <= rows.start).saturating_sub(1);
        self.pages_from(first, rows, &leaves, most_bytes).0
    }

    /// Pages of whole row groups from the first on, as long as they are within the limit, and one past the last of those groups.
    fn pages_from(
        &self,
        first: usize,
        rows: &Range<u64>,
        leaves: &Leaves,
        most_bytes: u64,
    ) -> (Vec<Block>, usize) {
        let (mut pages, mut bytes, mut group) = (Vec::new(), 0, first);
        while group + 1 < self.group_starts.len() && self.group_starts[group] < rows.end {
            if bytes >= most_bytes {
                break;
            }
            let start = self.group_starts[group];
            let end = self.group_starts[group + 1].min(rows.end);
            let within = rows.start.max(start) - start..end - start;
            let metrics = leaves.metrics.iter().flat_map(Clone::clone);
            for leaf in leaves.hidden.iter().map(|(_, leaf)| *leaf).chain(metrics) {
                self.pages_in(group, leaf, &within, &mut pages);
            }
            bytes = pages.iter().map(|page: &Block| u64::from(page.length)).sum();
            group += 1;
        }
        pages.sort_unstable_by_key(|page| page.offset);
        pages.dedup_by_key(|page| page.offset);
        (pages, group)
    }

    /// The pages of a column chunk that hold some of its rows, and its dictionary.
    fn pages_in(&self, group: usize, leaf: usize, rows: &Range<u64>, into: &mut Vec<Block>) {
        let chunk = self.metadata.row_group(group).column(leaf);
        let known = &self.sidecar().pages;
        let mut add = |offset: u64| {
            into.extend(known.binary_search_by_key(&offset, |page| page.offset).ok().map(|at| known[at]));
        };
        let index = self.metadata.offset_index();
        let index = index.and_then(|index| index.get(group)).and_then(|group| group.get(leaf));
        let only = [page::only(chunk)];
        let locations = index.map_or(&only[..], |index| index.page_locations.as_slice());
        let (start, _) = chunk.byte_range();
        if locations.first().is_some_and(|first| first.offset.cast_unsigned() > start) {
            add(start);
        }
        for (at, page) in locations.iter().enumerate() {
            let first = page.first_row_index.cast_unsigned();
            let end = locations.get(at + 1).map_or(u64::MAX, |next| next.first_row_index.cast_unsigned());
            if first < rows.end && rows.start < end {
                add(page.offset.cast_unsigned());
            }
        }
    }

    /// What the columns of a row group are read from; in an object store it is fetched with what follows it.
    pub(super) fn source_of(
        &self,
        group: usize,
        rows: &Range<u64>,
        leaves: &Leaves,
        keep: bool,
        ahead: &mut Option<Ahead>,
    ) -> parquet::errors::Result<Arc<Source>> {
        let object = match self.place() {
            super::read::Whence::File(source) => return Ok(Arc::clone(source)),
            super::read::Whence::Object(object) => object,
        };
        if let Some(ahead) = ahead.as_ref().filter(|ahead| ahead.groups.contains(&group)) {
            return Ok(Arc::clone(&ahead.source));
        }
        let (pages, end) = self.pages_from(group, rows, leaves, AHEAD_BYTES);
        let source = Arc::new(self.fetched(object, &pages, keep)?);
        *ahead = Some(Ahead { groups: group..end, source: Arc::clone(&source) });
        Ok(source)
    }

    fn fetched(&self, object: &Arc<Object>, pages: &[Block], keep: bool) -> parquet::errors::Result<Source> {
        let bytes = object.pages(pages, keep).map_err(external)?;
        let ahead: HashMap<u64, _> = pages.iter().map(|page| page.offset).zip(bytes).collect();
        let sidecar = self.shared_sidecar();
        Ok(Source {
            size_bytes: sidecar.file_bytes,
            place: Place::Object(Arc::clone(object), ahead),
            pages: sidecar,
        })
    }
}
