//! The MQTT codec.

mod arbitrary;
mod fixtures;
mod properties;
mod refused;
mod round_trip;
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

/// Bytes written as the tables write them, separated by spaces: hex, text in quotes, `..` for the remaining length,
/// `'a'*3` for a repetition: `30 .. 0001 'a' 'hi'`.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        if word == ".." {
            let rest = bytes(&words.collect::<Vec<_>>().join(" "));
            let mut left = rest.len();
            loop {
                out.push((left & 0x7F) as u8 | if left > 0x7F { 0x80 } else { 0 });
                left >>= 7;
                if left == 0 {
                    break;
                }
            }
            out.extend(rest);
            return out;
        }
        if let Some((unit, times)) = word.split_once('*') {
            out.extend(bytes(unit).repeat(times.parse().unwrap()));
        } else if let Some(quoted) = word.strip_prefix('\'').and_then(|w| w.strip_suffix('\'')) {
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
