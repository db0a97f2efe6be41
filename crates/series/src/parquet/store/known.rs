//! The series that are in the books for certain, so that a reading of one needs no look at them.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::parquet::ColumnNo;

/// Most devices that are remembered, in some 20 MB; then all are forgotten and looked up again.
const DEVICES: usize = 1 << 20;
/// Most columns of all sets together, in some 8 MB. Devices of a kind share theirs; this many there are only where hardly any two
/// send the same.
const COLUMNS: usize = 1 << 20;

/// Columns by device. A message brings a device's columns one after the other, and mostly the same ones each time, so the
/// answer is nearly always where the last one was, or next to it.
#[derive(Debug, Default)]
pub(super) struct KnownSeries {
    /// Which of the sets is a device's.
    devices: HashMap<u32, usize>,
    /// Rising, each set once.
    sets: Vec<Arc<[ColumnNo]>>,
    places: HashMap<Arc<[ColumnNo]>, usize>,
    /// Columns of all sets.
    held: usize,
    /// The device that was asked for last, its set, and which of its columns is expected next.
    last: Option<(u32, usize, usize)>,
}

impl KnownSeries {
    /// Whether all of these series of a device are known: if they are columns that follow each other, by one look.
    pub(super) fn contains_all(&mut self, device: u32, columns: &[ColumnNo]) -> bool {
        let (Some(first), Some(&set)) = (columns.first(), self.devices.get(&device)) else {
            return columns.is_empty();
        };
        let known = &self.sets[set];
        let at = known.binary_search(first).unwrap_or_else(|at| at);
        known[at..].starts_with(columns) || columns.iter().all(|&column| self.contains(device, column))
    }

    /// Whether a series is known.
    pub(super) fn contains(&mut self, device: u32, column: ColumnNo) -> bool {
        let (_, set, expected) = match &mut self.last {
            Some(last) if last.0 == device => last,
            last => match self.devices.get(&device) {
                Some(&set) => last.insert((device, set, 0)),
                None => return false,
            },
        };
        let columns = &self.sets[*set];
        if columns.get(*expected) == Some(&column) {
            *expected += 1;
            return true;
        }
        let found = columns.binary_search(&column);
        *expected = found.map_or_else(|at| at, |at| at + 1);
        found.is_ok()
    }

    /// Whether it is known which series a device has.
    pub(super) fn knows(&self, device: u32) -> bool {
        self.devices.contains_key(&device)
    }

    /// Remembers more series of a device.
    pub(super) fn insert(&mut self, device: u32, columns: &[ColumnNo]) {
        let known = self.devices.get(&device).map_or(&[][..], |&set| &self.sets[set]);
        let mut all = [known, columns].concat();
        all.sort_unstable();
        all.dedup();
        if self.devices.len() >= DEVICES || self.held >= COLUMNS {
            self.clear();
        }
        let set = match self.places.get(&*all) {
            Some(&set) => set,
            None => self.add_set(all.into()),
        };
        self.devices.insert(device, set);
        self.last = None;
    }

    fn add_set(&mut self, columns: Arc<[ColumnNo]>) -> usize {
        self.held += columns.len();
        self.places.insert(Arc::clone(&columns), self.sets.len());
        self.sets.push(columns);
        self.sets.len() - 1
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{COLUMNS, ColumnNo, DEVICES, KnownSeries};

    #[test]
    fn knows_what_it_was_told_and_nothing_else() {
        let (mut known, mut told) = (KnownSeries::default(), HashSet::new());
        let mut state = 7_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (device, column) = ((state >> 33) as u32 % 30, (state >> 50) as u32 % 40);
            assert_eq!(known.contains(device, ColumnNo(column)), told.contains(&(device, column)));
            let some: Vec<u32> = (0..state >> 40 & 3).map(|n| column + n as u32 * (1 + column % 2)).collect();
            let columns: Vec<ColumnNo> = some.iter().copied().map(ColumnNo).collect();
            let all = some.iter().all(|&column| told.contains(&(device, column)));
            assert_eq!(known.contains_all(device, &columns), all);
            if state >> 20 & 3 == 0 {
                let some = [column, (column + 7) % 40];
                known.insert(device, &some.map(ColumnNo));
                told.extend(some.map(|column| (device, column)));
            }
        }
        assert!((0..30).all(|device| known.knows(device)) && !known.knows(30));
        known.clear();
        assert!(told.iter().all(|&(device, column)| !known.contains(device, ColumnNo(column))));
    }

    #[test]
    fn devices_that_send_the_same_share_a_set() {
        let mut known = KnownSeries::default();
        let columns: Vec<ColumnNo> = (0..20).map(ColumnNo).collect();
        (0..1000).for_each(|device| known.insert(device, &columns));
        assert_eq!((known.sets.len(), known.held), (1, 20));
        known.insert(7, &[ColumnNo(20)]);
        assert!(known.contains(7, ColumnNo(20)) && !known.contains(8, ColumnNo(20)));
        assert_eq!((known.sets.len(), known.held), (2, 41));
    }

    #[test]
    fn forgets_all_when_there_are_too_many() {
        let mut known = KnownSeries::default();
        (0..=DEVICES as u32).for_each(|device| known.insert(device, &[ColumnNo(3)]));
        assert_eq!((known.devices.len(), known.held), (1, 1));
        assert!(known.contains(DEVICES as u32, ColumnNo(3)) && !known.knows(0));
        // No two alike.
        let mut known = KnownSeries::default();
        (0..=COLUMNS as u32).for_each(|device| known.insert(device, &[ColumnNo(device)]));
        assert_eq!((known.devices.len(), known.held), (1, 1));
    }
}
