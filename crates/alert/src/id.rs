//! Names of alerts and messages: made of what they are about, so that the same gets the same.

use std::fmt;

use record::{DeviceId, TenantId, Timestamp};
use rule::RuleId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Hexadecimal digits of a time in an id.
const TIME_DIGITS: usize = 16;
/// Bytes of the hash in an id: no two of 2^40 causes of one instant share 96 bits.
const HASH_BYTES: usize = 12;

/// An alert's name, `<16 digits>-<24 digits>`, hexadecimal: the time of its cause, counted backwards so that the newest comes
/// first in byte order, and a hash of tenant, rule, device and cause.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(Box<str>);

impl AlertId {
    /// Of the alert for a cause.
    #[must_use]
    pub fn of(tenant: &TenantId, rule: &RuleId, device: &DeviceId, cause: Timestamp) -> Self {
        let hash = hash([tenant.as_str(), &rule.0, device.as_str()], &cause.nanos().to_be_bytes());
        Self(format!("{}-{}", backwards(cause), &hash[..HASH_BYTES * 2]).into())
    }

    /// From outside.
    ///
    /// # Errors
    /// `None` when it is the name of no alert.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (time, hash) = text.split_once('-')?;
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let fits = time.len() == TIME_DIGITS && hash.len() == HASH_BYTES * 2;
        (fits && is_hex(time) && is_hex(hash)).then(|| Self(text.into()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlertId({})", self.0)
    }
}

/// A time as it begins an id: later times are smaller texts.
pub(crate) fn backwards(time: Timestamp) -> String {
    format!("{:016x}", !ordered(time.nanos()))
}

/// A time in milliseconds as it begins what is due: later times are greater texts.
pub(crate) fn forwards(at_ms: i64) -> String {
    format!("{:016x}", ordered(at_ms))
}

/// Signed numbers in the order of unsigned ones.
const fn ordered(number: i64) -> u64 {
    number.cast_unsigned() ^ (1 << 63)
}

/// The key by which a receiver knows a delivery again, whoever's it is.
pub(crate) fn delivery_key(tenant: &str, delivery: &str) -> String {
    hash([tenant, delivery], &[])[..32].to_owned()
}

/// Each part behind its length, so that no two lists of parts are the same bytes.
fn hash<'a>(parts: impl IntoIterator<Item = &'a str>, end: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(end);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_comes_first_and_the_same_cause_has_the_same_name() {
        let id = |tenant: &str, rule: &str, device: &str, nanos| {
            let tenant = TenantId::parse(tenant).unwrap();
            let device = DeviceId::parse(device).unwrap();
            AlertId::of(&tenant, &RuleId(rule.into()), &device, Timestamp::from_nanos(nanos))
        };
        let times = [i64::MAX, 5, 4, 0, -1, i64::MIN];
        assert!(times.map(|time| id("t", "r", "d", time)).is_sorted());
        assert_eq!(id("t", "r", "d", 5), id("t", "r", "d", 5));
        for other in [id("u", "r", "d", 5), id("t", "rd", "d", 5), id("t", "r", "rd", 5)] {
            assert_ne!(other, id("t", "r", "d", 5));
        }
        assert_eq!(AlertId::parse(id("t", "r", "d", 5).as_str()), Some(id("t", "r", "d", 5)));
        assert_eq!(AlertId::parse("7ffffffffffffffa-../../../../../../etc"), None);
        assert!([i64::MIN, -1, 0, 1, i64::MAX].map(forwards).is_sorted());
    }
}
