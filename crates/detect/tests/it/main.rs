//! The detectors through their boundary.

#![allow(clippy::unwrap_used)] // in a test a panic is the verdict

extern crate penstock_detect as detect;

#[path = "../../benches/nab/files.rs"]
mod files;
#[path = "../../benches/false_alarms/newcomers.rs"]
mod newcomers;
#[path = "../../benches/nab/runs.rs"]
mod runs;
#[path = "../../benches/nab/scoring.rs"]
mod scoring;
#[path = "../../benches/simulated/mod.rs"]
mod simulated;
#[path = "../../benches/false_alarms/trial.rs"]
mod trial;

mod automatic;
mod false_alarms;
mod format;
mod joint;
mod nab;
mod odd_values;
#[cfg(feature = "onnx")]
mod onnx;
mod prior;
mod recent;
mod settings;
mod watch;
