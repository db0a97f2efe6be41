//! The table `alerts`: beside the store's tables, from where alerts are kept.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Int64Builder, RecordBatch, RecordBatchOptions, StringBuilder,
    TimestampNanosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;
use record::{TenantId, Timestamp};
use series::scan::{BATCH_ROWS, Batches, Moments, Shape, UTC};
use series::{Error, Result, Scan, SeriesScan, Snapshot};

/// The table.
pub(crate) const TABLE: &str = "alerts";

/// Where the table has its time and its device.
const TIME: usize = 6;
const DEVICE: usize = 1;

/// A row of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertRow {
    /// Its id.
    pub id: String,
    /// Of which device.
    pub device_id: String,
    /// Of which rule.
    pub rule_id: String,
    /// The rule's name, as it was.
    pub rule: String,
    /// `info`, `warning`, `critical`.
    pub severity: String,
    /// `raised`, `acknowledged`, `resolved`, `suppressed`.
    pub state: String,
    /// When the rule's condition became an alert, in event time.
    pub triggered_at: Timestamp,
    /// When somebody acknowledged it.
    pub acknowledged_at: Option<Timestamp>,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// What was seen, against what.
    pub why: String,
    /// Whether history said so.
    pub retrospective: bool,
    /// How many suppressed ones it stands for.
    pub suppressed: i64,
}

/// Where the alerts of a tenant are. Calls block.
pub trait Alerts: Send + Sync + 'static {
    /// A page of them, the latest first, behind the id `after`; an empty one ends them.
    ///
    /// # Errors
    /// Why they cannot be read, in words.
    fn page(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        most: usize,
    ) -> std::result::Result<Vec<AlertRow>, String>;
}

/// A store with the table. What the table shows is of the moment of the scan, not of the snapshot.
pub(crate) struct WithAlerts {
    pub(crate) store: Arc<dyn SeriesScan>,
    pub(crate) alerts: Arc<dyn Alerts>,
}

struct Joined {
    store: Arc<dyn Snapshot>,
    alerts: Arc<dyn Alerts>,
    tenant: TenantId,
}

impl SeriesScan for WithAlerts {
    fn snapshot(&self, tenant: &TenantId) -> Result<Arc<dyn Snapshot>> {
        let store = self.store.snapshot(tenant)?;
        Ok(Arc::new(Joined { store, alerts: Arc::clone(&self.alerts), tenant: tenant.clone() }))
    }
}

impl Snapshot for Joined {
    fn tables(&self) -> Result<Vec<Shape>> {
        let mut tables = self.store.tables()?;
        // A measurement of that name is in `telemetry` still.
        tables.retain(|table| &*table.name != TABLE);
        tables.push(shape());
        Ok(tables)
    }

    fn table(&self, name: &str) -> Result<Option<Shape>> {
        if name == TABLE { Ok(Some(shape())) } else { self.store.table(name) }
    }

    fn scan(self: Arc<Self>, scan: Scan) -> Result<Batches> {
        if scan.table != TABLE {
            return Arc::clone(&self.store).scan(scan);
        }
        let left = scan.limit.unwrap_or(usize::MAX);
        Ok(Box::new(Scanning { table: self, scan, after: None, left }))
    }

    fn moments(self: Arc<Self>) -> Option<Arc<dyn Moments>> {
        Arc::clone(&self.store).moments()
    }
}

struct Scanning {
    table: Arc<Joined>,
    scan: Scan,
    after: Option<String>,
    /// Rows that are still wanted; none at the end, and after an error.
    left: usize,
}

impl Iterator for Scanning {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            let page = match self.page() {
                Ok(page) => page,
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            };
            let Some(last) = page.last() else { break };
            self.after = Some(last.id.clone());
            let wanted: Vec<AlertRow> =
                page.into_iter().filter(|row| self.wants(row)).take(self.left).collect();
            if !wanted.is_empty() {
                self.left -= wanted.len();
                return Some(batch(&wanted, &self.scan));
            }
        }
        None
    }
}

impl Scanning {
    fn page(&self) -> Result<Vec<AlertRow>> {
        let page = self.table.alerts.page(&self.table.tenant, self.after.as_deref(), BATCH_ROWS);
        page.map_err(|reason| Error::Database {
            operation: "reading alerts",
            place: "metadata".into(),
            reason,
        })
    }

    fn wants(&self, row: &AlertRow) -> bool {
        self.scan.times.contains(&row.triggered_at)
            && self.scan.devices.as_ref().is_none_or(|devices| devices.contains(&row.device_id))
    }
}

fn shape() -> Shape {
    let (time, device) = (Some(TIME), Some(DEVICE));
    Shape { name: TABLE.into(), schema: schema(), time, device, metric: None, kind: None, own: false }
}

fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let instant = || DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into()));
    Arc::new(Schema::new(vec![
        text("id"),
        text("device_id"),
        text("rule_id"),
        text("rule"),
        text("severity"),
        text("state"),
        Field::new("triggered_at", instant(), false),
        Field::new("acknowledged_at", instant(), true),
        Field::new("resolved_at", instant(), true),
        text("why"),
        Field::new("retrospective", DataType::Boolean, false),
        Field::new("suppressed", DataType::Int64, false),
    ]))
}

/// The columns that the scan wants.
fn batch(rows: &[AlertRow], scan: &Scan) -> Result<RecordBatch> {
    let columns = columns(rows);
    let wanted = scan.columns.clone().unwrap_or_else(|| (0..columns.len()).collect());
    let schema = schema().project(&wanted).map_err(|error| fault(&error))?;
    let columns = wanted.iter().map(|at| Arc::clone(&columns[*at])).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(schema), columns, &options).map_err(|error| fault(&error))
}

fn columns(rows: &[AlertRow]) -> Vec<ArrayRef> {
    let texts = |of: fn(&AlertRow) -> &str| {
        let mut column = StringBuilder::new();
        rows.iter().for_each(|row| column.append_value(of(row)));
        Arc::new(column.finish()) as ArrayRef
    };
    let times = |of: fn(&AlertRow) -> Option<Timestamp>| {
        let mut column = TimestampNanosecondBuilder::new().with_timezone(UTC);
        rows.iter().for_each(|row| column.append_option(of(row).map(Timestamp::nanos)));
        Arc::new(column.finish()) as ArrayRef
    };
    let (mut retrospective, mut suppressed) = (BooleanBuilder::new(), Int64Builder::new());
    for row in rows {
        retrospective.append_value(row.retrospective);
        suppressed.append_value(row.suppressed);
    }
    vec![
        texts(|row| &row.id),
        texts(|row| &row.device_id),
        texts(|row| &row.rule_id),
        texts(|row| &row.rule),
        texts(|row| &row.severity),
        texts(|row| &row.state),
        times(|row| Some(row.triggered_at)),
        times(|row| row.acknowledged_at),
        times(|row| row.resolved_at),
        texts(|row| &row.why),
        Arc::new(retrospective.finish()),
        Arc::new(suppressed.finish()),
    ]
}

fn fault(error: &ArrowError) -> Error {
    Error::Database { operation: "reading alerts", place: TABLE.into(), reason: error.to_string() }
}
