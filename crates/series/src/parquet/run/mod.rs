//! A run: one immutable Parquet file of sorted wide rows, and its sidecar.
//!
//! ```text
//! NAME.parquet   one row group for each 128 k rows, pages of 8 k rows and more (1 k until it is merged), zstd
//!                _group? _device _time _shift? _seq? _delay? _origin? _exceptions?  metric … metric
//! NAME.side      what the columns are, where each device's rows are, a checksum for each page
//! ```
//!
//! Rows are sorted by (group, device, claimed time, sequence number). Columns with `?` are only there where a row has
//! something in them. docs/formats/run.md has every byte.
//!
//! A metric's column is as narrow as what was seen allows ([`Kind`]): integers; floats that are exact with so many
//! decimals as DECIMAL; other floats; booleans; text; locations. What does not fit stands in `_exceptions`.

mod ahead;
mod chunk;
mod exceptions;
pub(crate) mod fault;
mod kind;
mod leaf;
mod object;
mod pack;
mod page;
mod plan;
mod read;
mod schema;
mod sidecar;
mod source;
mod unpack;
pub(crate) mod varint;
mod write;

use std::path::{Path, PathBuf};

pub(crate) use exceptions::read_value;
pub use kind::{Kind, Number};
pub(crate) use kind::{POWERS, scaled};
pub(crate) use object::{Fetch, range, seal, seal_path};
pub use plan::{Plan, Planned, Unit};
pub(crate) use read::read_sidecar;
pub use read::{Detail, Run, Scan};
pub(crate) use sidecar::Block;
pub use sidecar::{EntityRows, Sidecar, Stats, VERSION};
pub(crate) use write::row_bytes;
pub use write::{GROUP_ROWS, Writer, Written, group_rows};

/// Where a run's sidecar is.
#[must_use]
pub fn sidecar_path(run: &Path) -> PathBuf {
    run.with_extension("side")
}
