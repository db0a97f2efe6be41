//! Answers from the store: SQL for people, point queries for charts.
//!
//! The store answers point queries itself ([`series::SeriesReader`]); SQL goes through [`Engine`], over the store's tables
//! ([`series::SeriesScan`]), whichever store it is.

mod alerts;
mod buckets;
mod cache;
mod cardinality;
mod dead;
mod downsample;
mod engine;
mod facts;
mod functions;
mod gapfill;
mod ledger;
mod rollup;
mod table;
mod tail;
mod time;
mod types;

pub use alerts::{AlertRow, Alerts};
pub use buckets::{Aggregate, Bucketed, Every};
pub use cache::{CACHE_BYTES, Cache, CacheFigures, Watched};
pub use cardinality::{Counted, Makeup};
pub use dead::DeadId;
pub use downsample::{MAX_POINTS, Points, Resolution};
pub use engine::{Answer, CATALOG, Described, Engine, SCHEMA, Statement, THREADS};
pub use ledger::{By, Check, Ledger, Line, Verdict};
pub use table::{Cell, Table};
pub use tail::{Tail, Tailed, WATCHERS, Watch, Watching};
pub use time::{parse_rfc3339, rfc3339};

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use cache::{Kept, Key};
use record::{DeviceId, MetricName, Reading, TenantId, Timestamp};
use rollup::{Rollups, Source};
use series::{DeadMessage, Device, Figures, SeriesAudit, SeriesReader, SeriesRemove};

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The statement is wrong, or asks for what may not be asked: the asker can mend it.
    #[error("{0}")]
    Statement(String),
    /// The answer would be larger, or take longer, than one question may: ask for less.
    #[error("{0}")]
    TooMuch(String),
    /// Too many questions at a time: ask again.
    #[error("{0}")]
    Busy(String),
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
    /// Most memory while it is being answered, bytes: for sorting, grouping and joining.
    pub memory: usize,
    /// How long it may wait for its turn.
    pub wait: Duration,
}

impl Limits {
    /// How long whoever asks may have to wait.
    pub(crate) fn at_most(&self) -> Duration {
        self.time + self.wait + Duration::from_millis(500)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows: 100_000,
            bytes: 64 << 20,
            time: Duration::from_secs(30),
            memory: 256 << 20,
            wait: Duration::from_secs(10),
        }
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
    /// [`Error::Statement`], [`Error::TooMuch`], [`Error::Busy`], [`Error::Store`], [`Error::Engine`].
    fn run(&self, tenant: &TenantId, statement: &str, params: &[Cell], limits: Limits) -> Result<Table>;

    /// As [`Sql::run`], as a stream of Arrow's IPC.
    ///
    /// # Errors
    /// As [`Sql::run`].
    fn arrow(&self, tenant: &TenantId, statement: &str, params: &[Cell], limits: Limits) -> Result<Vec<u8>>;
}

enum Found<T> {
    Anew(T),
    Kept(Kept),
}

/// What a point takes.
fn point_bytes(point: &series::Point) -> usize {
    let text = if let record::Value::Text(text) = &point.value { text.len() } else { 0 };
    size_of::<series::Point>() + text
}

/// Everything that can be asked.
#[derive(Clone)]
pub struct Query {
    series: Arc<dyn SeriesReader>,
    books: Arc<dyn SeriesAudit>,
    sql: Arc<dyn Sql>,
    limits: Limits,
    cache: Option<Arc<Cache>>,
    /// Says which readings are gone.
    removes: Option<Arc<dyn SeriesRemove>>,
}

/// The points of a series are asked for by these names.
type Series<'q> = (&'q TenantId, &'q DeviceId, &'q MetricName);

impl Query {
    /// Over a store, twice, and an SQL engine that reads the same store.
    #[must_use]
    pub fn new(
        series: Arc<dyn SeriesReader>,
        books: Arc<dyn SeriesAudit>,
        sql: Arc<dyn Sql>,
        limits: Limits,
    ) -> Self {
        Self { series, books, sql, limits, cache: None, removes: None }
    }

    /// Keeps points and buckets, as long as `cache` hears of every write of the store ([`Watched`]). The engine has its own way to it
    /// ([`Engine::with_cache`]).
    #[must_use]
    pub fn with_cache(self, cache: Arc<Cache>) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// Answers with the results of windows where readings were removed because of their age.
    #[must_use]
    pub fn with_removals(self, removes: Arc<dyn SeriesRemove>) -> Self {
        Self { removes: Some(removes), ..self }
    }

    /// Answers an SQL statement. Blocks.
    ///
    /// # Errors
    /// As [`Sql::run`].
    pub fn sql(&self, tenant: &TenantId, statement: &str, params: &[Cell]) -> Result<Table> {
        self.sql.run(tenant, statement, params, self.limits)
    }

    /// As [`Query::sql`], as a stream of Arrow's IPC, over the store or another. Blocks.
    ///
    /// # Errors
    /// As [`Sql::run`].
    pub fn sql_arrow(
        &self,
        store: Option<&dyn Sql>,
        tenant: &TenantId,
        statement: &str,
        params: &[Cell],
    ) -> Result<Vec<u8>> {
        store.unwrap_or(&*self.sql).arrow(tenant, statement, params, self.limits)
    }

    /// As [`Query::sql`], over another store. Blocks.
    ///
    /// # Errors
    /// As [`Sql::run`].
    pub fn sql_over(
        &self,
        store: &dyn Sql,
        tenant: &TenantId,
        statement: &str,
        params: &[Cell],
    ) -> Result<Table> {
        store.run(tenant, statement, params, self.limits)
    }

    /// The points of a series in a range of event times, at most `max_points` of them: beyond that, the ones
    /// that keep the curve's shape. Where readings were removed because of their age, the means of the finest windows there
    /// are, at most half of the points. Blocks.
    ///
    /// # Errors
    /// [`Error::Store`]; where readings were removed, as [`Sql::run`].
    pub fn points(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        range: Range<Timestamp>,
        max_points: usize,
    ) -> Result<Points> {
        let series = (tenant, device, metric);
        let words = || format!("points {device:?} {metric:?} {range:?} {max_points}");
        let ask = || self.points_anew(series, &range, max_points);
        let kept = self.kept(tenant, words, ask, |points| {
            let bytes = points.points.iter().map(point_bytes).sum();
            (Kept::Points(Arc::new(points.clone())), bytes)
        });
        match kept? {
            Found::Anew(points) => Ok(points),
            Found::Kept(Kept::Points(points)) => Ok(Points::clone(&points)),
            Found::Kept(_) => ask(),
        }
    }

    /// What was stored, for who asks for much of it.
    #[must_use]
    pub fn history(&self) -> &dyn SeriesReader {
        &*self.series
    }

    /// Whether a part of a series in a range is in the store's cold tier. Blocks.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn is_cold(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        range: Range<Timestamp>,
    ) -> Result<bool> {
        Ok(self.series.is_cold(tenant, device, metric, range)?)
    }

    /// One number for each bucket of time that holds points of a series, at most `max_points`. Where readings were removed
    /// because of their age, it is made of the coarsest windows that lie whole in the buckets. Blocks.
    ///
    /// # Errors
    /// [`Error::TooMuch`], [`Error::Store`]; where readings were removed, as [`Sql::run`].
    pub fn buckets(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        metric: &MetricName,
        range: Range<Timestamp>,
        (every, aggregate): (&Every, Aggregate),
        max_points: usize,
    ) -> Result<Bucketed> {
        let series = (tenant, device, metric);
        let words =
            || format!("buckets {device:?} {metric:?} {range:?} {every:?} {aggregate:?} {max_points}");
        let ask = || self.buckets_anew(series, &range, (every, aggregate), max_points);
        let kept = self.kept(tenant, words, ask, |bucketed| {
            let bytes = bucketed.points.iter().map(point_bytes).sum();
            (Kept::Buckets(Arc::new(bucketed.clone())), bytes)
        });
        match kept? {
            Found::Anew(bucketed) => Ok(bucketed),
            Found::Kept(Kept::Buckets(bucketed)) => Ok(Bucketed::clone(&bucketed)),
            Found::Kept(_) => ask(),
        }
    }

    /// Means of windows where readings were removed, and what is there.
    fn points_anew(&self, series: Series<'_>, range: &Range<Timestamp>, max_points: usize) -> Result<Points> {
        let most = max_points.min(MAX_POINTS);
        let gone = self.gone(series, range, |source, gone| source.finest(&gone, (most / 2).max(1)))?;
        let Some(Rollups { window, rows }) = gone.filter(|gone| !gone.rows.is_empty()) else {
            return downsample::points(&*self.series, series, range.clone(), max_points);
        };
        let left = most.saturating_sub(rows.len());
        let there = downsample::points(&*self.series, series, range.clone(), left)?;
        let mean = |of: &rollup::Rollup| series::Point {
            time: Timestamp::from_nanos(of.start),
            value: record::Value::Float(of.sum / of.count as f64),
        };
        let points = rows.iter().map(mean).chain(there.points).collect();
        Ok(Points { points, resolution: there.resolution, means_of: Some(window) })
    }

    /// Buckets of windows where readings were removed, and of what is there.
    fn buckets_anew(
        &self,
        series: Series<'_>,
        range: &Range<Timestamp>,
        (every, aggregate): (&Every, Aggregate),
        max_points: usize,
    ) -> Result<Bucketed> {
        let gone = self.gone(series, range, |source, gone| source.within(&gone, every))?;
        let gone = gone.filter(|gone| !gone.rows.is_empty());
        let rows = gone.as_ref().map(|gone| gone.rows.as_slice()).unwrap_or_default();
        let points =
            buckets::buckets(&*self.series, series, range.clone(), every, aggregate, max_points, rows)?;
        Ok(Bucketed { points, made_of: gone.map(|gone| gone.window) })
    }

    /// The windows of a part of a range of which the readings were removed because of their age: from its start to the first
    /// reading that is there.
    fn gone(
        &self,
        series: Series<'_>,
        range: &Range<Timestamp>,
        ask: impl FnOnce(&Source<'_>, Range<Timestamp>) -> Result<Option<Rollups>>,
    ) -> Result<Option<Rollups>> {
        let (tenant, device, metric) = series;
        let Some(removes) = &self.removes else { return Ok(None) };
        if removes.expired_before(tenant, metric)?.is_none_or(|before| before <= range.start) {
            return Ok(None);
        }
        let mut until = range.end;
        self.series.points(tenant, device, metric, range.clone(), &mut |point| {
            until = point.time;
            false
        })?;
        let source = Source { sql: &*self.sql, limits: self.limits, tenant, device, metric };
        ask(&source, range.start..until)
    }

    /// An answer that is kept, or one that is found now and kept from now on.
    fn kept<T>(
        &self,
        tenant: &TenantId,
        words: impl FnOnce() -> String,
        ask: impl FnOnce() -> Result<T>,
        keep: impl FnOnce(&T) -> (Kept, usize),
    ) -> Result<Found<T>> {
        let Some(cache) = &self.cache else { return ask().map(Found::Anew) };
        let (key, state) = (Key::new(tenant, words()), cache.state(tenant));
        if let Some(kept) = cache.get(&key, state) {
            return Ok(Found::Kept(kept));
        }
        let answer = ask()?;
        let (kept, bytes) = keep(&answer);
        cache.put(key, state, kept, bytes);
        Ok(Found::Anew(answer))
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

    /// The account of a tenant in a range of minutes (R6.2). Blocks.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn ledger(&self, tenant: &TenantId, minutes: Range<Timestamp>, by: By) -> Result<Ledger> {
        ledger::ledger(&*self.books, tenant, minutes, by)
    }

    /// Compares a tenant's account with what the log gave and the tables hold. Lines are looked at in `minutes`,
    /// the rest as a whole. Blocks, and reads every row there is.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn verify(&self, tenant: &TenantId, minutes: Range<Timestamp>) -> Result<Verdict> {
        ledger::verify(&*self.books, tenant, minutes)
    }

    /// Where the store stands. Blocks.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn figures(&self) -> Result<Figures> {
        Ok(self.books.figures()?)
    }

    /// How many devices and series a tenant has, and what makes them up. Blocks, and reads their names.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn makeup(&self, tenant: &TenantId) -> Result<Makeup> {
        cardinality::makeup(&*self.books, tenant)
    }

    /// Dead letters for which a condition over the columns of `dlq` holds (`None`: all), the latest first, without
    /// their payloads, at most `limit`. Blocks.
    ///
    /// # Errors
    /// As [`Sql::run`].
    pub fn dead_letters(&self, tenant: &TenantId, condition: Option<&str>, limit: u32) -> Result<Table> {
        dead::list(&*self.sql, tenant, condition, limit, self.limits)
    }

    /// The names of the dead messages for which the condition holds, in the order of the log, at most `limit`.
    /// Blocks.
    ///
    /// # Errors
    /// As [`Sql::run`].
    pub fn dead_ids(&self, tenant: &TenantId, condition: Option<&str>, limit: u32) -> Result<Vec<DeadId>> {
        dead::find(&*self.sql, tenant, condition, limit, self.limits)
    }

    /// A dead message; `None` when there is none of that name, or it is another tenant's. Blocks.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn dead_message(&self, tenant: &TenantId, id: DeadId) -> Result<Option<DeadMessage>> {
        dead::message(&*self.series, tenant, id)
    }
}
