//! Sessions and connections without I/O: the server's side of MQTT 3.1.1 and 5.0.
//!
//! [`Durable`] is what survives a connection (MQTT 5, 4.1) and [`Event`] what changes it; the same
//! [`Durable::apply`] runs when a session lives and when it is rebuilt from the log, so that what comes back after a
//! crash is what was there. [`Machine`] is one connection of a session: it is handed packets, deliveries and the news
//! that something became durable, and asks its [`Sink`] to send, log and acknowledge.
//!
//! ```text
//!  PUBLISH ─▶ Machine::packet ─▶ Sink::publish (into the batch) + Sink::due(PUBACK)
//!                                      … the batch becomes durable …
//!             Machine::settle(PUBACK) ─▶ Sink::send(PUBACK)
//! ```

mod alias;
mod durable;
mod inbound;
mod machine;
mod outbound;
mod sink;
mod terms;
#[cfg(test)]
mod tests;

pub use alias::TopicName;
pub use durable::{Durable, Event, Outgoing, Progress, Subscription};
pub use machine::{End, Farewell, Machine, Stop, Will};
pub use outbound::remaining_expiry_s;
pub use sink::{Due, DueConnAck, DueSubAck, DueUnsubAck, Inbound, Sink, Transmit, Transmitted, Verdict};
pub use terms::{Limits, OwnedWill, Terms};
