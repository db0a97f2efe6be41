//! Runs that are open: their footers and sidecars, and the rows of series that were just read, in a fixed amount of memory.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::RunEntry;
use crate::Result;
use crate::parquet::run::{Detail, Run};
use crate::parquet::{ColumnNo, Entity, Rows};

#[derive(Debug)]
pub(super) struct Cache {
    most_bytes: usize,
    open: Mutex<Open>,
    read: Mutex<Read>,
    keys: Mutex<Keys>,
}

/// The claimed times of all rows of runs, where it was asked whether they hold a key: what lies between what a device sent
/// before and after must not cost a page each time.
#[derive(Debug, Default)]
struct Keys {
    claimed: HashMap<u64, (Arc<[i64]>, u64)>,
    size_bytes: usize,
    clock: u64,
}

/// Runs with more rows are asked page by page: they are merged ones, and late data does not come for them in thousands.
const MOST_KEYS: u64 = 1 << 20;
/// What was asked for among so many questions stays: were more files asked in turn than there is room for, each question
/// would read a whole file.
const IN_USE: u64 = 4096;

/// Rows of series, as questions about one device come: again and again about the same, window by window. Pages hold many
/// devices, and are dear to decode for a few rows.
#[derive(Debug, Default)]
struct Read {
    rows: HashMap<Series, (Arc<Rows>, u64)>,
    size_bytes: usize,
    clock: u64,
}

/// Number of the run, entity, metric.
type Series = (u64, Entity, ColumnNo);

/// The part of the memory that rows may take.
const READ_PART: usize = 8;

/// Longer series are read piece by piece: a day of one reading every five seconds is kept.
pub(super) const MOST_ROWS: u64 = 17_280;

#[derive(Debug, Default)]
struct Open {
    runs: HashMap<u64, (Arc<Run>, u64)>,
    size_bytes: usize,
    clock: u64,
}

impl Cache {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, open: Mutex::default(), read: Mutex::default(), keys: Mutex::default() }
    }

    /// Keys, times and values of one metric of an entity, all that a run has of it.
    pub(super) fn rows(
        &self,
        run: &Arc<Run>,
        no: u64,
        entity: Entity,
        column: ColumnNo,
    ) -> Result<Arc<Rows>> {
        let series = (no, entity, column);
        {
            let mut read = self.read.lock();
            read.clock += 1;
            let now = read.clock;
            if let Some((rows, used)) = read.rows.get_mut(&series) {
                *used = now;
                return Ok(Arc::clone(rows));
            }
        }
        let rows = run.entity(entity, &(i64::MIN..=i64::MAX), &[column], Detail::Times)?;
        let rows = Arc::new(rows.unwrap_or_else(|| Rows::new([column])));
        let mut read = self.read.lock();
        let now = read.clock;
        if read.rows.insert(series, (Arc::clone(&rows), now)).is_none() {
            read.size_bytes += rows.size_bytes();
        }
        read.make_room(self.most_bytes / READ_PART);
        Ok(rows)
    }

    /// Whether a run has a row of an entity and a claimed time. May also say so where it has not.
    pub(super) fn may_have(&self, run: &Arc<Run>, no: u64, entity: Entity, claimed: i64) -> Result<bool> {
        let Some((rows, known)) = run.sidecar().entity(entity) else { return Ok(false) };
        if claimed < known.first || known.last < claimed {
            return Ok(false);
        }
        if run.sidecar().rows > MOST_KEYS {
            return Ok(true);
        }
        let keys = self.keys(run, no)?;
        Ok(keys
            .is_none_or(|keys| keys[rows.start as usize..rows.end as usize].binary_search(&claimed).is_ok()))
    }

    /// `None`: there is no room for them beside those that are in use.
    fn keys(&self, run: &Arc<Run>, no: u64) -> Result<Option<Arc<[i64]>>> {
        let most_bytes = self.most_bytes / READ_PART;
        {
            let mut keys = self.keys.lock();
            keys.clock += 1;
            let now = keys.clock;
            if let Some((claimed, used)) = keys.claimed.get_mut(&no) {
                *used = now;
                return Ok(Some(Arc::clone(claimed)));
            }
            if !keys.make_room(most_bytes.saturating_sub(run.sidecar().rows as usize * size_of::<i64>())) {
                return Ok(None);
            }
        }
        let mut rows = Rows::default();
        let mut scan = run.scan(0..run.sidecar().rows, Some(&[])).with_detail(Detail::Times);
        while scan.read(usize::MAX, &mut rows)? > 0 {}
        let claimed: Arc<[i64]> = rows.claimed.into();
        let mut keys = self.keys.lock();
        let now = keys.clock;
        if keys.claimed.insert(no, (Arc::clone(&claimed), now)).is_none() {
            keys.size_bytes += size_of_val(&*claimed);
        }
        Ok(Some(claimed))
    }

    /// The run, opened.
    pub(super) fn open(&self, entry: &RunEntry) -> Result<Arc<Run>> {
        let no = entry.facts.no;
        {
            let mut open = self.open.lock();
            open.clock += 1;
            let now = open.clock;
            let here =
                open.runs.get_mut(&no).filter(|(run, _)| run.object().is_some() == entry.object.is_some());
            if let Some((run, used)) = here {
                *used = now;
                return Ok(Arc::clone(run));
            }
        }
        let run = Arc::new(entry.open()?);
        let mut open = self.open.lock();
        let now = open.clock;
        open.remove(no);
        if open.runs.insert(no, (Arc::clone(&run), now)).is_none() {
            open.size_bytes += run.size_bytes();
        }
        open.make_room(self.most_bytes, no);
        Ok(run)
    }

    /// Whether the rows of a series are in memory.
    pub(super) fn has_rows(&self, no: u64, entity: Entity, column: ColumnNo) -> bool {
        self.read.lock().rows.contains_key(&(no, entity, column))
    }

    /// Closes a run's file; what is known of its rows stays.
    pub(super) fn close(&self, no: u64) {
        self.open.lock().remove(no);
    }

    pub(super) fn forget(&self, no: u64) {
        self.open.lock().remove(no);
        self.keys.lock().remove(no);
        let mut read = self.read.lock();
        let before = read.rows.len();
        read.rows.retain(|(run, ..), _| *run != no);
        if read.rows.len() < before {
            read.size_bytes = read.rows.values().map(|(rows, _)| rows.size_bytes()).sum();
        }
    }
}

impl Read {
    /// Half of it goes at once, what was used longest ago: so that not every reading looks for what can go.
    fn make_room(&mut self, most_bytes: usize) {
        if self.size_bytes <= most_bytes {
            return;
        }
        let mut used: Vec<u64> = self.rows.values().map(|(_, used)| *used).collect();
        let half = used.len() / 2;
        let bound = *used.select_nth_unstable(half).1;
        self.rows.retain(|_, (_, used)| *used > bound);
        self.size_bytes = self.rows.values().map(|(rows, _)| rows.size_bytes()).sum();
    }
}

impl Keys {
    /// Lets those go that were not asked for long, until they take no more than this. `false`: all are in use.
    fn make_room(&mut self, most_bytes: usize) -> bool {
        while self.size_bytes > most_bytes {
            let oldest = self.claimed.iter().min_by_key(|(_, (_, used))| *used);
            let unused = oldest.filter(|(_, (_, used))| used + IN_USE < self.clock);
            let Some(no) = unused.map(|(no, _)| *no) else { return false };
            self.remove(no);
        }
        true
    }

    fn remove(&mut self, no: u64) {
        if let Some((claimed, _)) = self.claimed.remove(&no) {
            self.size_bytes -= size_of_val(&*claimed);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_in_use_are_not_put_out_by_others() {
        let mut keys = Keys::default();
        let keep = |keys: &mut Keys, no| {
            keys.claimed.insert(no, (vec![0; 100].into(), keys.clock));
            keys.size_bytes += 800;
        };
        keep(&mut keys, 1);
        keys.clock = 5;
        keep(&mut keys, 2);
        assert!(keys.make_room(1600));
        assert!(!keys.make_room(800));
        keys.clock = 1 + IN_USE;
        assert!(keys.make_room(800));
        assert!(!keys.claimed.contains_key(&1) && keys.claimed.contains_key(&2));
        assert_eq!((keys.size_bytes, keys.make_room(0)), (800, false));
    }
}
