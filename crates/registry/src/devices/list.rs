//! What is known of many devices, page by page.

use std::collections::BTreeMap;

use metadata::{Row, Table};
use record::{DeviceId, Learned, TenantId};

use super::document::{LearnedRow, StoredRow};
use super::{DeviceEntry, Devices, broken, entry};
use crate::Error;

/// How much of what is known is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// What people registered; nothing is said of devices that are not.
    Registered,
    /// What data said, too; also of devices that nobody registered.
    Whole,
}

/// A device of a page.
type Found = (Option<StoredRow>, Option<Learned>);

impl Devices {
    /// Registered devices by rising id, those after `after`, at most `limit`. Blocks.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Row`].
    pub fn registered(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DeviceEntry>, Error> {
        let rows = self.rows(Table::Devices, tenant, after, limit)?;
        let entries = rows.into_iter().map(|row| {
            let (stored, learned) = (StoredRow::read(&row)?, self.learned(tenant, &row.id)?);
            entry(tenant, id_of(&row)?, Some(stored), learned)
        });
        entries.collect()
    }

    /// The ids of registered devices, rising, those after `after`, at most `limit`. Nothing else of them is read. Blocks.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn registered_ids(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let rows = self.rows(Table::Devices, tenant, after, limit)?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Devices of which something is known, by rising id, those after `after`, at most `limit` (which is not 0) of each table; none:
    /// there are no more. Each table is read once from end to end, where [`Devices::find`] looks twice for each device. Blocks.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Row`].
    pub fn list(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        limit: usize,
        depth: Depth,
    ) -> Result<Vec<DeviceEntry>, Error> {
        let registered = self.rows(Table::Devices, tenant, after, limit)?;
        let learned = match depth {
            Depth::Registered => Vec::new(),
            Depth::Whole => self.rows(Table::Learned, tenant, after, limit)?,
        };
        // Behind the last row of a full page the other table may know of devices that come before the next one.
        let full = [&registered, &learned].into_iter().filter(|rows| rows.len() >= limit);
        let end = full.filter_map(|rows| rows.last()).map(|row| row.id.clone()).min();
        let in_page = |row: &&Row| end.as_ref().is_none_or(|end| row.id <= *end);
        let mut found: BTreeMap<DeviceId, Found> = BTreeMap::new();
        for row in registered.iter().filter(in_page) {
            found.entry(id_of(row)?).or_default().0 = Some(StoredRow::read(row)?);
        }
        for row in learned.iter().filter(in_page) {
            found.entry(id_of(row)?).or_default().1 = Some(LearnedRow::read(row)?);
        }
        found.into_iter().map(|(id, (stored, learned))| entry(tenant, id, stored, learned)).collect()
    }

    fn rows(
        &self,
        table: Table,
        tenant: &TenantId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        if limit > 0 {
            // No device has an empty name.
            self.metadata.scan_after(table, tenant.as_str(), after.unwrap_or_default(), &mut |row| {
                rows.push(row);
                rows.len() < limit
            })?;
        }
        Ok(rows)
    }
}

fn id_of(row: &Row) -> Result<DeviceId, Error> {
    DeviceId::parse(&row.id).map_err(|error| broken("devices", row, &error.to_string()))
}
