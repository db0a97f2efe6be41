//! MQTT 5 properties (2.2.2), kept as their bytes on the wire and read when wanted: most messages carry none.

mod build;
mod carrier;
mod read;

pub use build::PropertiesBuf;
pub use carrier::Carrier;
pub use read::{Iter, Properties};

/// The user property of a PUBLISH that names the firmware of the device.
pub const FIRMWARE: &str = "penstock-firmware";

/// A property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'a> {
    /// 0x01: 1 = the payload is UTF-8 text.
    PayloadFormat(u8),
    /// 0x02, seconds.
    MessageExpiry(u32),
    /// 0x03.
    ContentType(&'a str),
    /// 0x08.
    ResponseTopic(&'a str),
    /// 0x09.
    CorrelationData(&'a [u8]),
    /// 0x0B, 1 to 268 435 455.
    SubscriptionId(u32),
    /// 0x11, seconds; `u32::MAX` = never.
    SessionExpiry(u32),
    /// 0x12.
    AssignedClientId(&'a str),
    /// 0x13, seconds.
    ServerKeepAlive(u16),
    /// 0x15.
    AuthMethod(&'a str),
    /// 0x16.
    AuthData(&'a [u8]),
    /// 0x17.
    RequestProblemInformation(bool),
    /// 0x18, seconds.
    WillDelay(u32),
    /// 0x19.
    RequestResponseInformation(bool),
    /// 0x1A.
    ResponseInformation(&'a str),
    /// 0x1C.
    ServerReference(&'a str),
    /// 0x1F.
    ReasonString(&'a str),
    /// 0x21, never 0.
    ReceiveMaximum(u16),
    /// 0x22.
    TopicAliasMaximum(u16),
    /// 0x23, never 0.
    TopicAlias(u16),
    /// 0x24: 0 or 1.
    MaximumQos(u8),
    /// 0x25.
    RetainAvailable(bool),
    /// 0x26.
    UserProperty(&'a str, &'a str),
    /// 0x27, never 0.
    MaximumPacketSize(u32),
    /// 0x28.
    WildcardAvailable(bool),
    /// 0x29.
    SubscriptionIdAvailable(bool),
    /// 0x2A.
    SharedAvailable(bool),
}
