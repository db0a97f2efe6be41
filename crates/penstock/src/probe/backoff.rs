//! How long to wait before connecting again.

use std::time::Duration;

/// The first wait is between this and twice as long.
const SHORTEST: Duration = Duration::from_secs(1);
/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(60);

/// Waits that double, each with chance in it, so that a fleet that lost its server does not come back as one.
pub(super) struct Backoff {
    at_most: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { at_most: SHORTEST * 2 }
    }

    /// The next wait: between half and all of what it may be now. `chance` is any number.
    pub(super) fn next(&mut self, chance: u32) -> Duration {
        let share = f64::from(chance) / f64::from(u32::MAX);
        let wait = self.at_most.mul_f64(0.5 + share / 2.0);
        self.at_most = (self.at_most * 2).min(LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_between_one_and_sixty_seconds_and_grow() {
        for chance in [0, u32::MAX / 2, u32::MAX] {
            let mut backoff = Backoff::new();
            let waits: Vec<f64> = (0..10).map(|_| backoff.next(chance).as_secs_f64()).collect();
            assert!(waits.iter().all(|wait| (1.0..=60.0).contains(wait)), "{waits:?}");
            assert!(waits.is_sorted() && waits[9] >= 30.0, "{waits:?}");
        }
        assert!(Backoff::new().next(0) < Backoff::new().next(u32::MAX), "chance counts");
    }
}
