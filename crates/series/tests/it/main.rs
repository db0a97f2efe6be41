//! The store through its boundary.

#![allow(clippy::unwrap_used)] // in a test a panic is the verdict

mod books;
mod cold;
mod conformance;
mod heard;
mod keys;
mod parquet;
mod remove;
mod scan;
mod stores;
mod upgrade;
