//! The words of the house: what every other crate means by a tenant, a device, a reading, a lane.
//!
//! Nothing here does I/O, and nothing here knows a protocol or a backend.

mod clean;
mod envelope;
mod facts;
mod ids;
pub mod limits;
mod metric_pattern;
mod names;
mod partition;
mod pattern;
mod reading;
mod readings;
mod time;
mod value;

pub use clean::{CleanError, CleanReading, CleanRecord, CleanSource, encode_clean};
pub use envelope::{Encoding, Envelope, EnvelopeError, Kind, Origin, Protocol, Qos, ReplayOf};
pub use facts::{FactError, Facts, Known, Learned, Said};
pub use ids::{ClientId, DeviceId, IdError, MetricName, TenantId};
pub use metric_pattern::MetricPattern;
pub use partition::{Lane, partition_of};
pub use pattern::pattern_of;
pub use reading::{DeviceNo, MetricNo, Reading, ReadingRef, TimeOrigin, When};
pub use readings::{Mark, Readings};
pub use time::{TimeError, TimeUnit, Timestamp};
pub use value::{Value, ValueKind, ValueRef};
