//! What is kept of a metric's readings, for one device.

use record::Timestamp;

use super::score::Detector;
use crate::detectors::Asked;
use crate::language::{Datum, Func, Track, TrackKind};
use crate::window::{Deviation, Panes, Values};

/// What is kept for one track of the tenant's rules.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) track: u32,
    pub(super) state: Keeping,
}

#[derive(Debug)]
pub(super) enum Keeping {
    Panes(Panes),
    Values(Values),
    Deviation(Deviation),
    /// Without a detector there is no score.
    Score {
        detector: Option<Box<dyn Detector>>,
        score: f64,
    },
}

impl Keeping {
    /// `detector` makes one, where the track asks for it.
    pub(super) fn new(track: &Track, detector: impl FnOnce(&Asked) -> Option<Box<dyn Detector>>) -> Self {
        match &track.kind {
            TrackKind::Window(nanos) => Self::Panes(Panes::new(*nanos, track.parts)),
            TrackKind::Values(_) => Self::Values(Values::new()),
            TrackKind::Deviation(_) => Self::Deviation(Deviation::new()),
            TrackKind::Score(asked) => Self::Score { detector: detector(asked), score: f64::NAN },
        }
    }

    /// Takes a reading of one of its metrics that is in order.
    pub(super) fn take(&mut self, track: &Track, metric: u32, at: i64, value: f64) {
        match (self, &track.kind) {
            (Self::Deviation(deviation), TrackKind::Deviation(count)) => deviation.add(value, *count),
            (Self::Score { detector: Some(detector), score }, _) => {
                let next = detector.next(Timestamp::from_nanos(at), track.place_of(metric), value);
                *score = next.map_or(*score, |next| next.score);
            }
            (kept, _) => kept.take_aside(track, at, value, at),
        }
    }

    /// Takes a reading that is not; `newest` is the time that the device has come to. Only windows have a place for it.
    pub(super) fn take_aside(&mut self, track: &Track, at: i64, value: f64, newest: i64) {
        match (self, &track.kind) {
            (Self::Panes(panes), _) => panes.add(at, value, newest),
            (Self::Values(values), TrackKind::Values(nanos)) => values.add(at, value, *nanos, newest),
            _ => {}
        }
    }

    /// What it says as of a time, apart from panes, whose totals are asked for by themselves.
    pub(super) fn ask(&self, track: &Track, func: Func, at: i64) -> Datum<'static> {
        let value = match (self, &track.kind) {
            (Self::Panes(panes), _) => panes.totals(at).ask(func),
            (Self::Values(values), TrackKind::Values(nanos)) => values.p95(at, *nanos),
            (Self::Deviation(deviation), _) => deviation.score(),
            (Self::Score { score, .. }, _) => Some(*score),
            (Self::Values(_), _) => None,
        };
        value.map_or(Datum::Null, Datum::number)
    }

    /// Why it says so, if there is more to it than the number.
    pub(super) fn why(&self) -> Option<String> {
        match self {
            Self::Score { detector: Some(detector), .. } => Some(detector.why()),
            _ => None,
        }
    }

    /// What it holds, bytes: depends on nothing but the readings, unlike the memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Panes(panes) => panes.held_bytes(),
            Self::Values(values) => values.held_bytes(),
            Self::Deviation(deviation) => deviation.held_bytes(),
            Self::Score { detector, .. } => detector.as_ref().map_or(0, |detector| detector.bytes()),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Panes(panes) => panes.bytes(),
            Self::Values(values) => values.bytes(),
            Self::Deviation(deviation) => deviation.bytes(),
            Self::Score { detector, .. } => detector.as_ref().map_or(0, |detector| detector.bytes()),
        }
    }
}
