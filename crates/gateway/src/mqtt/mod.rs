//! The MQTT server.

mod server;

pub use server::{Addresses, Error, Gateway, Parts, Running};
