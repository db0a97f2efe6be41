//! Which detector a rule asks, as a name that a state is kept under.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A detector that a rule asks, with its settings. Rules that ask for the same of the same metric share one for each device.
///
/// In a state of rules it stands as a text, which [`Asked::parse`] reads and `Display` writes (docs/formats/rules-state.md). What is
/// the default is left out, so that the texts of before there were settings mean what they meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Asked {
    /// The one without settings, but for the people's clock.
    Usual {
        /// Minutes that it is ahead of UTC.
        utc_offset_minutes: i16,
    },
    /// What is usual at each hour.
    Seasonal {
        /// As above.
        utc_offset_minutes: i16,
    },
    /// Mean and σ of the last values.
    ZScore(LastValues),
    /// Median and median absolute deviation of the last values.
    Robust(LastValues),
    /// Several metrics of a device together: the names of those beside the first.
    Joint(Vec<Box<str>>),
    /// A user's model.
    Model {
        /// Its name.
        name: Box<str>,
        /// The names of the metrics beside the first; none where it looks at the last values of one.
        with: Vec<Box<str>>,
    },
}

/// Settings of detectors over the last values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LastValues {
    /// Over how many.
    pub last: u16,
    /// Whether scores are held back until a value is rare in this very series, too: a budget of false alarms needs that, because a
    /// normal distribution is assumed, which most series do not have.
    pub is_held: bool,
}

impl Default for LastValues {
    fn default() -> Self {
        Self { last: detect::Robust::default().last, is_held: false }
    }
}

impl Asked {
    /// The metrics that it looks at beside the first.
    #[must_use]
    pub fn with(&self) -> &[Box<str>] {
        match self {
            Self::Joint(with) | Self::Model { with, .. } => with,
            _ => &[],
        }
    }

    /// The one that stands in a state as this text; `None`: this build knows none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        let offset = || if rest.is_empty() { Some(0) } else { rest.parse().ok() };
        Some(match kind {
            "usual" => Self::Usual { utc_offset_minutes: offset()? },
            "seasonal" => Self::Seasonal { utc_offset_minutes: offset()? },
            "zscore" => Self::ZScore(LastValues::parse(rest)?),
            "robust" => Self::Robust(LastValues::parse(rest)?),
            "joint" => Self::Joint(names(rest)?),
            "model" => {
                let (name, with) = rest.split_once(' ').unwrap_or((rest, "[]"));
                Self::Model { name: name.into(), with: names(with)? }
            }
            _ => return None,
        })
    }
}

impl LastValues {
    fn parse(text: &str) -> Option<Self> {
        let (last, is_held) = text.strip_suffix(" held").map_or((text, false), |last| (last, true));
        let last = if last.is_empty() { Self::default().last } else { last.parse().ok()? };
        Some(Self { last, is_held })
    }
}

fn names(text: &str) -> Option<Vec<Box<str>>> {
    serde_json::from_str(text).ok()
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[Box<str>]| serde_json::to_string(names).map_err(|_| fmt::Error);
        match self {
            Self::Usual { utc_offset_minutes: 0 } => f.write_str("usual"),
            Self::Usual { utc_offset_minutes } => write!(f, "usual {utc_offset_minutes}"),
            Self::Seasonal { utc_offset_minutes: 0 } => f.write_str("seasonal"),
            Self::Seasonal { utc_offset_minutes } => write!(f, "seasonal {utc_offset_minutes}"),
            Self::ZScore(values) => write!(f, "zscore{values}"),
            Self::Robust(values) => write!(f, "robust{values}"),
            Self::Joint(with) => write!(f, "joint {}", list(with)?),
            Self::Model { name, with } if with.is_empty() => write!(f, "model {name}"),
            Self::Model { name, with } => write!(f, "model {name} {}", list(with)?),
        }
    }
}

impl fmt::Display for LastValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { last, is_held: true } => write!(f, " {last} held"),
            own if own == Self::default() => Ok(()),
            Self { last, .. } => write!(f, " {last}"),
        }
    }
}

impl TryFrom<String> for Asked {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is no detector"))
    }
}

impl From<Asked> for String {
    fn from(asked: Asked) -> Self {
        asked.to_string()
    }
}
