//! Which rows there are, without reading all that is in them.
//!
//! A row of a wide table is there when any of its fields is. Where one field of a file has a value in each row of the group, it
//! says of all rows that they are there, and nobody else has to be asked.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::moment::Selection;
use crate::parquet::run::{Kind, Sidecar};
use crate::parquet::{ColumnNo, Entity};

/// Columns whose values are wanted, and columns of which any says that there is a row.
#[derive(Clone, Debug, Default)]
pub(super) struct RowsOf {
    pub(super) values: BTreeSet<ColumnNo>,
    /// Each of them a kind of row.
    pub(super) members: Vec<Vec<ColumnNo>>,
}

impl Selection {
    /// What has to be read of a run for it.
    pub(super) fn in_run(&self, sidecar: &Sidecar, group: u32) -> Cow<'_, Self> {
        match &self.rows_of {
            Some(of) => Cow::Owned(Self { columns: of.columns_in(sidecar, group), ..self.clone() }),
            None => Cow::Borrowed(self),
        }
    }
}

impl RowsOf {
    /// By rising number.
    fn columns_in(&self, sidecar: &Sidecar, group: u32) -> Vec<ColumnNo> {
        let rows = rows_of_group(sidecar, group);
        let is_in_each = |no: &&ColumnNo| {
            sidecar.plan.position(**no).is_some_and(|at| {
                // A location is counted by its halves.
                !matches!(sidecar.plan.columns[at].kind, Kind::Place(..)) && sidecar.stats[at].count == rows
            })
        };
        let mut columns = self.values.clone();
        for member in &self.members {
            let wanted = member.iter().filter(|no| self.values.contains(no));
            match wanted.chain(member).find(is_in_each) {
                Some(no) => columns.extend([no]),
                None => columns.extend(member),
            }
        }
        columns.into_iter().collect()
    }
}

/// How many rows a run has of a group.
fn rows_of_group(sidecar: &Sidecar, group: u32) -> u64 {
    let (first, last) = (Entity::new(group, 0), Entity::new(group, u32::MAX));
    let from = sidecar.entities.partition_point(|rows| rows.entity < first);
    let to = sidecar.entities.partition_point(|rows| rows.entity <= last);
    let begins = |at: usize| sidecar.entities.get(at).map_or(sidecar.rows, |rows| rows.first_row);
    begins(to) - begins(from)
}
