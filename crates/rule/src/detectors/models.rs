//! Users' ONNX models as detectors (feature `onnx`).

use std::collections::BTreeMap;

use detect::onnx::{Model, ModelState};
use record::Timestamp;

use super::moment::{self, Moment};
use super::series::words;
use crate::evaluator::{Detector, Score};
use crate::limits::MODELS;

/// The models that rules can name.
#[derive(Clone, Debug, Default)]
pub struct Models(BTreeMap<Box<str>, Model>);

/// Why a model is not among those that rules can name.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelsError {
    /// It cannot be used.
    #[error("the model {name}: {reason}")]
    Refused {
        /// Its name.
        name: String,
        /// Why.
        reason: detect::Error,
    },
    /// There are too many.
    #[error("the model {name} is one too many: there are {MODELS}, take one away")]
    TooMany {
        /// Its name.
        name: String,
    },
}

impl Models {
    /// Adds one, or puts it in the place of the one of this name, from the bytes of its ONNX file.
    ///
    /// # Errors
    /// [`ModelsError`]; those that there are stay.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), ModelsError> {
        if self.0.len() == MODELS && !self.0.contains_key(name) {
            return Err(ModelsError::TooMany { name: name.to_owned() });
        }
        let model =
            Model::load(bytes).map_err(|reason| ModelsError::Refused { name: name.to_owned(), reason })?;
        self.0.insert(name.into(), model);
        Ok(())
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }
}

/// A model over the last values of a series, or over a device's metrics at one moment.
#[derive(Debug)]
struct Modelled {
    model: Model,
    /// Of several metrics.
    moment: Option<Moment>,
    state: ModelState,
    last: Option<detect::Result<detect::Score>>,
}

/// One that is not there, or does not fit. What is known of the series is kept for when it is.
#[derive(Debug)]
struct Missing {
    why: String,
    saved: Vec<u8>,
}

/// A detector by the model of this name for so many metrics.
pub(super) fn start(models: &Models, name: &str, metrics: usize) -> Box<dyn Detector> {
    match fitting(models, name, metrics) {
        Ok(model) => {
            let moment = (metrics > 1).then(|| Moment::new(metrics));
            Box::new(Modelled { model, moment, state: ModelState::default(), last: None })
        }
        Err(why) => Box::new(Missing { why, saved: Vec::new() }),
    }
}

/// A detector from what it saved.
pub(super) fn restore(
    models: &Models,
    name: &str,
    metrics: usize,
    saved: &[u8],
) -> Option<Box<dyn Detector>> {
    let model = match fitting(models, name, metrics) {
        Ok(model) => model,
        Err(why) => return Some(Box::new(Missing { why, saved: saved.to_owned() })),
    };
    let (moment, state) = if metrics > 1 {
        let (moment, state) = moment::read(metrics, saved)?;
        (Some(moment), ModelState::from_bytes(&state).ok()?)
    } else {
        (None, ModelState::from_bytes(saved).ok()?)
    };
    Some(Box::new(Modelled { model, moment, state, last: None }))
}

/// A model that takes so many metrics, or the last values of one.
pub(super) fn fitting(models: &Models, name: &str, metrics: usize) -> Result<Model, String> {
    let Some(model) = models.0.get(name) else {
        return Err(format!("there is no model {name}: put {name}.onnx into the folder of models"));
    };
    if metrics > 1 && model.inputs() != metrics {
        let inputs = model.inputs();
        return Err(format!("the model {name} takes {inputs} values, the rule gives {metrics} metrics"));
    }
    Ok(model.clone())
}

impl Detector for Modelled {
    fn next(&mut self, at: Timestamp, place: usize, value: f64) -> Option<Score> {
        let score = match &mut self.moment {
            None => self.state.observe(&self.model, at, value),
            Some(moment) => {
                let (at, values) = moment.take(at, place, value)?;
                self.state.observe_moment(&self.model, at, &values)
            }
        };
        let number = score.as_ref().map_or(f64::NAN, |score| score.score);
        self.last = Some(score);
        Some(Score { score: number })
    }

    fn why(&self) -> String {
        match &self.last {
            Some(Err(error)) => error.to_string(),
            Some(Ok(score)) => words(Some(*score)),
            None => words(None),
        }
    }

    fn save(&self) -> Vec<u8> {
        let state = self.state.to_bytes();
        match &self.moment {
            Some(moment) => moment.save(state),
            None => state,
        }
    }

    fn bytes(&self) -> usize {
        let values = if self.moment.is_some() { 0 } else { self.model.inputs() * size_of::<f32>() };
        size_of::<Self>() + self.moment.as_ref().map_or(0, Moment::bytes) + values
    }
}

impl Detector for Missing {
    fn next(&mut self, _: Timestamp, _: usize, _: f64) -> Option<Score> {
        None
    }

    fn why(&self) -> String {
        self.why.clone()
    }

    fn save(&self) -> Vec<u8> {
        self.saved.clone()
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.why.capacity() + self.saved.capacity()
    }
}
