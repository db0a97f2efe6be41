//! The detectors of `penstock-detect`, for `anomaly` and `anomalous`.

mod asked;
#[cfg(feature = "onnx")]
mod models;
mod moment;
mod priors;
mod series;

pub use asked::{Asked, LastValues};
#[cfg(feature = "onnx")]
pub use models::{Models, ModelsError};
pub use priors::{Priors, PriorsError};

use crate::evaluator::{Detector, Detectors, Series};

/// All that a rule can ask for ([`Asked`]). A new series of a kind that others are known of begins with what they have in common.
#[derive(Clone, Debug, Default)]
pub struct Standard {
    /// The models that people gave.
    #[cfg(feature = "onnx")]
    pub models: Models,
}

impl Detectors for Standard {
    fn start(&self, series: &Series<'_>) -> Option<Box<dyn Detector>> {
        #[cfg(feature = "onnx")]
        if let Asked::Model { name, with } = series.asked {
            return Some(models::start(&self.models, name, 1 + with.len()));
        }
        series::start(series)
    }

    #[cfg(feature = "onnx")]
    fn offers(&self, asked: &Asked) -> Result<(), String> {
        match asked {
            Asked::Model { name, with } => models::fitting(&self.models, name, 1 + with.len()).map(drop),
            _ => Ok(()),
        }
    }

    fn restore(&self, asked: &Asked, saved: &[u8]) -> Option<Box<dyn Detector>> {
        #[cfg(feature = "onnx")]
        if let Asked::Model { name, with } = asked {
            return models::restore(&self.models, name, 1 + with.len(), saved);
        }
        series::restore(asked, saved)
    }
}
