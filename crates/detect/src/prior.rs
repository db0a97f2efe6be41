//! What the series of a kind have in common: where a new one begins.

use crate::automatic::AutomaticKind;
use crate::format::{self, Of};
use crate::{Result, State};

/// What the series of a kind have in common, such as the temperatures of all motors of a type: the shapes of the day and the week, how
/// far values scatter, how rare each sign is.
///
/// It is a sum: [`Prior::learn`] adds a series to it, [`Prior::merge`] puts two together, in any order. It is of fixed size.
#[derive(Clone, Debug, PartialEq)]
pub struct Prior(Box<AutomaticKind>);

impl Default for Prior {
    fn default() -> Self {
        Self(Box::new(AutomaticKind::new()))
    }
}

impl Prior {
    /// Adds what a series knows. Says whether it did: a series must have been watched by the automatic detector for a week.
    pub fn learn(&mut self, state: &State) -> bool {
        state.automated().is_some_and(|automated| automated.teach(&mut self.0))
    }

    /// Adds what another one knows.
    pub fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    /// How many series were added.
    #[must_use]
    pub fn series(&self) -> u64 {
        self.0.series() as u64
    }

    /// As bytes (docs/formats/detector-state.md).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        format::write(Of::Prior, &*self.0)
    }

    /// What [`Prior::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::State`](crate::Error::State) for another version, and for bytes that are damaged so that it shows.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        format::read(Of::Prior, bytes, AutomaticKind::is_sound).map(|kind| Self(Box::new(kind)))
    }

    pub(crate) fn kind(&self) -> &AutomaticKind {
        &self.0
    }
}
