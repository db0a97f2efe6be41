//! Identity by JWT (RFC 7519, RFC 8725): the issuer's own algorithm and keys, and claims that are checked.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use record::{DeviceId, TenantId, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{ClaimedTenant, IssuerPolicy, SubjectKind};
use crate::identity::{ClientIdRule, Grants, Identity, Method, Proof, Subject};
use crate::keys::Keys;
use crate::pattern::Pattern;

/// Longest token looked at, bytes. A token with a few lists of topics has 2 kB.
const TOKEN_BYTES: usize = 16 << 10;

/// An issuer with its keys.
pub(crate) struct Issuer {
    pub(crate) policy: IssuerPolicy,
    pub(crate) keys: Keys,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// Whether the bytes have the shape of a signed token: three parts of base64url with dots between.
pub(crate) fn looks_like_one(secret: &[u8]) -> bool {
    let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut parts = 0;
    secret.split(|byte| *byte == b'.').all(|part| {
        parts += 1;
        !part.is_empty() && part.iter().all(is_base64url)
    }) && parts == 3
}

/// The identity that a token proves; the reason for the operator when it proves none.
pub(crate) fn identify(issuers: &[Issuer], token: &[u8], now: Timestamp) -> Result<Identity, String> {
    if token.len() > TOKEN_BYTES {
        return Err(format!("the JWT has {} bytes, at most {TOKEN_BYTES} are read", token.len()));
    }
    let text = std::str::from_utf8(token).map_err(|_| "the JWT is not text".to_owned())?;
    let (message, signature) = text.rsplit_once('.').ok_or("the JWT has no signature")?;
    let (header, payload) = message.split_once('.').ok_or("the JWT has no payload")?;
    let header: Header = part("header", header)?;
    // Not yet proven; it only picks the issuer whose key must then fit.
    let claims: Map<String, Value> = part("payload", payload)?;
    let name = text_claim(&claims, "iss")?;
    let issuer = issuers
        .iter()
        .find(|issuer| issuer.policy.issuer == name)
        .ok_or_else(|| format!("the JWT's issuer {name:?} is none of auth.jwt"))?;
    let because = |reason: String| format!("the JWT of issuer {name:?}: {reason}");
    issuer.check_signature(&header, message, signature).map_err(because)?;
    issuer.check_claims(&claims, now).map_err(because)?;
    issuer.identity(&claims).map_err(because)
}

fn part<T: serde::de::DeserializeOwned>(what: &str, encoded: &str) -> Result<T, String> {
    let bytes =
        URL_SAFE_NO_PAD.decode(encoded).map_err(|e| format!("the JWT's {what} is not base64url: {e}"))?;
    serde_json::from_slice(&bytes).map_err(|e| format!("the JWT's {what} is not the JSON expected: {e}"))
}

fn text_claim<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<&'c str, String> {
    claims
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("the claim {name:?} is missing or no text"))
}

impl Issuer {
    fn check_signature(&self, header: &Header, message: &str, signature: &str) -> Result<(), String> {
        let expected = self.policy.algorithm.name();
        if header.alg != expected {
            return Err(format!("its algorithm is {:?}, the issuer's is {expected}", header.alg));
        }
        // RFC 7515 section 4.1.11: what is critical and not understood invalidates the token.
        if header.crit.is_some() {
            return Err("its header has critical extensions, none is known".to_owned());
        }
        self.keys.verify(header.kid.as_deref(), message.as_bytes(), signature)
    }

    fn check_claims(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), String> {
        let now = now.nanos() as f64 / 1e9;
        let leeway = f64::from(self.policy.leeway_seconds);
        let expires = time_claim(claims, "exp")?.ok_or("it has no exp: it would never end")?;
        if now >= expires + leeway {
            return Err(format!("it expired {:.0} s ago", now - expires));
        }
        if let Some(starts) = time_claim(claims, "nbf")?
            && now < starts - leeway
        {
            return Err(format!("it is valid only in {:.0} s", starts - now));
        }
        let mine = |audience: &Value| {
            audience.as_str().is_some_and(|audience| self.policy.audience.iter().any(|mine| mine == audience))
        };
        match claims.get("aud") {
            Some(Value::Array(all)) if all.iter().any(mine) => Ok(()),
            Some(one) if mine(one) => Ok(()),
            other => Err(format!("its audience is {}, not ours", other.unwrap_or(&Value::Null))),
        }
    }

    fn identity(&self, claims: &Map<String, Value>) -> Result<Identity, String> {
        let tenant = match &self.policy.tenant {
            ClaimedTenant::Fixed(tenant) => tenant.clone(),
            ClaimedTenant::Claim(claim) => {
                TenantId::parse(text_claim(claims, claim)?).map_err(|e| e.to_string())?
            }
        };
        let name =
            DeviceId::parse(text_claim(claims, &self.policy.subject_claim)?).map_err(|e| e.to_string())?;
        let client_id = match self.policy.subject {
            SubjectKind::Device => ClientIdRule::Own(name.as_str().into()),
            SubjectKind::Service => ClientIdRule::Any,
        };
        let subject = match self.policy.subject {
            SubjectKind::Device => Subject::Device(name),
            SubjectKind::Service => Subject::Service(name.as_str().into()),
        };
        let jti = claims.get("jti").and_then(Value::as_str).map(Arc::from);
        // To the end of the leeway: until then the token would be taken again.
        let leeway = f64::from(self.policy.leeway_seconds);
        let expires_at =
            time_claim(claims, "exp")?.map(|exp| Timestamp::from_nanos(((exp + leeway) * 1e9) as i64));
        Ok(Identity {
            tenant,
            subject,
            method: Method::Jwt,
            client_id,
            grants: Arc::new(Grants {
                publish: granted(claims, self.policy.publish_claim.as_deref())?,
                subscribe: granted(claims, self.policy.subscribe_claim.as_deref())?,
            }),
            expires_at,
            proof: Proof::Jwt { jti },
        })
    }
}

fn time_claim(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, String> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) if seconds.is_finite() => Ok(Some(seconds)),
            _ => Err(format!("the claim {name:?} is no number of seconds")),
        },
    }
}

fn granted(claims: &Map<String, Value>, claim: Option<&str>) -> Result<Vec<Pattern>, String> {
    let Some(claim) = claim else { return Ok(Vec::new()) };
    let wrong = || format!("the claim {claim:?} is no list of topics");
    match claims.get(claim) {
        None => Ok(Vec::new()),
        Some(Value::Array(topics)) => topics
            .iter()
            .map(|topic| Pattern::parse(topic.as_str().ok_or_else(wrong)?).map_err(|e| e.to_string()))
            .collect(),
        Some(_) => Err(wrong()),
    }
}
