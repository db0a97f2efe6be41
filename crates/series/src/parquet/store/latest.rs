//! The latest reading of each metric of a device: what the manifest has, and what has been buffered since.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use record::{Value, ValueRef, When};

use super::buffer::row_key;
use super::last::{self, LastRow};
use super::moment::{Group, Readings, Selection};
use super::read::Found;
use crate::Result;
use crate::parquet::run::Detail;
use crate::parquet::{ColumnNo, Entity, Rows};

/// The latest buffered reading of each metric of a device, and which of its groups the metric is in.
type Buffered<'g> = BTreeMap<ColumnNo, (&'g Group, When, Value)>;

/// Rows that are looked at a time.
const PIECE_ROWS: usize = 8192;

impl Readings {
    /// Brings the last row of a device, of a moment before this one, up to date.
    pub(super) fn renew(&self, row: &mut LastRow, groups: &[Group], device: u32) -> Result<()> {
        for (no, (group, when, value)) in self.latest_buffered(groups, device) {
            let stored = row.get(&no).map(|(when, _)| *when);
            let entity = Entity::new(group.group, device);
            match stored.filter(|stored| last::order(stored) > last::order(&when)) {
                None => drop(row.insert(no, (when, value))),
                Some(stored) if self.is_buffered(group.table, entity, no, &stored) => {
                    // The last reading was put right to an earlier time: another one may be the last now.
                    if let Some(other) = self.search_last(group, device, no)? {
                        row.insert(no, other);
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn latest_buffered<'g>(&self, groups: &'g [Group], device: u32) -> Buffered<'g> {
        let mut all = Buffered::new();
        for group in groups {
            let entity = Entity::new(group.group, device);
            let columns: Vec<ColumnNo> = group.metrics.iter().map(|metric| metric.no).collect();
            let mut buffers: Vec<_> = self.buffers_of(group.table).collect();
            buffers.retain(|(buffer, _)| buffer.read().holds(entity));
            let mut add = |no, when: When, value: Value| match all.entry(no) {
                Entry::Vacant(first) => drop(first.insert((group, when, value))),
                Entry::Occupied(mut known) if last::order(&known.get().1) <= last::order(&when) => {
                    known.insert((group, when, value));
                }
                Entry::Occupied(_) => {}
            };
            if let [(buffer, among)] = *buffers {
                let mut visit = |no, when, value: ValueRef<'_>| add(no, when, value.to_value());
                buffer.read().latest(entity, &columns, among, &mut visit);
                continue;
            }
            // A key may stand in more than one: the newest counts, whatever its time.
            let mut found = Found::new();
            for (buffer, among) in buffers {
                buffer.read().visit(
                    entity,
                    &(i64::MIN..=i64::MAX),
                    &columns,
                    among,
                    &mut |no, when, value| {
                        found.insert((when.claimed.nanos(), when.seq, no), (when, value.to_value()));
                    },
                );
            }
            found.into_iter().for_each(|((.., no), (when, value))| add(no, when, value));
        }
        all
    }

    fn is_buffered(&self, table: u32, entity: Entity, column: ColumnNo, when: &When) -> bool {
        let key = row_key(entity, when.claimed, when.seq);
        self.buffers_of(table).any(|(buffer, among)| buffer.read().find(key, column, among).is_some())
    }

    /// The latest reading of a series, by looking at all of them.
    pub(super) fn search_last(
        &self,
        group: &Group,
        device: u32,
        column: ColumnNo,
    ) -> Result<Option<(When, Value)>> {
        let (devices, claimed) = (Some([device].into()), i64::MIN..=i64::MAX);
        let selection =
            Selection { columns: vec![column], rows_of: None, devices, claimed, detail: Detail::Whole };
        let mut merging = self.read(group, &selection)?;
        let mut rows = Rows::new([column]);
        let mut latest: Option<(When, Value)> = None;
        loop {
            let more = merging.read(PIECE_ROWS, &mut rows)?;
            for row in 0..rows.len() {
                let Some(value) = rows.columns[0].cells.get(row) else { continue };
                let when = rows.when(row);
                if latest.as_ref().is_none_or(|(known, _)| last::order(known) <= last::order(&when)) {
                    latest = Some((when, value.to_value()));
                }
            }
            rows.clear();
            if !more {
                return Ok(latest);
            }
        }
    }
}
