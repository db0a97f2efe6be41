//! The catalog, and the rules by which schemas may change, through the crate's boundary.

#![allow(clippy::unwrap_used)] // in a test a panic is the verdict

mod catalog;
mod compatibility;
mod payload;
