//! The words of the house: what every other crate means by a tenant, a device, a reading, a lane.
//!
//! Nothing here does I/O, and nothing here knows a protocol or a backend.

mod envelope;
mod ids;
pub mod limits;
mod names;
mod partition;
mod readings;
mod time;
mod value;

pub use envelope::{Encoding, Envelope, EnvelopeError, Kind, Origin, Protocol, Qos};
pub use ids::{ClientId, DeviceId, IdError, MetricName, TenantId};
pub use partition::{Lane, partition_of};
pub use readings::{DeviceNo, Mark, MetricNo, Reading, ReadingRef, Readings, TimeOrigin, When};
pub use time::{TimeError, TimeUnit, Timestamp};
pub use value::{Value, ValueKind, ValueRef};
