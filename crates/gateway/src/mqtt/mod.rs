//! The MQTT server.

mod commit;
mod connection;
mod handshakes;
mod listen;
mod mixed;
mod output;
mod pace;
mod route;
mod server;
mod shared;
mod shell;
mod stream;
mod turns;
mod wheel;
mod worker;

pub use server::{Addresses, Error, Gateway, Parts, Running};

pub(crate) use listen::Accepted;
pub(crate) use shared::Shared;
