//! The rules of the house, as far as a machine can tell.

mod files;
mod floors;
mod make;
mod readme;

use std::path::PathBuf;

/// The repository.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().to_owned()
}
