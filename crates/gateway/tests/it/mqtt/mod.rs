//! The MQTT server through its socket.

mod client;
mod flows;
mod refusals;
mod rig;
mod sessions;
mod tls;
mod websocket;
