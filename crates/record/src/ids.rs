//! Identifiers as newtypes. Parsing checks them once; inside the house they are known to be good.

use std::fmt;
use std::sync::Arc;

use crate::limits;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("{what} is empty: give it at least one character")]
    Empty {
        /// Which identifier was parsed.
        what: &'static str,
    },
    /// The text is longer than the identifier may be.
    #[error("{what} has {got} bytes, at most {max} are allowed")]
    TooLong {
        /// Which identifier was parsed.
        what: &'static str,
        /// Its length in bytes.
        got: usize,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// The text holds a character that no identifier may hold.
    #[error("{what} holds the character {found:?} at byte {at}, which is not allowed")]
    Character {
        /// Which identifier was parsed.
        what: &'static str,
        /// The character.
        found: char,
        /// Where it stands, in bytes.
        at: usize,
    },
}

/// Control characters would break logs and terminals; `/ + #` would let an id reach into its
/// neighbours' topics.
fn check_level(what: &'static str, text: &str, max: usize) -> Result<(), IdError> {
    check(what, text, max, |byte| !matches!(byte, b'/' | b'+' | b'#'), |c| matches!(c, '/' | '+' | '#'))
}

fn check_text(what: &'static str, text: &str, max: usize) -> Result<(), IdError> {
    check(what, text, max, |_| true, |_| false)
}

/// Ids are checked for every message and are nearly always plain ASCII, so that case is one pass over bytes.
fn check(
    what: &'static str,
    text: &str,
    max: usize,
    plain: impl Fn(u8) -> bool,
    forbidden: impl Fn(char) -> bool,
) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > max {
        return Err(IdError::TooLong { what, got: text.len(), max });
    }
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && plain(byte)) {
        return Ok(());
    }
    match text.char_indices().find(|&(_, c)| c.is_control() || forbidden(c)) {
        Some((at, found)) => Err(IdError::Character { what, found, at }),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and takes it as an identifier.
            ///
            /// # Errors
            /// [`IdError`] says which rule `text` breaks and where.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                Self::check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// Checks `text` without keeping it.
            ///
            /// # Errors
            /// [`IdError`] says which rule `text` breaks and where.
            pub fn check(text: &str) -> Result<(), IdError> {
                $check($what, text, $max)
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

id!(
    /// Who owns devices and data. The first key everywhere.
    TenantId, "the tenant id", limits::TENANT_ID_BYTES, check_level
);
id!(
    /// A thing that sends readings. Unique within its tenant. One topic level: no `/`, `+`, `#`.
    DeviceId, "the device id", limits::DEVICE_ID_BYTES, check_level
);
id!(
    /// What is measured. May hold `/`, so that a device can group its metrics.
    MetricName, "the metric name", limits::METRIC_NAME_BYTES, check_text
);
id!(
    /// The MQTT client identifier. Unique within its tenant; keys the session.
    ClientId, "the client id", limits::CLIENT_ID_BYTES, check_text
);

impl TenantId {
    /// The tenant of everything in `open` mode.
    pub const DEFAULT: &'static str = "default";

    /// The tenant of everything in `open` mode, as an identifier.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self(Arc::from(Self::DEFAULT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_refused_with_the_rule_it_breaks() {
        for (text, expect) in [
            ("", "the device id is empty: give it at least one character"),
            ("a/b", "the device id holds the character '/' at byte 1, which is not allowed"),
            ("a\u{0}", "the device id holds the character '\\0' at byte 1, which is not allowed"),
        ] {
            assert_eq!(DeviceId::parse(text).unwrap_err().to_string(), expect);
        }
        let long = "x".repeat(limits::DEVICE_ID_BYTES + 1);
        assert!(matches!(DeviceId::parse(&long), Err(IdError::TooLong { .. })));
        assert_eq!(DeviceId::parse("pump-7").unwrap().as_str(), "pump-7");
        assert!(MetricName::parse("cabin/temperature").is_ok());
    }
}
