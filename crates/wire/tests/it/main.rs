//! Tests of the codecs through their public interface.

#![allow(clippy::unwrap_used)] // tests, what they share included

extern crate penstock_wire as wire; // the name its users have for it

mod mqtt;
mod payload;
mod template;
