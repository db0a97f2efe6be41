//! Adding and revoking credentials: what the CLI and the API call.

use std::sync::Arc;

use metadata::{Change, Metadata, Row, Table};
use parking_lot::Mutex;
use record::{DeviceId, TenantId, Timestamp};

use crate::Error;
use crate::config::{AuthPolicy, SubjectKind};
use crate::credential::{Credential, Revoked, StoredToken, TOKENS_PER_CREDENTIAL, normal_serial};
use crate::pattern::Pattern;
use crate::token::{Hash, Token};

/// Adds and revokes credentials. One per server: two processes that change one user at once would overwrite
/// each other, so the CLI asks the server.
pub struct Administration {
    metadata: Arc<dyn Metadata>,
    token_min_bytes: usize,
    /// Held from the reading of a row to its writing.
    changing: Mutex<()>,
}

/// A user and its tokens, without any secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSummary {
    /// The tenant.
    pub tenant: String,
    /// The device or service; with the tenant before it and a `/`, the user name.
    pub name: String,
    /// Which of both.
    pub kind: SubjectKind,
    /// Topics granted for publishing.
    pub publish: Vec<String>,
    /// Topics granted for subscribing.
    pub subscribe: Vec<String>,
    /// Its tokens.
    pub tokens: Vec<TokenSummary>,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSummary {
    /// Names it for [`Administration::revoke_token`].
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

impl Administration {
    /// Over the tables that the authenticator reads.
    #[must_use]
    pub fn new(policy: &AuthPolicy, metadata: Arc<dyn Metadata>) -> Self {
        Self { metadata, token_min_bytes: policy.token_min_bytes, changing: Mutex::new(()) }
    }

    /// Makes a token for a device, which may have others, so that it can be rotated. The token is shown
    /// once; only its hash is kept.
    ///
    /// # Errors
    /// [`Error::Refused`] when it has too many, or the name is a service's.
    pub fn add_device_token(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Token, Error> {
        let token = Token::generate(tenant.as_str(), device.as_str())?;
        self.put_token(
            tenant,
            device,
            SubjectKind::Device,
            token.reveal().as_bytes(),
            None,
            expires_at,
            now,
        )?;
        Ok(token)
    }

    /// Takes a token that a device already has, of at least `auth.token_min_bytes`. It must be random: it is
    /// hashed, not stretched.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is too short, the device has too many, or the name is a service's.
    pub fn set_device_token(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        token: &[u8],
        now: Timestamp,
    ) -> Result<(), Error> {
        if token.len() < self.token_min_bytes {
            return Err(Error::Refused(format!(
                "the token has {} bytes, at least {} are needed (auth.token_min_bytes)",
                token.len(),
                self.token_min_bytes
            )));
        }
        self.put_token(tenant, device, SubjectKind::Device, token, None, None, now)
    }

    /// Makes a token for a service, and sets which topics (patterns) all its tokens grant.
    ///
    /// # Errors
    /// [`Error::Refused`] when a grant is no pattern, it has too many tokens, or the name is a device's.
    pub fn add_service_token(
        &self,
        tenant: &TenantId,
        service: &DeviceId,
        publish: &[String],
        subscribe: &[String],
        now: Timestamp,
    ) -> Result<Token, Error> {
        for topic in publish.iter().chain(subscribe) {
            Pattern::parse(topic).map_err(|e| Error::Refused(e.to_string()))?;
        }
        let token = Token::generate(tenant.as_str(), service.as_str())?;
        let grants = Some((publish, subscribe));
        let secret = token.reveal().as_bytes();
        self.put_token(tenant, service, SubjectKind::Service, secret, grants, None, now)?;
        Ok(token)
    }

    /// Every user of a tenant, or of all.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Row`].
    pub fn list(&self, tenant: Option<&TenantId>) -> Result<Vec<CredentialSummary>, Error> {
        let mut found = Vec::new();
        self.metadata.scan(Table::Credentials, tenant.map(TenantId::as_str), &mut |row| {
            found.push(summary(&row));
            true
        })?;
        found.into_iter().collect()
    }

    /// Takes one token from a user. Says whether it was there.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Row`].
    pub fn revoke_token(&self, tenant: &TenantId, name: &DeviceId, token_id: &str) -> Result<bool, Error> {
        let _changing = self.changing.lock();
        let Some(mut credential) = Credential::load(&*self.metadata, tenant, name.as_str())? else {
            return Ok(false);
        };
        let before = credential.tokens.len();
        credential.tokens.retain(|token| token.id != token_id);
        let removed = credential.tokens.len() < before;
        self.metadata.commit(&[Change::Put(Table::Credentials, credential.to_row(tenant, name.as_str()))])?;
        Ok(removed)
    }

    /// Takes every token from a user, and its grants. Says whether it was there.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn remove(&self, tenant: &TenantId, name: &DeviceId) -> Result<bool, Error> {
        let _changing = self.changing.lock();
        let there = self.metadata.get(Table::Credentials, tenant.as_str(), name.as_str())?.is_some();
        self.metadata.commit(&[Change::Delete {
            table: Table::Credentials,
            tenant: tenant.as_str().to_owned(),
            id: name.as_str().to_owned(),
        }])?;
        Ok(there)
    }

    /// Refuses a certificate from now on, by its serial number (hex, with or without colons).
    ///
    /// # Errors
    /// [`Error::Refused`] when that is not hex, [`Error::Metadata`].
    pub fn revoke_certificate(&self, serial: &str, reason: &str, now: Timestamp) -> Result<(), Error> {
        let serial = normal_serial(serial)
            .ok_or_else(|| Error::Refused(format!("{serial:?} is no serial number: give it in hex")))?;
        self.note(Revoked::Certificate { serial: &serial }, reason, now)
    }

    /// Refuses a JWT from now on, by its `jti`.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn revoke_jwt(
        &self,
        tenant: &TenantId,
        jti: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.note(Revoked::Jwt { tenant, jti }, reason, now)
    }

    /// Refuses a device or service from now on, whatever it shows.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn block(
        &self,
        tenant: &TenantId,
        kind: SubjectKind,
        name: &DeviceId,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.note(Revoked::Subject { tenant, kind, name: name.as_str() }, reason, now)
    }

    /// Takes back [`Administration::block`].
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn unblock(&self, tenant: &TenantId, kind: SubjectKind, name: &DeviceId) -> Result<(), Error> {
        let (tenant, id) = Revoked::Subject { tenant, kind, name: name.as_str() }.key();
        Ok(self.metadata.commit(&[Change::Delete { table: Table::Revocations, tenant, id }])?)
    }

    fn note(&self, revoked: Revoked<'_>, reason: &str, now: Timestamp) -> Result<(), Error> {
        let (tenant, id) = revoked.key();
        let body = serde_json::json!({ "reason": reason, "revoked_at_ms": now.millis() });
        let row = Row { tenant, id, body: body.to_string().into_bytes() };
        Ok(self.metadata.commit(&[Change::Put(Table::Revocations, row)])?)
    }

    #[allow(clippy::too_many_arguments)] // each is a column of the row
    fn put_token(
        &self,
        tenant: &TenantId,
        name: &DeviceId,
        kind: SubjectKind,
        secret: &[u8],
        grants: Option<(&[String], &[String])>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let _changing = self.changing.lock();
        let known = Credential::load(&*self.metadata, tenant, name.as_str())?;
        let mut credential = known.unwrap_or(Credential {
            kind,
            tokens: Vec::new(),
            publish: Vec::new(),
            subscribe: Vec::new(),
        });
        if credential.kind != kind {
            return Err(Error::Refused(format!(
                "{name} is already a {:?} of {tenant}: take another name",
                credential.kind
            )));
        }
        let sha256 = Hash::of(secret).hex();
        credential.tokens.retain(|token| {
            token.sha256 != sha256 && token.expires_at_ms.is_none_or(|end| end > now.millis())
        });
        if credential.tokens.len() >= TOKENS_PER_CREDENTIAL {
            return Err(Error::Refused(format!(
                "{name} has {TOKENS_PER_CREDENTIAL} tokens already: revoke one first"
            )));
        }
        credential.tokens.push(StoredToken {
            id: sha256[..12].to_owned(),
            sha256,
            created_at_ms: now.millis(),
            expires_at_ms: expires_at.map(Timestamp::millis),
        });
        if let Some((publish, subscribe)) = grants {
            (credential.publish, credential.subscribe) = (publish.to_vec(), subscribe.to_vec());
        }
        let row = credential.to_row(tenant, name.as_str());
        Ok(self.metadata.commit(&[Change::Put(Table::Credentials, row)])?)
    }
}

fn summary(row: &Row) -> Result<CredentialSummary, Error> {
    let credential = Credential::from_row(row)?;
    let tokens = credential.tokens.into_iter().map(|token| TokenSummary {
        id: token.id,
        created_at: Timestamp::from_millis(token.created_at_ms).unwrap_or_default(),
        expires_at: token.expires_at_ms.and_then(Timestamp::from_millis),
    });
    Ok(CredentialSummary {
        tenant: row.tenant.clone(),
        name: row.id.clone(),
        kind: credential.kind,
        publish: credential.publish,
        subscribe: credential.subscribe,
        tokens: tokens.collect(),
    })
}
