//! Whether a late reading stands in a cold run is looked up before the batch takes its turn: while the object store is waited
//! for, other batches go on.

use std::collections::HashMap;

use record::ReadingRef;

use super::super::Parquet;
use crate::parquet::{ColumnNo, Entity};
use crate::{Result, WriteBatch};

/// Table, entity and column of a series, or that nobody knows it yet.
type Place = Option<(u32, Entity, ColumnNo)>;

impl Parquet {
    /// Fetches what a batch will need of cold runs into memory.
    pub(in super::super) fn look_up_before(&self, batch: &WriteBatch) -> Result<()> {
        let runs = self.visible.read().runs.clone();
        let cold = || runs.iter().filter(|run| run.object.is_some());
        // Live readings are newer than all of it.
        let Some(until) = cold().map(|run| run.facts.claimed.1).max() else { return Ok(()) };
        for (tenant, readings) in &batch.readings {
            let late = readings.iter().filter(|reading| reading.when.claimed.nanos() <= until);
            let mut places: HashMap<(&str, &str), Place> = HashMap::new();
            for ReadingRef { device, metric, when, .. } in late {
                let place = match places.get(&(device, metric)) {
                    Some(place) => *place,
                    None => {
                        let place = self.series_place(tenant.as_str(), device, metric)?;
                        *places.entry((device, metric)).or_insert(place)
                    }
                };
                let Some((table, entity, column)) = place else { continue };
                let claimed = when.claimed.nanos();
                let key = claimed..=claimed;
                for entry in cold().filter(|run| run.facts.table == table && run.facts.may_hold(entity, &key))
                {
                    let run = self.cache.open(entry)?;
                    if self.cache.may_have(&run, entry.facts.no, entity, claimed)? {
                        self.find(table, entity, &[column], &key)?;
                    }
                }
            }
        }
        Ok(())
    }
}
