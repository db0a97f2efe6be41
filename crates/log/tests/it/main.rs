//! The log through its boundary.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

extern crate penstock_log as log;

mod embedded;
mod fixtures;
mod memory;
mod opening;
mod sim;
mod trouble;
