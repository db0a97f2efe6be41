//! The store's books, read.

use std::collections::BTreeMap;
use std::ops::Range;

use record::{DeviceId, MetricName, Reading, TenantId, Timestamp};
use rusqlite::{Connection, Row, params};

use super::naming::Naming;
use super::read::{count, device_id, float, metric, time, value, when};
use super::remove;
use super::write::source_of;
use super::{Beside, Books, at_one_moment};
use crate::{
    AccountEntry, AccountKey, Amounts, Audit, ClockRow, Covered, Figures, LateReading, Result, SeriesAudit,
    Superseded, TenantAudit, WindowKey, WindowRow,
};

/// What is counted per tenant: a table's rows, through the table that knows their tenant.
fn counted(naming: &Naming) -> [(String, Field); 5] {
    let Naming { points, late, superseded, .. } = naming;
    [
        ((*points).to_owned(), |tenant| &mut tenant.points),
        (format!("SELECT tenant, sum(times) FROM {late} GROUP BY tenant"), |tenant| &mut tenant.late),
        (format!("SELECT tenant, count(*) FROM {superseded} GROUP BY tenant"), |tenant| {
            &mut tenant.superseded
        }),
        (
            "SELECT tenant, count(*) FROM dead_message JOIN dead_letter ON message = no GROUP BY tenant"
                .to_owned(),
            |tenant| &mut tenant.dead_letters,
        ),
        (
            "SELECT tenant, count(*) FROM account
             WHERE accepted <> stored + duplicate + dead + late + shed GROUP BY tenant"
                .to_owned(),
            |tenant| &mut tenant.uneven_lines,
        ),
    ]
}

type Field = fn(&mut TenantAudit) -> &mut u64;

/// Whatever keeps its books in these tables answers so.
impl<B: Books> SeriesAudit for B {
    fn account(&self, tenant: Option<&str>, minutes: Range<Timestamp>) -> Result<Vec<AccountEntry>> {
        self.with_books("reading the account", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT tenant, topic, minute, records, accepted, stored, duplicate, dead, late, shed, corrected
                 FROM account WHERE (?1 IS NULL OR tenant = ?1) AND minute >= ?2 AND minute < ?3
                 ORDER BY tenant, topic, minute",
            )?;
            let lines = statement
                .query_map(params![tenant, minutes.start.nanos(), minutes.end.nanos()], |row| {
                    let key =
                        AccountKey { tenant: row.get(0)?, topic: row.get(1)?, minute: time(row, 2)? };
                    Ok(AccountEntry { key, amounts: amounts(row, 3)? })
                })?;
            lines.collect()
        })
    }

    fn audit(&self) -> Result<Audit> {
        let (audit, beside) = self.audited(|connection| audit(connection, B::NAMING))?;
        Ok(add(audit, beside))
    }

    fn figures(&self) -> Result<Figures> {
        self.with_books("reading figures", |connection| {
            at_one_moment(connection, |moment| {
                let (uneven_lines, residue, dead_messages) = moment
                    .prepare_cached(
                        // The first two read an index of uneven lines, which is empty.
                        "SELECT count(*),
                         coalesce(sum(abs(accepted - (stored + duplicate + dead + late + shed))), 0),
                         (SELECT count(*) FROM dead_message)
                     FROM account WHERE accepted <> stored + duplicate + dead + late + shed",
                    )?
                    .query_row([], |row| Ok((count(row, 0)?, count(row, 1)?, count(row, 2)?)))?;
                let partitions = covered(moment)?;
                Ok(Figures { partitions, uneven_lines, residue, dead_messages })
            })
        })
    }

    fn series(&self, tenant: &TenantId, visit: &mut dyn FnMut(&str, &str) -> bool) -> Result<()> {
        self.with_books("reading series", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, metric FROM device JOIN series ON series.device = device.no
                 WHERE tenant = ? ORDER BY id, metric",
            )?;
            let mut rows = statement.query([tenant.as_str()])?;
            while let Some(row) = rows.next()? {
                if !visit(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn windows(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        starts: Range<Timestamp>,
    ) -> Result<Vec<WindowRow>> {
        self.windows_of(tenant, device, metric, starts)
    }

    fn late(&self, tenant: &TenantId, limit: u32) -> Result<Vec<LateReading>> {
        self.late_of(tenant, limit)
    }

    fn superseded(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Superseded>> {
        self.with_books("reading superseded values", |connection| {
            let Naming { superseded, metric, .. } = B::NAMING;
            let mut statement = connection.prepare_cached(&format!(
                "SELECT time, seq, claimed, clock, arrived_at, kind, value, lng, id, {metric} AS name, replaced_at
                 FROM {superseded} WHERE tenant = ? ORDER BY id, name, claimed, seq, superseded.no LIMIT ?",
            ))?;
            let rows = statement.query_map(params![tenant.as_str(), limit], |row| {
                Ok(Superseded { reading: reading(row)?, replaced_at: time(row, 10)? })
            })?;
            rows.collect()
        })
    }

    fn clocks(&self, tenant: &TenantId) -> Result<Vec<ClockRow>> {
        self.with_books("reading clocks", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT device, skew_nanos, suspect FROM clock WHERE tenant = ? ORDER BY device",
            )?;
            let rows = statement.query_map([tenant.as_str()], |row| {
                let (tenant, device) = (tenant.clone(), device_id(row, 0)?);
                Ok(ClockRow { tenant, device, skew_nanos: row.get(1)?, suspect: row.get(2)? })
            })?;
            rows.collect()
        })
    }
}

fn add(mut audit: Audit, beside: Beside) -> Audit {
    let readings = beside.readings.into_iter().map(|(tenant, points)| TenantAudit {
        tenant,
        points,
        ..TenantAudit::default()
    });
    let late = beside.late.into_iter();
    let late = late.map(|(tenant, late)| TenantAudit { tenant, late, ..TenantAudit::default() });
    for there in readings.chain(late) {
        match audit.tenants.binary_search_by(|known| known.tenant.cmp(&there.tenant)) {
            Ok(at) => {
                audit.tenants[at].points += there.points;
                audit.tenants[at].late += there.late;
            }
            Err(at) => audit.tenants.insert(at, there),
        }
    }
    audit
}

fn audit(connection: &Connection, naming: &Naming) -> rusqlite::Result<Audit> {
    let mut tenants: BTreeMap<String, TenantAudit> = BTreeMap::new();
    let mut totals = connection.prepare_cached(
        "SELECT tenant, sum(records), sum(accepted), sum(stored), sum(duplicate), sum(dead), sum(late), sum(shed),
             sum(corrected) FROM account GROUP BY tenant",
    )?;
    let mut rows = totals.query([])?;
    while let Some(row) = rows.next()? {
        tenants.entry(row.get(0)?).or_default().account = amounts(row, 1)?;
    }
    for (sql, field) in counted(naming) {
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            *field(tenants.entry(row.get(0)?).or_default()) = count(row, 1)?;
        }
    }
    for (tenant, removed) in remove::totals(connection)? {
        tenants.entry(tenant).or_default().removed = removed;
    }
    let named = tenants.into_iter().map(|(tenant, audit)| TenantAudit { tenant, ..audit });
    Ok(Audit { tenants: named.collect(), partitions: covered(connection)? })
}

fn covered(connection: &Connection) -> rusqlite::Result<Vec<Covered>> {
    let mut positions = connection.prepare_cached(
        "SELECT topic, lane, partition, first, \"offset\" FROM position ORDER BY topic, lane, partition",
    )?;
    let partitions = positions.query_map([], |row| {
        let source = source_of(row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Covered { source, first: count(row, 3)?, next: count(row, 4)? })
    })?;
    partitions.collect()
}

pub(super) fn late(
    connection: &Connection,
    tenant: &TenantId,
    limit: u32,
) -> rusqlite::Result<Vec<LateReading>> {
    let mut statement = connection.prepare_cached(
        "SELECT time, seq, claimed, clock, arrived_at, kind, value, lng, id, metric, watermark, times
         FROM late_point JOIN series ON series.no = late_point.series JOIN device ON device.no = series.device
         WHERE tenant = ? ORDER BY id, metric, claimed, seq LIMIT ?",
    )?;
    let rows = statement.query_map(params![tenant.as_str(), limit], |row| {
        Ok(LateReading { reading: reading(row)?, watermark: time(row, 10)?, times: count(row, 11)? })
    })?;
    rows.collect()
}

pub(super) fn windows(
    connection: &Connection,
    (tenant, device, metric): (&TenantId, &DeviceId, &MetricName),
    starts: Range<Timestamp>,
) -> rusqlite::Result<Vec<WindowRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT \"window\", start, \"end\", count, sum, min, max, stddev, p95, first, last, revised
         FROM device JOIN series ON series.device = device.no
         JOIN window_row ON window_row.series = series.no
         WHERE tenant = ? AND id = ? AND metric = ? AND start >= ? AND start < ?
         ORDER BY \"window\", start",
    )?;
    let (from, to) = (starts.start.nanos(), starts.end.nanos());
    let names = params![tenant.as_str(), device.as_str(), metric.as_str(), from, to];
    let rows = statement.query_map(names, |row| {
        let (tenant, device, metric) = (tenant.clone(), device.clone(), metric.clone());
        let window = row.get::<_, String>(0)?.into();
        let key = WindowKey { tenant, device, metric, window, start: time(row, 1)? };
        window_row(row, key)
    })?;
    rows.collect()
}

pub(crate) fn window_row(row: &Row<'_>, key: WindowKey) -> rusqlite::Result<WindowRow> {
    Ok(WindowRow {
        key,
        end: time(row, 2)?,
        count: count(row, 3)?,
        sum: float(row, 4)?,
        min: float(row, 5)?,
        max: float(row, 6)?,
        stddev: float(row, 7)?,
        p95: float(row, 8)?,
        first: float(row, 9)?,
        last: float(row, 10)?,
        revised: row.get(11)?,
    })
}

/// The reading in the columns of [`when`], `kind`, `value`, `lng`, `id`, `metric`.
pub(crate) fn reading(row: &Row<'_>) -> rusqlite::Result<Reading> {
    Ok(Reading {
        device: device_id(row, 8)?,
        metric: metric(row, 9)?,
        when: when(row)?,
        value: value(row, 5)?,
    })
}

/// Eight columns from `first` on.
fn amounts(row: &Row<'_>, first: usize) -> rusqlite::Result<Amounts> {
    Ok(Amounts {
        records: row.get(first)?,
        accepted: row.get(first + 1)?,
        stored: row.get(first + 2)?,
        duplicate: row.get(first + 3)?,
        dead: row.get(first + 4)?,
        late: row.get(first + 5)?,
        shed: row.get(first + 6)?,
        corrected: row.get(first + 7)?,
    })
}
