//! Sets of slots.

/// Metrics of a device beyond these are not remembered: the store is asked about them. 128 bytes per moment.
pub(super) const SLOTS: u32 = 1024;
const WORDS: usize = SLOTS as usize / 64;

/// A set of slots below [`SLOTS`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Set([u64; WORDS]);

impl Set {
    pub(super) const EMPTY: Self = Self([0; WORDS]);

    pub(super) fn of(first: u64, wide: &[u64]) -> Self {
        let mut set = Self::EMPTY;
        set.0[0] = first;
        set.0[1..=wide.len()].copy_from_slice(wide);
        set
    }

    /// Slots 0 to 63.
    pub(super) fn first(&self) -> u64 {
        self.0[0]
    }

    /// The slots from 64 on, without the words at the end that are empty.
    pub(super) fn wide(&self) -> &[u64] {
        let words = WORDS - self.0.iter().rev().take_while(|word| **word == 0).count();
        &self.0[1..words.max(1)]
    }

    pub(super) fn contains(&self, slot: u32) -> bool {
        self.0.get(slot as usize / 64).is_some_and(|word| word & 1 << (slot % 64) != 0)
    }

    /// Whether `slot` was not in it, and can be.
    pub(super) fn insert(&mut self, slot: u32) -> bool {
        let Some(word) = self.0.get_mut(slot as usize / 64) else { return false };
        let bit = 1 << (slot % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n] & other.0[n]))
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n] | other.0[n]))
    }
}
