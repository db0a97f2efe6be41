//! Tokens: secrets that a device shows with its user name.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Error;

/// Begins every token we make: tells them from JWTs, and lets secret scanners find one that leaked.
const PREFIX: &str = "ps1.";
/// Random bytes of a token: 256 bits cannot be guessed, which is why a fast hash is enough at rest.
const RANDOM_BYTES: usize = 32;

/// A secret in clear: shown once, to whoever asked for it. It has no `Debug`, so that no log gets it.
///
/// Form: `ps1.<tenant/user, base64url>.<32 random bytes, base64url>`. It carries its user name, so that it
/// works alone as an HTTP bearer token.
pub struct Token(String);

impl Token {
    /// A new token for `tenant/user`.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub(crate) fn generate(tenant: &str, user: &str) -> Result<Self, Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(|e| Error::Random(e.to_string()))?;
        let name = URL_SAFE_NO_PAD.encode(format!("{tenant}/{user}"));
        Ok(Self(format!("{PREFIX}{name}.{}", URL_SAFE_NO_PAD.encode(random))))
    }

    /// The secret itself: to be shown, once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Whether the bytes are a token of our own making.
pub(crate) fn is_ours(secret: &[u8]) -> bool {
    secret.starts_with(PREFIX.as_bytes())
}

/// The user name inside a token of our own making, `tenant/user`.
pub(crate) fn user_in(secret: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(secret).ok()?.strip_prefix(PREFIX)?.split('.').next()?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()
}

/// What is stored of a token.
#[derive(Clone, Copy)]
pub(crate) struct Hash([u8; 32]);

impl Hash {
    pub(crate) fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Equal to no token's, for comparing where there is none.
    pub(crate) const fn of_nothing() -> Self {
        Self([0; 32])
    }

    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }

    pub(crate) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Compares without telling by its time where they differ.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_carries_its_user_and_its_hash_comes_back_from_hex() {
        let token = Token::generate("acme", "d1").unwrap();
        assert!(is_ours(token.reveal().as_bytes()));
        assert_eq!(user_in(token.reveal().as_bytes()).as_deref(), Some("acme/d1"));
        let hash = Hash::of(token.reveal().as_bytes());
        assert!(Hash::from_hex(&hash.hex()).unwrap().is(&hash));
        assert!(!Hash::of(b"other").is(&hash));
        assert!(Hash::from_hex("00").is_none() && Hash::from_hex(&"zz".repeat(32)).is_none());
        assert_ne!(Token::generate("acme", "d1").unwrap().reveal(), token.reveal());
    }
}
