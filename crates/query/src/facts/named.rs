//! Devices by their names: those that were seen, each with its facts, then those that are registered and were not.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use record::{DeviceId, Facts};
use registry::Error;
use series::scan::{BATCH_ROWS, Batches};
use series::{Result, Scan};

use super::{Columns, Joined, More, Silent, fault, ids};

pub(super) struct Named {
    table: Arc<Joined>,
    scan: Scan,
    seen: Batches,
    /// Those of which none was seen so far.
    names: BTreeSet<String>,
}

impl Named {
    pub(super) fn new(table: Arc<Joined>, scan: Scan, names: BTreeSet<String>) -> Result<Self> {
        let seen = Arc::clone(&table.store).scan(Scan { columns: None, ..scan.clone() })?;
        Ok(Self { table, scan, seen, names })
    }

    /// The facts of the devices of a batch: from memory, where that is enough.
    fn facts_of(&self, seen: &RecordBatch) -> std::result::Result<Columns, Error> {
        let Joined { devices, tenant, .. } = &*self.table;
        let registered_at = self.table.shape.schema.fields().len() - 1;
        let in_memory = self.scan.columns.as_ref().is_some_and(|columns| !columns.contains(&registered_at));
        let mut columns = self.table.columns(&self.scan);
        for id in ids(seen) {
            if in_memory {
                columns.add(&devices.known(tenant, id)?.facts(), None);
                continue;
            }
            let found = DeviceId::parse(id).ok().map(|id| devices.find(tenant, &id)).transpose()?;
            match found.flatten() {
                Some(entry) => columns.add(&entry.facts(), entry.registered_at),
                None => columns.add(&Facts::default(), None),
            }
        }
        Ok(columns)
    }

    /// Those of a page of names that are registered. What is no name of a device is not.
    fn registered(&mut self) -> Result<Vec<Silent>> {
        let page = std::iter::from_fn(|| self.names.pop_first()).take(BATCH_ROWS);
        let ids = page.filter_map(|name| DeviceId::parse(&name).ok());
        let Joined { devices, tenant, .. } = &*self.table;
        let found = ids.filter_map(|id| devices.find(tenant, &id).transpose());
        let registered =
            found.filter(|entry| entry.as_ref().map_or(true, |entry| entry.registered_at.is_some()));
        let silent = registered
            .map(|entry| entry.map(|entry| Silent { id: entry.id.as_str().to_owned(), entry: Some(entry) }));
        silent.collect::<std::result::Result<_, _>>().map_err(|error| fault(&error))
    }
}

impl More for Named {
    fn more(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(seen) = self.seen.next().transpose()? {
            for id in ids(&seen) {
                self.names.remove(id);
            }
            let facts = match self.table.wants_facts(&self.scan) {
                true => Some(self.facts_of(&seen).map_err(|error| fault(&error))?),
                false => None,
            };
            return self.table.batch(seen.columns().to_vec(), facts, seen.num_rows(), &self.scan).map(Some);
        }
        while !self.names.is_empty() {
            let silent = self.registered()?;
            if !silent.is_empty() {
                return self.table.silent(&silent, &self.scan).map(Some);
            }
        }
        Ok(None)
    }
}
