//! Alerts from the transition to the receiver, through the boundary of the crate.

#![allow(clippy::unwrap_used)] // tests, helpers included

mod courier;
mod crash;
mod email;
mod house;
mod life;
mod listing;
mod people;
mod receiver;
mod suppression;
mod webhook;
