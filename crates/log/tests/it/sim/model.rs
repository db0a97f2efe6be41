//! What a log must hold, kept in plain vectors.

use std::collections::{BTreeMap, BTreeSet};

use log::{Offset, PartitionId, Run};

/// Values are unique, so that each can be followed.
pub(crate) type Value = Vec<u8>;

#[derive(Default)]
pub(crate) struct Model {
    /// What is durable, by partition and offset.
    pub(crate) kept: BTreeMap<PartitionId, Vec<Value>>,
    /// Handed over, and neither acknowledged nor known to be gone: may show up after a crash.
    pub(crate) open: BTreeSet<Value>,
    /// By reader and partition: the last acknowledged position, and those which were tried since.
    pub(crate) committed: BTreeMap<(String, PartitionId), Tried>,
}

#[derive(Default)]
pub(crate) struct Tried {
    pub(crate) sure: Option<Offset>,
    pub(crate) maybe: Vec<Offset>,
}

impl Model {
    pub(crate) fn end(&self, partition: PartitionId) -> Offset {
        self.kept.get(&partition).map_or(0, |kept| kept.len() as u64)
    }

    pub(crate) fn acknowledged(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        value: Value,
    ) -> Result<(), String> {
        let kept = self.kept.entry(partition).or_default();
        if kept.len() as u64 != offset {
            return Err(format!("{partition}: offset {offset} was given where {} was next", kept.len()));
        }
        self.open.remove(&value);
        kept.push(value);
        Ok(())
    }

    /// What a reader was given must be what is kept.
    pub(crate) fn check(&self, run: &Run) -> Result<(), String> {
        let kept = self.kept.get(&run.partition).map_or(&[][..], Vec::as_slice);
        for (offset, record) in (run.base..).zip(&run.records) {
            match kept.get(usize::try_from(offset).unwrap()) {
                Some(value) if *value == record.value => {}
                Some(_) => return Err(format!("{}: other bytes at offset {offset}", run.partition)),
                None => return Err(format!("{}: a record that is not durable at {offset}", run.partition)),
            }
        }
        Ok(())
    }

    /// After a crash: everything kept must be there, and what follows it must have been on its way.
    pub(crate) fn recovered(
        &mut self,
        partition: PartitionId,
        base: Offset,
        found: Vec<Value>,
    ) -> Result<(), String> {
        let kept = self.kept.entry(partition).or_default();
        let end = base + found.len() as u64;
        if end < kept.len() as u64 {
            return Err(format!("{partition}: lost, {end} of {} acknowledged records are there", kept.len()));
        }
        for (offset, value) in (base..).zip(found) {
            match kept.get(usize::try_from(offset).unwrap()) {
                Some(expected) if *expected == value => {}
                Some(_) => return Err(format!("{partition}: other bytes at offset {offset} after a crash")),
                None if self.open.remove(&value) => kept.push(value),
                None => {
                    return Err(format!("{partition}: offset {offset} is doubled or was refused for good"));
                }
            }
        }
        Ok(())
    }
}
