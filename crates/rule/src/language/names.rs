//! What the rules of a tenant name, numbered.

use hashbrown::HashMap;

use crate::detectors::Asked;
use crate::window::Parts;

/// A fact of a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fact {
    Type,
    Site,
    Firmware,
    Tag(Box<str>),
}

/// Something that is kept of the readings of a metric, or of several together, for each device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Track {
    /// The metric, the first of several.
    pub(crate) metric: u32,
    /// The others.
    with: Box<[u32]>,
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
    /// What a detector says.
    Score(Asked),
}

impl Track {
    /// Whether readings of the metric are what it is kept of.
    pub(crate) fn is_of(&self, metric: u32) -> bool {
        self.metric == metric || self.with.contains(&metric)
    }

    /// Whether it is of one metric.
    pub(crate) fn is_of_one(&self) -> bool {
        self.with.is_empty()
    }

    /// The same window, its metric under another number.
    pub(crate) fn under(&self, metric: u32) -> Self {
        debug_assert!(self.with.is_empty(), "a window is of one metric");
        Self { metric, ..self.clone() }
    }

    /// Where a metric that it is of stands among them.
    pub(crate) fn place_of(&self, metric: u32) -> usize {
        self.with.iter().position(|with| *with == metric).map_or(0, |place| place + 1)
    }

    /// Whether it says the same until its metrics bring another reading: windows also change with time.
    pub(crate) fn is_still(&self) -> bool {
        matches!(self.kind, TrackKind::Score(_) | TrackKind::Deviation(_))
    }
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

    /// The name of a track's metric, the first of several.
    pub(crate) fn metric_of(&self, track: &Track) -> &str {
        &self.metrics[track.metric as usize]
    }

    /// The number of what is kept of a metric, a new one if need be.
    pub(crate) fn track(&mut self, metric: u32, kind: TrackKind, parts: Parts) -> u32 {
        let key = (metric, kind);
        if let Some(&number) = self.track_numbers.get(&key) {
            self.tracks[number as usize].parts |= parts;
            return number;
        }
        let with = match &key.1 {
            TrackKind::Score(asked) => asked.with().iter().map(|name| self.metric(name)).collect(),
            _ => Box::default(),
        };
        let number = number(self.tracks.len());
        self.tracks.push(Track { metric, with, kind: key.1.clone(), parts });
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
        self.tracks.iter().filter(|track| track.is_of(metric)).count()
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("10 000 rules of 4 KiB name fewer things than 2^32")
}
