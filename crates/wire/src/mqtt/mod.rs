//! MQTT 3.1.1 (OASIS, 2014) and 5.0 (OASIS, 2019): packets, their strict codec, and the session state machine.

mod packet;
mod property;
mod reason;
pub mod session;

pub use packet::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, Packet, Publish, RetainHandling, SubAck, Subscribe,
    SubscribeFilter, SubscribeOptions, UnsubAck, Unsubscribe, Version, Will,
};
pub use property::{Properties, PropertiesBuf, Property};
pub use reason::ReasonCode;
