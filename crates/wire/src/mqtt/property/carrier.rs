//! Which packet may carry which property (MQTT 5, table 2-4).

/// What carries properties. PUBLISH and DISCONNECT differ by who sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// CONNECT.
    Connect,
    /// The will in a CONNECT.
    Will,
    /// CONNACK.
    ConnAck,
    /// PUBLISH of a client: no subscription identifier.
    PublishOfClient,
    /// PUBLISH of a server: any number of subscription identifiers.
    PublishOfServer,
    /// PUBACK, PUBREC, PUBREL and PUBCOMP.
    Ack,
    /// SUBSCRIBE.
    Subscribe,
    /// SUBACK and UNSUBACK.
    SubAck,
    /// UNSUBSCRIBE.
    Unsubscribe,
    /// DISCONNECT of a client.
    DisconnectOfClient,
    /// DISCONNECT of a server: no session expiry.
    DisconnectOfServer,
    /// AUTH.
    Auth,
}

const fn set(ids: &[u8]) -> u64 {
    let mut bits = 0;
    let mut i = 0;
    while i < ids.len() {
        bits |= 1 << ids[i];
        i += 1;
    }
    bits
}

/// One bit per identifier; the highest is 0x2A.
const CONNECT: u64 = set(&[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27]);
const WILL: u64 = set(&[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26]);
const CONNACK: u64 = set(&[
    0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A,
]);
const PUBLISH: u64 = set(&[0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26]);
const ACK: u64 = set(&[0x1F, 0x26]);
const SUBSCRIBE: u64 = set(&[0x0B, 0x26]);
const UNSUBSCRIBE: u64 = set(&[0x26]);
const DISCONNECT: u64 = set(&[0x11, 0x1C, 0x1F, 0x26]);
const AUTH: u64 = set(&[0x15, 0x16, 0x1F, 0x26]);

impl Carrier {
    /// The identifiers that the table allows, as bits.
    pub(super) const fn allowed(self) -> u64 {
        match self {
            Self::Connect => CONNECT,
            Self::Will => WILL,
            Self::ConnAck => CONNACK,
            Self::PublishOfClient | Self::PublishOfServer => PUBLISH,
            Self::Ack | Self::SubAck => ACK,
            Self::Subscribe => SUBSCRIBE,
            Self::Unsubscribe => UNSUBSCRIBE,
            Self::DisconnectOfClient | Self::DisconnectOfServer => DISCONNECT,
            Self::Auth => AUTH,
        }
    }

    /// The identifiers that may come more than once, as bits.
    pub(super) const fn repeatable(self) -> u64 {
        match self {
            Self::PublishOfServer => set(&[0x0B, 0x26]),
            _ => set(&[0x26]),
        }
    }
}
