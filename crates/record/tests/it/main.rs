//! Tests of the words through their public interface.

#![allow(clippy::unwrap_used)] // tests, what they share included

extern crate penstock_record as record; // the name its users have for it

mod clean;
mod envelope;
mod readings;
