//! TLS 1.2 and 1.3 for a listener: certificates from files, client certificates, resumption, and all of it
//! reloaded without a restart.
//!
//! Sessions resume by tickets (stateless; the keys rotate every six hours) or, for clients without, from a
//! bounded cache: a fleet that comes back pays for no signature. A resumed session brings the client
//! certificate of its first handshake, unchecked; so when the client authorities change, tickets and cache
//! begin anew, and expiry and revocation are asked again at each connection by [`registry::Authenticator`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use record::Timestamp;
use rustls::crypto::ring;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Sessions kept for TLS 1.2 clients that take no tickets, about 1 KiB each.
const CACHED_SESSIONS: usize = 10_000;
/// Largest PEM file, bytes: all the authorities that browsers trust have 250 kB.
const PEM_BYTES: u64 = 4 << 20;

/// What a TLS listener stands on: file names only, nothing is read yet.
#[derive(Clone, Debug)]
pub struct Files {
    /// The server's certificate chain, its own first (PEM).
    pub cert: PathBuf,
    /// The certificate's private key (PEM).
    pub key: PathBuf,
    /// Who may sign client certificates (PEM); `None`: clients are not asked for one.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is turned away.
    pub require_client_cert: bool,
}

impl From<&crate::config::Tls> for Files {
    fn from(config: &crate::config::Tls) -> Self {
        Self {
            cert: config.cert.clone(),
            key: config.key.clone(),
            client_ca: config.client_ca.clone(),
            require_client_cert: config.require_client_cert,
        }
    }
}

/// What is wrong with the files. Names the file.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("the TLS {what} {} cannot be read: {reason}", file.display())]
    Unreadable {
        /// What it is for.
        what: &'static str,
        /// Which file.
        file: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A file holds not what it should.
    #[error("the TLS {what} {} {reason}", file.display())]
    Content {
        /// What it is for.
        what: &'static str,
        /// Which file.
        file: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The key is another certificate's.
    #[error("the TLS key {} does not belong to the certificate {}: give the key it was made with", key.display(), cert.display())]
    Mismatch {
        /// The key file.
        key: PathBuf,
        /// The certificate file.
        cert: PathBuf,
    },
    /// Client certificates are required, and nobody may sign them.
    #[error("require_client_cert needs client_ca: the file with the authorities of client certificates")]
    NoAuthority,
    /// The operating system gave no random bytes for the ticket keys.
    #[error("no keys for TLS session tickets: {0}")]
    Random(String),
}

/// A listener's TLS, ready for handshakes. Shared by its threads.
pub struct Tls {
    files: Files,
    config: ArcSwap<ServerConfig>,
    loaded: Mutex<Loaded>,
}

/// What the present configuration was made of.
struct Loaded {
    stamps: Vec<Option<(SystemTime, u64)>>,
    authorities: Option<Vec<u8>>,
    resumption: Resumption,
    expires_at: Option<Timestamp>,
}

/// What outlives a reload.
#[derive(Clone)]
struct Resumption {
    ticketer: Arc<dyn ProducesTickets>,
    cache: Arc<dyn StoresServerSessions>,
}

impl Tls {
    /// Reads the files and checks that they fit together.
    ///
    /// # Errors
    /// [`Error`] names the file and the problem.
    pub fn open(files: Files) -> Result<Self, Error> {
        let stamps = stamps(&files);
        let (config, loaded) = load(&files, stamps, None)?;
        Ok(Self { files, config: ArcSwap::from_pointee(config), loaded: Mutex::new(loaded) })
    }

    /// The configuration for the next handshake.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Reads the files again. Handshakes from now on use them; connections stay. After an error all stays.
    ///
    /// # Errors
    /// [`Error`] names the file and the problem.
    pub fn reload(&self) -> Result<(), Error> {
        let mut loaded = self.loaded.lock();
        let (config, new) = load(&self.files, stamps(&self.files), Some(&loaded))?;
        *loaded = new;
        self.config.store(Arc::new(config));
        Ok(())
    }

    /// Reads the files again if one of them looks different; says whether it did. Cheap enough for every few
    /// seconds.
    ///
    /// # Errors
    /// As [`Tls::reload`].
    pub fn reload_if_changed(&self) -> Result<bool, Error> {
        if self.loaded.lock().stamps == stamps(&self.files) {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// When the server's certificate ends: to be warned about in time. `None` when it cannot be read.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.loaded.lock().expires_at
    }

    /// What an operator should hear about the certificate now, if anything.
    #[must_use]
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        const SOON_DAYS: i64 = 14;
        let days = (self.expires_at()?.millis() - now.millis()).div_euclid(86_400_000);
        let cert = self.files.cert.display();
        match days {
            ..0 => {
                Some(format!("the TLS certificate {cert} has expired: clients that check it cannot connect"))
            }
            0..SOON_DAYS => Some(format!("the TLS certificate {cert} expires in {days} days: renew it")),
            _ => None,
        }
    }
}

/// The client's own certificate (DER), its chain verified; `None` when it showed none.
#[must_use]
pub fn peer_certificate(connection: &rustls::ServerConnection) -> Option<&CertificateDer<'static>> {
    connection.peer_certificates().and_then(<[_]>::first)
}

fn load(
    files: &Files,
    stamps: Vec<Option<(SystemTime, u64)>>,
    before: Option<&Loaded>,
) -> Result<(ServerConfig, Loaded), Error> {
    let provider = Arc::new(ring::default_provider());
    let authorities = files.client_ca.as_deref().map(|file| read("client_ca", file)).transpose()?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the ring provider speaks TLS 1.2 and 1.3");
    let builder = match (&files.client_ca, &authorities) {
        (Some(file), Some(pem)) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots(file, pem)?.into(), provider.clone());
            let verifier =
                if files.require_client_cert { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(
                verifier.build().map_err(|e| content("client_ca", file, e.to_string()))?,
            )
        }
        _ if files.require_client_cert => return Err(Error::NoAuthority),
        _ => builder.with_no_client_auth(),
    };
    let chain = certificates("cert", &files.cert, &read("cert", &files.cert)?)?;
    let expires_at = expiry(&chain[0]);
    let key = certified(files, chain, &provider)?;
    let mut config = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
    let resumption = match before {
        Some(before) if before.authorities == authorities => before.resumption.clone(),
        _ => Resumption::new()?,
    };
    config.ticketer = resumption.ticketer.clone();
    config.session_storage = resumption.cache.clone();
    // One ticket resumes one connection, which is what a device has; each costs a write of 200 bytes.
    config.send_tls13_tickets = 1;
    Ok((config, Loaded { stamps, authorities, resumption, expires_at }))
}

impl Resumption {
    fn new() -> Result<Self, Error> {
        let ticketer = ring::Ticketer::new().map_err(|e| Error::Random(e.to_string()))?;
        Ok(Self { ticketer, cache: ServerSessionMemoryCache::new(CACHED_SESSIONS) })
    }
}

fn certified(
    files: &Files,
    chain: Vec<CertificateDer<'static>>,
    provider: &rustls::crypto::CryptoProvider,
) -> Result<CertifiedKey, Error> {
    let key = PrivateKeyDer::from_pem_slice(&read("key", &files.key)?)
        .map_err(|e| content("key", &files.key, format!("holds no private key in PEM: {e}")))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            Error::Mismatch { key: files.key.clone(), cert: files.cert.clone() }
        }
        other => content("key", &files.key, format!("cannot be used: {other}")),
    })
}

fn roots(file: &Path, pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca", file, pem)? {
        roots
            .add(certificate)
            .map_err(|e| content("client_ca", file, format!("holds a bad certificate: {e}")))?;
    }
    Ok(roots)
}

fn certificates(what: &'static str, file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| content(what, file, format!("is not PEM: {e}")))?;
    if all.is_empty() {
        return Err(content(what, file, "holds no certificate in PEM (BEGIN CERTIFICATE)".to_owned()));
    }
    Ok(all)
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Timestamp::from_millis(parsed.validity().not_after.timestamp().checked_mul(1000)?)
}

fn read(what: &'static str, file: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |reason: String| Error::Unreadable { what, file: file.to_owned(), reason };
    let size = std::fs::metadata(file).map_err(|e| unreadable(e.to_string()))?.len();
    if size > PEM_BYTES {
        return Err(unreadable(format!("it has {size} bytes, at most {PEM_BYTES} are read")));
    }
    std::fs::read(file).map_err(|e| unreadable(e.to_string()))
}

fn content(what: &'static str, file: &Path, reason: String) -> Error {
    Error::Content { what, file: file.to_owned(), reason }
}

fn stamps(files: &Files) -> Vec<Option<(SystemTime, u64)>> {
    [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()]
        .into_iter()
        .flatten()
        .map(|file| {
            let found = std::fs::metadata(file).ok()?;
            Some((found.modified().ok()?, found.len()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
