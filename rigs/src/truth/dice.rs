//! Seeded choices.

use fleet::random::{Random, mix};

/// A stream of choices that depends on its seed alone.
#[derive(Debug, Clone)]
pub struct Dice(Random);

impl Dice {
    /// The choices of this seed, for the purpose called `purpose`: one more choice for one purpose must not change
    /// all others.
    #[must_use]
    pub fn new(seed: u64, purpose: &str) -> Self {
        let start = purpose.bytes().fold(mix(seed), |hash, byte| mix(hash ^ u64::from(byte)));
        Self(Random::new(start))
    }

    /// A number in `from..=to`.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        assert!(from <= to, "an empty range has no number in it");
        let span = (to - from + 1) as f64;
        from + (self.0.unit() * span) as i64
    }

    /// An index below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        (self.0.unit() * count as f64) as usize
    }

    /// Yes, with a probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.0.unit() < probability
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// One of them, by weight.
    pub fn weighted<T: Copy>(&mut self, of: &[(T, u32)]) -> T {
        let all: u32 = of.iter().map(|(_, weight)| weight).sum();
        let mut at = (self.0.unit() * f64::from(all)) as u32;
        for &(choice, weight) in of {
            if at < weight {
                return choice;
            }
            at -= weight;
        }
        of[0].0
    }

    /// In another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
