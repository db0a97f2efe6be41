//! Who is hit by which fault, and when: pure functions of (seed, device, message, time), so that a check afterwards
//! knows what is true.

use crate::faults::Faults;
use crate::random::{mix, unit};
use crate::schedule::{Schedule, Window};

/// How far a clock that is set a day back is off, milliseconds. Not a whole number of seconds: devices that report
/// every second would claim the very times of the day before.
const DAY_BACK_MS: i64 = 86_400_137;
/// The least and the most that a skewed clock is off, milliseconds.
const SKEW_MS: (f64, f64) = (5_000.0, 7_200_000.0);

/// The disorder of a run.
#[derive(Debug, Clone, Copy)]
pub struct Disorder {
    /// How often.
    pub faults: Faults,
    /// When.
    pub schedule: Schedule,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) flaw: Flaw,
    pub(crate) breaks: bool,
    pub(crate) duplicate: bool,
    /// Sent again after so many further messages.
    pub(crate) replay_after: Option<u64>,
    /// Held back until so many further messages are out.
    pub(crate) wait_for: Option<u64>,
}

/// What is wrong with a message itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    #[default]
    None,
    /// Cut off.
    Malformed,
    /// Too large.
    Oversize,
}

/// What a reset clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reset {
    /// 1970-01-01 and the time since the run began: a device without a battery for its clock.
    Epoch,
    /// A day ago.
    Day,
}

impl Disorder {
    /// What becomes of message number `n` of a device. A message has one flaw at most.
    pub(crate) fn fate(&self, device: u32, n: u64) -> Fate {
        if !self.faults.touch_messages() {
            return Fate::default();
        }
        let luck = mix(self.schedule.seed ^ mix(u64::from(device)) ^ mix(!n));
        let happens = |salt: u64, share: f64| share > 0.0 && unit(luck ^ salt) < share;
        let several =
            |salt: u64, from: u64, to: u64| from + (unit(luck ^ salt) * (to - from + 1) as f64) as u64;
        let flaw = match (happens(2, self.faults.malformed), happens(4, self.faults.oversize)) {
            (true, _) => Flaw::Malformed,
            (false, true) => Flaw::Oversize,
            _ => Flaw::None,
        };
        let sound = flaw == Flaw::None;
        Fate {
            flaw,
            breaks: happens(3, self.faults.drop),
            duplicate: sound && happens(1, self.faults.duplicate),
            replay_after: (sound && happens(5, self.faults.replay)).then(|| several(6, 10, 60)),
            wait_for: happens(7, self.faults.reorder).then(|| several(8, 1, 3)),
        }
    }

    /// What a device's clock says at `at_ms`.
    #[must_use]
    pub fn claimed_ms(&self, device: u32, at_ms: i64) -> i64 {
        match self.reset_at(device, at_ms) {
            Some(Reset::Epoch) => at_ms - self.schedule.began_ms,
            Some(Reset::Day) => at_ms - DAY_BACK_MS,
            None => at_ms + self.skew_ms(device),
        }
    }

    /// The constant that a device's clock is off by, milliseconds; ahead is above 0.
    #[must_use]
    pub fn skew_ms(&self, device: u32) -> i64 {
        let luck = self.luck(device, 11);
        if self.faults.skew <= 0.0 || unit(luck) >= self.faults.skew {
            return 0;
        }
        // As many clocks are off by seconds as by hours.
        let size = SKEW_MS.0 * (SKEW_MS.1 / SKEW_MS.0).powf(unit(luck ^ 1));
        if unit(luck ^ 2) < 0.5 { size as i64 } else { -(size as i64) }
    }

    /// When a device's clock is reset in an episode, if it is.
    #[must_use]
    pub fn reset(&self, device: u32, episode: i64) -> Option<Window> {
        let luck = self.luck(device, 12) ^ mix(episode as u64);
        if self.faults.reset <= 0.0 || unit(luck) >= self.faults.reset {
            return None;
        }
        let from = 0.2 + 0.3 * unit(luck ^ 1);
        Some(self.schedule.window(episode, from, from + 0.3))
    }

    fn reset_at(&self, device: u32, at_ms: i64) -> Option<Reset> {
        if self.faults.reset <= 0.0 {
            return None;
        }
        let episode = self.schedule.episode_at(at_ms);
        let there = self.reset(device, episode)?.holds(at_ms);
        let to_epoch = unit(self.luck(device, 13) ^ mix(episode as u64)) < 0.5;
        there.then_some(if to_epoch { Reset::Epoch } else { Reset::Day })
    }

    /// When a device is away in an episode: for that share of it, somewhere in it.
    #[must_use]
    pub fn away(&self, device: u32, episode: i64) -> Option<Window> {
        let share = self.faults.offline;
        if share <= 0.0 {
            return None;
        }
        let from = (1.0 - share) * unit(self.luck(device, 14) ^ mix(episode as u64));
        Some(self.schedule.window(episode, from, from + share))
    }

    /// When a device that is away now is back.
    #[must_use]
    pub fn away_until(&self, device: u32, now_ms: i64) -> Option<i64> {
        let away = self.away(device, self.schedule.episode_at(now_ms))?;
        away.holds(now_ms).then_some(away.to_ms)
    }

    /// The storm of an episode.
    #[must_use]
    pub fn storm_ms(&self, episode: i64) -> i64 {
        self.schedule.window(episode, 0.5, 1.0).from_ms
    }

    /// Whether a storm breaks a device's connection.
    #[must_use]
    pub fn storm_hits(&self, device: u32, episode: i64) -> bool {
        unit(self.luck(device, 15) ^ mix(episode as u64)) < self.faults.storm
    }

    fn luck(&self, device: u32, salt: u64) -> u64 {
        mix(self.schedule.seed ^ mix(u64::from(device)) ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}
