//! What is kept of a series, or of several of a device together.

use detect::{Automatic, Budget, Joint, JointState, Robust, Seasonal, State, Watch, ZScore};
use record::Timestamp;

use super::moment::{self, Moment};
use super::{Asked, LastValues, Priors};
use crate::evaluator::{Detector, Score, Series};

/// One series, and the last score.
#[derive(Debug)]
struct One {
    kept: Kept,
    last: Option<detect::Score>,
}

/// Metrics of a device together, and the last score.
#[derive(Debug)]
struct Together {
    moment: Moment,
    state: JointState,
    last: Option<detect::Score>,
}

#[derive(Debug)]
enum Kept {
    State(State),
    /// Of which scores are held back until they are rare in this very series.
    Watch(Watch),
}

/// A detector for a new series; `None` for what only a build with models has.
pub(super) fn start(series: &Series<'_>) -> Option<Box<dyn Detector>> {
    if let Asked::Joint(with) = series.asked {
        let metrics = 1 + with.len();
        let state = Joint { metrics: u16::try_from(metrics).ok()? }.start().ok()?;
        return Some(Box::new(Together { moment: Moment::new(metrics), state, last: None }));
    }
    let detector = detector(series.asked)?;
    let prior = series.priors.of(series);
    let state = prior.map_or_else(|| detector.start(), |prior| detector.start_with(prior)).ok()?;
    let kept = match series.asked {
        asked if is_held(asked) => Kept::Watch(Watch::over(state, Budget::default()).ok()?),
        _ => Kept::State(state),
    };
    Some(Box::new(One { kept, last: None }))
}

/// A detector from what it saved.
pub(super) fn restore(asked: &Asked, saved: &[u8]) -> Option<Box<dyn Detector>> {
    if let Asked::Joint(with) = asked {
        return together(1 + with.len(), saved).map(|together| Box::new(together) as Box<dyn Detector>);
    }
    let kept = match asked {
        asked if is_held(asked) => Kept::Watch(Watch::from_bytes(saved).ok()?),
        Asked::Model { .. } => return None,
        _ => Kept::State(State::from_bytes(saved).ok()?),
    };
    Some(Box::new(One { kept, last: None }))
}

fn detector(asked: &Asked) -> Option<detect::Detector> {
    Some(match *asked {
        Asked::Usual { utc_offset_minutes } => {
            detect::Detector::Automatic(Automatic { utc_offset_minutes, ..Automatic::default() })
        }
        Asked::Seasonal { utc_offset_minutes } => detect::Detector::Seasonal(Seasonal { utc_offset_minutes }),
        Asked::ZScore(LastValues { last, .. }) => detect::Detector::ZScore(ZScore { last }),
        Asked::Robust(LastValues { last, .. }) => detect::Detector::Robust(Robust { last }),
        Asked::Joint(_) | Asked::Model { .. } => return None,
    })
}

fn is_held(asked: &Asked) -> bool {
    matches!(asked, Asked::ZScore(values) | Asked::Robust(values) if values.is_held)
}

fn together(metrics: usize, saved: &[u8]) -> Option<Together> {
    let (moment, state) = moment::read(metrics, saved)?;
    let state = JointState::from_bytes(&state).ok()?;
    (usize::from(state.metrics()) == metrics).then_some(Together { moment, state, last: None })
}

impl Detector for One {
    fn next(&mut self, at: Timestamp, _: usize, value: f64) -> Option<Score> {
        let (score, likelihood) = match &mut self.kept {
            Kept::State(state) => {
                let score = state.observe(at, value);
                (score, score.score)
            }
            Kept::Watch(watch) => {
                let verdict = watch.observe(at, value);
                (verdict.score, verdict.likelihood)
            }
        };
        self.last = Some(score);
        Some(Score { score: likelihood })
    }

    fn why(&self) -> String {
        words(self.last)
    }

    fn save(&self) -> Vec<u8> {
        match &self.kept {
            Kept::State(state) => state.to_bytes(),
            Kept::Watch(watch) => watch.to_bytes(),
        }
    }

    fn bytes(&self) -> usize {
        match &self.kept {
            Kept::State(state) => state.size_bytes(),
            Kept::Watch(watch) => watch.size_bytes(),
        }
    }

    fn teach(&self, priors: &mut Priors, series: &Series<'_>) {
        if let Kept::State(state) = &self.kept {
            priors.learn(series, state);
        }
    }
}

impl Detector for Together {
    fn next(&mut self, at: Timestamp, place: usize, value: f64) -> Option<Score> {
        let (at, values) = self.moment.take(at, place, value)?;
        let score = self.state.observe(at, &values);
        self.last = Some(score);
        Some(Score { score: score.score })
    }

    fn why(&self) -> String {
        words(self.last)
    }

    fn save(&self) -> Vec<u8> {
        self.moment.save(self.state.to_bytes())
    }

    fn bytes(&self) -> usize {
        self.moment.bytes() + self.state.size_bytes()
    }
}

/// Why a score is what it is.
pub(super) fn words(last: Option<detect::Score>) -> String {
    last.map(|score| score.why.to_string()).unwrap_or_default()
}
