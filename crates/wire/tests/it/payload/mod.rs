//! Payload decoders.

mod json;
mod line_protocol;
mod oracle;
mod show;
