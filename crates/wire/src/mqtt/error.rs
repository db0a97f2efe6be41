//! Why a packet was refused, and why one could not be written.

use std::fmt;

use super::rules::{self, Rule};
use super::{ReasonCode, Version};

/// A packet that the standard, or a limit, does not allow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    rule: &'static Rule,
    version: Option<Version>,
    offset: u32,
    /// Bytes of the packet and bytes that are taken, where that is what is wrong.
    sizes: Option<(u32, u32)>,
}

/// A packet has at most 2^28 + 4 bytes.
fn in_a_packet(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl DecodeError {
    #[cold]
    pub(super) fn new(rule: &'static Rule, version: Option<Version>, offset: usize) -> Self {
        Self { rule, version, offset: in_a_packet(offset), sizes: None }
    }

    /// A packet of `total` bytes where `limit` are taken, as its length at byte 1 says.
    #[cold]
    pub(super) fn too_large(version: Option<Version>, total: usize, limit: usize) -> Self {
        let sizes = Some((in_a_packet(total), in_a_packet(limit)));
        Self { sizes, ..Self::new(&rules::PACKET_TOO_LARGE, version, 1) }
    }

    /// The code to answer with, in a CONNACK or DISCONNECT.
    #[must_use]
    pub fn reason(&self) -> ReasonCode {
        self.rule.reason
    }

    /// What is wrong, in words.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.rule.what
    }

    /// At which byte, counted from the start of the packet.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset as usize
    }

    /// The normative statement, like `MQTT-3.3.1-4`, where the standard has one.
    #[must_use]
    pub fn statement(&self) -> Option<&'static str> {
        self.rule.statement(self.version)
    }

    /// The version in which the peer can be told why; none when it did not get as far as saying one
    /// that anybody speaks, and then the connection is closed without a word.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// What breaks a rule, without the reason code: a reason string for MQTT 5.
    #[must_use]
    pub fn reason_string(&self) -> String {
        let Self { rule, offset, .. } = self;
        let mut words = match self.sizes {
            Some((total, limit)) => format!("packet of {total} bytes is longer than the limit of {limit}"),
            None => format!("{} at byte {offset}", rule.what),
        };
        if let Some(statement) = self.statement() {
            words.push_str(&format!(" [{statement}]"));
        }
        words
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.reason.words(), self.reason_string())
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodeError({self})")
    }
}

impl std::error::Error for DecodeError {}

/// A packet that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The peer takes no packet so long: leave the packet out and go on as if it had been sent (MQTT-3.1.2-25).
    #[error("packet of {len} bytes is over the peer's limit of {max}")]
    OverPeerLimit {
        /// Bytes of the packet, after reason string and user properties were left out.
        len: usize,
        /// Bytes the peer takes.
        max: usize,
    },
    /// A string or binary field is longer than its two-byte length can say, or the whole than four bytes can.
    #[error("{field} of {len} bytes is longer than the wire can say")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// Its bytes.
        len: usize,
    },
    /// 3.1.1 has no such packet or return code: close the connection instead.
    #[error("MQTT 3.1.1 has no {0}")]
    NotInV3(&'static str),
}
