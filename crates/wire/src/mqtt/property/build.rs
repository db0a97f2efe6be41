//! Writing properties.

use super::super::varint;
use super::{Properties, Property};

/// Properties being built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertiesBuf(pub(in crate::mqtt) Vec<u8>);

impl PropertiesBuf {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one and says so. A string or data over 65 535 bytes, or a subscription identifier over 268 435 455, cannot
    /// be written: it is left out. What the packet allows is for the caller to know.
    pub fn push(&mut self, property: Property<'_>) -> bool {
        if !property.fits() {
            return false;
        }
        self.0.push(property.id());
        property.write_value(&mut self.0);
        true
    }

    /// The same, as a value: `PropertiesBuf::new().with(a).with(b)`.
    #[must_use]
    pub fn with(mut self, property: Property<'_>) -> Self {
        self.push(property);
        self
    }

    /// To read, or to put into a packet.
    #[must_use]
    pub fn as_properties(&self) -> Properties<'_> {
        Properties(&self.0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<'a> FromIterator<Property<'a>> for PropertiesBuf {
    fn from_iter<I: IntoIterator<Item = Property<'a>>>(properties: I) -> Self {
        let mut buf = Self::new();
        for property in properties {
            buf.push(property);
        }
        buf
    }
}

impl Property<'_> {
    /// Its identifier on the wire.
    #[must_use]
    pub const fn id(&self) -> u8 {
        match self {
            Self::PayloadFormat(_) => 0x01,
            Self::MessageExpiry(_) => 0x02,
            Self::ContentType(_) => 0x03,
            Self::ResponseTopic(_) => 0x08,
            Self::CorrelationData(_) => 0x09,
            Self::SubscriptionId(_) => 0x0B,
            Self::SessionExpiry(_) => 0x11,
            Self::AssignedClientId(_) => 0x12,
            Self::ServerKeepAlive(_) => 0x13,
            Self::AuthMethod(_) => 0x15,
            Self::AuthData(_) => 0x16,
            Self::RequestProblemInformation(_) => 0x17,
            Self::WillDelay(_) => 0x18,
            Self::RequestResponseInformation(_) => 0x19,
            Self::ResponseInformation(_) => 0x1A,
            Self::ServerReference(_) => 0x1C,
            Self::ReasonString(_) => 0x1F,
            Self::ReceiveMaximum(_) => 0x21,
            Self::TopicAliasMaximum(_) => 0x22,
            Self::TopicAlias(_) => 0x23,
            Self::MaximumQos(_) => 0x24,
            Self::RetainAvailable(_) => 0x25,
            Self::UserProperty(..) => 0x26,
            Self::MaximumPacketSize(_) => 0x27,
            Self::WildcardAvailable(_) => 0x28,
            Self::SubscriptionIdAvailable(_) => 0x29,
            Self::SharedAvailable(_) => 0x2A,
        }
    }

    fn fits(&self) -> bool {
        let longest = usize::from(u16::MAX);
        match self {
            Self::ContentType(s)
            | Self::ResponseTopic(s)
            | Self::AssignedClientId(s)
            | Self::AuthMethod(s)
            | Self::ResponseInformation(s)
            | Self::ServerReference(s)
            | Self::ReasonString(s) => s.len() <= longest,
            Self::CorrelationData(b) | Self::AuthData(b) => b.len() <= longest,
            Self::UserProperty(k, v) => k.len() <= longest && v.len() <= longest,
            Self::SubscriptionId(n) => *n <= varint::MAX,
            _ => true,
        }
    }

    fn write_value(&self, out: &mut Vec<u8>) {
        match *self {
            Self::PayloadFormat(n) | Self::MaximumQos(n) => out.push(n),
            Self::RequestProblemInformation(b)
            | Self::RequestResponseInformation(b)
            | Self::RetainAvailable(b)
            | Self::WildcardAvailable(b)
            | Self::SubscriptionIdAvailable(b)
            | Self::SharedAvailable(b) => out.push(b.into()),
            Self::ServerKeepAlive(n)
            | Self::ReceiveMaximum(n)
            | Self::TopicAliasMaximum(n)
            | Self::TopicAlias(n) => out.extend_from_slice(&n.to_be_bytes()),
            Self::MessageExpiry(n)
            | Self::SessionExpiry(n)
            | Self::WillDelay(n)
            | Self::MaximumPacketSize(n) => out.extend_from_slice(&n.to_be_bytes()),
            Self::SubscriptionId(n) => {
                let (bytes, len) = varint::bytes(n as usize);
                out.extend_from_slice(&bytes[..len]);
            }
            Self::ContentType(s)
            | Self::ResponseTopic(s)
            | Self::AssignedClientId(s)
            | Self::AuthMethod(s)
            | Self::ResponseInformation(s)
            | Self::ServerReference(s)
            | Self::ReasonString(s) => write_field(s.as_bytes(), out),
            Self::CorrelationData(b) | Self::AuthData(b) => write_field(b, out),
            Self::UserProperty(k, v) => {
                write_field(k.as_bytes(), out);
                write_field(v.as_bytes(), out);
            }
        }
    }
}

fn write_field(bytes: &[u8], out: &mut Vec<u8>) {
    let len = u16::try_from(bytes.len()).expect("push lets nothing longer through");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}
