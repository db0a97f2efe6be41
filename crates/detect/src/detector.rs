//! Which detector, with its settings, and what it keeps of a series.

use record::Timestamp;
use serde::{Deserialize, Serialize};

use crate::automatic::{Automated, Automatic};
use crate::format::{self, Of};
use crate::recent::{Recent, Ring, Robust, Sorted, ZScore};
use crate::seasonal::{Seasonal, Seasoned};
use crate::{Prior, Result, Score, Threshold};

/// Which detector, with its settings. As TOML or JSON: `{ kind = "robust", last = 100 }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Detector {
    /// Fixed limits.
    Threshold(Threshold),
    /// Mean and σ of the last values.
    ZScore(ZScore),
    /// Median and median absolute deviation of the last values.
    Robust(Robust),
    /// What is usual at each hour.
    Seasonal(Seasonal),
    /// Without settings.
    Automatic(Automatic),
}

/// The one that needs no settings.
impl Default for Detector {
    fn default() -> Self {
        Self::Automatic(Automatic::default())
    }
}

impl Detector {
    /// Whether the settings are in their ranges.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) names the first that is not.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Threshold(threshold) => threshold.validate(),
            Self::ZScore(zscore) => zscore.validate(),
            Self::Robust(robust) => robust.validate(),
            Self::Seasonal(seasonal) => seasonal.validate(),
            Self::Automatic(automatic) => automatic.validate(),
        }
    }

    /// The state of a series of which nothing was seen yet.
    ///
    /// # Errors
    /// As [`Detector::validate`].
    pub fn start(&self) -> Result<State> {
        self.validate()?;
        Ok(State(match self {
            Self::Threshold(threshold) => Kept::Threshold(*threshold),
            Self::ZScore(zscore) => Kept::ZScore(zscore.start()),
            Self::Robust(robust) => Kept::Robust(robust.start()),
            Self::Seasonal(seasonal) => Kept::Seasonal(Box::new(seasonal.start())),
            Self::Automatic(automatic) => Kept::Automatic(Box::new(automatic.start())),
        }))
    }
}

impl Detector {
    /// The state of a series of which nothing was seen yet, but others of its kind were: until it has seen enough of its own,
    /// what is usual for them is usual for it. Only its level is its own from the first hours on. Detectors that do not learn for long
    /// ([`Detector::Threshold`], [`Detector::ZScore`], [`Detector::Robust`]) start without.
    ///
    /// # Errors
    /// As [`Detector::validate`].
    pub fn start_with(&self, prior: &Prior) -> Result<State> {
        self.validate()?;
        match self {
            Self::Automatic(automatic) if prior.series() > 0 => {
                Ok(State(Kept::Automatic(Box::new(prior.kind().start(automatic)))))
            }
            _ => self.start(),
        }
    }
}

/// What a detector keeps of one series. Of bounded size ([`State::size_bytes`]); [`State::to_bytes`] makes it durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State(Kept);

/// One for each detector. In the format the order counts: new ones go to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kept {
    Threshold(Threshold),
    ZScore(Recent<Ring>),
    Robust(Recent<Sorted>),
    Seasonal(Box<Seasoned>),
    Automatic(Box<Automated>),
}

impl State {
    /// Scores the series' next value by what was seen before it, and learns from it.
    ///
    /// A value at the time of the last one or before it is scored and not learned from. Values that are not finite are not
    /// learned from either: not a number scores 0, infinite 1.
    #[inline]
    pub fn observe(&mut self, at: Timestamp, value: f64) -> Score {
        match &mut self.0 {
            Kept::Threshold(threshold) => threshold.observe(value),
            Kept::ZScore(recent) => recent.observe(at, value),
            Kept::Robust(recent) => recent.observe(at, value),
            Kept::Seasonal(seasoned) => seasoned.observe(at, value),
            Kept::Automatic(automated) => automated.observe(at, value),
        }
    }

    /// Bytes in memory, the heap's included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.0 {
                Kept::Threshold(_) => 0,
                Kept::ZScore(recent) => recent.heap(),
                Kept::Robust(recent) => recent.heap(),
                Kept::Seasonal(seasoned) => size_of::<Seasoned>() + seasoned.heap(),
                Kept::Automatic(automated) => size_of::<Automated>() + automated.heap(),
            }
    }

    /// The state as bytes: a version, then its fields (docs/formats/detector-state.md).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        format::write(Of::State, self)
    }

    /// The state that [`State::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::State`](crate::Error::State) for another version, and for bytes that are damaged so that it shows.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        format::read(Of::State, bytes, Self::is_sound)
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.0.is_sound()
    }

    /// What the automatic detector learned, if it is one.
    pub(crate) fn automated(&self) -> Option<&Automated> {
        match &self.0 {
            Kept::Automatic(automated) => Some(automated),
            _ => None,
        }
    }

    /// Whether its idea of chance is a formula's, which a series may not follow. Limits are somebody's word, and the detectors
    /// that learn seasons learn from the series how rare a distance is.
    pub(crate) fn assumes(&self) -> bool {
        matches!(self.0, Kept::ZScore(_) | Kept::Robust(_))
    }
}

impl Kept {
    fn is_sound(&self) -> bool {
        match self {
            Self::Threshold(threshold) => threshold.validate().is_ok(),
            Self::ZScore(recent) => recent.is_sound(),
            Self::Robust(recent) => recent.is_sound(),
            Self::Seasonal(seasoned) => seasoned.is_sound(),
            Self::Automatic(automated) => automated.is_sound(),
        }
    }
}
