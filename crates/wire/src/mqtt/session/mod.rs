//! What a session is, apart from any connection (MQTT 5, 4.1): the state that survives, and the events that change it.
//!
//! The same [`Durable::apply`] runs when a session lives and when it is rebuilt from the log, so that what comes
//! back after a crash is what was there.

mod durable;

pub use durable::{Durable, Event, Outgoing, Progress, Subscription};
