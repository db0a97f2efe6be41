//! The load engine against a broker of a few lines, and its packets against the codec of the server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker;
mod load;
mod packets;
