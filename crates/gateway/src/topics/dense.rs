//! A set without gaps: items side by side in one vector, found by key through a table of 32-bit indices.
//!
//! A million subscriptions live in such sets. A hash map of the items themselves would leave between one eighth
//! and more than half of its slots empty at the items' full size; here an empty slot costs five bytes.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Something found by a key it holds.
pub(super) trait Keyed {
    /// The key.
    type Key: ?Sized + Hash + Eq;
    /// The key of this item.
    fn key(&self) -> &Self::Key;
}

/// Up to so many items are found by looking at each: no table, which is what nearly all rosters need.
const SCANNED: usize = 16;

#[derive(Debug)]
pub(super) struct Dense<T> {
    items: Vec<T>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<T> Default for Dense<T> {
    fn default() -> Self {
        Self { items: Vec::new(), index: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl<T: Keyed> Dense<T> {
    /// The items; the order changes when one is removed, always in the same way.
    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn get(&self, key: &T::Key) -> Option<&T> {
        self.position(key).map(|at| &self.items[at])
    }

    pub(super) fn get_mut(&mut self, key: &T::Key) -> Option<&mut T> {
        self.position(key).map(|at| &mut self.items[at])
    }

    /// Adds an item whose key is not in the set.
    pub(super) fn push(&mut self, item: T) {
        let at = u32::try_from(self.items.len()).expect("limits keep every set under 2^32 items");
        if self.items.len() == self.items.capacity() {
            // An eighth at a time: doubling would waste up to half of the largest allocation of the gateway.
            self.items.reserve_exact((self.items.len() / 8).max(1));
        }
        self.items.push(item);
        if self.items.len() > SCANNED || !self.index.is_empty() {
            let (items, hasher) = (&self.items, &self.hasher);
            let hash_of = |at: &u32| hasher.hash_one(items[*at as usize].key());
            if self.index.is_empty() {
                for known in 0..=at {
                    self.index.insert_unique(hash_of(&known), known, hash_of);
                }
            } else {
                self.index.insert_unique(hash_of(&at), at, hash_of);
            }
        }
    }

    /// Takes an item out; the last takes its place.
    pub(super) fn remove(&mut self, key: &T::Key) -> Option<T> {
        let at = self.position(key)?;
        let last = self.items.len() - 1;
        if !self.index.is_empty() {
            self.forget(at);
            if at != last {
                let hash = self.hasher.hash_one(self.items[last].key());
                if let Some(slot) = self.index.find_mut(hash, |found| *found as usize == last) {
                    *slot = u32::try_from(at).expect("limits keep every set under 2^32 items");
                }
            }
        }
        let item = self.items.swap_remove(at);
        if self.items.len() <= SCANNED / 2 && !self.index.is_empty() {
            self.index = HashTable::new();
        }
        if self.items.capacity() > 64 && self.items.len() < self.items.capacity() / 2 {
            self.items.shrink_to(self.items.len() + self.items.len() / 8);
            let (items, hasher) = (&self.items, &self.hasher);
            self.index.shrink_to(items.len(), |at| hasher.hash_one(items[*at as usize].key()));
        }
        Some(item)
    }

    fn position(&self, key: &T::Key) -> Option<usize> {
        if self.index.is_empty() {
            return self.items.iter().position(|item| item.key() == key);
        }
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |at| self.items[*at as usize].key() == key).map(|at| *at as usize)
    }

    fn forget(&mut self, at: usize) {
        let hash = self.hasher.hash_one(self.items[at].key());
        if let Ok(entry) = self.index.find_entry(hash, |found| *found as usize == at) {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    impl Keyed for u32 {
        type Key = Self;
        fn key(&self) -> &Self {
            self
        }
    }

    #[test]
    fn holds_what_a_set_holds_while_it_grows_and_shrinks() {
        let (mut dense, mut set) = (Dense::<u32>::default(), BTreeSet::new());
        let mut state = 1_u32;
        for round in 0..20_000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (state >> 16) % 300;
            // Grows for a while, then shrinks, and so on.
            if (round / 1000) % 2 == 0 {
                if set.insert(key) {
                    dense.push(key);
                }
            } else {
                assert_eq!(dense.remove(&key).is_some(), set.remove(&key));
            }
            assert_eq!(dense.get(&key).is_some(), set.contains(&key));
        }
        let mut items = dense.items().to_vec();
        items.sort_unstable();
        assert_eq!(items, set.into_iter().collect::<Vec<_>>());
    }
}
