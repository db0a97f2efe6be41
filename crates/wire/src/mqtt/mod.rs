//! MQTT 3.1.1 (OASIS, 2014) and 5.0 (OASIS, 2019): packets, their strict codec, and the session state machine.

mod decode;
mod encode;
mod error;
mod packet;
mod property;
mod reader;
mod reason;
mod rules;
pub mod session;
pub mod topic;
mod varint;

pub use decode::{DecodeLimits, Decoded, Sender, decode};
pub use encode::{EncodedPublish, encode_ack, encode_publish, set_dup, set_packet_id};
pub use error::{DecodeError, EncodeError};
pub use packet::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, Packet, Publish, RetainHandling, SubAck, Subscribe,
    SubscribeFilter, SubscribeOptions, UnsubAck, Unsubscribe, Version, Will,
};
pub use property::{Carrier, FIRMWARE, Iter as PropertyIter, Properties, PropertiesBuf, Property};
pub use reason::ReasonCode;
