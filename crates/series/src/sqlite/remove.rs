//! What is removed on purpose, from the books; and from the tables of points, which another backend keeps empty.

use record::{DeviceId, MetricName, TenantId, Timestamp};
use rusqlite::Error::FromSqlConversionFailure;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::naming::Naming;
use super::read::{count, time};
use super::{Books, Sqlite, fault, names::Names};
use crate::{Counts, Expiring, MetricSet, Old, Removal, Result, SeriesRemove};

/// What goes: everything of a device, or of all devices what is old.
#[derive(Clone, Copy)]
pub(crate) enum What<'a> {
    Device(&'a str),
    /// Of which metrics: their names ([`names_as_json`]); `None`: of all.
    Old(Expiring, Timestamp, Option<&'a str>),
}

/// The names of metrics of a set as statements look them up, a JSON array; `None` for all there are.
pub(crate) fn names_as_json<'n>(set: &MetricSet, names: impl Iterator<Item = &'n str>) -> Option<String> {
    let names = || serde_json::Value::from_iter(names.filter(|name| set.holds(name))).to_string();
    (!set.is_all()).then(names)
}

/// Removes from the books. Readings that stand elsewhere are counted by who keeps them.
pub(crate) fn books(
    connection: &Connection,
    naming: &Naming,
    tenant: &str,
    what: What<'_>,
) -> rusqlite::Result<Counts> {
    let Naming { table, .. } = naming;
    let (device, before, metrics) = match what {
        What::Device(device) => (Some(device), None, None),
        What::Old(_, before, metrics) => (None, Some(before.nanos()), metrics),
    };
    let of = params![tenant, device, before, metrics];
    let delete = |table: &str, time: &str| {
        let sql = format!("DELETE FROM {table} WHERE {}", condition(naming, what, time));
        connection.prepare_cached(&sql)?.execute(of).map(|rows| rows as u64)
    };
    if let What::Old(Expiring::Windows, ..) = what {
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

/// Which rows of a table go, of tenant (`?1`), device (`?2`), time (`?3`) and metrics (`?4`).
pub(crate) fn condition(naming: &Naming, what: What<'_>, time: &str) -> String {
    match what {
        // All four are named, because all four are given.
        What::Device(_) => format!("{} AND ?3 IS NULL AND ?4 IS NULL", naming.is_of_device),
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
    let Removal { device, metrics, before, reason, at, removed, .. } = removal;
    let signed = |count: u64| count.cast_signed();
    let metrics = (!metrics.is_all()).then(|| metrics.to_string());
    let no = connection
        .prepare_cached(
            "INSERT INTO removal (tenant, device, before, reason, at, readings, superseded, late, windows, dead_letters, metrics)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
            metrics,
        ])?;
    removal.no = no.cast_unsigned();
    Ok(())
}

/// Adds to a record that was kept what a later commit removed. `removal` has it already.
pub(crate) fn keep_more(connection: &Connection, removal: &Removal) -> rusqlite::Result<()> {
    let Removal { no, removed, .. } = removal;
    let signed = |count: u64| count.cast_signed();
    connection
        .prepare_cached(
            "UPDATE removal SET readings = ?2, superseded = ?3, late = ?4, windows = ?5, dead_letters = ?6 WHERE no = ?1",
        )?
        .execute(params![
            signed(*no),
            signed(removed.readings),
            signed(removed.superseded),
            signed(removed.late),
            signed(removed.windows),
            signed(removed.dead_letters),
        ])
        .map(drop)
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
            "SELECT no, device, before, reason, at, readings, superseded, late, windows, dead_letters, metrics
             FROM removal WHERE tenant = ? ORDER BY no DESC LIMIT ?",
        )?;
        let rows = statement.query_map(params![tenant.as_str(), limit], |row| {
            let device = row.get::<_, Option<String>>(1)?.and_then(|id| DeviceId::parse(&id).ok());
            let metrics = row.get::<_, Option<String>>(10)?;
            Ok(Removal {
                no: count(row, 0)?,
                device,
                metrics: metrics.map_or(Ok(MetricSet::all()), |text| metric_set(&text, 10))?,
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

/// Behind the texts of all sets: they begin with `+` or `-`.
const LAST_SET: &str = ".";

/// The latest of what went by age with one set of metrics, of the sets whose texts stand before another one.
const NEXT_EXPIRED: &str = "SELECT coalesce(metrics, '+*'), before FROM removal
    WHERE tenant = ?1 AND reason = ?2 AND before IS NOT NULL AND coalesce(metrics, '+*') < ?3
    ORDER BY coalesce(metrics, '+*') DESC, before DESC LIMIT 1";

pub(crate) fn expired_before(
    store: &impl Books,
    tenant: &TenantId,
    metric: &MetricName,
) -> Result<Option<Timestamp>> {
    store.with_books("reading removals", |connection| {
        let mut next = connection.prepare_cached(NEXT_EXPIRED)?;
        let (mut latest, mut below) = (None, LAST_SET.to_owned());
        loop {
            let of = params![tenant.as_str(), Expiring::Readings.reason(), below];
            let found = next.query_row(of, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((text, before)) = found else { return Ok(latest) };
            below = text;
            if metric_set(&below, 0)?.holds(metric.as_str()) {
                latest = latest.max(Some(Timestamp::from_nanos(before)));
            }
        }
    })
}

fn metric_set(text: &str, column: usize) -> rusqlite::Result<MetricSet> {
    text.parse().map_err(|error| FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

impl SeriesRemove for Sqlite {
    fn erase(&self, tenant: &TenantId, device: &DeviceId, reason: &str, at: Timestamp) -> Result<Removal> {
        let mut removal = Removal::of_device(device, reason, at);
        self.remove(tenant, What::Device(device.as_str()), &mut removal)?;
        Ok(removal)
    }

    fn expire(&self, tenant: &TenantId, old: &Old, at: Timestamp) -> Result<Option<Removal>> {
        let mut removal = Removal::of_old(old, at);
        let metrics = self.metrics_of(tenant)?;
        let metrics = names_as_json(&old.metrics, metrics.iter().map(String::as_str));
        self.remove(tenant, What::Old(old.what, old.before, metrics.as_deref()), &mut removal)?;
        Ok((!removal.removed.is_zero()).then_some(removal))
    }

    fn tenants(&self) -> Result<Vec<TenantId>> {
        tenants_of(self)
    }

    fn removals(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Removal>> {
        removals_of(self, tenant, limit)
    }

    fn expired_before(&self, tenant: &TenantId, metric: &MetricName) -> Result<Option<Timestamp>> {
        expired_before(self, tenant, metric)
    }
}

impl Sqlite {
    fn metrics_of(&self, tenant: &TenantId) -> Result<Vec<String>> {
        self.with_books("reading the names of metrics", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT DISTINCT metric FROM series JOIN device ON device.no = series.device WHERE tenant = ?",
            )?;
            let names = statement.query_map([tenant.as_str()], |row| row.get(0))?;
            names.collect()
        })
    }

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

#[cfg(test)]
mod tests {
    use record::MetricPattern;

    use super::*;

    fn set(metric: &str) -> MetricSet {
        MetricSet::first_of(vec![(MetricPattern::parse(metric).unwrap(), true)], false)
    }

    #[test]
    fn what_expired_is_looked_up_however_many_records_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("series.db")).unwrap();
        let at = Timestamp::from_nanos;
        let (tenant, metric) = (TenantId::default_tenant(), MetricName::parse("m").unwrap());
        {
            let mut writer = store.writer.lock();
            let (connection, _) = writer.parts();
            let all = connection.unchecked_transaction().unwrap();
            for (no, metrics) in (0..3000).zip([MetricSet::all(), set("m"), set("n")].iter().cycle()) {
                let old = Old { metrics: metrics.clone(), ..Old::all(Expiring::Readings, at(no)) };
                keep(&all, tenant.as_str(), &mut Removal::of_old(&old, at(no))).unwrap();
            }
            all.commit().unwrap();
        }
        assert_eq!(store.expired_before(&tenant, &metric).unwrap(), Some(at(2998)));
        store
            .with_books("looking", |connection| {
                let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {NEXT_EXPIRED}"))?;
                let steps = plan.query_map(params!["t", "r", LAST_SET], |row| row.get::<_, String>(3))?;
                let steps = steps.collect::<rusqlite::Result<Vec<_>>>()?;
                let [step] = &steps[..] else { panic!("{steps:?}") };
                assert!(step.contains("removal_by_age (tenant=? AND reason=? AND <expr><?)"), "{step}");
                Ok(())
            })
            .unwrap();
    }
}
