//! The table `devices` with what the registry knows of each: facts beside what the store has seen, and devices that are
//! registered and have sent nothing yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray as _, Float64Builder, Int64Array, RecordBatch, RecordBatchOptions, StringBuilder,
    TimestampNanosecondArray, TimestampNanosecondBuilder, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use record::{DeviceId, Facts, TenantId, Timestamp};
use registry::{DeviceEntry, Devices};
use series::scan::{BATCH_ROWS, Batches, Shape, UTC, shape};
use series::{Error, Result, Scan, SeriesScan, Snapshot};

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
        let shape = Shape { schema: with_facts(&seen.schema), ..seen };
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
        let seen = Arc::clone(&self.store).scan(Scan { columns: None, ..scan.clone() })?;
        let left = scan.limit.unwrap_or(usize::MAX);
        let silent = Silent::of(scan.devices.clone());
        Ok(Box::new(Scanning { table: self, scan, seen: Some(seen), silent, left }))
    }
}

/// A scan: first the devices that were seen, each with its facts, then those that are registered and were not.
struct Scanning {
    table: Arc<Joined>,
    scan: Scan,
    /// `None` once they are through.
    seen: Option<Batches>,
    silent: Silent,
    /// Rows that are still wanted; none after an error.
    left: usize,
}

/// Where to look for devices that are registered and have sent nothing.
enum Silent {
    /// Among these, of which none was seen so far.
    Named(BTreeSet<String>),
    /// Among all that come behind this one. The store's snapshot says which of a page were seen, so that the ids of a
    /// fleet need not be held.
    Behind(Option<String>),
    /// Nowhere any more.
    Nowhere,
}

impl Silent {
    fn of(named: Option<BTreeSet<String>>) -> Self {
        named.map_or(Self::Behind(None), Self::Named)
    }
}

impl Iterator for Scanning {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        match self.more().transpose()? {
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

impl Scanning {
    fn more(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(seen) = &mut self.seen {
            if let Some(batch) = seen.next().transpose()? {
                if let Silent::Named(names) = &mut self.silent {
                    for id in ids(&batch) {
                        names.remove(id);
                    }
                }
                return self.table.join(&batch, &self.scan).map(Some);
            }
            self.seen = None;
        }
        loop {
            let found = match std::mem::replace(&mut self.silent, Silent::Nowhere) {
                Silent::Nowhere => return Ok(None),
                Silent::Named(mut names) => {
                    let page: Vec<_> = std::iter::from_fn(|| names.pop_first()).take(BATCH_ROWS).collect();
                    if !names.is_empty() {
                        self.silent = Silent::Named(names);
                    }
                    self.table.registered(&page)?
                }
                Silent::Behind(after) => {
                    let page = self.table.page(after.as_deref())?;
                    let Some(last) = page.last() else { return Ok(None) };
                    self.silent = Silent::Behind(Some(last.id.as_str().to_owned()));
                    self.table.unseen(page)?
                }
            };
            if !found.is_empty() {
                return self.table.silent(&found, &self.scan).map(Some);
            }
        }
    }
}

fn ids(seen: &RecordBatch) -> impl Iterator<Item = &str> {
    seen.column(0).as_string::<i32>().iter().flatten()
}

impl Joined {
    /// The facts of the devices of a batch.
    fn join(&self, seen: &RecordBatch, scan: &Scan) -> Result<RecordBatch> {
        let facts = self.facts_of(seen, scan).map_err(|error| fault(&error))?;
        self.batch(seen.columns().to_vec(), facts, seen.num_rows(), scan)
    }

    /// What is known of devices by their names comes from memory where it is there. A scan of all of them goes past the
    /// memory: it is the stream's, of those that speak now.
    fn facts_of(
        &self,
        seen: &RecordBatch,
        scan: &Scan,
    ) -> std::result::Result<Option<Columns>, registry::Error> {
        let width = self.shape.schema.fields().len();
        let wanted =
            |from: usize| scan.columns.as_ref().is_none_or(|columns| columns.iter().any(|at| *at >= from));
        if !wanted(seen.num_columns()) {
            return Ok(None);
        }
        let mut columns = Columns::default();
        for id in ids(seen) {
            if scan.devices.is_some() && !wanted(width - 1) {
                let known = self.devices.known(&self.tenant, id)?;
                columns.add(&known.registered.over(&known.learned), None);
                continue;
            }
            match DeviceId::parse(id)
                .ok()
                .map(|id| self.devices.find(&self.tenant, &id))
                .transpose()?
                .flatten()
            {
                Some(entry) => columns.add(&entry.facts(), entry.registered_at),
                None => columns.add(&Facts::default(), None),
            }
        }
        Ok(Some(columns))
    }

    /// Those of some names that are registered. What is no name of a device is not.
    fn registered(&self, names: &[String]) -> Result<Vec<DeviceEntry>> {
        let ids = names.iter().filter_map(|name| DeviceId::parse(name).ok());
        let found = ids.filter_map(|id| self.devices.find(&self.tenant, &id).transpose());
        let registered =
            found.filter(|entry| entry.as_ref().map_or(true, |entry| entry.registered_at.is_some()));
        registered.collect::<std::result::Result<_, _>>().map_err(|error| fault(&error))
    }

    /// Registered devices behind one of them.
    fn page(&self, after: Option<&str>) -> Result<Vec<DeviceEntry>> {
        self.devices.registered(&self.tenant, after, BATCH_ROWS).map_err(|error| fault(&error))
    }

    /// Those of a page that the store has not seen.
    fn unseen(&self, mut page: Vec<DeviceEntry>) -> Result<Vec<DeviceEntry>> {
        let names: BTreeSet<String> = page.iter().map(|entry| entry.id.as_str().to_owned()).collect();
        let asked = Scan { columns: Some(vec![0]), devices: Some(names), ..Scan::all(TABLE) };
        let mut seen = BTreeSet::new();
        for batch in Arc::clone(&self.store).scan(asked)? {
            seen.extend(ids(&batch?).map(str::to_owned));
        }
        page.retain(|entry| !seen.contains(entry.id.as_str()));
        Ok(page)
    }

    /// Registered devices that have sent nothing.
    fn silent(&self, registered: &[DeviceEntry], scan: &Scan) -> Result<RecordBatch> {
        let (mut ids, mut columns, mut created) = (StringBuilder::new(), Columns::default(), Vec::new());
        for entry in registered {
            ids.append_value(entry.id.as_str());
            created.push(entry.registered_at.map_or(0, Timestamp::nanos));
            columns.add(&entry.facts(), entry.registered_at);
        }
        let rows = registered.len();
        let created = TimestampNanosecondArray::from(created).with_timezone(UTC);
        let seen =
            self.shape.schema.fields().iter().take(self.shape.schema.fields().len() - COLUMNS.len() - 1);
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

/// The columns of facts, in their order.
const COLUMNS: [(&str, DataType); 7] = [
    ("type", DataType::Utf8),
    ("site", DataType::Utf8),
    ("lat", DataType::Float64),
    ("lng", DataType::Float64),
    ("place", DataType::Utf8),
    ("firmware", DataType::Utf8),
    ("tags", DataType::Utf8),
];

/// The store's columns, then the facts, then when the device was registered. A device that has sent nothing has no last
/// moment.
fn with_facts(seen: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<Field> = seen.fields().iter().map(|field| Field::clone(field)).collect();
    for field in fields.iter_mut().filter(|field| field.name() == "last_seen") {
        *field = field.clone().with_nullable(true);
    }
    let instant = seen.field_with_name("created_at").map(|field| field.data_type().clone());
    fields.extend(COLUMNS.map(|(name, kind)| Field::new(name, kind, true)));
    fields.extend(instant.ok().map(|kind| Field::new("registered_at", kind, true)));
    Arc::new(Schema::new(fields))
}

struct Columns {
    texts: [StringBuilder; 5],
    coordinates: [Float64Builder; 2],
    registered_at: TimestampNanosecondBuilder,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            texts: Default::default(),
            coordinates: Default::default(),
            registered_at: TimestampNanosecondBuilder::new().with_timezone(UTC),
        }
    }
}

impl Columns {
    fn add(&mut self, facts: &Facts, registered_at: Option<Timestamp>) {
        let tags = (!facts.tags.is_empty()).then(|| serde_json::json!(facts.tags).to_string());
        let texts = [
            facts.device_type.as_deref(),
            facts.site.as_deref(),
            facts.place.as_deref(),
            facts.firmware.as_deref(),
            tags.as_deref(),
        ];
        for (column, text) in self.texts.iter_mut().zip(texts) {
            column.append_option(text);
        }
        let (lat, lng) = facts.coordinates.unzip();
        for (column, degrees) in self.coordinates.iter_mut().zip([lat, lng]) {
            column.append_option(degrees);
        }
        self.registered_at.append_option(registered_at.map(Timestamp::nanos));
    }

    fn finish(mut self) -> Vec<ArrayRef> {
        let [device_type, site, place, firmware, tags] =
            self.texts.each_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let [lat, lng] = self.coordinates.each_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let registered_at = Arc::new(self.registered_at.finish()) as ArrayRef;
        vec![device_type, site, lat, lng, place, firmware, tags, registered_at]
    }
}

fn fault(error: &registry::Error) -> Error {
    let (operation, place, reason) = ("reading the facts of devices", "metadata".into(), error.to_string());
    Error::Database { operation, place, reason }
}

fn arrow(error: &ArrowError) -> Error {
    let (operation, place, reason) = ("joining devices and facts", TABLE.into(), error.to_string());
    Error::Database { operation, place, reason }
}
