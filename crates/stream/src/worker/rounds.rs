//! Whose turn it is to be checkpointed, and when.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Records that are replayed in a moment.
const FEW: u64 = 1_000;

/// The partitions in turn, each once in the time that the configuration gives for all of them.
pub(super) struct Rounds {
    /// From one checkpoint to the next.
    pause: Duration,
    at: Instant,
    /// All partitions, the next one first.
    order: VecDeque<u16>,
    /// So many at the front had much to replay when the stream started. They do not wait for their turn: a server that is killed
    /// again and again would replay more each time, and be ready later.
    hurry: usize,
}

impl Rounds {
    /// Partitions, each with the records that were replayed. Those that had most come first.
    pub(super) fn new(replayed: impl Iterator<Item = (u16, u64)>, every: Duration, now: Instant) -> Self {
        let mut partitions: Vec<_> = replayed.collect();
        partitions.sort_by_key(|&(_, records)| Reverse(records));
        let hurry = partitions.iter().filter(|&&(_, records)| records > FEW).count();
        let pause = every / partitions.len().max(1) as u32;
        let at = if hurry > 0 { now } else { now + every };
        Self { pause, at, order: partitions.into_iter().map(|(index, _)| index).collect(), hurry }
    }

    /// The next partition that has anything to save, if its time has come.
    pub(super) fn next(&mut self, now: Instant, has_any: impl Fn(u16) -> bool) -> Option<u16> {
        if now < self.at {
            return None;
        }
        self.hurry = self.hurry.saturating_sub(1);
        if self.hurry == 0 {
            self.at = now + self.pause;
        }
        let at = self.order.iter().position(|&index| has_any(index))?;
        self.order.rotate_left(at + 1);
        self.order.back().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(30);

    #[test]
    fn a_start_with_little_to_replay_waits_and_goes_round_evenly() {
        let start = Instant::now();
        let mut rounds = Rounds::new((0..3).map(|index| (index, u64::from(index) * 300)), EVERY, start);
        assert_eq!(rounds.next(start + EVERY / 2, |_| true), None);
        let mut now = start + EVERY;
        for expected in [2, 1, 0, 2, 1] {
            assert_eq!(rounds.next(now, |_| true), Some(expected));
            assert_eq!(rounds.next(now + EVERY / 4, |_| true), None, "a third of the time for each");
            now += EVERY / 3;
        }
    }

    #[test]
    fn what_had_much_to_replay_is_saved_at_once_the_most_first() {
        let start = Instant::now();
        let replayed = [(4, 20), (5, 9_000), (6, 70_000), (7, 1_000)];
        let mut rounds = Rounds::new(replayed.into_iter(), EVERY, start);
        assert_eq!(rounds.next(start, |_| true), Some(6));
        assert_eq!(rounds.next(start, |_| true), Some(5));
        assert_eq!(rounds.next(start, |_| true), None, "the others wait for their turn");
        assert_eq!(rounds.next(start + EVERY / 4, |_| true), Some(7));
    }

    #[test]
    fn nobody_is_saved_who_has_nothing_new() {
        let start = Instant::now();
        let mut rounds = Rounds::new((0..4).map(|index| (index, 0)), EVERY, start);
        assert_eq!(rounds.next(start + EVERY, |index| index == 2), Some(2));
        assert_eq!(rounds.next(start + 2 * EVERY, |_| false), None);
        assert_eq!(rounds.next(start + 3 * EVERY, |_| true), Some(3), "goes on behind the last");
        assert_eq!(Rounds::new(std::iter::empty(), EVERY, start).next(start + EVERY, |_| true), None);
    }
}
