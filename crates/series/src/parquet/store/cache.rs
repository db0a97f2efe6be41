//! Runs that are open: their footers and sidecars, in a fixed amount of memory.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::RunEntry;
use crate::Result;
use crate::parquet::run::Run;

#[derive(Debug)]
pub(super) struct Cache {
    most_bytes: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    runs: HashMap<u64, (Arc<Run>, u64)>,
    size_bytes: usize,
    clock: u64,
}

impl Cache {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, open: Mutex::default() }
    }

    /// The run, opened.
    pub(super) fn open(&self, entry: &RunEntry) -> Result<Arc<Run>> {
        let no = entry.facts.no;
        {
            let mut open = self.open.lock();
            open.clock += 1;
            let now = open.clock;
            if let Some((run, used)) = open.runs.get_mut(&no) {
                *used = now;
                return Ok(Arc::clone(run));
            }
        }
        let run = Arc::new(Run::open(&entry.path)?);
        let mut open = self.open.lock();
        let now = open.clock;
        if open.runs.insert(no, (Arc::clone(&run), now)).is_none() {
            open.size_bytes += run.size_bytes();
        }
        open.make_room(self.most_bytes, no);
        Ok(run)
    }

    pub(super) fn forget(&self, no: u64) {
        self.open.lock().remove(no);
    }
}

impl Open {
    fn make_room(&mut self, most_bytes: usize, keep: u64) {
        while self.size_bytes > most_bytes && self.runs.len() > 1 {
            let others = self.runs.iter().filter(|(no, _)| **no != keep);
            let Some(oldest) = others.min_by_key(|(_, (_, used))| *used).map(|(no, _)| *no) else { return };
            self.remove(oldest);
        }
    }

    fn remove(&mut self, no: u64) {
        if let Some((run, _)) = self.runs.remove(&no) {
            self.size_bytes -= run.size_bytes().min(self.size_bytes);
        }
    }
}
