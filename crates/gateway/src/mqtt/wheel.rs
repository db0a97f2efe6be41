//! When to look at which connection: one coarse wheel of seconds, instead of a timer per connection.

use super::commit::ConnKey;

/// Seconds the wheel spans. What is due later is looked at when it comes round and put back.
const SLOTS: u32 = 256;

/// Connections by the second at which to look at them.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Vec<ConnKey>>,
    /// The second looked at last; the clock begins at 1.
    at: u32,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), at: 1 }
    }
}

impl Wheel {
    /// Looks at `key` at second `when`, or earlier when that is far away; not before the next second. Returns when.
    pub(super) fn insert(&mut self, key: ConnKey, now: u32, when: u32) -> u32 {
        let when = when.clamp(now + 1, now + SLOTS - 1);
        self.slots[(when % SLOTS) as usize].push(key);
        when
    }

    /// Everything to be looked at up to second `now`.
    pub(super) fn advance(&mut self, now: u32) -> Vec<ConnKey> {
        let mut due = Vec::new();
        let from = (self.at + 1).max(now.saturating_sub(SLOTS - 1));
        for second in from..=now {
            due.append(&mut self.slots[(second % SLOTS) as usize]);
        }
        self.at = now;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_comes_up_when_it_is_due_or_the_wheel_is_round() {
        let key = |slot| ConnKey { slot, generation: 0 };
        let mut wheel = Wheel::default();
        wheel.insert(key(1), 1, 3);
        wheel.insert(key(2), 1, 1);
        wheel.insert(key(3), 1, 100_000);
        let mut seen = Vec::new();
        for now in 2..=300 {
            seen.extend(wheel.advance(now).into_iter().map(|k| (now, k.slot)));
        }
        assert_eq!(seen, [(2, 2), (3, 1), (256, 3)]);
    }

    #[test]
    fn seconds_that_were_missed_are_made_up_for() {
        let mut wheel = Wheel::default();
        wheel.insert(ConnKey { slot: 7, generation: 0 }, 1, 5);
        assert_eq!(wheel.advance(50).len(), 1);
    }
}
