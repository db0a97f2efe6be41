//! When devices were last heard. The books know it as of the last roll; what came since says it itself, row by row, in the
//! buffers. The later of the two is true: so a batch writes nothing for it, a crash takes nothing of it, and a snapshot knows it as
//! it was.
//!
//! A reading that was there already leaves no row: then the batch does write it.

use std::collections::BTreeSet;

use record::{TenantId, Timestamp};
use rusqlite::{Connection, params};

use super::Parquet;
use super::moment::{Group, Moment, Readings};
use crate::parquet::Entity;
use crate::scan::{Scan, Shape};
use crate::sqlite::scan::Heard;
use crate::{Device, Result};

/// The column of `devices` that says it.
const LAST_SEEN: &str = "last_seen";

/// Rows that are looked at at a time, which a batch waits for.
const PIECE_ROWS: usize = 8192;

impl Parquet {
    /// What is buffered of a tenant's readings. To be taken before the books are asked: what leaves the buffers meanwhile is then
    /// in the books.
    pub(super) fn buffered_of(&self, tenant: &TenantId) -> (Readings, Vec<Group>) {
        let visible = self.visible.read();
        let groups: Vec<Group> = visible.groups(tenant.as_str()).collect();
        (visible.readings(&self.cache, |table| groups.iter().any(|group| group.table == table)), groups)
    }

    /// The same of all tenants.
    pub(super) fn heard_of_all(&self) -> Heard {
        let (readings, groups) = {
            let visible = self.visible.read();
            let groups: Vec<Group> =
                visible.metrics.tenants().flat_map(|tenant| visible.groups(tenant)).collect();
            (visible.readings(&self.cache, |_| true), groups)
        };
        readings.heard_of_all(&groups)
    }
}

impl Readings {
    /// A device as the books have it, with when it was heard since.
    pub(super) fn renew_device(&self, groups: &[Group], (no, mut device): (u32, Device)) -> Device {
        let since = self.heard(groups, no);
        device.last_seen = since.map_or(device.last_seen, |since| since.max(device.last_seen));
        device
    }

    /// The latest arrival of what is buffered of a device.
    fn heard(&self, groups: &[Group], device: u32) -> Option<Timestamp> {
        let of_group = |group: &Group| {
            let entity = Entity::new(group.group, device);
            self.buffers_of(group.table)
                .filter_map(|(buffer, among)| buffer.read().heard(entity, among))
                .max()
        };
        groups.iter().filter_map(of_group).max()
    }

    /// The latest arrivals of what is buffered of all devices.
    pub(super) fn heard_of_all(&self, groups: &[Group]) -> Heard {
        let mut heard = Heard::new();
        let tables: BTreeSet<u32> = groups.iter().map(|group| group.table).collect();
        for (buffer, among) in tables.iter().flat_map(|&table| self.buffers_of(table)) {
            for first in (0..among).step_by(PIECE_ROWS) {
                let rows = first..among.min(first + PIECE_ROWS);
                for (entity, at) in buffer.read().arrivals(rows) {
                    let known = heard.entry(entity.device()).or_insert(at);
                    *known = at.max(*known);
                }
            }
        }
        heard
    }
}

impl Moment {
    /// When the devices of a scan were heard since the last roll, if it asks for that.
    pub(super) fn heard_for(&self, scan: &Scan, shape: &Shape) -> Result<Heard> {
        let at = shape.schema.index_of(LAST_SEEN).ok();
        let wanted = scan.columns.as_ref().is_none_or(|columns| columns.iter().any(|&no| Some(no) == at));
        if at.is_none() || !wanted {
            return Ok(Heard::new());
        }
        let Some(names) = &scan.devices else { return Ok(self.readings.heard_of_all(&self.groups)) };
        let numbers = self.numbers(names)?;
        let heard = |&no: &u32| Some((no, self.readings.heard(&self.groups, no)?));
        Ok(numbers.iter().filter_map(heard).collect())
    }
}

/// Notes when devices were heard, where that is later than what the books have.
pub(super) fn note(
    connection: &Connection,
    heard: impl IntoIterator<Item = (u32, Timestamp)>,
) -> rusqlite::Result<()> {
    let mut note =
        connection.prepare_cached("UPDATE device SET last_seen = ?2 WHERE no = ?1 AND last_seen < ?2")?;
    heard.into_iter().try_for_each(|(device, at)| note.execute(params![device, at.nanos()]).map(drop))
}
