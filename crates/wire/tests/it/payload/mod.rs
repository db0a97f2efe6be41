//! Payload decoders.

mod json;
mod line_protocol;
mod show;
