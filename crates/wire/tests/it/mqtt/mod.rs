//! The MQTT codec.

mod fixtures;
mod topic;

use wire::mqtt::{DecodeError, DecodeLimits, Decoded, Packet, Sender, Version};

/// Limits for packets of `sender` after the versions are agreed on.
pub(crate) fn limits(version: impl Into<Option<Version>>, sender: Sender) -> DecodeLimits {
    DecodeLimits { version: version.into(), max_packet_bytes: record::limits::MQTT_PACKET_BYTES, sender }
}

/// The one packet that `bytes` hold.
pub(crate) fn decode_one<'a>(bytes: &'a [u8], limits: &DecodeLimits) -> Result<Packet<'a>, DecodeError> {
    match wire::mqtt::decode(bytes, limits)? {
        Decoded::Packet { packet, consumed } => {
            assert_eq!(consumed, bytes.len(), "{packet:?} leaves bytes over");
            Ok(packet)
        }
        Decoded::Incomplete(missing) => panic!("{missing:?} bytes missing after {bytes:02x?}"),
    }
}

/// Bytes written as the tables write them: hex, and text in quotes, separated by spaces: `30 05 0001 'a' 'hi'`.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        if let Some(quoted) = word.strip_prefix('\'').and_then(|w| w.strip_suffix('\'')) {
            out.extend_from_slice(quoted.as_bytes());
        } else {
            let hex = word.as_bytes();
            assert!(hex.len().is_multiple_of(2), "odd hex in {text}");
            out.extend(
                hex.chunks(2)
                    .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("hex")),
            );
        }
    }
    out
}
