//! SQL over the PostgreSQL wire, version 3: psql, Grafana, JDBC, and whatever else speaks it.
//!
//! A connection is a tenant's: who asks shows a credential, and sees the tables of [`query::Engine`] as a database that cannot
//! be written. The catalog tables of PostgreSQL (`pg_catalog`) are there, so that clients find the rest.

mod asking;
mod catalog;
mod copying;
mod cursors;
mod kept;
mod nothing;
mod parsing;
mod rewriting;
mod settings;
mod startup;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pgwire_protocol::api::ConnectionManager;
use pgwire_protocol::tokio::process_socket;
use query::{Engine, Limits};
use record::TenantId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Most connections at a time: each may hold an answer. More are told so.
const CONNECTIONS: usize = 256;

/// How long statements being answered may go on once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// How long to wait when the system has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who may ask: takes the name and the password that were shown (`None`: there is nothing to show yet), answers with the
/// tenant whose tables may be seen. May block.
pub type Access = Arc<dyn Fn(Option<(&str, &str)>) -> Result<TenantId, Denied> + Send + Sync>;

/// Why somebody may not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No credentials, or none that hold.
    Credentials,
    /// Who it is is known, and may not.
    Forbidden,
    /// Credentials cannot be checked now.
    Unavailable,
}

/// What the listener stands on.
#[derive(Clone)]
pub struct Parts {
    /// Answers.
    pub engine: Engine,
    /// What one statement may cost.
    pub limits: Limits,
    /// Who may ask.
    pub access: Access,
}

/// The listener, open and not yet answering.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// The listener, answering.
#[derive(Debug)]
pub struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Opens the port.
    ///
    /// # Errors
    /// What the system says, such as that it is taken.
    pub async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers, on the runtime this is called on.
    ///
    /// # Errors
    /// [`query::Error::Engine`] when the catalog cannot be made.
    pub fn serve(self, parts: Parts) -> query::Result<Serving> {
        let house = Arc::new(asking::House::new(parts)?);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(self.socket, house, stopped));
        Ok(Serving { stop, task })
    }
}

impl Serving {
    /// Takes no new connections, and ends those there are once their statement is answered.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the listener of the PostgreSQL wire did not end cleanly");
        }
    }
}

async fn accept(socket: TcpListener, house: Arc<asking::House>, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let manager = Arc::new(ConnectionManager::new());
    let keys = Arc::new(startup::keys());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = socket.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!("more than {CONNECTIONS} connections of the PostgreSQL wire: one is turned away");
            continue;
        };
        let connection = asking::Connection::new(Arc::clone(&house), Arc::clone(&manager), Arc::clone(&keys));
        // On the engine's threads: a client's bytes are a stranger's.
        let serving = async move {
            serve(stream, connection).await;
            drop(place);
        };
        connections.spawn_on(serving, house.threads());
    }
    drop(socket);
    // Clients keep connections open for hours; nothing of theirs is half done between two statements.
    let answered = async {
        while !house.is_idle() {
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    };
    if tokio::time::timeout(DRAIN, answered).await.is_err() {
        tracing::warn!("statements were still being answered and have been cut off");
    }
    connections.shutdown().await;
}

async fn serve(stream: TcpStream, connection: asking::Connection) {
    let _ = stream.set_nodelay(true); // answers are written whole; a socket without it only answers later
    if let Err(error) = process_socket(stream, None, connection).await {
        tracing::debug!(%error, "a connection of the PostgreSQL wire ended early");
    }
}
