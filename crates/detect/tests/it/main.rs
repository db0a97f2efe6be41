//! The detectors through their boundary.

#![allow(clippy::unwrap_used)] // in a test a panic is the verdict

extern crate penstock_detect as detect;

mod recent;
