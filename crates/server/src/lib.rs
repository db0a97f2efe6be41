//! Composition by role: configuration, start, readiness, drain.
//!
//! The only crate (with `edge`) that names concrete backends. Start goes up the floors, stop comes down:
//!
//! ```text
//!   lock the data directory ▶ log ▶ metadata, store ▶ registry ▶ stream ▶ gateway ▶ HTTP ▶ ready
//!   draining ▶ HTTP ▶ gateway (acknowledgements still due are sent) ▶ stream catches up ▶ log
//! ```

mod alerting;
pub mod config;
mod datasets;
pub mod files;

mod backends;
mod cold;
mod exports;
mod facts;
mod figures;
mod http;
mod lock;
mod otlp;
mod restore;
mod retention;
mod space;
mod start;
mod stores;
mod tls;

pub use config::{Config, ConfigError};
pub use lock::holder;
pub use restore::{RestoreError, restore};
pub use series::parquet::store::restore::{Progress, Restored, Restoring};
pub use space::{Space, space};

pub use start::{Addresses, Running, StartError, start};
pub use tls::tls;
