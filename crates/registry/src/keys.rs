//! Keys that verify JWTs, read from files.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

use crate::config::{IssuerPolicy, JwtAlgorithm, KeySource};

/// Largest key file, bytes: a set of a hundred RSA keys has 50 kB.
const KEY_FILE_BYTES: u64 = 1 << 20;
/// RFC 7518 section 3.2: a key at least as long as the hash.
const HMAC_SECRET_MIN_BYTES: usize = 32;
/// RFC 7518 section 3.3.
const RSA_MIN_BYTES: usize = 2048 / 8;

/// A key file that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the key file {} of issuer {issuer:?} {reason}", file.display())]
pub struct KeyError {
    /// Which file.
    pub file: PathBuf,
    /// Whose.
    pub issuer: String,
    /// What is wrong and what to do.
    pub reason: String,
}

/// An issuer's keys, all for its one algorithm.
pub(crate) struct Keys {
    algorithm: Algorithm,
    keys: Vec<(Option<String>, DecodingKey)>,
}

/// What a file looked like when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    size_bytes: u64,
}

impl KeySource {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Set(path) => path,
        }
    }

    /// What the file looks like now; `None` when it is not there.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        let found = std::fs::metadata(self.path()).ok()?;
        Some(Stamp { modified: found.modified().ok(), size_bytes: found.len() })
    }
}

impl Keys {
    /// Reads an issuer's keys.
    pub(crate) fn read(issuer: &IssuerPolicy) -> Result<Self, KeyError> {
        let path = issuer.key.path();
        let wrong =
            |reason: String| KeyError { file: path.to_owned(), issuer: issuer.issuer.clone(), reason };
        let size = std::fs::metadata(path).map_err(|e| wrong(format!("cannot be read: {e}")))?.len();
        if size > KEY_FILE_BYTES {
            return Err(wrong(format!("has {size} bytes, at most {KEY_FILE_BYTES} are read")));
        }
        let bytes = std::fs::read(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        let algorithm = issuer.algorithm.of_library();
        let keys = match &issuer.key {
            KeySource::File(_) => vec![(None, key(issuer.algorithm, &bytes).map_err(wrong)?)],
            KeySource::Set(_) => set(issuer.algorithm, &bytes).map_err(wrong)?,
        };
        Ok(Self { algorithm, keys })
    }

    /// Whether `signature` (base64url) over `message` is by the key that `kid` names; without a `kid`, by the
    /// only key.
    pub(crate) fn verify(&self, kid: Option<&str>, message: &[u8], signature: &str) -> Result<(), String> {
        let key = match (kid, self.keys.as_slice()) {
            // A key file holds one key, whatever the issuer calls it.
            (_, [(None, key)]) | (None, [(_, key)]) => key,
            (None, _) => return Err("it has no kid, and the issuer has several keys".to_owned()),
            (Some(kid), keys) => match keys.iter().find(|(name, _)| name.as_deref() == Some(kid)) {
                Some((_, key)) => key,
                None => return Err(format!("its kid {kid:?} is none of the issuer's keys")),
            },
        };
        match jsonwebtoken::crypto::verify(signature, message, key, self.algorithm) {
            Ok(true) => Ok(()),
            Ok(false) => Err("its signature is wrong".to_owned()),
            Err(error) => Err(format!("its signature cannot be checked: {error}")),
        }
    }
}

impl JwtAlgorithm {
    fn of_library(self) -> Algorithm {
        match self {
            Self::HS256 => Algorithm::HS256,
            Self::RS256 => Algorithm::RS256,
            Self::ES256 => Algorithm::ES256,
            Self::EdDSA => Algorithm::EdDSA,
        }
    }

    /// As it stands in a token's header.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
        }
    }
}

fn key(algorithm: JwtAlgorithm, bytes: &[u8]) -> Result<DecodingKey, String> {
    let is_pem = bytes.trim_ascii_start().starts_with(b"-----BEGIN");
    let unusable = |e| format!("holds no public key for {}: {e}", algorithm.name());
    match algorithm {
        // Whoever has the public key could sign with it.
        JwtAlgorithm::HS256 if is_pem => {
            Err("holds a PEM key, which is no secret: HS256 wants a secret".into())
        }
        JwtAlgorithm::HS256 => secret(bytes.trim_ascii_end()),
        _ if !is_pem => Err(format!("is not PEM: {} wants a public key in PEM", algorithm.name())),
        JwtAlgorithm::RS256 => {
            let key = DecodingKey::from_rsa_pem(bytes).map_err(unusable)?;
            // The DER of an RSA public key is a few bytes longer than its modulus.
            if key.as_bytes().len() < RSA_MIN_BYTES {
                return Err("holds an RSA key of less than 2048 bits".into());
            }
            Ok(key)
        }
        JwtAlgorithm::ES256 => DecodingKey::from_ec_pem(bytes).map_err(unusable),
        JwtAlgorithm::EdDSA => DecodingKey::from_ed_pem(bytes).map_err(unusable),
    }
}

fn secret(bytes: &[u8]) -> Result<DecodingKey, String> {
    if bytes.len() < HMAC_SECRET_MIN_BYTES {
        return Err(format!(
            "holds a secret of {} bytes, HS256 needs {HMAC_SECRET_MIN_BYTES} (RFC 7518)",
            bytes.len()
        ));
    }
    Ok(DecodingKey::from_secret(bytes))
}

/// The keys of a set that are made for signatures with `algorithm`; others are for somebody else.
fn set(algorithm: JwtAlgorithm, bytes: &[u8]) -> Result<Vec<(Option<String>, DecodingKey)>, String> {
    let set: JwkSet = serde_json::from_slice(bytes).map_err(|e| format!("is not a JSON Web Key Set: {e}"))?;
    let mut keys = Vec::new();
    for jwk in set.keys.iter().filter(|jwk| is_for(algorithm, jwk)) {
        let key = DecodingKey::from_jwk(jwk).map_err(|e| format!("has a key that cannot be used: {e}"))?;
        if let Ok(bytes) = key.try_get_hmac_secret() {
            secret(bytes)?;
        }
        let kid = jwk.common.key_id.clone();
        if keys.iter().any(|(name, _)| *name == kid) {
            return Err(format!("has two keys with the kid {}", kid.as_deref().unwrap_or("(none)")));
        }
        keys.push((kid, key));
    }
    match keys.as_slice() {
        [] => Err(format!("has no key for {}", algorithm.name())),
        [_] => Ok(keys),
        several if several.iter().any(|(kid, _)| kid.is_none()) => {
            Err("has several keys, one of them without a kid".into())
        }
        _ => Ok(keys),
    }
}

fn is_for(algorithm: JwtAlgorithm, jwk: &Jwk) -> bool {
    let common = &jwk.common;
    let by_use = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let by_name = match (common.key_algorithm, algorithm) {
        (None, _)
        | (Some(KeyAlgorithm::HS256), JwtAlgorithm::HS256)
        | (Some(KeyAlgorithm::RS256), JwtAlgorithm::RS256)
        | (Some(KeyAlgorithm::ES256), JwtAlgorithm::ES256)
        | (Some(KeyAlgorithm::EdDSA), JwtAlgorithm::EdDSA) => true,
        (Some(_), _) => false,
    };
    let by_kind = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::OctetKey(_), JwtAlgorithm::HS256) => true,
        // base64url of a modulus of 2048 bits: shorter ones are left out, as if they were not there.
        (AlgorithmParameters::RSA(rsa), JwtAlgorithm::RS256) => rsa.n.len() >= RSA_MIN_BYTES * 4 / 3,
        (AlgorithmParameters::EllipticCurve(ec), JwtAlgorithm::ES256) => ec.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(pair), JwtAlgorithm::EdDSA) => {
            pair.curve == EllipticCurve::Ed25519
        }
        _ => false,
    };
    by_use && by_name && by_kind
}
