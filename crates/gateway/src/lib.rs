//! The sockets of devices: MQTT over TCP, TLS and WebSocket, and HTTP ingest.
//!
//! ```text
//!  socket ─▶ worker ─▶ wire::mqtt::session (sans-I/O) ─▶ one log append per turn of the worker
//!    ▲         ▲                                              │ durable
//!    └─ acks ──┤◀────────────── the worker's FIFO ◀───────────┤
//!              └─ deliveries ◀─ dispatcher (tails the log, matches subscriptions) ◀─┘
//! ```
//!
//! Nothing is acknowledged before the log says it is durable, and a subscriber sees only what is durable.

pub mod admission;
pub mod config;
mod dispatch;
pub mod http;
pub mod metrics;
mod mqtt;
mod pieces;
mod schemas;
pub mod state;
pub mod tls;
pub mod topics;
pub mod websocket;

pub use config::Config;
pub use mqtt::{Addresses, Error, Gateway, Parts, Running};
pub use schemas::{Offered, Readable, Schemas};

/// The gateway's name as a reader of the log: up to where its checkpoint reaches. Retention must not take records of
/// sessions and messages beyond it.
pub const READER: &str = "gateway";
