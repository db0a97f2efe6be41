//! Wide tables by device type: of the devices whose fact `type` is the table's name, a column for each metric that they have sent, and
//! for each of their tags.

mod names;
mod roster;
mod tagged;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use parking_lot::Mutex;
use record::TenantId;
use registry::Devices;
use series::scan::{Batches, Moments, Shape};
use series::{Result, Scan, SeriesScan, Snapshot};

use names::Names;
use roster::{Roster, Rosters};
use tagged::Tagged;

/// Most types that are listed; any other's table is there for who asks. More of them are no types but names of devices.
const LISTED: usize = 1_000;

/// The column of devices in a wide table.
const DEVICE: usize = 2;

/// A store with the tables.
pub(crate) struct WithTypes {
    store: Arc<dyn SeriesScan>,
    devices: Arc<Devices>,
    rosters: Arc<Rosters>,
}

impl WithTypes {
    pub(crate) fn new(store: Arc<dyn SeriesScan>, devices: Arc<Devices>) -> Self {
        Self { store, devices, rosters: Arc::default() }
    }
}

impl SeriesScan for WithTypes {
    fn snapshot(&self, tenant: &TenantId) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(Typed {
            store: self.store.snapshot(tenant)?,
            devices: Arc::clone(&self.devices),
            rosters: Arc::clone(&self.rosters),
            tenant: tenant.clone(),
            roster: OnceLock::new(),
            tables: Mutex::default(),
        }))
    }
}

struct Typed {
    store: Arc<dyn Snapshot>,
    devices: Arc<Devices>,
    rosters: Arc<Rosters>,
    tenant: TenantId,
    /// Looked up when a statement asks for what the store does not have.
    roster: OnceLock<Arc<Mutex<Roster>>>,
    /// Tables that were asked for, so that a statement is planned and answered by the same columns.
    tables: Mutex<HashMap<String, Option<Arc<OfType>>>>,
}

/// The table of a type.
struct OfType {
    device_type: String,
    shape: Shape,
    metrics: BTreeSet<String>,
    /// The keys of the columns of tags, which are the last ones.
    tags: Vec<String>,
}

impl Snapshot for Typed {
    fn tables(&self) -> Result<Vec<Shape>> {
        let mut tables = self.store.tables()?;
        let Some(moments) = Arc::clone(&self.store).moments() else { return Ok(tables) };
        let roster = self.roster(&*moments)?;
        let types: Vec<String> = roster.lock().types().take(LISTED).map(str::to_owned).collect();
        for device_type in types {
            let name = self.names(&roster).of(&device_type)?;
            // A metric of one part gives way to it.
            tables.retain(|table| *table.name != *name);
            tables.extend(self.of_type(&name)?.map(|of| of.shape.clone()));
        }
        Ok(tables)
    }

    fn table(&self, name: &str) -> Result<Option<Shape>> {
        let found = self.store.table(name)?;
        if found.as_ref().is_some_and(|table| !names::gives_way(table)) {
            return Ok(found);
        }
        match self.of_type(name)? {
            Some(of) => Ok(Some(of.shape.clone())),
            // It may give way later.
            None => Ok(found.map(|table| Shape { own: false, ..table })),
        }
    }

    fn scan(self: Arc<Self>, scan: Scan) -> Result<Batches> {
        let asked = self.tables.lock().get(&scan.table).cloned().flatten();
        match (asked, Arc::clone(&self.store).moments()) {
            (Some(of), Some(moments)) => self.rows(&of, moments, scan),
            _ => Arc::clone(&self.store).scan(scan),
        }
    }

    fn moments(self: Arc<Self>) -> Option<Arc<dyn Moments>> {
        Arc::clone(&self.store).moments()
    }
}

impl Typed {
    /// As of now, or as it was when this snapshot looked first.
    fn roster(&self, moments: &dyn Moments) -> Result<Arc<Mutex<Roster>>> {
        if let Some(roster) = self.roster.get() {
            return Ok(Arc::clone(roster));
        }
        let roster = self.rosters.of(&self.tenant, &self.devices, moments)?;
        Ok(Arc::clone(self.roster.get_or_init(|| roster)))
    }

    fn names<'n>(&'n self, roster: &'n Mutex<Roster>) -> Names<'n> {
        Names { store: &*self.store, roster }
    }

    /// The type whose table has this name, if there is one.
    fn of_type(&self, name: &str) -> Result<Option<Arc<OfType>>> {
        if let Some(known) = self.tables.lock().get(name) {
            return Ok(known.clone());
        }
        let found = match Arc::clone(&self.store).moments() {
            Some(moments) => self.look_up(name, &*moments)?,
            None => None,
        };
        let mut tables = self.tables.lock();
        Ok(tables.entry(name.to_owned()).or_insert(found.map(Arc::new)).clone())
    }

    fn look_up(&self, name: &str, moments: &dyn Moments) -> Result<Option<OfType>> {
        let roster = self.roster(moments)?;
        let Some(device_type) = self.names(&roster).find(name)? else { return Ok(None) };
        let (metrics, tags) = roster.lock().columns(&device_type);
        let wide = moments.shape(&metrics)?;
        let mut fields: Vec<Field> = wide.schema.fields().iter().map(|field| Field::clone(field)).collect();
        for key in &tags {
            let mut column = key.clone();
            while fields.iter().any(|field| *field.name() == column) {
                column.push('_');
            }
            fields.push(Field::new(column, DataType::Utf8, true));
        }
        let schema = Arc::new(Schema::new(fields));
        // Who is of the type is for people to say, not for the store.
        let shape = Shape { name: name.into(), schema, own: false, ..wide };
        Ok(Some(OfType { device_type, shape, metrics, tags: tags.into_iter().collect() }))
    }

    fn rows(&self, of: &OfType, moments: Arc<dyn Moments>, scan: Scan) -> Result<Batches> {
        let roster = self.roster(&*moments)?;
        let devices = roster.lock().devices(&of.device_type, scan.devices.as_ref());
        let first_tag = of.shape.schema.fields().len() - of.tags.len();
        let columns = scan.columns.unwrap_or_else(|| (0..of.shape.schema.fields().len()).collect());
        let mut stored: Vec<usize> = columns.iter().copied().filter(|&at| at < first_tag).collect();
        let tags = columns.iter().any(|&at| at >= first_tag);
        if tags && !stored.contains(&DEVICE) {
            stored.push(DEVICE);
        }
        let inner = Scan {
            columns: Some(stored.clone()),
            devices: Some(devices),
            metrics: Some(of.metrics.clone()),
            ..scan
        };
        let rows = moments.rows(inner)?;
        if !tags {
            return Ok(rows);
        }
        let (devices, tenant) = (Arc::clone(&self.devices), self.tenant.clone());
        let shown = columns.iter().map(|&at| match at.checked_sub(first_tag) {
            Some(tag) => tagged::Column::Tag(of.tags[tag].clone()),
            None => tagged::Column::Stored(stored.iter().position(|&of| of == at).unwrap_or_default()),
        });
        let device = stored.iter().position(|&at| at == DEVICE).unwrap_or_default();
        let schema = Arc::new(of.shape.schema.project(&columns).map_err(|error| tagged::fault(&error))?);
        Ok(Box::new(Tagged { rows, devices, tenant, device, shown: shown.collect(), schema }))
    }
}
