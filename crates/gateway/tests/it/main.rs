//! The gateway's tests.
#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it is made of")]

mod mqtt;
mod state;
mod topics;
