//! Results that an older version kept as rows of the books.

use record::{DeviceId, MetricName, TenantId};
use rusqlite::Connection;

use crate::parquet::store::Parquet;
use crate::parquet::store::write::Beside;
use crate::sqlite::audit::window_row;
use crate::sqlite::fault;
use crate::sqlite::read::{device_id, metric, time};
use crate::{Result, WindowKey, WindowRow, WriteBatch};

/// Rows that are moved in one commit.
const PIECE_ROWS: usize = 8192;

impl Parquet {
    /// Makes rows of runs of them, some in each commit: a crash leaves the rest for the next time.
    pub(in crate::parquet::store) fn adopt_windows(&self) -> Result<()> {
        self.adopt(|| {
            let windows = self.with_committed("reading windows", oldest)?;
            let rows = windows.len();
            let remove = |connection: &Connection| {
                connection
                    .prepare_cached(
                        "DELETE FROM window_row WHERE (series, \"window\", start) IN
                             (SELECT series, \"window\", start FROM window_row ORDER BY 1, 2, 3 LIMIT ?)",
                    )?
                    .execute([rows])
                    .map(|_| ())
            };
            let batch = WriteBatch { windows, ..WriteBatch::default() };
            self.write_beside(&batch, &Beside { late: &[], change: &remove })?;
            Ok(rows)
        })
    }

    /// Moves rows of the books into the buffer, until there are none.
    pub(in crate::parquet::store) fn adopt(&self, move_some: impl Fn() -> Result<usize>) -> Result<()> {
        let failed = |error| fault("moving rows of an older version", &self.manifest, error);
        while move_some()? > 0 {
            if self.buffered_bytes() >= self.options.buffer_bytes / 2 {
                self.roll()?;
            }
            let writer = self.writer.lock();
            while crate::parquet::store::manifest::shrink(&writer.connection).map_err(failed)? {}
        }
        Ok(())
    }
}

fn oldest(connection: &Connection) -> rusqlite::Result<Vec<WindowRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT \"window\", start, \"end\", count, sum, min, max, stddev, p95, first, last, revised, device.tenant, id, name
         FROM (SELECT * FROM window_row ORDER BY series, \"window\", start LIMIT ?)
         JOIN device ON device.no = series >> 31 JOIN metric ON metric.no = series & 2147483647",
    )?;
    let rows = statement.query_map([PIECE_ROWS], |row| {
        let tenant: String = row.get(12)?;
        let tenant = TenantId::parse(&tenant).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(12, rusqlite::types::Type::Text, Box::new(error))
        })?;
        let (device, metric): (DeviceId, MetricName) = (device_id(row, 13)?, metric(row, 14)?);
        let window = row.get::<_, String>(0)?.into();
        let key = WindowKey { tenant, device, metric, window, start: time(row, 1)? };
        window_row(row, key)
    })?;
    rows.collect()
}
