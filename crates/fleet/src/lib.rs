//! Simulated devices and load over real protocols.
//!
//! The engine ([`load`]) holds many MQTT connections on a few threads and is built not to be the bottleneck of
//! what it measures: packets are encoded once and patched, one write carries many publishes, and of what comes
//! back only acknowledgements are looked at. It speaks MQTT with a codec of its own ([`packet`]) on purpose: a
//! mistake in the server's codec must not cancel itself out here.
//!
//! On top of it: raw load and idle connections ([`cli::Bench`], [`cli::Connections`]) and a fleet of simulated
//! devices whose acknowledged readings can be asked back from the server ([`cli::Run`]).

pub mod anomaly;
pub mod cli;
pub mod content;
pub mod device;
pub mod disorder;
pub mod faults;
pub mod load;
pub mod model;
pub mod packet;
pub mod process;
pub mod progress;
pub mod random;
pub mod report;
pub mod rfc3339;
pub mod schedule;
pub mod shape;
pub mod subscriber;
pub mod target;
pub mod verify;

mod flight;
mod outbox;
mod session;
mod transport;
mod worker;
