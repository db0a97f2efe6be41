//! The table `devices` with what the registry knows of each: facts beside what the store has seen, and devices that are
//! registered and have sent nothing yet. No more is read of what is known than the columns need that are asked for.

mod all;
mod columns;
mod named;

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray as _, Int64Array, RecordBatch, RecordBatchOptions, StringBuilder,
    TimestampNanosecondArray, new_null_array,
};
use datafusion::arrow::error::ArrowError;
use record::{Facts, TenantId, Timestamp};
use registry::{Depth, DeviceEntry, Devices};
use series::scan::{Batches, Moments, Shape, UTC, shape};
use series::{Error, Result, Scan, SeriesScan, Snapshot};

use all::All;
use columns::{COLUMNS, Columns, with_facts};
use named::Named;

/// The table.
const TABLE: &str = "devices";

/// A store whose devices have their facts. What the registry knows is of the moment of the scan, not of the snapshot.
pub(crate) struct WithFacts {
    pub(crate) store: Arc<dyn SeriesScan>,
    pub(crate) devices: Arc<Devices>,
}

struct Joined {
    store: Arc<dyn Snapshot>,
    devices: Arc<Devices>,
    tenant: TenantId,
    shape: Shape,
}

impl SeriesScan for WithFacts {
    fn snapshot(&self, tenant: &TenantId) -> Result<Arc<dyn Snapshot>> {
        let store = self.store.snapshot(tenant)?;
        let seen = shape(TABLE).expect("every tenant has the table");
        // Facts come from people, and from other processes: no write of the store says that they changed.
        let shape = Shape { schema: with_facts(&seen.schema), own: false, ..seen };
        Ok(Arc::new(Joined { store, devices: Arc::clone(&self.devices), tenant: tenant.clone(), shape }))
    }
}

impl Snapshot for Joined {
    fn tables(&self) -> Result<Vec<Shape>> {
        let mut tables = self.store.tables()?;
        for table in tables.iter_mut().filter(|table| &*table.name == TABLE) {
            *table = self.shape.clone();
        }
        Ok(tables)
    }

    fn table(&self, name: &str) -> Result<Option<Shape>> {
        let found = self.store.table(name)?;
        Ok(found.map(|table| if &*table.name == TABLE { self.shape.clone() } else { table }))
    }

    fn scan(self: Arc<Self>, scan: Scan) -> Result<Batches> {
        if scan.table != TABLE {
            return Arc::clone(&self.store).scan(scan);
        }
        self.devices.refresh().map_err(|error| fault(&error))?;
        let left = scan.limit.unwrap_or(usize::MAX);
        match scan.devices.clone() {
            Some(names) => Ok(Box::new(Limited { rows: Named::new(self, scan, names)?, left })),
            None => Ok(Box::new(Limited { rows: All::new(self, scan)?, left })),
        }
    }

    fn moments(self: Arc<Self>) -> Option<Arc<dyn Moments>> {
        Arc::clone(&self.store).moments()
    }
}

/// Rows of the table, one batch after the other.
trait More: Send {
    /// `None`: there are no more.
    fn more(&mut self) -> Result<Option<RecordBatch>>;
}

/// At most so many of them; none after an error.
struct Limited<M> {
    rows: M,
    left: usize,
}

impl<M: More> Iterator for Limited<M> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        match self.rows.more().transpose()? {
            Ok(batch) => {
                let rows = batch.num_rows().min(self.left);
                self.left -= rows;
                Some(Ok(batch.slice(0, rows)))
            }
            Err(error) => {
                self.left = 0;
                Some(Err(error))
            }
        }
    }
}

fn ids(seen: &RecordBatch) -> impl Iterator<Item = &str> {
    seen.column(0).as_string::<i32>().iter().flatten()
}

/// A registered device that has sent nothing; of one whose facts nobody wants, its name.
struct Silent {
    id: String,
    entry: Option<DeviceEntry>,
}

impl Joined {
    /// Where the first column of facts stands.
    fn first_fact(&self) -> usize {
        self.shape.schema.fields().len() - COLUMNS.len() - 1
    }

    /// How much has to be read of what is known, for these columns; `None`: only who is registered.
    fn depth(&self, scan: &Scan) -> Option<Depth> {
        let names = self.shape.schema.fields().iter().map(|field| field.name().as_str());
        let wanted = |at: usize| scan.columns.as_ref().is_none_or(|columns| columns.contains(&at));
        let depths = names.enumerate().filter(|(at, _)| wanted(*at)).filter_map(|(at, name)| match name {
            "type" | "site" | "firmware" => Some(Depth::Whole),
            // A device that has sent nothing was there when it was registered.
            "created_at" => Some(Depth::Registered),
            _ => (at >= self.first_fact()).then_some(Depth::Registered),
        });
        depths.max()
    }

    /// Whether a column of facts is asked for.
    fn wants_facts(&self, scan: &Scan) -> bool {
        let first = self.first_fact();
        scan.columns.as_ref().is_none_or(|columns| columns.iter().any(|at| *at >= first))
    }

    fn columns(&self, scan: &Scan) -> Columns {
        let tags = self.shape.schema.fields().len() - 2;
        Columns::new(scan.columns.as_ref().is_none_or(|columns| columns.contains(&tags)))
    }

    /// Registered devices that have sent nothing.
    fn silent(&self, registered: &[Silent], scan: &Scan) -> Result<RecordBatch> {
        let (mut ids, mut columns, mut created) = (StringBuilder::new(), self.columns(scan), Vec::new());
        for Silent { id, entry } in registered {
            ids.append_value(id);
            let registered_at = entry.as_ref().and_then(|entry| entry.registered_at);
            created.push(registered_at.map_or(0, Timestamp::nanos));
            let facts = entry.as_ref().map_or_else(Facts::default, DeviceEntry::facts);
            columns.add(&facts, registered_at);
        }
        let rows = registered.len();
        let created = TimestampNanosecondArray::from(created).with_timezone(UTC);
        let seen = self.shape.schema.fields().iter().take(self.first_fact());
        let seen = seen.map(|field| match field.name().as_str() {
            "id" => Arc::new(ids.finish_cloned()) as ArrayRef,
            "created_at" => Arc::new(created.clone()) as ArrayRef,
            "metrics" => Arc::new(Int64Array::from(vec![0; rows])) as ArrayRef,
            _ => new_null_array(field.data_type(), rows),
        });
        self.batch(seen.collect(), Some(columns), rows, scan)
    }

    /// The columns that the scan wants; facts that nobody wants are not there.
    fn batch(
        &self,
        mut columns: Vec<ArrayRef>,
        facts: Option<Columns>,
        rows: usize,
        scan: &Scan,
    ) -> Result<RecordBatch> {
        columns.extend(facts.map(Columns::finish).into_iter().flatten());
        let wanted = match &scan.columns {
            Some(wanted) => wanted.clone(),
            None => (0..columns.len()).collect(),
        };
        let schema = self.shape.schema.project(&wanted).map_err(|error| arrow(&error))?;
        let columns = wanted.iter().map(|at| Arc::clone(&columns[*at])).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(schema), columns, &options).map_err(|error| arrow(&error))
    }
}

pub(crate) fn fault(error: &registry::Error) -> Error {
    let (operation, place, reason) = ("reading the facts of devices", "metadata".into(), error.to_string());
    Error::Database { operation, place, reason }
}

fn arrow(error: &ArrowError) -> Error {
    let (operation, place, reason) = ("joining devices and facts", TABLE.into(), error.to_string());
    Error::Database { operation, place, reason }
}
