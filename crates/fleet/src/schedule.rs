//! When things go wrong on purpose: in episodes, so that a run of a minute and one without an end both see them.

use std::time::Duration;

/// The longest episode. Short enough that somebody who looks on sees the next one.
const LONGEST_EPISODE: Duration = Duration::from_secs(15 * 60);
/// An episode of no length would have nowhere to put anything.
const SHORTEST_EPISODE: Duration = Duration::from_millis(200);

/// The episodes of a run: as long as the run, 15 minutes at most, one after the other from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Which fleet.
    pub seed: u64,
    /// When the run began, milliseconds since the epoch.
    pub began_ms: i64,
    episode_ms: i64,
}

/// A part of an episode, milliseconds since the epoch; the end is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Which episode, from 0.
    pub episode: i64,
    /// When it begins.
    pub from_ms: i64,
    /// When it is over.
    pub to_ms: i64,
}

impl Schedule {
    /// The schedule of a run that lasts so long; without an end when left out. When it began is said later.
    #[must_use]
    pub fn new(seed: u64, lasts: Option<Duration>) -> Self {
        let episode = lasts.unwrap_or(LONGEST_EPISODE).clamp(SHORTEST_EPISODE, LONGEST_EPISODE);
        Self { seed, began_ms: 0, episode_ms: episode.as_millis() as i64 }
    }

    /// The same of a run that began at `began_ms`.
    #[must_use]
    pub const fn began(self, began_ms: i64) -> Self {
        Self { began_ms, ..self }
    }

    /// How long an episode is.
    #[must_use]
    pub fn episode(&self) -> Duration {
        Duration::from_millis(self.episode_ms as u64)
    }

    /// The number of the episode at a time.
    #[must_use]
    pub fn episode_at(&self, at_ms: i64) -> i64 {
        (at_ms - self.began_ms).div_euclid(self.episode_ms)
    }

    /// The part of an episode from the share `from` to the share `to` of it.
    #[must_use]
    pub fn window(&self, episode: i64, from: f64, to: f64) -> Window {
        let begins_ms = self.began_ms + episode * self.episode_ms;
        let at = |share: f64| begins_ms + (share * self.episode_ms as f64) as i64;
        Window { episode, from_ms: at(from), to_ms: at(to) }
    }
}

impl Window {
    /// Whether a time is in it.
    #[must_use]
    pub const fn holds(&self, at_ms: i64) -> bool {
        self.from_ms <= at_ms && at_ms < self.to_ms
    }

    /// How much of it is over at a time in it, 0 to 1.
    #[must_use]
    pub fn progress(&self, at_ms: i64) -> f64 {
        (at_ms - self.from_ms) as f64 / (self.to_ms - self.from_ms).max(1) as f64
    }
}
