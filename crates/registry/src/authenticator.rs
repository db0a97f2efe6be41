//! From what a client presents to who it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use metadata::Metadata;
use record::{DeviceId, TenantId, Timestamp};

use crate::config::{AuthPolicy, SubjectKind};
use crate::credential::{Credential, Revoked};
use crate::identity::{ClientIdRule, Grants, Identity, Method, Proof, Subject};
use crate::jwt::Issuer;
use crate::keys::{KeyError, Keys, Stamp};
use crate::pattern::Pattern;
use crate::refusal::{Refusal, RefusalKind};
use crate::token::Hash;
use crate::{certificate, jwt, token};

/// What a client shows. Has no `Debug`: the secret belongs in no log.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// MQTT user name, HTTP basic user: `tenant/name`, or `name` in the tenant `default`.
    pub username: Option<&'a str>,
    /// MQTT password, HTTP basic password or bearer token: a token or a JWT.
    pub secret: Option<&'a [u8]>,
    /// MQTT client id; `None` where there is none (HTTP), empty where the server is to assign one.
    pub client_id: Option<&'a str>,
    /// The client's own certificate (DER), its chain verified by TLS.
    pub certificate: Option<&'a [u8]>,
    /// Where it comes from, for the operator.
    pub peer: Option<SocketAddr>,
}

impl Presented<'_> {
    /// Nothing at all.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { username: None, secret: None, client_id: None, certificate: None, peer: None }
    }
}

/// How many were let in and refused, for the metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Let in, by method: open, token, JWT, certificate.
    pub accepted: [AtomicU64; 4],
    /// Refused, by kind: missing, credentials, client id, unavailable.
    pub refused: [AtomicU64; 4],
}

/// Says who is speaking. Shared by all connections; reads tables, so that a revocation counts at once.
pub struct Authenticator {
    policy: AuthPolicy,
    metadata: Arc<dyn Metadata>,
    issuers: ArcSwap<Issuers>,
    counters: Counters,
}

/// Issuers with their keys, and what the key files looked like when they were read.
struct Issuers {
    issuers: Vec<Issuer>,
    stamps: Vec<Option<Stamp>>,
}

impl Authenticator {
    /// With the keys that the policy names.
    ///
    /// # Errors
    /// [`KeyError`] names the key file and what is wrong with it.
    pub fn open(policy: AuthPolicy, metadata: Arc<dyn Metadata>) -> Result<Self, KeyError> {
        let issuers = ArcSwap::from_pointee(Issuers::read(&policy)?);
        Ok(Self { policy, metadata, issuers, counters: Counters::default() })
    }

    /// Who is speaking. Reads up to three rows of the metadata, tens of microseconds from a warm cache.
    ///
    /// Where two proofs are presented (a certificate and a token) both must hold and name the same subject.
    ///
    /// # Errors
    /// [`Refusal`]: what the client may know, and apart from it what the operator should.
    pub fn authenticate(&self, presented: &Presented<'_>, now: Timestamp) -> Result<Identity, Refusal> {
        let outcome = self.decide(presented, now).map_err(|mut refusal| {
            if let Some(peer) = presented.peer {
                refusal.operator = format!("{} (from {peer})", refusal.operator);
            }
            refusal
        });
        let counter = match &outcome {
            Ok(identity) => &self.counters.accepted[identity.method as usize],
            Err(refusal) => &self.counters.refused[refusal.kind as usize],
        };
        counter.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    /// Whether an identity still holds: not expired, nothing of it revoked since. For connections that live
    /// long; ask now and then.
    ///
    /// # Errors
    /// [`Refusal`] when the connection should end, or (`Unavailable`) could not be checked.
    pub fn recheck(&self, identity: &Identity, now: Timestamp) -> Result<(), Refusal> {
        if self.policy.is_open() {
            return Ok(());
        }
        if identity.expires_at.is_some_and(|end| now >= end) {
            return Err(Refusal::credentials(format!(
                "the credentials of {} have expired",
                described(identity)
            )));
        }
        if let Proof::Token { user, token_id } = &identity.proof {
            let credential =
                Credential::load(&*self.metadata, &identity.tenant, user).map_err(unavailable)?;
            let holds = credential.is_some_and(|c| c.tokens.iter().any(|token| *token.id == **token_id));
            if !holds {
                return Err(Refusal::credentials(format!(
                    "the token of {} was revoked",
                    described(identity)
                )));
            }
        }
        self.check_revocations(identity)
    }

    /// Reads all key files again. After an error the keys stay as they were.
    ///
    /// # Errors
    /// [`KeyError`] names the key file and what is wrong with it.
    pub fn reload(&self) -> Result<(), KeyError> {
        self.issuers.store(Arc::new(Issuers::read(&self.policy)?));
        Ok(())
    }

    /// Reads the key files again if one of them looks different from when it was read; says whether it did.
    /// Cheap enough for every few seconds.
    ///
    /// # Errors
    /// As [`Authenticator::reload`].
    pub fn reload_if_changed(&self) -> Result<bool, KeyError> {
        if self.issuers.load().stamps == stamps(&self.policy) {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// How many were let in and refused.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The policy it follows.
    #[must_use]
    pub fn policy(&self) -> &AuthPolicy {
        &self.policy
    }

    fn decide(&self, presented: &Presented<'_>, now: Timestamp) -> Result<Identity, Refusal> {
        if self.policy.is_open() {
            return Ok(Identity::open());
        }
        let by_certificate = match (presented.certificate, &self.policy.certificates) {
            (Some(der), Some(policy)) => {
                Some(certificate::identify(policy, der, now).map_err(Refusal::credentials)?)
            }
            _ => None,
        };
        // An empty password is what some clients send for none.
        let by_secret = match presented.secret.filter(|secret| !secret.is_empty()) {
            Some(secret) => Some(self.by_secret(presented.username, secret, now)?),
            None => None,
        };
        let identity = match (by_certificate, by_secret) {
            (Some(certificate), Some(secret)) => {
                self.check_revocations(&certificate)?;
                agreeing(&certificate, secret)?
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Err(Refusal::missing("no credentials were presented")),
        };
        self.check_revocations(&identity)?;
        match presented.client_id {
            Some(client_id) if !identity.client_id.allows(client_id) => Err(Refusal {
                kind: RefusalKind::ClientId,
                operator: format!("{} asked for the client id {client_id:?}", described(&identity)),
            }),
            _ => Ok(identity),
        }
    }

    fn by_secret(&self, username: Option<&str>, secret: &[u8], now: Timestamp) -> Result<Identity, Refusal> {
        let issuers = self.issuers.load();
        if !issuers.issuers.is_empty() && !token::is_ours(secret) && jwt::looks_like_one(secret) {
            return jwt::identify(&issuers.issuers, secret, now).map_err(Refusal::credentials);
        }
        self.by_token(username, secret, now)
    }

    fn by_token(&self, username: Option<&str>, secret: &[u8], now: Timestamp) -> Result<Identity, Refusal> {
        let username = match username.filter(|name| !name.is_empty()) {
            Some(username) => username.to_owned(),
            None => token::user_in(secret).ok_or_else(|| {
                Refusal::credentials("a token came without a user name and names none itself")
            })?,
        };
        let hash = Hash::of(secret);
        let (tenant, user) = split_username(&username)
            .ok_or_else(|| Refusal::credentials(format!("the user name {username:?} is not tenant/name")))?;
        let credential = Credential::load(&*self.metadata, &tenant, user.as_str()).map_err(unavailable)?;
        let Some(credential) = credential else {
            // The same work as for a known user, so that its time says nothing.
            let _ = hash.is(&Hash::of_nothing());
            return Err(Refusal::credentials(format!("the user {username:?} is unknown")));
        };
        let now_ms = now.millis();
        let mut found = None;
        for stored in &credential.tokens {
            if Hash::from_hex(&stored.sha256).is_some_and(|known| known.is(&hash)) {
                found = Some(stored);
            }
        }
        let Some(found) = found else {
            return Err(Refusal::credentials(format!("the token of the user {username:?} is wrong")));
        };
        if found.expires_at_ms.is_some_and(|end| now_ms >= end) {
            return Err(Refusal::credentials(format!("the token {} of {username:?} has expired", found.id)));
        }
        let grant = |topics: &[String]| {
            topics
                .iter()
                .map(|topic| Pattern::parse(topic))
                .collect::<Result<Vec<_>, _>>()
                .map_err(unavailable)
        };
        let grants = Arc::new(Grants {
            publish: grant(&credential.publish)?,
            subscribe: grant(&credential.subscribe)?,
        });
        let name: Arc<str> = user.as_str().into();
        let (subject, client_id) = match credential.kind {
            SubjectKind::Device => (Subject::Device(user), ClientIdRule::Own(name.clone())),
            SubjectKind::Service => (Subject::Service(name.clone()), ClientIdRule::Any),
        };
        Ok(Identity {
            tenant,
            subject,
            method: Method::Token,
            client_id,
            grants,
            expires_at: found.expires_at_ms.and_then(Timestamp::from_millis),
            proof: Proof::Token { user: name, token_id: found.id.as_str().into() },
        })
    }

    fn check_revocations(&self, identity: &Identity) -> Result<(), Refusal> {
        let tenant = &identity.tenant;
        let subject = match &identity.subject {
            Subject::Open => None,
            Subject::Device(device) => {
                Some(Revoked::Subject { tenant, kind: SubjectKind::Device, name: device.as_str() })
            }
            Subject::Service(name) => Some(Revoked::Subject { tenant, kind: SubjectKind::Service, name }),
        };
        let proof = match &identity.proof {
            Proof::Certificate { serial } => Some(Revoked::Certificate { serial }),
            Proof::Jwt { jti: Some(jti) } => Some(Revoked::Jwt { tenant, jti }),
            Proof::Jwt { jti: None } | Proof::Token { .. } | Proof::Open => None,
        };
        for revoked in [subject, proof].into_iter().flatten() {
            if revoked.is_noted(&*self.metadata).map_err(unavailable)? {
                let (_, what) = revoked.key();
                return Err(Refusal::credentials(format!("{}: {what} is revoked", described(identity))));
            }
        }
        Ok(())
    }
}

impl Issuers {
    fn read(policy: &AuthPolicy) -> Result<Self, KeyError> {
        // Stamps first: a file that changes in between is then read once more, not once too few.
        let stamps = stamps(policy);
        let read = |policy: &crate::config::IssuerPolicy| {
            Ok(Issuer { policy: policy.clone(), keys: Keys::read(policy)? })
        };
        Ok(Self { issuers: policy.issuers.iter().map(read).collect::<Result<_, _>>()?, stamps })
    }
}

fn stamps(policy: &AuthPolicy) -> Vec<Option<Stamp>> {
    policy.issuers.iter().map(|issuer| issuer.key.stamp()).collect()
}

/// `tenant/name`, or `name` in the tenant `default`. Neither part can hold a `/`.
fn split_username(username: &str) -> Option<(TenantId, DeviceId)> {
    let (tenant, name) = username.split_once('/').unwrap_or((TenantId::DEFAULT, username));
    Some((TenantId::parse(tenant).ok()?, DeviceId::parse(name).ok()?))
}

/// The identity by secret, with the end of whichever proof ends first.
fn agreeing(certificate: &Identity, mut secret: Identity) -> Result<Identity, Refusal> {
    if certificate.tenant != secret.tenant || certificate.subject != secret.subject {
        return Err(Refusal::credentials(format!(
            "the client certificate is of {}, the secret of {}",
            described(certificate),
            described(&secret)
        )));
    }
    secret.expires_at = [certificate.expires_at, secret.expires_at].into_iter().flatten().min();
    Ok(secret)
}

fn described(identity: &Identity) -> String {
    let kind = match identity.subject {
        Subject::Open => "anyone",
        Subject::Device(_) => "device",
        Subject::Service(_) => "service",
    };
    format!("{kind} {:?} of tenant {:?}", identity.name(), identity.tenant.as_str())
}

fn unavailable(error: impl std::fmt::Display) -> Refusal {
    Refusal::unavailable(error)
}
