//! All devices: those that the store has seen and those that the registry knows, both by rising id, as one list. Neither is held: a fleet
//! need not fit into memory to be listed.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use record::Facts;
use registry::{Depth, DeviceEntry};
use series::scan::{BATCH_ROWS, Batches};
use series::{Result, Scan};

use super::{Columns, Joined, More, Silent, fault, ids};

/// Fewest devices of the registry that are read at a time.
const LEAST_PAGE: usize = 64;

pub(super) struct All {
    table: Arc<Joined>,
    scan: Scan,
    /// `None` once they are through.
    seen: Option<Batches>,
    current: Option<Current>,
    known: Known,
    /// Registered devices that were not seen, and not told yet.
    silent: Vec<Silent>,
}

/// A batch of the store, and the facts of its devices so far.
struct Current {
    seen: RecordBatch,
    ids: VecDeque<String>,
    facts: Option<Columns>,
}

impl All {
    pub(super) fn new(table: Arc<Joined>, scan: Scan) -> Result<Self> {
        let seen = Arc::clone(&table.store).scan(Scan { columns: None, ..scan.clone() })?;
        let page_rows = scan.limit.unwrap_or(BATCH_ROWS).clamp(LEAST_PAGE, BATCH_ROWS);
        let known =
            Known { depth: table.depth(&scan), page_rows, page: VecDeque::new(), after: None, ended: false };
        Ok(Self { table, scan, seen: Some(seen), current: None, known, silent: Vec::new() })
    }

    /// Goes on with the batch; `false`: it is through, or there is enough to be told first.
    fn step(&mut self) -> Result<bool> {
        let Some(current) = &mut self.current else { return Ok(false) };
        let Some(id) = current.ids.front() else { return Ok(false) };
        let known = self.known.next_up_to(&self.table, Some(id))?;
        match known {
            Some(known) if known.id == *id => current.add(known.entry.as_ref()),
            Some(known) => {
                self.silent.extend(Some(known).filter(Silent::is_registered));
                return Ok(self.silent.len() < BATCH_ROWS);
            }
            None => current.add(None),
        }
        current.ids.pop_front();
        Ok(true)
    }

    /// A full batch of those that were not seen, or at the end what there is.
    fn tell_silent(&mut self, at_the_end: bool) -> Result<Option<RecordBatch>> {
        if self.silent.is_empty() || (self.silent.len() < BATCH_ROWS && !at_the_end) {
            return Ok(None);
        }
        self.table.silent(&std::mem::take(&mut self.silent), &self.scan).map(Some)
    }
}

impl More for All {
    fn more(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(seen) = &mut self.seen {
            if self.current.is_none() {
                let Some(batch) = seen.next().transpose()? else {
                    self.seen = None;
                    break;
                };
                let facts = self.table.wants_facts(&self.scan).then(|| self.table.columns(&self.scan));
                self.current =
                    Some(Current { ids: ids(&batch).map(str::to_owned).collect(), seen: batch, facts });
            }
            while self.step()? {}
            if let Some(silent) = self.tell_silent(false)? {
                return Ok(Some(silent));
            }
            if let Some(Current { seen, facts, .. }) = self.current.take() {
                return self
                    .table
                    .batch(seen.columns().to_vec(), facts, seen.num_rows(), &self.scan)
                    .map(Some);
            }
        }
        while self.silent.len() < BATCH_ROWS
            && let Some(known) = self.known.next_up_to(&self.table, None)?
        {
            self.silent.extend(Some(known).filter(Silent::is_registered));
        }
        self.tell_silent(true)
    }
}

impl Current {
    fn add(&mut self, entry: Option<&DeviceEntry>) {
        let Some(facts) = &mut self.facts else { return };
        match entry {
            Some(entry) => facts.add(&entry.facts(), entry.registered_at),
            None => facts.add(&Facts::default(), None),
        }
    }
}

impl Silent {
    /// Of a device that nobody registered, data may have said something all the same.
    fn is_registered(&self) -> bool {
        self.entry.as_ref().is_none_or(|entry| entry.registered_at.is_some())
    }
}

/// What the registry knows, page by page.
struct Known {
    /// `None`: only who is registered.
    depth: Option<Depth>,
    page_rows: usize,
    page: VecDeque<Silent>,
    after: Option<String>,
    ended: bool,
}

impl Known {
    /// The next device, if it comes no later than this one.
    fn next_up_to(&mut self, table: &Joined, id: Option<&String>) -> Result<Option<Silent>> {
        if self.page.is_empty() && !self.ended {
            self.page = self.read(table).map_err(|error| fault(&error))?.into();
            self.ended = self.page.is_empty();
            self.after = self.page.back().map(|last| last.id.clone());
        }
        let comes = self.page.front().is_some_and(|next| id.is_none_or(|id| next.id <= *id));
        Ok(if comes { self.page.pop_front() } else { None })
    }

    fn read(&self, table: &Joined) -> std::result::Result<Vec<Silent>, registry::Error> {
        let Joined { devices, tenant, .. } = table;
        let after = self.after.as_deref();
        let Some(depth) = self.depth else {
            let ids = devices.registered_ids(tenant, after, self.page_rows)?;
            return Ok(ids.into_iter().map(|id| Silent { id, entry: None }).collect());
        };
        let entries = devices.list(tenant, after, self.page_rows, depth)?;
        let known = entries.into_iter();
        Ok(known.map(|entry| Silent { id: entry.id.as_str().to_owned(), entry: Some(entry) }).collect())
    }
}
