//! What the rules of a tenant name, numbered.

use hashbrown::HashMap;

use crate::window::Parts;

/// A fact of a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fact {
    Type,
    Site,
    Firmware,
    Tag(Box<str>),
}

/// Something that is kept of the readings of a metric, for each device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Track {
    pub(crate) metric: u32,
    pub(crate) kind: TrackKind,
    /// Of a window: what is summed up.
    pub(crate) parts: Parts,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) enum TrackKind {
    /// Sums over the last so many nanoseconds.
    Window(i64),
    /// The values of the last so many nanoseconds.
    Values(i64),
    /// The last so many values, and how the newest compares with them.
    Deviation(u32),
    /// What a detector of this name says.
    Score(Box<str>),
}

/// The names that the rules of a tenant use. A number, once given, stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    metrics: Vec<Box<str>>,
    metric_numbers: HashMap<Box<str>, u32>,
    facts: Vec<Fact>,
    tracks: Vec<Track>,
    track_numbers: HashMap<(u32, TrackKind), u32>,
}

impl Names {
    /// The number of a metric, a new one if need be.
    pub(crate) fn metric(&mut self, name: &str) -> u32 {
        if let Some(number) = self.metric_numbers.get(name) {
            return *number;
        }
        let number = number(self.metrics.len());
        self.metrics.push(name.into());
        self.metric_numbers.insert(name.into(), number);
        number
    }

    pub(crate) fn find_metric(&self, name: &str) -> Option<u32> {
        self.metric_numbers.get(name).copied()
    }

    pub(crate) fn metrics(&self) -> &[Box<str>] {
        &self.metrics
    }

    /// The number of a fact, a new one if need be.
    pub(crate) fn fact(&mut self, fact: Fact) -> u32 {
        let found = self.facts.iter().position(|known| *known == fact);
        number(found.unwrap_or_else(|| {
            self.facts.push(fact);
            self.facts.len() - 1
        }))
    }

    pub(crate) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// The number of what is kept of a metric, a new one if need be.
    pub(crate) fn track(&mut self, metric: u32, kind: TrackKind, parts: Parts) -> u32 {
        let key = (metric, kind);
        if let Some(&number) = self.track_numbers.get(&key) {
            self.tracks[number as usize].parts |= parts;
            return number;
        }
        let number = number(self.tracks.len());
        self.tracks.push(Track { metric, kind: key.1.clone(), parts });
        self.track_numbers.insert(key, number);
        number
    }

    pub(crate) fn find_track(&self, metric: u32, kind: &TrackKind) -> Option<u32> {
        self.track_numbers.get(&(metric, kind.clone())).copied()
    }

    pub(crate) fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// How many tracks a metric has.
    pub(crate) fn tracks_of(&self, metric: u32) -> usize {
        self.tracks.iter().filter(|track| track.metric == metric).count()
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("10 000 rules of 4 KiB name fewer things than 2^32")
}
