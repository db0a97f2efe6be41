//! Answers from the store: SQL for people, point queries for charts.
//!
//! The store answers point queries itself ([`series::SeriesReader`]); SQL goes through the seam [`Sql`], so that
//! another engine can take the place of the one over SQLite without anyone above noticing.

mod downsample;
mod sqlite;
mod table;
mod time;

pub use downsample::{MAX_POINTS, Points, Resolution};
pub use sqlite::SqliteSql;
pub use table::{Cell, Table};
pub use time::{parse_rfc3339, rfc3339};

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use record::{DeviceId, MetricName, Reading, TenantId, Timestamp};
use series::{Device, SeriesReader};

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The statement is wrong, or asks for what may not be asked: the asker can mend it.
    #[error("{0}")]
    Statement(String),
    /// The answer would be larger, or take longer, than one question may: ask for less.
    #[error("{0}")]
    TooMuch(String),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] series::Error),
    /// The engine could not be used.
    #[error("the query engine failed on {place}: {reason}")]
    Engine {
        /// Which file.
        place: String,
        /// Its words.
        reason: String,
    },
}

/// The result of a question.
pub type Result<T> = std::result::Result<T, Error>;

/// What one SQL question may cost. They protect the writer and the other askers of the same machine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most rows in an answer: what a person or a chart can use; more is an export.
    pub rows: usize,
    /// Largest answer, bytes of values. It is held in memory.
    pub bytes: usize,
    /// Longest time on the processor.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 100_000, bytes: 64 << 20, time: Duration::from_secs(30) }
    }
}

/// Read-only SQL over one tenant's tables (docs/sql.md). Calls block.
///
/// # What every engine promises
/// 1. It reads nothing of another tenant and writes nothing at all, whatever the statement says.
/// 2. It ends within the limits, with [`Error::TooMuch`] if they were reached: never with part of an answer.
/// 3. 64-bit integers are exact; times are RFC 3339 in UTC and compare as points in time.
pub trait Sql: Send + Sync + 'static {
    /// Answers one statement; `params` fill its `?` in order.
    ///
    /// # Errors
    /// [`Error::Statement`], [`Error::TooMuch`], [`Error::Engine`].
    fn run(&self, tenant: &TenantId, statement: &str, params: &[Cell], limits: Limits) -> Result<Table>;
}

/// Everything that can be asked.
#[derive(Clone)]
pub struct Query {
    series: Arc<dyn SeriesReader>,
    sql: Arc<dyn Sql>,
    limits: Limits,
}

impl Query {
    /// Over a store and an SQL engine that reads the same store.
    #[must_use]
    pub fn new(series: Arc<dyn SeriesReader>, sql: Arc<dyn Sql>, limits: Limits) -> Self {
        Self { series, sql, limits }
    }

    /// Answers an SQL statement. Blocks.
    ///
    /// # Errors
    /// As [`Sql::run`].
    pub fn sql(&self, tenant: &TenantId, statement: &str, params: &[Cell]) -> Result<Table> {
        self.sql.run(tenant, statement, params, self.limits)
    }

    /// The points of a series in a range of event times, at most `max_points` of them: beyond that, the ones
    /// that keep the curve's shape. Blocks.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn points(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        range: Range<Timestamp>,
        max_points: usize,
    ) -> Result<Points> {
        downsample::points(&*self.series, (tenant, device, metric), range, max_points)
    }

    /// The latest reading of each metric of a device. Blocks.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn latest(&self, tenant: &TenantId, device: &DeviceId) -> Result<Vec<Reading>> {
        Ok(self.series.latest(tenant, device)?)
    }

    /// A device that has sent something. Blocks.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn device(&self, tenant: &TenantId, device: &DeviceId) -> Result<Option<Device>> {
        Ok(self.series.device(tenant, device)?)
    }

    /// Devices by rising id, those after `after`, at most `limit`. Blocks.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn devices(&self, tenant: &TenantId, after: Option<&str>, limit: u32) -> Result<Vec<Device>> {
        Ok(self.series.devices(tenant, after, limit)?)
    }
}
