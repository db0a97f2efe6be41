//! Every backend keeps the promises of `Metadata`; SQLite also keeps its file's.

#![allow(clippy::unwrap_used)] // tests, helpers included

mod conformance;
mod sqlite;
