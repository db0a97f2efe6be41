//! The table `devices` with what the registry knows of each: facts beside what the store has seen, and devices that are
//! registered and have sent nothing yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray as _, Float64Builder, Int64Array, RecordBatch, StringBuilder, TimestampNanosecondArray,
    TimestampNanosecondBuilder, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use record::{Facts, TenantId, Timestamp};
use registry::{DeviceEntry, Devices};
use series::scan::{Batches, Shape, UTC, shape};
use series::{Error, Result, Scan, SeriesScan, Snapshot};

/// The table.
const TABLE: &str = "devices";
/// Registered devices read at a time.
const PAGE: usize = 10_000;

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
        let mut registered = self.registered(&scan)?;
        let seen = Scan { columns: None, limit: None, ..scan.clone() };
        let mut joined = Vec::new();
        for batch in Arc::clone(&self.store).scan(seen)? {
            joined.push(self.join(&batch?, &mut registered, &scan)?);
        }
        if !registered.is_empty() {
            joined.push(self.silent(registered, &scan)?);
        }
        Ok(Box::new(joined.into_iter().map(Ok)))
    }
}

impl Joined {
    fn registered(&self, scan: &Scan) -> Result<BTreeMap<String, DeviceEntry>> {
        let mut found = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self
                .devices
                .registered(&self.tenant, after.as_deref(), PAGE)
                .map_err(|error| fault(&error))?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.id.as_str().to_owned());
            let wanted = |id: &str| scan.devices.as_ref().is_none_or(|set| set.contains(id));
            let wanted = page.into_iter().filter(|entry| wanted(entry.id.as_str()));
            found.extend(wanted.map(|entry| (entry.id.as_str().to_owned(), entry)));
        }
    }

    /// The facts of the devices of a batch; those that are registered are taken from `registered`.
    fn join(
        &self,
        seen: &RecordBatch,
        registered: &mut BTreeMap<String, DeviceEntry>,
        scan: &Scan,
    ) -> Result<RecordBatch> {
        let mut columns = Columns::default();
        for id in seen.column(0).as_string::<i32>().iter().flatten() {
            match registered.remove(id) {
                Some(entry) => columns.add(&entry.facts(), entry.registered_at),
                None => {
                    let known = self.devices.known(&self.tenant, id).map_err(|error| fault(&error))?;
                    columns.add(&known.registered.over(&known.learned), None);
                }
            }
        }
        self.batch(seen.columns().to_vec(), columns, scan)
    }

    /// The registered devices that have sent nothing.
    fn silent(&self, registered: BTreeMap<String, DeviceEntry>, scan: &Scan) -> Result<RecordBatch> {
        let (mut ids, mut columns, mut created) = (StringBuilder::new(), Columns::default(), Vec::new());
        for (id, entry) in &registered {
            ids.append_value(id);
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
        self.batch(seen.collect(), columns, scan)
    }

    fn batch(&self, mut seen: Vec<ArrayRef>, facts: Columns, scan: &Scan) -> Result<RecordBatch> {
        seen.extend(facts.finish());
        let whole =
            RecordBatch::try_new(Arc::clone(&self.shape.schema), seen).map_err(|error| arrow(&error))?;
        match &scan.columns {
            Some(columns) => whole.project(columns).map_err(|error| arrow(&error)),
            None => Ok(whole),
        }
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
