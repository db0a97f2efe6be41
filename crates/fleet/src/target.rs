//! Where to connect, and how.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// A server to load.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// Speak TLS.
    pub tls: Option<Tls>,
    /// Local addresses to connect from, in turn; none leaves it to the system. One address and one server
    /// give about 28 000 connections.
    pub sources: Vec<IpAddr>,
}

/// Plain TCP, or TLS over it.
pub trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// TLS towards the server.
#[derive(Debug, Clone)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// The `--tls-…` options.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TlsFiles {
    /// Speak TLS and trust the authorities in this PEM file
    #[arg(long, value_name = "PEM")]
    pub tls_ca: Option<PathBuf>,
    /// Client certificate (chain), PEM; all connections show the same
    #[arg(long, value_name = "PEM", requires = "tls_key", requires = "tls_ca")]
    pub tls_cert: Option<PathBuf>,
    /// Key of the client certificate, PEM
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Name expected in the server's certificate; the host of --target when left out
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    pub tls_name: Option<String>,
}

impl Target {
    /// Resolves `host:port` and loads certificates.
    ///
    /// # Errors
    /// The host has no address, or a file cannot be read as PEM.
    pub fn new(host_port: &str, files: &TlsFiles) -> anyhow::Result<Self> {
        let address = host_port
            .to_socket_addrs()
            .with_context(|| format!("{host_port} is not an address: give host:port"))?
            .next()
            .with_context(|| format!("{host_port} has no address"))?;
        let tls = match &files.tls_ca {
            None => None,
            Some(ca) => {
                let host = host_port.rsplit_once(':').map_or(host_port, |(host, _)| host);
                let name = files.tls_name.as_deref().unwrap_or(host).to_owned();
                Some(Tls { config: client_config(ca, files)?, name: ServerName::try_from(name)? })
            }
        };
        Ok(Self { address, tls, sources: Vec::new() })
    }

    /// A blocking connection, for who has only one. Nothing on it waits longer than `patience`.
    ///
    /// # Errors
    /// There is nobody, or not in time; of TLS, the first read or write tells.
    pub fn connect(&self, patience: Duration) -> io::Result<Box<dyn Stream>> {
        let tcp = TcpStream::connect_timeout(&self.address, patience)?;
        tcp.set_read_timeout(Some(patience))?;
        tcp.set_write_timeout(Some(patience))?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let client = ClientConnection::new(tls.config.clone(), tls.name.clone()).map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(client, tcp)))
    }

    /// Connects from `count` loopback addresses (127.0.0.2 and up) in turn.
    ///
    /// # Errors
    /// The target is not on the loopback, or more than 250 are asked for.
    pub fn spread_sources(&mut self, count: u8) -> anyhow::Result<()> {
        if count > 0 && !(self.address.is_ipv4() && self.address.ip().is_loopback()) {
            bail!("{} is not on the IPv4 loopback: --sources needs that", self.address);
        }
        if count > 250 {
            bail!("{count} source addresses: at most 250");
        }
        self.sources = (0..count).map(|index| IpAddr::from([127, 0, 0, 2 + index])).collect();
        Ok(())
    }
}

fn client_config(ca: &PathBuf, files: &TlsFiles) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match (&files.tls_cert, &files.tls_key) {
        (Some(chain), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("key {}", key.display()))?;
            builder.with_client_auth_cert(certificates(chain)?, key)?
        }
        _ => builder.with_no_client_auth(),
    };
    // Every connection stands for another device: none may ride on a session of another.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn certificates(path: &PathBuf) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let all = read().with_context(|| format!("certificates in {}", path.display()))?;
    if all.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(all)
}
