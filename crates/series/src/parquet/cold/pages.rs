//! Pages that were fetched and found right, in a fixed amount of memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

#[derive(Debug)]
pub(super) struct Pages {
    most_bytes: usize,
    kept: Mutex<Kept>,
    hits: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    /// By number of the run and offset, each with when it was last used.
    pages: HashMap<(u64, u64), (Bytes, u64)>,
    size_bytes: usize,
    clock: u64,
}

impl Pages {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, kept: Mutex::default(), hits: AtomicU64::new(0) }
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    pub(super) fn get(&self, run: u64, offset: u64) -> Option<Bytes> {
        let mut kept = self.kept.lock();
        kept.clock += 1;
        let now = kept.clock;
        let (page, used) = kept.pages.get_mut(&(run, offset))?;
        *used = now;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(page.clone())
    }

    pub(super) fn keep(&self, run: u64, offset: u64, page: &Bytes) {
        if page.len() > self.most_bytes {
            return;
        }
        let mut kept = self.kept.lock();
        let now = kept.clock;
        if kept.pages.insert((run, offset), (page.clone(), now)).is_none() {
            kept.size_bytes += page.len();
        }
        while kept.size_bytes > self.most_bytes {
            kept.make_room();
        }
    }

    pub(super) fn forget(&self, run: u64) {
        let mut kept = self.kept.lock();
        kept.pages.retain(|(of, _), _| *of != run);
        kept.measure();
    }
}

impl Kept {
    /// Half of the pages go at once, what was used longest ago: so that not every page looks for what can go.
    fn make_room(&mut self) {
        let mut used: Vec<u64> = self.pages.values().map(|(_, used)| *used).collect();
        let half = used.len() / 2;
        let bound = *used.select_nth_unstable(half).1;
        self.pages.retain(|_, (_, used)| *used > bound);
        self.measure();
    }

    fn measure(&mut self) {
        self.size_bytes = self.pages.values().map(|(page, _)| page.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_and_the_limit_holds() {
        let pages = Pages::new(1000);
        let page = Bytes::from(vec![7; 100]);
        for n in 0..10 {
            pages.keep(1, n, &page);
            assert!(pages.get(1, 0).is_some(), "it is in use");
        }
        pages.keep(2, 0, &page);
        let kept = pages.kept.lock().size_bytes;
        assert!((100..=1000).contains(&kept), "{kept}");
        assert!(pages.get(1, 0).is_some());
        assert!(pages.get(1, 2).is_none());
        pages.forget(1);
        assert!(pages.get(1, 0).is_none());
        pages.keep(1, 5, &Bytes::from(vec![7; 1001]));
        assert!(pages.get(1, 5).is_none(), "larger than all of it");
    }
}
