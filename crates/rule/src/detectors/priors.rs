//! What the series of a kind have in common, for devices that are new.

use std::collections::BTreeMap;

use detect::{Prior, State};
use serde::{Deserialize, Serialize};

use super::Asked;
use crate::evaluator::Series;
use crate::limits::{PRIORS, PRIORS_LEARNED, SERIES_PER_PRIOR};

/// What the series of each kind have in common: of one metric of the devices of one type of a tenant.
///
/// Where a new series begins depends on it, so an evaluator that is to say the same again after a crash must be given the same again
/// ([`Evaluator::set_priors`](crate::Evaluator::set_priors)).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Priors(BTreeMap<Kind, Prior>);

/// Whose series are alike. The people's clock counts, because days begin by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Kind {
    tenant: Box<str>,
    metric: Box<str>,
    device_type: Box<str>,
    utc_offset_minutes: i16,
}

/// Why bytes are no priors: other ones are learned soon, until then new devices begin without.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what fleets have in common cannot be read ({reason}): go on without, it is learned again")]
pub struct PriorsError {
    /// What was found.
    pub reason: String,
}

impl Priors {
    /// Adds a series that has seen enough, a week. Of more kinds than can be kept the later ones are passed over.
    pub(super) fn learn(&mut self, series: &Series<'_>, state: &State) {
        let Some(kind) = Kind::of(series) else { return };
        if let Some(prior) = self.0.get_mut(&kind) {
            prior.learn(state);
            return;
        }
        let mut prior = Prior::default();
        if self.0.len() < PRIORS_LEARNED && prior.learn(state) {
            self.0.insert(kind, prior);
        }
    }

    /// Leaves out kinds of too few series, and of too many kinds those of the fewest.
    pub fn settle(&mut self) {
        self.0.retain(|_, prior| prior.series() >= SERIES_PER_PRIOR);
        if self.0.len() > PRIORS {
            let mut all: Vec<_> = std::mem::take(&mut self.0).into_iter().collect();
            all.sort_by_key(|(_, prior)| std::cmp::Reverse(prior.series()));
            all.truncate(PRIORS);
            self.0 = all.into_iter().collect();
        }
    }

    /// Of how many kinds something is known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In bytes (docs/formats/fleet-priors.md).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let all: Vec<(&Kind, Vec<u8>)> =
            self.0.iter().map(|(kind, prior)| (kind, prior.to_bytes())).collect();
        postcard::to_allocvec(&all).expect("writing to memory does not fail")
    }

    /// From what [`Priors::encode`] gave.
    ///
    /// # Errors
    /// [`PriorsError`] for what it did not give.
    pub fn decode(bytes: &[u8]) -> Result<Self, PriorsError> {
        let error = |reason: String| PriorsError { reason };
        let all: Vec<(Kind, Vec<u8>)> =
            postcard::from_bytes(bytes).map_err(|reason| error(reason.to_string()))?;
        if all.len() > PRIORS {
            return Err(error(format!("{} kinds, at most {PRIORS} are kept", all.len())));
        }
        let prior = |(kind, bytes): (Kind, Vec<u8>)| {
            let prior = Prior::from_bytes(&bytes).map_err(|reason| error(reason.to_string()))?;
            Ok((kind, prior))
        };
        all.into_iter().map(prior).collect::<Result<_, _>>().map(Self)
    }

    /// What a new series begins with.
    pub(super) fn of(&self, series: &Series<'_>) -> Option<&Prior> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&Kind::of(series)?)
    }
}

impl Kind {
    /// Devices without a type are of none, and only one detector learns from others.
    fn of(series: &Series<'_>) -> Option<Self> {
        let Asked::Usual { utc_offset_minutes } = *series.asked else { return None };
        Some(Self {
            tenant: series.tenant.into(),
            metric: series.metric.into(),
            device_type: series.device_type?.into(),
            utc_offset_minutes,
        })
    }
}
