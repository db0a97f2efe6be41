//! Who may speak: tenants, devices, credentials, what each may publish and read; and what is known of devices.
//!
//! [`Authenticator`] turns what a client presents (user name and token, JWT, client certificate) into an
//! [`Identity`] or a [`Refusal`]; [`Acl`] says what an identity may publish, subscribe to and receive;
//! [`Administration`] adds and revokes credentials. Nothing here opens a socket. Tables are read at every
//! authentication, so that a revocation counts at once; key files are read by [`Authenticator::open`] and
//! [`Authenticator::reload`].

mod acl;
mod administration;
mod authenticator;
mod certificate;
mod config;
mod credential;
mod devices;
mod identity;
mod jwt;
mod keys;
mod pattern;
mod refusal;
mod token;

pub use acl::{Acl, Denied};
pub use administration::{Administration, CredentialSummary, TokenSummary};
pub use authenticator::{Authenticator, Counters, Presented};
pub use config::{
    AuthConfig, AuthPolicy, CertificateConfig, CertificateDevice, CertificateTenant, ConfigError,
    JwtAlgorithm, JwtConfig, Mode, SubjectKind,
};
pub use devices::{
    Changes, Depth, DeviceEntry, Devices, FactsDocument, LOCK_FILE, LOOK_EVERY, Location as DeviceLocation,
    News,
};
pub use identity::{ClientIdRule, Grants, Identity, Method, Subject};
pub use keys::KeyError;
pub use pattern::{Pattern, PatternError};
pub use refusal::{Refusal, RefusalKind};
pub use token::Token;

/// Why the registry could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The metadata could not be read or written.
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    /// A row is not what this build writes.
    #[error("the {table} row {id:?} of tenant {tenant:?} cannot be read: {reason}")]
    Row {
        /// Which table.
        table: &'static str,
        /// Whose.
        tenant: String,
        /// Which.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What was asked breaks a rule.
    #[error("{0}")]
    Refused(String),
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
}
