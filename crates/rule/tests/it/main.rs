//! Rules, tested through the crate's boundary.

#![allow(clippy::unwrap_used)]

extern crate penstock_rule as rule;

mod detectors;
mod documents;
mod fill;
mod given;
mod language;
mod model;
mod state;
mod transitions;
