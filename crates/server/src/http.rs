//! The HTTP listener: accepts, bounds, and stops without cutting anybody off.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::StartError;

/// Most connections at a time; more wait in the system's queue. Each may hold a request body in memory.
const CONNECTIONS: usize = 4096;

/// How long a client may take to send a request's head, and to begin the next request.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);

/// How long requests being answered may go on once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// How long to wait when the system has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listener, open and not yet answering.
pub(crate) struct Listener {
    socket: TcpListener,
    pub(crate) address: SocketAddr,
}

/// The listener, answering.
pub(crate) struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen { what: "http", address, source: Arc::new(source) };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address })
    }

    pub(crate) fn serve(self, router: Router) -> Serving {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(self.socket, router, stopped));
        Serving { stop, task }
    }
}

impl Serving {
    /// Takes no new connections and lets requests being answered finish.
    pub(crate) async fn shutdown(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the HTTP listener did not end cleanly");
        }
    }
}

async fn accept(socket: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            socket.accept().await.map(|(stream, _)| (stream, place))
        };
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = next => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, place)) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    serve(stream, router, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(socket);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        tracing::warn!("requests were still being answered and have been cut off");
    }
}

async fn serve(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true); // answers are written whole; a socket without it only answers later
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let stopping = tokio::select! {
        // A client that goes away, or is too slow, ends only its own connection.
        ended = connection.as_mut() => return debug(ended),
        _ = stop.wait_for(|stop| *stop) => connection.as_mut(),
    };
    stopping.graceful_shutdown();
    debug(connection.await);
}

fn debug(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}
