//! Small numbers that are given out, given back and given out again, the lowest first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Numbers from 0 on. Those asked for one after the other mostly stand next to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Numbers {
    /// One past the highest ever given out.
    end: u32,
    /// Runs given back: first and how many. Never two that touch.
    free: BTreeMap<u32, u32>,
}

impl Numbers {
    pub(super) fn take(&mut self) -> u32 {
        let Some((first, length)) = self.free.pop_first() else {
            let number = self.end;
            self.end = number.checked_add(1).expect("fewer than 2^32 numbers are in use");
            return number;
        };
        if length > 1 {
            self.free.insert(first + 1, length - 1);
        }
        first
    }

    /// Takes a number back that was given out.
    pub(super) fn give_back(&mut self, number: u32) {
        let (mut first, mut length) = (number, 1);
        if let Some((&before, &its_length)) = self.free.range(..number).next_back() {
            debug_assert!(before + its_length <= number, "{number} was given back twice");
            if before + its_length == number {
                (first, length) = (before, its_length + 1);
            }
        }
        if let Some(its_length) = self.free.remove(&(number + 1)) {
            length += its_length;
        }
        self.free.insert(first, length);
    }

    /// One past the highest ever given out.
    #[cfg(test)]
    pub(super) fn end(&self) -> u32 {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_lowest_free_number_is_given_out(steps in vec((any::<bool>(), any::<prop::sample::Index>()), 0..200)) {
            let (mut numbers, mut used) = (Numbers::default(), BTreeSet::new());
            for (give_back, which) in steps {
                if give_back && !used.is_empty() {
                    let number = *which.get(&used.iter().copied().collect::<Vec<u32>>());
                    used.remove(&number);
                    numbers.give_back(number);
                } else {
                    let lowest = (0..).find(|number| !used.contains(number)).unwrap();
                    prop_assert_eq!(numbers.take(), lowest);
                    used.insert(lowest);
                }
                prop_assert!(numbers.end() as usize <= 200);
            }
        }
    }
}
