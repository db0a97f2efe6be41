//! The Parquet store, layer by layer.

mod damage;
mod duckdb;
mod expire;
mod export;
mod fixture;
mod merge;
pub(crate) mod rows;
mod runs;
pub(crate) mod store;
mod wide;
