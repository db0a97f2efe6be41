//! The binary as people use it, and the rules of the house.

#![allow(clippy::unwrap_used)] // in a test a panic is the verdict

mod cli;
mod clients;
mod deploy;
mod doctor;
mod exchange;
mod guides;
mod house;
#[cfg(feature = "onnx")]
mod models;
mod otlp;
mod probe;
mod served;
mod skeleton;
mod web;
