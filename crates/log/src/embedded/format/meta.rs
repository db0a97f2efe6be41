//! `log.meta`: what is fixed when a log is created. Text, so that an operator can read it.
//!
//! ```text
//! penstock-log 1
//! id 0123456789abcdef0123456789abcdef
//! partitions iot-telemetry-raw 16
//! … one line per topic, in the order of their numbers
//! crc32c 89abcdef
//! ```
//!
//! The checksum covers everything before its line.

use std::fmt::Write;

use super::VERSION;
use crate::{Partitions, Topic};

pub(crate) const META_FILE: &str = "log.meta";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) id: u128,
    pub(crate) partitions: Partitions,
}

impl Meta {
    /// What every frame's checksum starts from.
    pub(crate) fn seed(&self) -> u32 {
        crc32c::crc32c(&self.id.to_le_bytes())
    }

    pub(crate) fn encode(&self) -> String {
        let mut text = format!("penstock-log {VERSION}\nid {:032x}\n", self.id);
        for topic in Topic::ALL {
            writeln!(text, "partitions {} {}", topic.name(), self.partitions.of(topic))
                .expect("writing to a string");
        }
        let checksum = crc32c::crc32c(text.as_bytes());
        writeln!(text, "crc32c {checksum:08x}").expect("writing to a string");
        text
    }

    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |what: &str| format!("{META_FILE} is damaged ({what}): restore it from a backup");
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("not UTF-8"))?;
        let first = text.lines().next().unwrap_or_default();
        let version = first.strip_prefix("penstock-log ").ok_or_else(|| damaged("first line"))?;
        if version != VERSION.to_string() {
            return Err(format!("it has format version {version}, this build reads {VERSION}: upgrade"));
        }
        let (content, checksum) = text.rsplit_once("crc32c ").ok_or_else(|| damaged("no checksum"))?;
        if checksum != format!("{:08x}\n", crc32c::crc32c(content.as_bytes())) {
            return Err(damaged("wrong checksum"));
        }
        let mut lines = content.lines().skip(1);
        let id = lines.next().and_then(|line| u128::from_str_radix(line.strip_prefix("id ")?, 16).ok());
        let id = id.ok_or_else(|| damaged("no id"))?;
        let mut partitions = Partitions::default();
        for topic in Topic::ALL {
            let prefix = format!("partitions {} ", topic.name());
            let count = lines.next().and_then(|line| line.strip_prefix(&prefix)?.parse().ok());
            partitions = count
                .and_then(|count| partitions.with(topic, count).ok())
                .ok_or_else(|| damaged("partition counts"))?;
        }
        Ok(Self { id, partitions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_every_flipped_bit_is_noticed() {
        let meta = Meta { id: 0xfeed, partitions: Partitions::default().with(Topic::Raw, 3).unwrap() };
        let mut bytes = meta.encode().into_bytes();
        assert_eq!(Meta::decode(&bytes), Ok(meta));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Meta::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
