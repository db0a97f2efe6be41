//! The load engine against a broker and a web server of a few lines, and its packets against the codec of the server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker;
mod disorder;
mod http;
mod load;
mod models;
mod packets;
mod verify;
mod web;
