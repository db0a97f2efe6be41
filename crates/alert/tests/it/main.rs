//! Alerts from the transition to the receiver, through the boundary of the crate.

#![allow(clippy::unwrap_used)] // tests, helpers included

mod house;
mod life;
