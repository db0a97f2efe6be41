//! What rules can ask: the detectors of the house, and users' models from a folder.

use std::sync::Arc;

use rule::{Detectors, Standard};

use crate::{Result, Settings};

/// The detectors that rules can ask; with the feature `onnx` also the models of `[alert.models] dir`: what is called `NAME.onnx` there
/// is asked by `anomaly(metric, 'model:NAME')`. Blocks for disk accesses.
///
/// A file that is no model that can be used is told and left out: its rules say that it is not there, all others go on.
///
/// # Errors
/// [`crate::Error::Models`] when the folder cannot be read.
pub fn detectors(settings: &Settings) -> Result<Arc<dyn Detectors>> {
    #[cfg(feature = "onnx")]
    if let Some(folder) = &settings.models {
        return Ok(Arc::new(Standard { models: folder::read(folder)? }));
    }
    let _ = settings;
    Ok(Arc::new(Standard::default()))
}

#[cfg(feature = "onnx")]
mod folder {
    use std::fs;
    use std::path::{Path, PathBuf};

    use rule::Models;

    use crate::{Error, Result};

    /// The models of a folder, in the order of their names.
    pub(super) fn read(folder: &Path) -> Result<Models> {
        let failed = |place: &Path, error: &std::io::Error| Error::Models {
            place: place.display().to_string(),
            reason: error.to_string(),
        };
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let entries = entries.map_err(|error| failed(folder, &error))?;
        let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "onnx"));
        files.sort();
        let mut models = Models::default();
        for file in files {
            let Some(name) = file.file_stem().and_then(|name| name.to_str()) else { continue };
            let bytes = bounded(&file).map_err(|error| failed(&file, &error))?;
            if let Err(error) = models.add(name, &bytes) {
                let place = file.display();
                tracing::error!(%place, %error, "a model cannot be used; rules that name it say that it is not there");
            }
        }
        tracing::info!(models = models.names().count(), place = %folder.display(), "models for rules were read");
        Ok(models)
    }

    /// A file, of one that is too large only so much that it shows.
    fn bounded(file: &Path) -> std::io::Result<Vec<u8>> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        fs::File::open(file)?.take(rule::limits::MODEL_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
