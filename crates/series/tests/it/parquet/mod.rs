//! The Parquet store, layer by layer.

mod damage;
mod duckdb;
mod fixture;
mod merge;
mod rows;
mod runs;
mod store;
mod wide;
