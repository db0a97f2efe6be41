//! The store as sorted Parquet files.
//!
//! ```text
//!   Rows ──▶ run::write ──▶ one Parquet file + sidecar ──▶ run::Run ──▶ Rows
//!                                                            │ k of them
//!                                                            ▼
//!                                                       merge ──▶ run::write
//! ```
//!
//! A *wide row* holds the readings that a device took at one moment, a column for each metric. A *run* is an immutable
//! file of such rows, sorted by key. Several runs may hold parts of one row; put together column by column, the newest
//! run's values win.

mod cells;
pub mod cold;
pub mod merge;
mod rows;
pub mod run;
pub mod store;

pub use cells::Cells;
pub use rows::{Column, ColumnNo, Entity, RowKey, Rows};
