//! Which series the devices have, in the books: a row for what one batch brought of a device, and not one for each series. So a fleet of
//! new devices is a row each, and what is known of a device is one look.
//!
//! A series has a number without being written down: its device's and its metric's together.

use std::fmt::Write as _;

use rusqlite::{Connection, params};

use crate::parquet::ColumnNo;
use crate::sqlite::naming::Naming;

/// `device_series.metrics`: numbers of metrics, as a JSON array. A metric of a device stands in one row only. `no` rises, so that it
/// can be asked what came since. `series` is for people, and for questions that name a device.
///
/// Series had rows of their own until version 9, whose numbers the other tables named.
pub(super) const TABLE: &str = "
CREATE TABLE device_series (no INTEGER PRIMARY KEY, device INTEGER NOT NULL, metrics TEXT NOT NULL) STRICT;
INSERT INTO device_series (device, metrics)
    SELECT device, json_group_array(metric) FROM (
        SELECT series.device, metric.no AS metric FROM series JOIN device ON device.no = series.device
        JOIN metric ON metric.tenant = device.tenant AND metric.name = series.metric ORDER BY series.device, series.no
    ) GROUP BY device ORDER BY device;
CREATE INDEX device_series_by_device ON device_series (device);
CREATE TEMP VIEW renumbered AS
    SELECT series.no AS old, series.device << 31 | metric.no AS no FROM series JOIN device ON device.no = series.device
    JOIN metric ON metric.tenant = device.tenant AND metric.name = series.metric;
UPDATE superseded SET series = renumbered.no FROM renumbered WHERE old = superseded.series;
UPDATE window_row SET series = renumbered.no FROM renumbered WHERE old = window_row.series;
UPDATE late_point SET series = renumbered.no FROM renumbered WHERE old = late_point.series;
DROP VIEW renumbered;
DROP TABLE series;
CREATE VIEW series AS
    SELECT device_series.device << 31 | metric.no AS no, device_series.device, metric.name AS metric
    FROM device_series JOIN json_each(device_series.metrics) AS member JOIN metric ON metric.no = member.value;
";

/// The tables of points are empty in a manifest.
pub(super) const NAMING: Naming = Naming {
    series_count: "(SELECT coalesce(sum(json_array_length(metrics)), 0) FROM device_series
        WHERE device_series.device = device.no)",
    table: "device_series",
    is_of_tenant: "series >> 31 IN (SELECT no FROM device WHERE tenant = ?1)
        AND (?4 IS NULL OR series & 2147483647 IN
            (SELECT no FROM metric WHERE tenant = ?1 AND name IN (SELECT value FROM json_each(?4))))",
    // The numbers of a device's series follow one another.
    is_of_device: "series >= (SELECT no << 31 FROM device WHERE tenant = ?1 AND id = ?2)
        AND series < (SELECT (no + 1) << 31 FROM device WHERE tenant = ?1 AND id = ?2)",
    superseded: "superseded JOIN device ON device.no = superseded.series >> 31",
    metric: "(SELECT name FROM metric WHERE metric.no = superseded.series & 2147483647)",
    late: "late_point JOIN device ON device.no = late_point.series >> 31",
    points: "SELECT tenant, count(*) FROM point JOIN device ON device.no = point.series >> 31 GROUP BY tenant",
};

/// The number of a series. Those of metrics have 31 bits.
pub(super) fn number(device: u32, column: ColumnNo) -> i64 {
    i64::from(device) << 31 | i64::from(column.0)
}

/// The metrics of a device, in no order.
pub(super) fn of(connection: &Connection, device: u32) -> rusqlite::Result<Vec<ColumnNo>> {
    let mut statement = connection.prepare_cached("SELECT metrics FROM device_series WHERE device = ?")?;
    let mut rows = statement.query([device])?;
    let mut columns = Vec::new();
    while let Some(row) = rows.next()? {
        let metrics = row.get_ref(0)?.as_str()?;
        let numbers = metrics.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(metrics);
        for number in numbers.split(',') {
            let number = number.parse().map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
            })?;
            columns.push(ColumnNo(number));
        }
    }
    Ok(columns)
}

/// Notes that a device has some metrics, of which it had none.
pub(super) fn add(connection: &Connection, device: u32, columns: &[ColumnNo]) -> rusqlite::Result<()> {
    let mut metrics = String::with_capacity(2 + 4 * columns.len());
    for ColumnNo(number) in columns {
        let separator = if metrics.is_empty() { '[' } else { ',' };
        write!(metrics, "{separator}{number}").expect("a text takes what is written to it");
    }
    metrics.push(']');
    connection
        .prepare_cached("INSERT INTO device_series (device, metrics) VALUES (?, ?)")?
        .execute(params![device, metrics])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use record::Timestamp;
    use rusqlite::Connection;

    use super::NAMING;
    use crate::Expiring;
    use crate::parquet::store::manifest;
    use crate::sqlite::remove::{What, condition};

    /// What a statement does, a line for each step.
    fn plan(connection: &Connection, statement: &str) -> Vec<String> {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let steps = plan.query_map(["t", "d", "", ""], |row| row.get::<_, String>(3)).unwrap();
        steps.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn names_of_metrics_are_looked_up() {
        let dir = tempfile::tempdir().unwrap();
        let (connection, _) = manifest::open(dir.path()).unwrap();
        let what = What::Old(Expiring::Readings, Timestamp::from_nanos(0), None);
        let condition = condition(&NAMING, what, "time");
        let steps = plan(&connection, &format!("DELETE FROM superseded WHERE {condition}"));
        let of_names = steps.iter().find(|step| step.contains("metric")).unwrap();
        assert!(of_names.ends_with("(tenant=? AND name=?)"), "{steps:?}");
    }

    #[test]
    fn the_rows_of_a_device_are_found_by_an_index() {
        let dir = tempfile::tempdir().unwrap();
        let (connection, _) = manifest::open(dir.path()).unwrap();
        let condition = condition(&NAMING, What::Device("d"), "time");
        for (table, index) in [
            ("superseded", "INDEX superseded_by_key (series>? AND series<?)"),
            ("late_point", "PRIMARY KEY (series>? AND series<?)"),
            ("window_row", "PRIMARY KEY (series>? AND series<?)"),
        ] {
            let steps = plan(&connection, &format!("DELETE FROM {table} WHERE {condition}"));
            assert!(steps[0].starts_with("SEARCH") && steps[0].ends_with(index), "{steps:?}");
        }
    }
}
