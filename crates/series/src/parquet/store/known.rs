//! The series that are in the books for certain, so that a reading of one needs no look at them.

use std::collections::HashMap;

use crate::parquet::ColumnNo;

/// Most series that are remembered, in some 8 MB where devices have 20 each; then all are forgotten and looked up again.
const REMEMBERED: usize = 1 << 20;

/// Columns by device. A message brings a device's columns one after the other, and mostly the same ones each time, so the
/// answer is nearly always where the last one was, or next to it.
#[derive(Debug, Default)]
pub(super) struct KnownSeries {
    /// Where in `columns` a device's are.
    places: HashMap<u32, usize>,
    /// Rising, for each device.
    columns: Vec<Vec<ColumnNo>>,
    /// Series in all.
    held: usize,
    /// The device that was asked for last, its place, and which of its columns is expected next.
    last: Option<(u32, usize, usize)>,
}

impl KnownSeries {
    /// Whether a series is known.
    pub(super) fn contains(&mut self, device: u32, column: ColumnNo) -> bool {
        let (columns, expected) = self.of(device);
        if columns.get(*expected) == Some(&column) {
            *expected += 1;
            return true;
        }
        let found = columns.binary_search(&column);
        *expected = found.map_or_else(|at| at, |at| at + 1);
        found.is_ok()
    }

    /// Remembers a series.
    pub(super) fn insert(&mut self, device: u32, column: ColumnNo) {
        if self.held >= REMEMBERED {
            self.clear();
        }
        let (columns, expected) = self.of(device);
        if let Err(at) = columns.binary_search(&column) {
            columns.insert(at, column);
            *expected = at + 1;
            self.held += 1;
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A device's columns, and which is expected next.
    fn of(&mut self, device: u32) -> (&mut Vec<ColumnNo>, &mut usize) {
        let place = match self.last {
            Some((of, place, _)) if of == device => place,
            _ => {
                let place = *self.places.entry(device).or_insert(self.columns.len());
                if place == self.columns.len() {
                    self.columns.push(Vec::new());
                }
                self.last = Some((device, place, 0));
                place
            }
        };
        let (.., expected) = self.last.as_mut().expect("it was put there just now");
        (&mut self.columns[place], expected)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{ColumnNo, KnownSeries, REMEMBERED};

    #[test]
    fn knows_what_it_was_told_and_nothing_else() {
        let (mut known, mut told) = (KnownSeries::default(), HashSet::new());
        let mut state = 7_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (device, column) = ((state >> 33) as u32 % 30, (state >> 50) as u32 % 40);
            assert_eq!(known.contains(device, ColumnNo(column)), told.contains(&(device, column)));
            if state >> 20 & 3 == 0 {
                known.insert(device, ColumnNo(column));
                told.insert((device, column));
            }
        }
        assert_eq!(known.held, told.len());
        known.clear();
        assert!(told.iter().all(|&(device, column)| !known.contains(device, ColumnNo(column))));
    }

    #[test]
    fn forgets_all_when_there_are_too_many() {
        let mut known = KnownSeries::default();
        let device_of = |n: usize| (n / 64) as u32;
        (0..=REMEMBERED).for_each(|n| known.insert(device_of(n), ColumnNo((n % 64) as u32)));
        assert_eq!(known.held, 1);
        assert!(known.contains(device_of(REMEMBERED), ColumnNo(0)));
        assert!(!known.contains(0, ColumnNo(0)));
    }
}
