//! States as bytes (docs/formats/detector-state.md).

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// The first byte.
const VERSION: u8 = 1;

/// What the bytes are of: the second byte.
#[derive(Clone, Copy)]
pub(crate) enum Of {
    State = 1,
    Watch = 2,
    Joint = 3,
    Prior = 4,
    #[cfg(feature = "onnx")]
    Model = 5,
}

/// The version, what it is, then its fields by postcard.
pub(crate) fn write<T: Serialize>(of: Of, fields: &T) -> Vec<u8> {
    let head = vec![VERSION, of as u8];
    postcard::to_extend(fields, head).expect("a vector takes all, and every field can be written")
}

/// What [`write`] wrote, if `is_sound` says that its numbers can be.
pub(crate) fn read<T: DeserializeOwned>(of: Of, bytes: &[u8], is_sound: impl Fn(&T) -> bool) -> Result<T> {
    let fields = match bytes {
        [VERSION, kind, fields @ ..] if *kind == of as u8 => fields,
        [VERSION, ..] => return Err(Error::State("it is of something else")),
        _ => return Err(Error::State("its version is not known")),
    };
    match postcard::take_from_bytes::<T>(fields) {
        Ok((read, [])) if is_sound(&read) => Ok(read),
        Ok((_, [])) => Err(Error::State("its numbers contradict one another")),
        _ => Err(Error::State("its bytes are damaged")),
    }
}
