//! What the books are to know of a run's rows: which series there are, and the last reading of each.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use rusqlite::Connection;

use super::super::super::last::{self, LastRow};
use super::super::super::{device_series, manifest};
use crate::Result;
use crate::parquet::cells::EMPTY;
use crate::parquet::run::Run;
use crate::parquet::{ColumnNo, Entity, Rows};

/// Rows that are looked at at a time.
const PIECE_ROWS: usize = 8192;

/// Reads every value of a run, and adds series and last readings of the columns that are metrics. Runs come by falling generation: of
/// one key the reading that is there is the newer one. Returns how many values there are.
pub(super) fn note_rows(
    connection: &Connection,
    run: &Arc<Run>,
    is_metric: impl Fn(ColumnNo) -> bool,
) -> Result<rusqlite::Result<u64>> {
    let mut scan = run.scan(0..run.sidecar().rows, None);
    let mut rows = scan.rows();
    let metrics: Vec<bool> = rows.columns().iter().map(|column| is_metric(column.no)).collect();
    let (mut readings, mut seen) = (0, Seen::default());
    while scan.read(PIECE_ROWS, &mut rows)? > 0 {
        readings += rows.readings();
        let mut from = 0;
        while from < rows.len() {
            let entity = rows.key(from).entity;
            let to = (from..rows.len()).find(|&row| rows.key(row).entity != entity).unwrap_or(rows.len());
            if seen.entity != Some(entity) {
                if let Err(error) = seen.keep(connection) {
                    return Ok(Err(error));
                }
                seen.entity = Some(entity);
            }
            seen.look(&rows, from..to, &metrics);
            from = to;
        }
        rows.clear();
    }
    Ok(seen.keep(connection).map(|()| readings))
}

/// The latest reading of each metric of an entity in a run.
#[derive(Default)]
struct Seen {
    entity: Option<Entity>,
    latest: LastRow,
}

impl Seen {
    fn look(&mut self, rows: &Rows, of: Range<usize>, metrics: &[bool]) {
        for (column, _) in rows.columns().iter().zip(metrics).filter(|(_, is_metric)| **is_metric) {
            let there = of.clone().filter(|&row| column.cells.kinds()[row] != EMPTY);
            // Of one key the last row is the newest.
            let Some(row) = there.max_by_key(|&row| (last::order(&rows.when(row)), row)) else { continue };
            let when = rows.when(row);
            let is_later =
                self.latest.get(&column.no).is_none_or(|(known, _)| last::order(known) <= last::order(&when));
            if let Some(value) = column.cells.get(row).filter(|_| is_later) {
                self.latest.insert(column.no, (when, value.to_value()));
            }
        }
    }

    /// Puts them into the books, where they are news.
    fn keep(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let latest = std::mem::take(&mut self.latest);
        let Some(device) = self.entity.map(Entity::device).filter(|_| !latest.is_empty()) else {
            return Ok(());
        };
        let known = device_series::of(connection, device)?;
        let new: Vec<ColumnNo> = latest.keys().copied().filter(|no| !known.contains(no)).collect();
        if !new.is_empty() {
            device_series::add(connection, device, &new)?;
        }
        let stored = manifest::last_row(connection, device)?;
        let mut row: BTreeMap<_, _> = stored.as_deref().and_then(last::decode).unwrap_or_default();
        let mut changed = false;
        for (no, (when, value)) in latest {
            if row.get(&no).is_none_or(|(known, _)| last::order(known) < last::order(&when)) {
                row.insert(no, (when, value));
                changed = true;
            }
        }
        match changed {
            true => manifest::set_last_row(connection, device, &last::encode(&row)),
            false => Ok(()),
        }
    }
}
