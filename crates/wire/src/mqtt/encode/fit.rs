//! Keeping to the peer's Maximum Packet Size (MQTT 5, 3.1.2.11.4): what only explains goes first.

use super::super::{EncodeError, Packet, Properties, PropertiesBuf, Version};

const USER_PROPERTY: u8 = 0x26;
const REASON_STRING: u8 = 0x1F;

impl Packet<'_> {
    /// Appends the packet if it fits into `max_packet_bytes`, without its user properties if it does not, and without
    /// its reason string either if it still does not (3.2.2.3.9, 3.2.2.3.10, and the same of the other packets).
    /// Those of a PUBLISH, of a request and of a will belong to somebody else and stay (MQTT-3.3.2-17).
    ///
    /// # Errors
    /// [`EncodeError::OverPeerLimit`] when it does not fit anyhow, and those of [`Packet::encode`].
    pub fn encode_within(
        &self,
        version: Version,
        max_packet_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let len = self.encoded_len(version)?;
        if len <= max_packet_bytes {
            return self.encode(version, out);
        }
        let Some(all) = self.explanations() else {
            return Err(EncodeError::OverPeerLimit { len, max: max_packet_bytes });
        };
        let mut len = len;
        for dropped in [&[USER_PROPERTY][..], &[USER_PROPERTY, REASON_STRING]] {
            let mut kept = PropertiesBuf::new();
            all.copy_if(|id| !dropped.contains(&id), &mut kept);
            let shorter = self.with_properties(kept.as_properties());
            len = shorter.encoded_len(version)?;
            if len <= max_packet_bytes {
                return shorter.encode(version, out);
            }
        }
        Err(EncodeError::OverPeerLimit { len, max: max_packet_bytes })
    }

    /// The properties of packets whose reason string and user properties may be left out.
    fn explanations(&self) -> Option<Properties<'_>> {
        match self {
            Self::ConnAck(p) => Some(p.properties),
            Self::Ack(p) => Some(p.properties),
            Self::SubAck(p) => Some(p.properties),
            Self::UnsubAck(p) => Some(p.properties),
            Self::Disconnect(p) => Some(p.properties),
            Self::Auth(p) => Some(p.properties),
            _ => None,
        }
    }

    /// The same packet with other properties.
    fn with_properties<'a>(&'a self, properties: Properties<'a>) -> Packet<'a> {
        let mut packet: Packet<'a> = self.clone();
        match &mut packet {
            Packet::ConnAck(p) => p.properties = properties,
            Packet::Ack(p) => p.properties = properties,
            Packet::SubAck(p) => p.properties = properties,
            Packet::UnsubAck(p) => p.properties = properties,
            Packet::Disconnect(p) => p.properties = properties,
            Packet::Auth(p) => p.properties = properties,
            _ => {}
        }
        packet
    }
}
