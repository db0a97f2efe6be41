//! From scores to alarms, within a budget of false ones.

use record::Timestamp;
use serde::{Deserialize, Serialize};

use crate::format::{self, Of};
use crate::hourly::Hourly;
use crate::{Detector, Error, Result, Score, State, Tuning, likelihood};

/// How many false alarms are bearable.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// At most one false alarm of a series in so many days, 1 to 3 650. The default is 60: a score of
    /// 0.5 ([`DEFAULT_THRESHOLD`](crate::DEFAULT_THRESHOLD)).
    pub days: f64,
    /// After an alarm only what is worse is another one, for so many hours, 0 to 720. The default is a day: who was told
    /// today knows.
    pub quiet_hours: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { days: 60.0, quiet_hours: 24.0 }
    }
}

/// Makes alarms of scores, within a budget. For any detector whose idea of chance is learned, such as [`JointState`](crate::JointState);
/// a series has a [`Watch`], which holds back the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    budget: Budget,
    /// When the last alarm was, and how far out the value was.
    last: Option<(i64, f64)>,
}

/// A series under watch: the detector's state, and which of its scores are alarms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    state: State,
    gate: Gate,
    /// The detector's own measure, hour by hour.
    measures: Hourly,
}

/// What is said of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// What the detector said.
    pub score: Score,
    /// The score, held back until the value is rare in this series, too: at [`Budget::threshold`] or beyond it is above that budget,
    /// whichever it is.
    pub likelihood: f64,
    /// Whether it is above what the budget allows: true as long as something is wrong.
    pub above: bool,
    /// Whether somebody is to be told: above, and new or worse than what was told in the quiet hours.
    pub alarm: bool,
}

const HOURS_PER_DAY: f64 = 24.0;

impl Budget {
    fn validate(&self) -> Result<()> {
        if !(1.0..=3650.0).contains(&self.days) {
            return Err(Error::Setting { setting: "days", found: self.days, wanted: "1 to 3650 days" });
        }
        if !(0.0..=720.0).contains(&self.quiet_hours) {
            let (found, wanted) = (self.quiet_hours, "0 to 720 hours");
            return Err(Error::Setting { setting: "quiet_hours", found, wanted });
        }
        Ok(())
    }

    /// In which share of the hours there may be a false alarm.
    fn chance(&self) -> f64 {
        1.0 / (HOURS_PER_DAY * self.days)
    }

    /// The score from which on a value is above the budget, if the detector's idea of chance is right.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        likelihood(self.chance())
    }
}

impl Gate {
    /// With a budget, and nothing told yet.
    ///
    /// # Errors
    /// [`Error::Setting`] names the setting that is out of its range.
    pub fn new(budget: Budget) -> Result<Self> {
        budget.validate()?;
        Ok(Self { budget, last: None })
    }

    /// Says whether the next score is an alarm.
    pub fn judge(&mut self, at: Timestamp, score: Score) -> Verdict {
        self.judge_as(score.score, at, score)
    }

    /// As [`Gate::judge`], for a score that counts as another one.
    fn judge_as(&mut self, likelihood: f64, at: Timestamp, score: Score) -> Verdict {
        let above = likelihood >= self.budget.threshold();
        Verdict { score, likelihood, above, alarm: above && self.tell(at, score.raw) }
    }

    fn tell(&mut self, at: Timestamp, raw: f64) -> bool {
        let quiet = (self.budget.quiet_hours * 3.6e12) as i64; // at most 720 hours: fits
        let known =
            self.last.is_some_and(|(last, worst)| at.nanos().saturating_sub(last) < quiet && raw <= worst);
        if !known {
            self.last = Some((at.nanos(), raw));
        }
        !known
    }

    fn is_sound(&self) -> bool {
        self.budget.validate().is_ok() && self.last.is_none_or(|(_, raw)| raw.is_finite())
    }
}

impl Watch {
    /// Of a series of which nothing was seen yet.
    ///
    /// # Errors
    /// [`Error::Setting`] names the setting that is out of its range.
    pub fn new(detector: &Detector, budget: Budget) -> Result<Self> {
        Self::over(detector.start()?, budget)
    }

    /// Over a state that exists.
    ///
    /// # Errors
    /// [`Error::Setting`] names the setting of the budget that is out of its range.
    pub fn over(state: State, budget: Budget) -> Result<Self> {
        Ok(Self { state, gate: Gate::new(budget)?, measures: Hourly::new(&Tuning::default()) })
    }

    /// Scores the series' next value ([`State::observe`]), and says whether it is an alarm.
    ///
    /// What counts is the detector's own idea of how rare the value is. Where that is a formula's (the z-scores assume a normal
    /// distribution), the value must be rare among how far out this series was in its hours so far, too: a formula that does not
    /// fit a series is wrong often, and that shows.
    pub fn observe(&mut self, at: Timestamp, value: f64) -> Verdict {
        let score = self.state.observe(at, value);
        let likelihood = score.score.min(self.likelihood_here(&score));
        if self.state.assumes() && score.raw.is_finite() {
            let hour = at.nanos().div_euclid(3_600_000_000_000);
            self.measures.take(hour, score.raw, &Tuning::default());
        }
        self.gate.judge_as(likelihood, at, score)
    }

    /// The detector's state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Bytes in memory, the heap's included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() - size_of::<State>() + self.state.size_bytes()
    }

    /// As bytes (docs/formats/detector-state.md).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        format::write(Of::Watch, self)
    }

    /// What [`Watch::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::State`] for another version, and for bytes that are damaged so that it shows.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        format::read(Of::Watch, bytes, |watch: &Self| {
            watch.state.is_sound() && watch.measures.is_sound() && watch.gate.is_sound()
        })
    }

    /// How likely an anomaly is by how far out this series was so far.
    fn likelihood_here(&self, score: &Score) -> f64 {
        if self.state.assumes() { likelihood(self.measures.tail().chance(score.raw)) } else { 1.0 }
    }
}
