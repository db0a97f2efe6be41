//! The `[auth]` part of the configuration: as written, and as checked. Checking touches neither disk nor
//! network; key files are read by [`crate::Authenticator::open`].

use std::path::PathBuf;

use record::TenantId;
use serde::{Deserialize, Serialize};

use crate::pattern::{Pattern, PatternError};

/// `[auth]` as written in the configuration file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// `open`: anyone may do anything in the tenant `default`. `required`: nobody without credentials.
    pub mode: Mode,
    /// Filters to which nobody may subscribe and whose topics nobody is sent, in `open` mode too.
    pub deny_subscribe: Vec<String>,
    /// Topics that are a device's own beyond the topic templates; `{id}` stands for the device.
    pub device_topics: Vec<String>,
    /// The shortest token an operator may bring along, bytes.
    pub token_min_bytes: usize,
    /// Whose JWTs are taken.
    pub jwt: Vec<JwtConfig>,
    /// How client certificates name devices. Absent: a certificate proves nothing here, it only lets the TLS
    /// handshake pass.
    pub certificates: Option<CertificateConfig>,
}

/// Whether credentials are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// No.
    #[default]
    Open,
    /// Yes; what is not allowed is denied.
    Required,
}

/// `[[auth.jwt]]`: an issuer of JWTs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// The `iss` claim, exactly.
    pub issuer: String,
    /// The `aud` claim must hold one of these.
    pub audience: Vec<String>,
    /// The only algorithm taken from this issuer.
    pub algorithm: JwtAlgorithm,
    /// A file with the key: PEM (public key), or the bare secret for HS256. Either this or `jwks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// A file with a JSON Web Key Set; the token's `kid` picks the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<PathBuf>,
    /// What the issuer's tokens stand for.
    #[serde(default)]
    pub subject: SubjectKind,
    /// The claim with the name of the device or service.
    #[serde(default = "default_subject_claim")]
    pub subject_claim: String,
    /// The claim with the tenant. Not with `tenant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_claim: Option<String>,
    /// The tenant of all of the issuer's tokens. Not with `tenant_claim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The claims with lists of topics granted for publishing and subscribing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_claim: Option<String>,
    /// See `publish_claim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribe_claim: Option<String>,
    /// How far the issuer's clock may be off, seconds.
    #[serde(default = "default_leeway_seconds")]
    pub leeway_seconds: u32,
}

/// What a credential stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// A device.
    #[default]
    Device,
    /// A service.
    Service,
}

/// Signature algorithms of JWTs (RFC 7518, RFC 8037). `none` is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    HS256,
    /// RSA PKCS #1 v1.5 with SHA-256.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

/// `[auth.certificates]`: how client certificates name devices.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CertificateConfig {
    /// Where the device id stands.
    pub device: CertificateDevice,
    /// The tenant of every certificate. Absent: the certificate's organization (O).
    pub tenant: Option<String>,
}

/// Where in a certificate the device id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateDevice {
    /// The subject's common name.
    #[default]
    CommonName,
    /// The only DNS name among the alternative names.
    SanDns,
    /// The only URI among the alternative names, without `urn:` or a scheme's `//`.
    SanUri,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Open,
            deny_subscribe: Vec::new(),
            device_topics: ["cmd/{id}/#", "devices/{id}/#", "assets/{id}/#", "fleet/{id}/#"]
                .map(str::to_owned)
                .to_vec(),
            token_min_bytes: 20,
            jwt: Vec::new(),
            certificates: None,
        }
    }
}

impl Default for CertificateConfig {
    fn default() -> Self {
        Self { device: CertificateDevice::CommonName, tenant: None }
    }
}

fn default_subject_claim() -> String {
    "sub".to_owned()
}

fn default_leeway_seconds() -> u32 {
    60
}

/// Leeway beyond this would make `exp` mean nothing.
const LEEWAY_MAX_SECONDS: u32 = 600;
/// Tokens shorter than this can be guessed from their hash.
const TOKEN_MIN_BYTES_FLOOR: usize = 16;

/// What is wrong in `[auth]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A pattern cannot be read.
    #[error("auth.{key}: {reason}")]
    Pattern {
        /// Which setting.
        key: &'static str,
        /// What is wrong.
        reason: PatternError,
    },
    /// An issuer's settings do not fit together.
    #[error("auth.jwt for issuer {issuer:?}: {reason}")]
    Issuer {
        /// Which issuer.
        issuer: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Another setting is out of range.
    #[error("auth.{key}: {reason}")]
    Setting {
        /// Which setting.
        key: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// `[auth]`, checked.
#[derive(Clone, Debug)]
pub struct AuthPolicy {
    pub(crate) mode: Mode,
    pub(crate) deny_subscribe: Vec<Pattern>,
    pub(crate) device_topics: Vec<Pattern>,
    pub(crate) token_min_bytes: usize,
    pub(crate) issuers: Vec<IssuerPolicy>,
    pub(crate) certificates: Option<CertificatePolicy>,
}

/// An issuer, checked.
#[derive(Clone, Debug)]
pub(crate) struct IssuerPolicy {
    pub(crate) issuer: String,
    pub(crate) audience: Vec<String>,
    pub(crate) algorithm: JwtAlgorithm,
    pub(crate) key: KeySource,
    pub(crate) subject: SubjectKind,
    pub(crate) subject_claim: String,
    pub(crate) tenant: ClaimedTenant,
    pub(crate) publish_claim: Option<String>,
    pub(crate) subscribe_claim: Option<String>,
    pub(crate) leeway_seconds: u32,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
pub(crate) enum KeySource {
    File(PathBuf),
    Set(PathBuf),
}

/// Whose an issuer's tokens are.
#[derive(Clone, Debug)]
pub(crate) enum ClaimedTenant {
    Fixed(TenantId),
    Claim(String),
}

/// How client certificates name devices, checked.
#[derive(Clone, Debug)]
pub(crate) struct CertificatePolicy {
    pub(crate) device: CertificateDevice,
    pub(crate) tenant: CertificateTenant,
}

/// Whose a certificate is.
#[derive(Clone, Debug)]
pub enum CertificateTenant {
    /// The organization (O) of its subject says.
    Organization,
    /// Always this one.
    Fixed(TenantId),
}

impl AuthPolicy {
    /// Whether anyone may do anything: to be said loudly at start.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.mode == Mode::Open
    }
}

impl AuthConfig {
    /// Checks what is written.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting, what is wrong, and what to do.
    pub fn validate(&self) -> Result<AuthPolicy, ConfigError> {
        if self.token_min_bytes < TOKEN_MIN_BYTES_FLOOR {
            let reason = format!("must be at least {TOKEN_MIN_BYTES_FLOOR}: shorter tokens can be guessed");
            return Err(ConfigError::Setting { key: "token_min_bytes", reason });
        }
        let device_topics = patterns("device_topics", &self.device_topics)?;
        if let Some(at) = device_topics.iter().position(|pattern| !pattern.names_device()) {
            let reason =
                format!("{:?} has no {{id}} level: every device would own it", self.device_topics[at]);
            return Err(ConfigError::Setting { key: "device_topics", reason });
        }
        let issuers = self.jwt.iter().map(JwtConfig::validate).collect::<Result<Vec<_>, _>>()?;
        for (at, issuer) in issuers.iter().enumerate() {
            if issuers[..at].iter().any(|other| other.issuer == issuer.issuer) {
                return Err(issuer.wrong("is there twice: one algorithm and one key source per issuer"));
            }
        }
        let certificates = self.certificates.as_ref().map(CertificateConfig::validate).transpose()?;
        Ok(AuthPolicy {
            mode: self.mode,
            deny_subscribe: patterns("deny_subscribe", &self.deny_subscribe)?,
            device_topics,
            token_min_bytes: self.token_min_bytes,
            issuers,
            certificates,
        })
    }
}

impl JwtConfig {
    fn validate(&self) -> Result<IssuerPolicy, ConfigError> {
        let wrong =
            |reason: &str| ConfigError::Issuer { issuer: self.issuer.clone(), reason: reason.to_owned() };
        let key = match (&self.key, &self.jwks) {
            (Some(key), None) => KeySource::File(key.clone()),
            (None, Some(set)) => KeySource::Set(set.clone()),
            _ => return Err(wrong("give either key or jwks")),
        };
        let tenant = match (&self.tenant, &self.tenant_claim) {
            (Some(tenant), None) => {
                ClaimedTenant::Fixed(TenantId::parse(tenant).map_err(|e| wrong(&e.to_string()))?)
            }
            (None, Some(claim)) => ClaimedTenant::Claim(claim.clone()),
            (None, None) => return Err(wrong("give either tenant or tenant_claim")),
            (Some(_), Some(_)) => return Err(wrong("give tenant or tenant_claim, not both")),
        };
        if self.issuer.is_empty() {
            return Err(wrong("give the issuer as it stands in iss"));
        }
        if self.audience.is_empty() {
            return Err(wrong(
                "give at least one audience: without it a token made for another service would do",
            ));
        }
        if self.leeway_seconds > LEEWAY_MAX_SECONDS {
            return Err(wrong(&format!(
                "leeway_seconds is at most {LEEWAY_MAX_SECONDS}: set the issuer's clock"
            )));
        }
        Ok(IssuerPolicy {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            algorithm: self.algorithm,
            key,
            subject: self.subject,
            subject_claim: self.subject_claim.clone(),
            tenant,
            publish_claim: self.publish_claim.clone(),
            subscribe_claim: self.subscribe_claim.clone(),
            leeway_seconds: self.leeway_seconds,
        })
    }
}

impl IssuerPolicy {
    fn wrong(&self, reason: &str) -> ConfigError {
        ConfigError::Issuer { issuer: self.issuer.clone(), reason: reason.to_owned() }
    }
}

impl CertificateConfig {
    fn validate(&self) -> Result<CertificatePolicy, ConfigError> {
        let tenant =
            match &self.tenant {
                None => CertificateTenant::Organization,
                Some(tenant) => CertificateTenant::Fixed(TenantId::parse(tenant).map_err(|e| {
                    ConfigError::Setting { key: "certificates.tenant", reason: e.to_string() }
                })?),
            };
        Ok(CertificatePolicy { device: self.device, tenant })
    }
}

fn patterns(key: &'static str, texts: &[String]) -> Result<Vec<Pattern>, ConfigError> {
    let parse = |text: &String| Pattern::parse(text).map_err(|reason| ConfigError::Pattern { key, reason });
    texts.iter().map(parse).collect()
}
