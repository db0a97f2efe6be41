//! What is removed on purpose, from the books; and from the tables of points, which another backend keeps empty.

use record::{DeviceId, TenantId, Timestamp};
use rusqlite::{Connection, params};

use super::naming::Naming;
use super::read::{count, time};
use super::{Books, Sqlite, fault, names::Names};
use crate::{Counts, Expiring, Removal, Result, SeriesRemove};

/// What goes: everything of a device, or of all devices what is old.
#[derive(Clone, Copy)]
pub(crate) enum What<'a> {
    Device(&'a str),
    Old(Expiring, Timestamp),
}

/// Removes from the books. Readings that stand elsewhere are counted by who keeps them.
pub(crate) fn books(
    connection: &Connection,
    naming: &Naming,
    tenant: &str,
    what: What<'_>,
) -> rusqlite::Result<Counts> {
    let Naming { table, .. } = naming;
    let (device, before) = match what {
        What::Device(device) => (Some(device), None),
        What::Old(_, before) => (None, Some(before.nanos())),
    };
    let of = params![tenant, device, before];
    let delete = |table: &str, time: &str| {
        let sql = format!("DELETE FROM {table} WHERE {}", condition(naming, what, time));
        connection.prepare_cached(&sql)?.execute(of).map(|rows| rows as u64)
    };
    if let What::Old(Expiring::Windows, _) = what {
        return Ok(Counts { windows: delete("window_row", "\"end\"")?, ..Counts::default() });
    }
    let late = condition(naming, what, "time");
    let late = format!("SELECT coalesce(sum(times), 0) FROM late_point WHERE {late}");
    let late = connection.prepare_cached(&late)?.query_row(of, |row| count(row, 0))?;
    delete("late_point", "time")?;
    let mut removed = Counts {
        readings: delete("point", "time")? + delete("corrected_point", "time")?,
        superseded: delete("superseded", "time")?,
        late,
        ..Counts::default()
    };
    if let Some(device) = device {
        removed.windows = delete("window_row", "\"end\"")?;
        removed.dead_letters = dead(connection, tenant, device)?;
        let series = format!(
            "DELETE FROM {table} WHERE device IN (SELECT no FROM device WHERE tenant = ? AND id = ?)"
        );
        for sql in [
            series.as_str(),
            "DELETE FROM clock WHERE tenant = ? AND device = ?",
            "DELETE FROM device WHERE tenant = ? AND id = ?",
        ] {
            connection.prepare_cached(sql)?.execute([tenant, device])?;
        }
    }
    Ok(removed)
}

/// Which rows of a table go, of tenant (`?1`), device (`?2`) and time (`?3`).
pub(crate) fn condition(naming: &Naming, what: What<'_>, time: &str) -> String {
    match what {
        // All three are named, because all three are given.
        What::Device(_) => format!("{} AND ?3 IS NULL", naming.is_of_device),
        What::Old(..) => format!("{} AND ?2 IS NULL AND {time} < ?3", naming.is_of_tenant),
    }
}

fn dead(connection: &Connection, tenant: &str, device: &str) -> rusqlite::Result<u64> {
    let letters = connection
        .prepare_cached(
            "DELETE FROM dead_letter WHERE message IN (SELECT no FROM dead_message WHERE tenant = ? AND device = ?)",
        )?
        .execute([tenant, device])?;
    connection
        .prepare_cached("DELETE FROM dead_message WHERE tenant = ? AND device = ?")?
        .execute([tenant, device])?;
    Ok(letters as u64)
}

/// Keeps a record, and gives it its number.
pub(crate) fn keep(connection: &Connection, tenant: &str, removal: &mut Removal) -> rusqlite::Result<()> {
    let Removal { device, before, reason, at, removed, .. } = removal;
    let signed = |count: u64| count.cast_signed();
    let no = connection
        .prepare_cached(
            "INSERT INTO removal (tenant, device, before, reason, at, readings, superseded, late, windows, dead_letters)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .insert(params![
            tenant,
            device.as_ref().map(DeviceId::as_str),
            before.map(Timestamp::nanos),
            reason.as_str(),
            at.nanos(),
            signed(removed.readings),
            signed(removed.superseded),
            signed(removed.late),
            signed(removed.windows),
            signed(removed.dead_letters),
        ])?;
    removal.no = no.cast_unsigned();
    Ok(())
}

pub(crate) fn tenants_of(store: &impl Books) -> Result<Vec<TenantId>> {
    store.with_books("reading the tenants", |connection| {
        let mut statement =
            connection.prepare_cached("SELECT DISTINCT tenant FROM device ORDER BY tenant")?;
        let names = statement.query_map([], |row| row.get::<_, String>(0))?;
        names.filter_map(|name| name.map(|name| TenantId::parse(&name).ok()).transpose()).collect()
    })
}

pub(crate) fn removals_of(store: &impl Books, tenant: &TenantId, limit: u32) -> Result<Vec<Removal>> {
    store.with_books("reading removals", |connection| {
        let mut statement = connection.prepare_cached(
            "SELECT no, device, before, reason, at, readings, superseded, late, windows, dead_letters
             FROM removal WHERE tenant = ? ORDER BY no DESC LIMIT ?",
        )?;
        let rows = statement.query_map(params![tenant.as_str(), limit], |row| {
            let device = row.get::<_, Option<String>>(1)?.and_then(|id| DeviceId::parse(&id).ok());
            Ok(Removal {
                no: count(row, 0)?,
                device,
                before: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_nanos),
                reason: row.get(3)?,
                at: time(row, 4)?,
                removed: Counts {
                    readings: count(row, 5)?,
                    superseded: count(row, 6)?,
                    late: count(row, 7)?,
                    windows: count(row, 8)?,
                    dead_letters: count(row, 9)?,
                },
            })
        })?;
        rows.collect()
    })
}

impl SeriesRemove for Sqlite {
    fn erase(&self, tenant: &TenantId, device: &DeviceId, reason: &str, at: Timestamp) -> Result<Removal> {
        let mut removal = Removal {
            no: 0,
            device: Some(device.clone()),
            before: None,
            reason: reason.to_owned(),
            at,
            removed: Counts::default(),
        };
        self.remove(tenant, What::Device(device.as_str()), &mut removal)?;
        Ok(removal)
    }

    fn expire(
        &self,
        tenant: &TenantId,
        what: Expiring,
        before: Timestamp,
        at: Timestamp,
    ) -> Result<Option<Removal>> {
        let reason = what.reason().to_owned();
        let mut removal =
            Removal { no: 0, device: None, before: Some(before), reason, at, removed: Counts::default() };
        self.remove(tenant, What::Old(what, before), &mut removal)?;
        Ok((!removal.removed.is_zero()).then_some(removal))
    }

    fn tenants(&self) -> Result<Vec<TenantId>> {
        tenants_of(self)
    }

    fn removals(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Removal>> {
        removals_of(self, tenant, limit)
    }
}

impl Sqlite {
    fn remove(&self, tenant: &TenantId, what: What<'_>, removal: &mut Removal) -> Result<()> {
        let failed = |error| fault("removing", &self.path, error);
        let mut writer = self.writer.lock();
        let (connection, names) = writer.parts();
        let outcome = connection.unchecked_transaction().and_then(|transaction| {
            removal.removed = books(&transaction, Self::NAMING, tenant.as_str(), what)?;
            if removal.device.is_some() || !removal.removed.is_zero() {
                keep(&transaction, tenant.as_str(), removal)?;
            }
            transaction.commit()
        });
        // They may hold numbers that are gone.
        *names = Names::default();
        drop(writer);
        outcome.map_err(failed)?;
        self.durable.sync()
    }
}

/// What was removed of a tenant, all in all.
pub(crate) fn totals(connection: &Connection) -> rusqlite::Result<Vec<(String, Counts)>> {
    let mut statement = connection.prepare_cached(
        "SELECT tenant, sum(readings), sum(superseded), sum(late), sum(windows), sum(dead_letters) FROM removal
         GROUP BY tenant",
    )?;
    let rows = statement.query_map([], |row| {
        let removed = Counts {
            readings: count(row, 1)?,
            superseded: count(row, 2)?,
            late: count(row, 3)?,
            windows: count(row, 4)?,
            dead_letters: count(row, 5)?,
        };
        Ok((row.get(0)?, removed))
    })?;
    rows.collect()
}
