//! Late readings that an older version kept as rows of the books.

use record::TenantId;
use rusqlite::Connection;

use crate::parquet::store::Parquet;
use crate::parquet::store::write::Beside;
use crate::sqlite::audit::reading;
use crate::sqlite::read::{count, time};
use crate::{LateReading, Result, WriteBatch};

/// Rows that are moved in one commit.
const PIECE_ROWS: usize = 8192;

impl Parquet {
    /// Makes rows of runs of them, some in each commit: a crash leaves the rest for the next time.
    pub(in crate::parquet::store) fn adopt_late(&self) -> Result<()> {
        self.adopt(|| {
            let late = self.with_committed("reading late readings", oldest)?;
            let remove = |connection: &Connection| {
                connection
                    .prepare_cached(
                        "DELETE FROM late_point WHERE (series, claimed, seq) IN
                             (SELECT series, claimed, seq FROM late_point ORDER BY 1, 2, 3 LIMIT ?)",
                    )?
                    .execute([late.len()])
                    .map(|_| ())
            };
            self.write_beside(&WriteBatch::default(), &Beside { late: &late, change: &remove })?;
            Ok(late.len())
        })
    }
}

fn oldest(connection: &Connection) -> rusqlite::Result<Vec<(TenantId, LateReading)>> {
    let mut statement = connection.prepare_cached(
        "SELECT time, seq, claimed, clock, arrived_at, kind, value, lng, id, name, watermark, times, device.tenant
         FROM (SELECT * FROM late_point ORDER BY series, claimed, seq LIMIT ?)
         JOIN device ON device.no = series >> 31 JOIN metric ON metric.no = series & 2147483647",
    )?;
    let rows = statement.query_map([PIECE_ROWS], |row| {
        let tenant: String = row.get(12)?;
        let tenant = TenantId::parse(&tenant).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(12, rusqlite::types::Type::Text, Box::new(error))
        })?;
        Ok((
            tenant,
            LateReading { reading: reading(row)?, watermark: time(row, 10)?, times: count(row, 11)? },
        ))
    })?;
    rows.collect()
}
