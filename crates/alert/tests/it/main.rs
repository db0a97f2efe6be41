//! Alerts from the transition to the receiver, through the boundary of the crate.

#![allow(clippy::unwrap_used)] // tests, helpers included

mod config;
mod courier;
mod crash;
mod damaged;
mod email;
mod evaluate;
mod filled;
mod fleet;
mod format;
mod house;
mod life;
mod listing;
#[cfg(feature = "onnx")]
mod models;
mod people;
mod receiver;
mod routes;
mod steps;
mod storm;
mod suppression;
mod webhook;
mod world;
