//! Who is told of what, by which way, and when not.

mod address;
mod escalation;
mod mute;
mod person;
pub(crate) mod recipient;

pub use address::{Address, AddressError};
pub use escalation::{Escalation, Step};
pub use mute::{Mute, When};
pub use person::{Person, Quiet, Want};

pub(crate) use mute::CheckedMute;
pub(crate) use person::CheckedPerson;

/// Longest id of a person, mute or escalation list, bytes.
pub(crate) const ID_BYTES: usize = 64;

/// Whether a text may be the id of a person, mute or escalation list: it stands in the ids of messages.
pub(crate) fn check_id(id: &str) -> Result<(), String> {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if (1..=ID_BYTES).contains(&id.len()) && id.bytes().all(good) {
        return Ok(());
    }
    Err(format!("the id {:?} is not possible: 1 to {ID_BYTES} of a-z 0-9 - _", crate::alert::cut(id, 80)))
}
