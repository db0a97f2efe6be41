//! Names and the numbers that stand for them.

use hashbrown::HashMap;
use record::{TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

/// Most names whose numbers are remembered: some 10 000 devices of 20 metrics, in about 25 MB. Beyond that all of them
/// are forgotten and looked up again, at some microseconds each, so that memory does not grow with the fleet.
const REMEMBERED_NAMES: usize = 262_144;

/// Numbers of names, as committed or about to be. To be forgotten when a connection fails.
#[derive(Debug, Default)]
pub(crate) struct Names {
    // Nested, so that a look-up needs no key of its own.
    devices: HashMap<String, HashMap<String, i64>>,
    series: HashMap<i64, HashMap<String, Series>>,
    remembered: usize,
}

/// A series by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    pub(crate) no: i64,
    /// Whether it has points in `corrected_point`.
    pub(crate) corrected: bool,
}

impl Names {
    /// The number of a device, which joins the table if it is new.
    pub(crate) fn device(
        &mut self,
        connection: &Connection,
        tenant: &TenantId,
        device: &str,
        arrived_at: Timestamp,
    ) -> rusqlite::Result<i64> {
        let tenant = tenant.as_str();
        if let Some(&no) = self.devices.get(tenant).and_then(|devices| devices.get(device)) {
            return Ok(no);
        }
        let found = connection
            .prepare_cached("SELECT no FROM device WHERE tenant = ? AND id = ?")?
            .query_row([tenant, device], |row| row.get(0))
            .optional()?;
        let no = match found {
            Some(no) => no,
            None => connection
                .prepare_cached(
                    "INSERT INTO device (tenant, id, created_at, last_seen) VALUES (?1, ?2, ?3, ?3)",
                )?
                .insert(params![tenant, device, arrived_at.nanos()])?,
        };
        self.make_room();
        if !self.devices.contains_key(tenant) {
            self.devices.insert(tenant.to_owned(), HashMap::new());
        }
        let devices = self.devices.get_mut(tenant).expect("it was put there just now");
        devices.insert(device.to_owned(), no);
        Ok(no)
    }

    /// The number of a series, which joins the table if it is new.
    pub(crate) fn series(
        &mut self,
        connection: &Connection,
        device: i64,
        metric: &str,
    ) -> rusqlite::Result<Series> {
        if let Some(&series) = self.series.get(&device).and_then(|metrics| metrics.get(metric)) {
            return Ok(series);
        }
        let found = connection
            .prepare_cached("SELECT no, corrected FROM series WHERE device = ? AND metric = ?")?
            .query_row(params![device, metric], |row| Ok(Series { no: row.get(0)?, corrected: row.get(1)? }))
            .optional()?;
        let series = match found {
            Some(series) => series,
            None => {
                let mut insert =
                    connection.prepare_cached("INSERT INTO series (device, metric) VALUES (?, ?)")?;
                Series { no: insert.insert(params![device, metric])?, corrected: false }
            }
        };
        self.make_room();
        self.series.entry(device).or_default().insert(metric.to_owned(), series);
        Ok(series)
    }

    /// Notes that a series has corrected points from now on.
    pub(crate) fn mark_corrected(
        &mut self,
        connection: &Connection,
        device: i64,
        metric: &str,
        series: i64,
    ) -> rusqlite::Result<()> {
        if let Some(known) = self.series.get_mut(&device).and_then(|metrics| metrics.get_mut(metric)) {
            known.corrected = true;
        }
        connection
            .prepare_cached("UPDATE series SET corrected = 1 WHERE no = ?")?
            .execute([series])
            .map(|_| ())
    }

    fn make_room(&mut self) {
        if self.remembered >= REMEMBERED_NAMES {
            *self = Self::default();
        }
        self.remembered += 1;
    }
}
