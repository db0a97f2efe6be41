//! Signatures of webhooks, in the manner of Standard Webhooks (standardwebhooks.com, version 1 of its specification).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// How many bytes a secret has, by the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Signs webhooks. It has no `Debug`: it is a secret.
#[derive(Clone)]
pub struct Signer(Vec<u8>);

/// Why a text is no secret for signatures. It does not say what the text is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not possible: write whsec_ and 24 to 64 random bytes in base64, as of: echo whsec_$(openssl rand -base64 32)"
)]
pub struct SignerError;

impl Signer {
    /// From `whsec_` and base64.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn new(secret: &str) -> Result<Self, SignerError> {
        let text = secret.strip_prefix(PREFIX).ok_or(SignerError)?;
        let key = STANDARD.decode(text).map_err(|_| SignerError)?;
        if BYTES.contains(&key.len()) { Ok(Self(key)) } else { Err(SignerError) }
    }

    /// The header `webhook-signature`: of id, time (seconds since 1970) and body, so that none of them can be another one.
    #[must_use]
    pub fn sign(&self, id: &str, at_s: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{at_s}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}
